"""What known things look like in each frame: squares around them, what is read there, and what is painted."""

from __future__ import annotations

import math

import pytest
import torch
from bright_things import box, bright_box, network_that_sees_a_thing

from videolavit.checkpoints.artifacts import load_artifact, write_artifact
from videolavit.errors import ConfigError
from videolavit.tiny import thing_appearance
from videolavit.tiny.learned_compensation import LearnedCompensation, LearnedCompensationConfig
from videolavit.tiny.thing_appearance import (
    CELL,
    SQUARE,
    Painted,
    Recognised,
    ThingAppearance,
    seen_squares,
    square_places,
    squares,
)

SIZE = (64, 64)


def still(count: int = 1, frames: int = 6) -> torch.Tensor:
    return torch.zeros(count, 2, frames, 8, 8)


def places(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    return torch.stack([x, y], dim=-1)


@pytest.fixture
def untrained(monkeypatch):
    """What a network without training paints looks like nothing that is seen: it is painted all the same."""
    monkeypatch.setattr(thing_appearance, "_LEAST_OVERLAP", 0.0)
    monkeypatch.setattr(thing_appearance, "_MOST_DIFFERENT", 9.0)
    monkeypatch.setattr(thing_appearance, "_MOST_DIFFERENT_IF_BLURRED", 9.0)


def test_a_square_lies_around_its_thing():
    around = squares(box(20, 10, 24, 24))
    assert around.middle[0, 0].tolist() == pytest.approx([32 / 96, 22 / 64])
    across, down = (around.reach[0, 0] * torch.tensor([96, 64])).tolist()
    assert across == pytest.approx(down), "a square, in pixels"
    assert 1.1 * 12 < across < 2 * 12, "the thing and some room around it"
    assert around.there.all()


def test_what_hardly_belongs_to_a_thing_does_not_move_its_square():
    clear = squares(box(20, 10, 24, 24))
    faint = squares(box(20, 10, 24, 24) + 0.2 * box(80, 40, 16, 24))
    assert torch.equal(clear.middle, faint.middle)
    assert torch.equal(clear.reach, faint.reach)


@pytest.mark.parametrize("mask", [torch.zeros(1, 1, 64, 64), torch.full((1, 1, 64, 64), 0.2), box(3, 3, 3, 3)])
def test_without_a_thing_there_is_no_square(mask):
    around = squares(mask)
    assert not around.there.any()
    assert around.middle.isfinite().all()
    assert (around.reach > 0).all()


def test_a_square_shows_the_keyframe_and_where_it_ends():
    mask = box(0, 20, 24, 24)
    keyframe = torch.linspace(-1, 1, 96).expand(1, 3, 64, 96).contiguous()
    around = squares(mask)
    of_pixels = square_places(around.middle, around.reach)[:, 0]
    seen = seen_squares(keyframe, mask[:, 0], of_pixels)
    there = seen[0, 4] > 0.99
    assert 0.5 < there.float().mean() < 0.95, "its left part lies outside of the image"
    assert (seen[0, :, :, :4] == 0).all()
    x = of_pixels[0, ..., 0]
    assert torch.allclose(seen[0, 0][there], (2 * (x * 96 - 0.5) / 95 - 1)[there], atol=1e-4)


def painted(half: tuple[float, float], known: bool = True) -> Painted:
    """A cell whose left half is black and whose right half is white, in the left half of an image."""
    cell = torch.ones(4, CELL, CELL)
    cell[:3, :, : CELL // 2] = -1
    centre, there = torch.tensor([[[0.25, 0.5]]]), torch.tensor([[known]])
    return Painted(cell.expand(1, 2, 1, -1, -1, -1), centre, torch.tensor([[half]]), there)


def test_what_is_painted_lies_in_its_cell_and_nowhere_else():
    source = places(32, 64)
    values = painted((0.125, 0.25)).over(torch.full((1, 2, 4, 32, 64), 0.5), 0, source.expand(1, 2, -1, -1, -1))
    x, y = source.unbind(-1)
    inside = ((x - 0.25).abs() < 0.125) & ((y - 0.5).abs() < 0.25)
    assert (values[:, :, 3, inside] > 0.9).all()
    assert (values[:, :, :, ~inside] == 0).all(), "nothing of what was seen is left, either"
    assert (values[:, :, 0, inside & (x < 0.24)] < 0).all()


def test_what_is_mirrored_shows_its_other_side():
    source = places(32, 64).expand(1, 2, -1, -1, -1)
    blank = torch.zeros(1, 2, 4, 32, 64)
    plain, mirrored = (painted((across, 0.25)).over(blank, 0, source) for across in (0.125, -0.125))
    assert torch.allclose(mirrored[..., :32], plain[..., :32].flip(-1), atol=1e-5)


def test_unknown_things_stay_as_they_are_seen():
    seen = torch.rand(1, 2, 4, 32, 64)
    source = places(32, 64).expand(1, 2, -1, -1, -1)
    assert torch.equal(painted((0.125, 0.25), known=False).over(seen, 0, source), seen)


def test_nothing_is_known_without_a_thing():
    nothing = ThingAppearance(8, 3)(torch.rand(2, 3, *SIZE), torch.zeros(2, 2, *SIZE), torch.arange(3).expand(2, -1))
    assert nothing.cells.shape == (2, 3, 2, 4, CELL, CELL)
    assert not nothing.known.any()
    assert not nothing.cells.any()


def test_each_thing_of_a_batch_is_painted_as_if_it_were_alone(untrained):
    network = network_that_sees_a_thing().appearance
    keyframes, shown = torch.rand(2, 3, *SIZE), torch.tensor([[0, 5], [7, 2]])
    masks = torch.cat([box(4, 4, 20, 20, SIZE), box(36, 30, 24, 16, SIZE)])[:, [0, 0]]
    masks[0, 1] = 0
    with torch.no_grad():
        together = network(keyframes, masks, shown)
        assert together.known.tolist() == [[True, False], [True, True]]
        for number in range(2):
            alone = network(keyframes[number, None], masks[number, None], shown[number, None])
            assert torch.allclose(together.cells[number], alone.cells[0], atol=1e-5)


def test_poses_come_round(untrained):
    """Of six poses the seventh is the first again; things with one pose never change."""
    keyframe = bright_box()
    for kind, period in ((2, 6), (1, 4), (3, 1)):
        network = network_that_sees_a_thing(kind).appearance
        with torch.no_grad():
            cells = network(keyframe, box(16, 24, 20, 16, SIZE), torch.arange(period + 1)[None]).cells[0, :, 0]
        assert torch.allclose(cells[0], cells[-1], atol=1e-4)
        for pose in range(1, period):
            assert (cells[pose] - cells[0]).abs().max() > 1e-3


def test_the_pose_that_is_seen_is_where_the_turn_begins(untrained):
    """A keyframe that shows a thing in its fourth pose; in the next frame it has the fifth."""
    network = network_that_sees_a_thing(2)
    appearance, light = network.appearance, torch.ones(1, 3)
    with torch.no_grad():
        appearance.painter.out[1].bias[3] = 20  # nothing shines through
        every = appearance._poses(torch.tensor([2]), light)[0]
        keyframe, mask = bright_box(), box(16, 24, 20, 16, SIZE)
        around = squares(mask)
        x, y = places(64, 64).unbind(-1)
        half = math.exp(-0.5) * around.reach[0, 0]
        grid = (torch.stack([x, y], dim=-1) - around.middle[0, 0]) / half
        shown = torch.nn.functional.grid_sample(every[3][None], grid[None], align_corners=False)
        keyframe = shown[:, :3] + (1 - shown[:, 3:]) * keyframe
        cells = appearance(keyframe, mask, torch.arange(6)[None]).cells[0, :, 0]
    smooth = torch.nn.functional.avg_pool2d(every, 3, 1, 1)
    for frame in range(6):
        assert torch.allclose(cells[frame], smooth[(3 + frame) % 6], atol=1e-4)


@pytest.mark.parametrize(
    ("brightness", "place", "mirrored", "detailed", "blurred"),
    [
        (0.8, 0.0, False, True, True),
        (0.55, 0.0, False, False, True),
        (0.2, 0.0, False, False, False),
        (0.8, 0.9, False, False, False),
        (0.8, 0.0, True, False, False),
    ],
)
def test_a_thing_is_known_if_it_looks_as_it_would_be_painted(brightness, place, mirrored, detailed, blurred):
    """A cell, bright on its right half, that fills the middle of a square."""
    share = torch.zeros(1, 1, CELL, CELL)
    share[..., CELL // 2 :] = 1
    painted = torch.cat([0.8 * share.expand(-1, 3, -1, -1), share], dim=1)
    seen = torch.zeros(1, 5, SQUARE, SQUARE)
    quarter = SQUARE // 4
    seen[:, :3, quarter : 3 * quarter, 2 * quarter : 3 * quarter] = brightness
    seen[:, 3, quarter : 3 * quarter, 2 * quarter : 3 * quarter] = 1
    found = Recognised(
        kind=torch.zeros(1, 2),
        mirrored=torch.tensor([1.0 if mirrored else -1.0]),
        place=torch.tensor([[place, 0.0, math.log(0.5)]]),
        light=torch.ones(1, 3),
    )
    overlap, apart = (value.item() for value in thing_appearance._likeness(found, painted[:, None], seen))
    lies_there = overlap > thing_appearance._LEAST_OVERLAP
    assert (lies_there and apart < thing_appearance._MOST_DIFFERENT) == detailed
    assert (lies_there and apart < thing_appearance._MOST_DIFFERENT_IF_BLURRED) == blurred


def test_a_painter_learns_artwork_by_heart():
    torch.manual_seed(0)
    painter = ThingAppearance(8, 2).painter
    x, y = places(CELL, CELL).unbind(-1)
    share = ((x - 0.5).abs() < 0.3).float()
    artwork = torch.stack([torch.stack([share * (y > 0.5), share * x, share * (x > 0.5) * k, share]) for k in (0, 1)])
    kind, angle = torch.tensor([1, 2]), torch.zeros(2)
    optimiser = torch.optim.Adam(painter.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        error = painter(kind, angle) - artwork
        error.square().mean().backward()
        optimiser.step()
    assert error.square().mean() < 0.01


def test_known_things_of_layered_images_are_painted_anew(untrained):
    keyframe, network = bright_box(), network_that_sees_a_thing()
    changed = (network.repainted(keyframe) - keyframe).abs().amax(1)[0] > 0.02
    assert changed[28:36, 20:32].any()
    assert not changed[:8].any(), "the ground stays"
    with torch.no_grad():
        network.whole.bias[1] = 9
    assert torch.equal(network.repainted(keyframe), keyframe), "blocks have no things"


def test_what_is_not_sure_stays_as_it_is():
    keyframe = bright_box()
    for kind in (0, 2):
        network = network_that_sees_a_thing(kind)
        with torch.no_grad():
            network.appearance.recogniser.kind.bias.mul_(0.05)  # a probability below one half
        assert (network.repainted(keyframe) - keyframe)[..., 20:40, 12:40].abs().max() < 0.35, "the layer alone"
        frames = network(keyframe, still()).frames
        assert torch.allclose(frames, frames[:, :1].expand_as(frames), atol=1e-4)


def test_repainting_leaves_sizes_that_it_cannot_read():
    odd = torch.rand(1, 3, 40, 72)
    assert torch.equal(network_that_sees_a_thing().repainted(odd), odd)
    torch.manual_seed(0)
    plain = LearnedCompensation(LearnedCompensationConfig(width=8))
    assert torch.equal(plain.repainted(bright_box()), bright_box())


def test_names_are_told_where_there_are_things():
    network = network_that_sees_a_thing(2)
    named = network.named(torch.cat([bright_box(), torch.full((1, 3, 64, 64), -0.7)]))
    assert named.shape == (2, 2, 4)
    assert named.argmax(2).tolist() == [[2, 0], [0, 0]]
    assert torch.allclose(named[0, 0].exp().sum(), torch.ones(()), atol=1e-4)
    odd = network.named(torch.rand(1, 3, 40, 72))
    assert odd.argmax(2).tolist() == [[0, 0]], "in sizes that it cannot read nothing is recognised"


def test_a_network_that_knows_nothing_has_no_weights_for_it(tmp_path):
    assert LearnedCompensation(LearnedCompensationConfig(width=8)).appearance is None
    for width in (-8, 0, 12):
        with pytest.raises(ConfigError, match="appearance_width"):
            LearnedCompensationConfig(width=8, appearance_width=width)
    network = network_that_sees_a_thing()
    write_artifact(tmp_path, {"video_compensation": network})
    again = load_artifact("video_compensation", tmp_path)
    assert again.appearance.painter.poses.tolist() == [1, 4, 6, 1]
    assert again.config.known_things == ("a", "b, bb", "c")
    assert torch.allclose(again(bright_box(), still()).frames, network(bright_box(), still()).frames, atol=1e-4)


def test_the_keyframe_of_a_clip_stays_as_it_is(untrained):
    keyframe = bright_box()
    made = network_that_sees_a_thing().compensate(keyframe, still())
    assert torch.equal(made.frames[:, 0], keyframe)
    assert not torch.equal(made.frames[:, 1], keyframe)
