"""Learned motion compensation: layers that move as a whole, what they uncover, and how a network learns to see them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from videolavit.checkpoints.artifacts import load_artifact, write_artifact
from videolavit.clip import MOTION_STD
from videolavit.errors import ConfigError, ShapeError
from videolavit.tiny.block_motion import moved_in_blocks
from videolavit.tiny.layer_paths import Forms, cell_centres, formed, layer_paths, source_places
from videolavit.tiny.learned_compensation import LearnedCompensation, LearnedCompensationConfig

SMALL = LearnedCompensationConfig(width=8)
SIZE, FRAMES, ACROSS = 64, 6, 3


def small(seed: int = 0) -> LearnedCompensation:
    torch.manual_seed(seed)
    return LearnedCompensation(SMALL).eval()


def sliding_box() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A bright box slides over a dark ground to the right: keyframe, motion, and frames as they should be."""
    axis = torch.linspace(0, 20, SIZE)
    ground = (0.3 * axis.sin()[None] * axis.cos()[:, None] - 0.6).expand(1, 3, -1, -1)
    truth = ground[:, None].repeat(1, FRAMES, 1, 1, 1)
    for t in range(FRAMES):
        truth[:, t, :, 16:40, 8 + ACROSS * t : 32 + ACROSS * t] = 0.8
    keyframe = truth[:, 0]
    motion = torch.zeros(1, 2, FRAMES, 8, 8)
    for t in range(FRAMES):  # cells of 8 pixels, of which the box covers some in each frame
        covered = F.avg_pool2d((truth[:, t, :1] > 0).float(), 8)[0, 0]
        motion[0, 0, t] = (covered > 0.3) * ACROSS / SIZE / MOTION_STD[0]
    return keyframe, motion, truth


def test_a_layer_goes_and_grows_as_its_cells_do():
    sides = torch.zeros(1, 2, 5, 8, 8)
    cells = (torch.arange(8) + 0.5) / 8
    sides[:, 0, 1:] = 0.05 * (cells - 0.5) + 0.02  # everything goes to the right, and away from a line in the middle
    sides[:, 1, 1:] = 0.05 * (cells - 0.5)[:, None]
    weights = torch.full((1, 1, 64), 1 / 64)
    still = layer_paths(sides, weights)
    sizes = 1 + still.growth
    forms = still.forms._replace(scale=sizes)
    paths = layer_paths(sides, weights, forms)
    assert paths.middle[0, 0].tolist() == pytest.approx([0.5, 0.5])
    assert paths.shift[0, :, 0, 1].abs().max() < 1e-5
    steps = paths.shift[0, :, 0, 0].diff()
    assert steps[0] == pytest.approx(0.021, abs=0.001)  # where it comes to, it goes a little faster
    assert (steps.diff() > 0).all()
    assert sizes[0, :, 0].diff().min() > 0.03
    assert torch.equal(paths.forms.scale, forms.scale)


def test_layers_with_no_weight_in_what_moves_stand_still():
    _, motion, _ = sliding_box()
    sides = motion * torch.tensor(MOTION_STD).reshape(1, 2, 1, 1, 1)
    box = torch.zeros(8, 8)
    box[2:5, 1:4] = 1 / 9
    ground = torch.zeros(8, 8)
    ground[6:] = 1 / 16
    paths = layer_paths(sides, torch.stack([ground, box]).flatten(1)[None])
    assert paths.shift[0, :, 0].abs().max() < 1e-6
    assert torch.equal(paths.forms.scale, torch.ones_like(paths.forms.scale)), "nothing grows unless it is said to"
    assert paths.shift[0, -1, 1, 0].item() * SIZE == pytest.approx(ACROSS * (FRAMES - 1), abs=2)


def test_it_learns_what_belongs_together_and_what_is_uncovered():
    keyframe, motion, truth = sliding_box()
    network = small().train()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    plain = (moved_in_blocks(keyframe, motion) - truth).abs().mean().item()
    for _ in range(80):
        made = network(keyframe, motion)
        loss = (made.layered - truth).abs().mean()
        optimiser.zero_grad()
        (loss - 0.2 * torch.where(keyframe[:, 0] > 0, made.masks[:, 1], made.masks[:, 0]).log().mean()).backward()
        optimiser.step()
    with torch.no_grad():
        made = network.eval()(keyframe, motion)
    assert loss.item() < 0.5 * plain
    left_behind = (slice(None), -1, 0, slice(20, 36), slice(10, 8 + ACROSS * (FRAMES - 1) - 4))
    assert made.uncovered[left_behind].mean() > 0.5, "the keyframe does not show what the box left"
    assert made.uncovered[:, -1, 0, 50:].mean() < 0.2
    box = made.displacement[0, -1, 0, 20:36, 8 + ACROSS * (FRAMES - 1) + 4 : 30 + ACROSS * (FRAMES - 1) - 4]
    assert box.median().item() * SIZE == pytest.approx(ACROSS * (FRAMES - 1), abs=2)


