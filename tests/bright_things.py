"""A network of motion compensation to which whatever is bright is a thing, and an image with one."""

from __future__ import annotations

import torch

from videolavit.tiny.learned_compensation import LearnedCompensation, LearnedCompensationConfig

KNOWS_THINGS = LearnedCompensationConfig(width=8, known_things=("a", "b, bb", "c"), appearance_width=8)


def box(left: int, top: int, width: int, height: int, size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    """The mask of one box, (1, 1, height, width)."""
    mask = torch.zeros(1, 1, *size)
    mask[..., top : top + height, left : left + width] = 1
    return mask


def network_that_sees_a_thing(kind: int = 2) -> LearnedCompensation:
    """Whatever is bright belongs to the left thing, and is of that kind; nothing moves, or is made of blocks."""
    torch.manual_seed(0)
    network = LearnedCompensation(KNOWS_THINGS).eval()
    assert network.appearance is not None
    with torch.no_grad():
        for parameter in network.layers.parameters():
            parameter.zero_()
        # `to_full` ends in 16 channels; the first one says how bright a pixel is.
        network.to_full[0].weight.zero_()
        network.to_full[0].weight[0, -3, 1, 1] = 1
        network.to_full[0].bias.zero_()
        network.to_full[2].weight.zero_()
        network.to_full[2].weight[0, 0, 1, 1] = 1
        network.to_full[2].bias.zero_()
        network.layers.weight[1, 0, 1, 1] = 200
        network.layers.bias.copy_(torch.tensor([8.0, 0.0, -30.0]))
        recogniser = network.appearance.recogniser
        for head in (recogniser.kind, recogniser.mirrored, recogniser.place, recogniser.light):
            head.weight.zero_()
            head.bias.zero_()
        recogniser.kind.bias[kind] = 20
        recogniser.light.bias.fill_(1)
        recogniser.place.bias[2] = -0.5
        network.appearance.painter.poses.copy_(torch.tensor([1.0, 4, 6, 1]))
    return network


def bright_box() -> torch.Tensor:
    """A bright box on a dark ground, (1, 3, 64, 64)."""
    return 1.4 * box(16, 24, 20, 16, (64, 64)).expand(-1, 3, -1, -1) - 0.7
