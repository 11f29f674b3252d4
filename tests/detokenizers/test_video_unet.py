"""The 3-D UNet against the reference, the released layout, diffusers' own class and a plain formulation."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.attention_processor import AttnProcessor
from reference.diffusion import golden_video_unet
from reference.golden import FOLDER, assert_close, fill, golden, rand

from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.errors import ConfigError, ShapeError

TINY: dict[str, Any] = {
    "in_channels": 6,
    "out_channels": 2,
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "block_out_channels": (32, 64),
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24,
    "layers_per_block": 1,
    "cross_attention_dim": 12,
    "num_attention_heads": (2, 4),
    "num_frames": 3,
    "motion_grid": (3, 5),
}
TIME_IDS = torch.tensor([[6, 127, 0.02], [5, 100, 0.1]])


@pytest.fixture(scope="module")
def unet() -> VideoUNet:
    return fill(VideoUNet(**TINY)).eval()


def denoise(unet: torch.nn.Module, sample: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    return unet(sample, torch.tensor([1.3, 0.2]), condition, TIME_IDS).sample


@torch.no_grad()
def test_numbers_of_the_reference_implementation():
    sizes, expected = golden("video_unet_small")
    unet = fill(golden_video_unet(sizes))
    assert sorted(unet.state_dict()) == json.loads((FOLDER / "video_unet_small.keys.json").read_text())
    time_ids = torch.tensor([sizes["added_time_ids"]] * 2)
    out = unet(rand(40, 2, 24, 10, 8, 16), sizes["timestep"], rand(41, 2, 24, 256, 64), time_ids).sample
    assert_close(out[:, ::5, :, ::2, ::2], expected["out"])


def test_a_released_sized_unet_has_exactly_the_released_keys_and_shapes():
    with torch.device("meta"):
        unet = VideoUNet()
    layout = json.loads((FOLDER.parent / "layout.json").read_text())["video_detokenizer.unet(default config)"]
    assert {key: list(value.shape) for key, value in unet.state_dict().items()} == layout
    assert unet.config["num_attention_heads"] == (5, 10, 10, 20)


@torch.no_grad()
def test_with_one_vector_everywhere_it_computes_what_diffusers_does(unet: VideoUNet):
    """Attention over equal keys is their one value, so there the two ways for the condition to enter agree."""
    theirs = UNetSpatioTemporalConditionModel(**{key: value for key, value in TINY.items() if key != "motion_grid"})
    theirs.load_state_dict(unet.state_dict())
    vector, sample = rand(2, 2, 1, 12), rand(1, 2, 3, 6, 8, 12)
    everywhere = vector[:, None].expand(2, 3, 15, 12)
    assert_close(denoise(unet, sample, everywhere), denoise(theirs.eval(), sample, vector), 1e-5)


class ResizedFirst:
    """Temporal cross-attention as the reference tells it: resize the map of vectors, then attend at each position."""

    def __init__(self, grid: tuple[int, int], sizes: dict[int, tuple[int, int]]):
        self.grid, self.sizes = grid, sizes

    def __call__(self, attn, hidden_states, encoder_hidden_states, attention_mask=None):
        vectors = encoder_hidden_states.vectors
        batch, _, frames, dim = vectors.shape
        size = self.sizes[len(hidden_states) // batch]
        maps = vectors.permute(0, 2, 3, 1).reshape(batch * frames, dim, *self.grid)
        resized = F.interpolate(maps, size, mode="nearest").reshape(batch, frames, dim, -1)
        context = resized.permute(0, 3, 1, 2).reshape(-1, frames, dim)
        return AttnProcessor()(attn, hidden_states, context)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 12), (4, 6), (7, 9)])
def test_projecting_cells_before_resizing_changes_nothing(size: tuple[int, int]):
    unet = fill(VideoUNet(**TINY)).eval()
    sample, condition = rand(1, 2, 3, 6, *size), rand(2, 2, 3, 15, 12)
    ours = denoise(unet, sample, condition)
    half = tuple(-(-side // 2) for side in size)
    plain = ResizedFirst(TINY["motion_grid"], {size[0] * size[1]: size, half[0] * half[1]: half})
    replaced = {
        name: plain if "temporal" in name and "attn2" in name else AttnProcessor() for name in unet.attn_processors
    }
    assert sum(processor is plain for processor in replaced.values()) == 4
    unet.set_attn_processor(replaced)
    assert_close(ours, denoise(unet, sample, condition), 1e-5)


@torch.no_grad()
def test_every_frame_and_every_cell_of_the_condition_counts(unet: VideoUNet):
    sample, condition = rand(1, 2, 3, 6, 8, 12), rand(2, 2, 3, 15, 12)
    before = denoise(unet, sample, condition)
    for frame, cell in ((0, 0), (2, 14), (1, 7)):
        changed = condition.clone()
        changed[1, frame, cell] += 1
        difference = (denoise(unet, sample, changed) - before).abs().amax(dim=(1, 2, 3, 4))
        assert difference[1] > 1e-4
        assert difference[0] < 1e-5  # the other item of the batch


@torch.no_grad()
def test_a_batch_of_two_is_two_singles(unet: VideoUNet):
    sample, condition = rand(1, 2, 3, 6, 8, 12), rand(2, 2, 3, 15, 12)
    both = denoise(unet, sample, condition)
    for i, timestep in enumerate((1.3, 0.2)):
        one = slice(i, i + 1)
        assert_close(unet(sample[one], timestep, condition[one], TIME_IDS[one]).sample, both[one], 1e-5)


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        unet = fill(VideoUNet(**TINY)).train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
        condition = rand(2, 2, 3, 15, 12).requires_grad_()
        denoise(unet, rand(1, 2, 3, 6, 8, 12), condition).square().mean().backward()
        missing = [name for name, parameter in unet.named_parameters() if parameter.grad is None]
        assert missing == []
        gradients.append([condition.grad, *(parameter.grad for parameter in unet.parameters())])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert_close(checkpointed, plain, 1e-4)


def test_checkpointing_recomputes_the_transformer_blocks():
    unet = fill(VideoUNet(**TINY)).train()
    unet.enable_gradient_checkpointing()
    calls = []
    for name, module in unet.named_modules():
        if name.endswith("transformer_blocks.0"):
            module.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    loss = denoise(unet, rand(1, 2, 3, 6, 8, 12), rand(2, 2, 3, 15, 12)).square().mean()
    forward_calls = list(calls)
    loss.backward()
    assert len(forward_calls) == 8
    assert sorted(calls) == sorted(forward_calls * 2)


@torch.no_grad()
def test_half_precision_stays_close(unet: VideoUNet):
    half = fill(VideoUNet(**TINY)).eval().bfloat16()
    sample, condition = rand(1, 2, 3, 6, 8, 12), rand(2, 2, 3, 15, 12)
    out = denoise(half, sample.bfloat16(), condition.bfloat16())
    assert out.dtype == torch.bfloat16
    assert_close(out.float(), denoise(unet, sample, condition), 0.05)  # measured: 0.021


@torch.no_grad()
def test_saving_and_loading_keeps_configuration_and_numbers(unet: VideoUNet, tmp_path):
    unet.save_pretrained(tmp_path)
    again = VideoUNet.from_pretrained(tmp_path)
    assert tuple(again.config["motion_grid"]) == (3, 5)
    sample, condition = rand(1, 2, 3, 6, 8, 12), rand(2, 2, 3, 15, 12)
    assert torch.equal(denoise(again, sample, condition), denoise(unet, sample, condition))


def test_a_plain_diffusers_configuration_builds_it():
    theirs = UNetSpatioTemporalConditionModel(**{key: value for key, value in TINY.items() if key != "motion_grid"})
    ours = VideoUNet.from_config(theirs.config)
    assert ours.config["motion_grid"] == (16, 16)
    assert ours.config["num_attention_heads"] == (2, 4)
    ours.load_state_dict(theirs.state_dict())


def test_errors_say_what_is_wrong(unet: VideoUNet):
    sample = rand(1, 2, 3, 6, 8, 12)
    with pytest.raises(ShapeError, match=r"expected \(2, 3, 15, width\): one map of 3 x 5"):
        denoise(unet, sample, rand(2, 2, 3, 16, 12))
    with pytest.raises(ShapeError, match=r"\(2, 2, 15, 12\)"):
        denoise(unet, sample, rand(2, 2, 2, 15, 12))
    with pytest.raises(ShapeError, match="got 5 input channels, expected 6"):
        denoise(unet, sample[:, :, :5], rand(2, 2, 3, 15, 12))
    with pytest.raises(ConfigError, match="cannot be built"):
        VideoUNet(**TINY | {"block_out_channels": (32, 64, 64)})