def test_a_thing_grows_evenly_and_the_ground_as_its_motion_says():
    network = small()
    torch.nn.init.constant_(network.growth[-1].bias, 0.4)
    keyframe, motion = torch.rand(1, 3, SIZE, SIZE) * 2 - 1, torch.zeros(1, 2, 5, 8, 8)
    cells = (torch.arange(8) + 0.5) / 8
    apart = 0.04 * torch.stack(torch.meshgrid(cells - 0.5, cells - 0.5, indexing="xy"))
    motion[0, :, 1:] = apart[:, None] / torch.tensor(MOTION_STD).reshape(2, 1, 1, 1)
    scale = network(keyframe, motion).forms.scale[0]
    assert torch.allclose(scale[:, 1].log(), 0.4 * torch.arange(5) / 4, atol=1e-5)
    assert torch.allclose(scale[:, 1], scale[:, 2])
    assert scale[-1, 0].item() == pytest.approx(1 + 4 * 0.04, abs=0.02)


def test_a_layer_is_drawn_where_its_form_brings_it():
    """Each pixel comes from the place in the keyframe that moves, grows, rotates and turns round to there."""
    frames, middle, shift = 4, torch.tensor([[[0.4, 0.6]]]), 0.1 * torch.randn(1, 4, 1, 2)
    forms = Forms(
        scale=torch.tensor([1, 1.2, 1.5, 0.7]).reshape(1, frames, 1),
        rotated=torch.tensor([0, 0.5, -2.0, 3.0]).reshape(1, frames, 1),
        rotates=torch.full((1, 1), 9.0),
        turned=torch.tensor([1, 0.6, -0.4, -1.0]).reshape(1, frames, 1),
        turns=torch.full((1, 1), 9.0),
    )
    source, displacement = source_places(shift, middle, forms, 0, torch.zeros(1, 3, 16, 24))
    pixels = cell_centres(16, 24, middle).reshape(16, 24, 2)
    for t in range(frames):
        apart = (source[:, t] - middle[:, 0]).reshape(1, 1, -1, 2)
        there = formed(apart, forms, t, 24 / 16)[0, 0] + middle[0, 0] + shift[0, t, 0]
        assert torch.allclose(there.reshape(16, 24, 2), pixels, atol=1e-5)
        assert torch.allclose(displacement[0, t].permute(1, 2, 0), pixels - source[0, t], atol=1e-6)
    still = forms._replace(turns=torch.full((1, 1), 0.5), rotates=torch.full((1, 1), 0.5))
    assert torch.equal(still.width, torch.ones(1, frames, 1)), "what hardly seems to turn round keeps its width"
    assert torch.equal(still.angle, torch.zeros(1, frames, 1))


def test_what_is_rotated_keeps_its_shape_in_images_that_are_not_square():
    quarter = torch.full((1, 2, 1), torch.pi / 2)
    forms = Forms(torch.ones(1, 2, 1), quarter, torch.full((1, 1), 9.0), torch.ones(1, 2, 1), torch.zeros(1, 1))
    apart = torch.tensor([8 / 32, 0.0]).reshape(1, 1, 1, 2)  # 8 pixels to the right in an image of 16 x 32
    assert torch.allclose(formed(apart, forms, 1, 2.0).flatten(), torch.tensor([0, 8 / 16]), atol=1e-6)
    y, x = (torch.arange(8) - 3.5)[:, None] / 8, (torch.arange(16) - 7.5) / 16
    sides = torch.zeros(1, 2, 3, 8, 16)
    sides[0, :, 1:] = 0.1 * torch.stack([(-y / 2).expand(8, 16), (2 * x).expand(8, 16)])[:, None]
    paths = layer_paths(sides, torch.full((1, 1, 128), 1 / 128))
    assert paths.rotation[0, -1, 0].item() == pytest.approx(0.2, abs=1e-5)


def test_a_layer_that_is_rotated_and_one_that_becomes_narrower_are_told_apart():
    cells = cell_centres(8, 8, torch.zeros(1)) - 0.5
    x, y = cells.reshape(8, 8, 2).unbind(-1)
    sides = torch.zeros(2, 2, 3, 8, 8)
    sides[0, :, 1:] = 0.1 * torch.stack([-y, x])[:, None]  # clockwise, as y points down
    sides[1, 0, 1:] = -0.2 * x
    paths = layer_paths(sides, torch.full((2, 1, 64), 1 / 64))
    assert paths.rotation[:, -1, 0].tolist() == pytest.approx([0.2, 0], abs=1e-5)
    assert paths.narrowing[:, 1, 0].tolist() == pytest.approx([0, -0.2], abs=1e-5)
    assert paths.growth[:, -1, 0].tolist() == pytest.approx([0, -0.2], abs=1e-5)


def test_forms_are_those_of_the_frames_and_learn_alone():
    keyframe, motion, _ = sliding_box()
    network = small()
    torch.nn.init.normal_(network.turning[-1].weight)
    forms = network.forms(keyframe, motion)
    for told, shown in zip(forms, network(keyframe, motion).forms, strict=True):
        assert torch.allclose(told, shown, atol=1e-6)
    sum(form.sum() for form in forms).backward()
    learnt = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert learnt == {"growth", "turning"}
    with pytest.raises(ShapeError, match="multiples of 16"):
        network.forms(keyframe[..., 1:], motion)


def test_frames_do_not_depend_on_which_others_are_made_nor_on_the_batch():
    keyframe, motion, _ = sliding_box()
    network = small()
    whole = network(keyframe.expand(2, -1, -1, -1), motion.expand(2, -1, -1, -1, -1)).frames
    some = network(keyframe, motion, torch.tensor([[4, 1]])).frames
    assert torch.allclose(some[0], whole[1, [4, 1]], atol=1e-5)


def test_a_clip_that_is_not_made_of_layers_is_moved_in_blocks():
    keyframe, motion, _ = sliding_box()
    network = small()
    torch.nn.init.constant_(network.whole.bias, 30.0)
    made = network(keyframe, motion)
    assert made.as_blocks.min() > 0.999
    assert torch.allclose(made.frames, moved_in_blocks(keyframe, motion), atol=1e-4)


def test_a_clip_is_one_or_the_other():
    keyframe, motion, _ = sliding_box()
    network = small()
    torch.nn.init.constant_(network.whole.bias, -0.1)
    made = network(keyframe, motion)
    assert 0.45 < made.as_blocks.item() < 0.5
    assert torch.equal(made.frames, made.layered)
    torch.nn.init.constant_(network.whole.bias, 0.1)
    assert torch.equal(network(keyframe, motion).frames, made.blocks)


def test_masks_are_shares():
    keyframe, motion, _ = sliding_box()
    masks = small()(keyframe, motion).masks
    assert masks.shape == (1, 3, SIZE, SIZE)
    assert torch.allclose(masks.sum(1), torch.ones(1, SIZE, SIZE), atol=1e-5)


@pytest.mark.parametrize(("height", "width", "grid"), [(128, 128, (16, 16)), (64, 96, (20, 36)), (32, 16, (3, 5))])
def test_images_and_grids_may_have_other_sizes(height, width, grid):
    keyframe, motion = torch.rand(2, 3, height, width) * 2 - 1, 0.1 * torch.randn(2, 2, 4, *grid)
    made = small().compensate(keyframe, motion)
    assert made.frames.shape == (2, 4, 3, height, width)
    assert made.hints.shape == (2, 4, 3, height, width)
    assert torch.equal(made.frames[:, 0], keyframe)
    assert made.frames.isfinite().all()


def test_a_file_gives_the_same_frames(tmp_path):
    network = small()
    write_artifact(tmp_path, {"video_compensation": network})
    again = load_artifact("video_compensation", tmp_path)
    keyframe, motion, _ = sliding_box()
    assert torch.equal(again(keyframe, motion).frames, network(keyframe, motion).frames)
    assert again.config == network.config


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of 8"):
        LearnedCompensationConfig(width=12)
    with pytest.raises(ShapeError, match="multiples of 16"):
        small()(torch.zeros(1, 3, 40, 32), torch.zeros(1, 2, 3, 4, 4))
    with pytest.raises(ShapeError, match=r"1 frames, expected .* at least two"):
        small()(torch.zeros(1, 3, 32, 32), torch.zeros(1, 2, 1, 4, 4))


def test_bfloat16_keeps_places_exact():
    network = small()
    keyframe, motion, _ = sliding_box()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = network(keyframe, motion)
    assert low.displacement.dtype == torch.float32
    assert np.abs((low.layered - network(keyframe, motion).layered).detach().numpy()).max() < 0.1
