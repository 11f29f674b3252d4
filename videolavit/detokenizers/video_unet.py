"""The 3-D UNet that turns noise into frames, with a motion condition for every frame.

Paper, section 3.2; reference, section 6. It is diffusers' `UNetSpatioTemporalConditionModel` (Stable Video Diffusion):
same modules, same parameter names, same configuration. Only the way the condition enters is replaced, because there it
is one image for the whole clip and here it is a map of motion vectors for each frame:

- spatial cross-attention: a frame attends to its own motion vectors;
- temporal cross-attention: the map is resized (nearest) to the feature map, and each position attends to the time
  steps of the cell that covers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_temporal import (
    TransformerSpatioTemporalModel,
    TransformerTemporalModelOutput,
)
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.attention import AttendProcessor

__all__ = ["VideoUNet"]


class VideoUNet(UNetSpatioTemporalConditionModel):
    """Denoiser of latent clips under per-frame motion conditions; the defaults are the released sizes.

    The arguments are those of diffusers' class, the rows and columns of the motion condition, and `residual_scale`: 0
    for the reference form, else the unit of the residuals that it draws (`residual.py`). `in_channels` counts the noisy
    latent, the keyframe latent and the two motion channels. Heads do not show in keys and shapes, and those
    of the release are not diffusers' default: the configuration decides.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = None,
        in_channels: int = 10,
        out_channels: int = 4,
        down_block_types: Sequence[str] = (
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ),
        up_block_types: Sequence[str] = (
            "UpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
        ),
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        addition_time_embed_dim: int = 256,
        projection_class_embeddings_input_dim: int = 768,
        layers_per_block: int | Sequence[int] = 2,
        cross_attention_dim: int | Sequence[int] = 1024,
        transformer_layers_per_block: int | Sequence[int] = 1,
        num_attention_heads: int | Sequence[int] = (5, 10, 10, 20),
        num_frames: int = 24,
        motion_grid: Sequence[int] = (16, 16),
        residual_scale: float = 0.0,
    ) -> None:
        sizes: dict[str, Any] = {
            "sample_size": sample_size,
            "in_channels": in_channels,
            "out_channels": out_channels,
            "down_block_types": down_block_types,
            "up_block_types": up_block_types,
            "block_out_channels": block_out_channels,
            "addition_time_embed_dim": addition_time_embed_dim,
            "projection_class_embeddings_input_dim": projection_class_embeddings_input_dim,
            "layers_per_block": layers_per_block,
            "cross_attention_dim": cross_attention_dim,
            "transformer_layers_per_block": transformer_layers_per_block,
            "num_attention_heads": num_attention_heads,
            "num_frames": num_frames,
        }
        try:
            super().__init__(**sizes)
        except ValueError as error:
            raise ConfigError(f"the 3-D UNet cannot be built: {error}") from error
        for module in list(self.modules()):
            if type(module) is TransformerSpatioTemporalModel:
                _let_motion_in(module, *motion_grid)

    def forward(
        self,
        sample: Float[Tensor, "batch frames in_channels height width"],
        timestep: Tensor | float | int,
        encoder_hidden_states: Float[Tensor, "_ _ cells dim"],
        added_time_ids: Float[Tensor, "batch 3"],
        return_dict: bool = True,
    ) -> Any:
        """Predict what the scheduler asks for, (batch, frames, out_channels, height, width) in `.sample`.

        Args:
            sample: noisy latents, keyframe latents and motion, joined along the channels. Height and width that the
                down-sampling does not divide are handled.
            timestep: one for all, or one for each item.
            encoder_hidden_states: motion vectors of each frame, the cells of `motion_grid` row by row.
            added_time_ids: frames per second, motion bucket, noise augmentation.
            return_dict: False gives a tuple of one tensor, as diffusers does.

        Raises:
            ShapeError: the condition is not one map for each frame, or the channels are not those configured.
        """
        self._check(sample, encoder_hidden_states)
        per_frame = encoder_hidden_states.as_subclass(_OnePerFrame)
        return super().forward(sample, timestep, per_frame, added_time_ids, return_dict)

    def _check(self, sample: Tensor, condition: Tensor) -> None:
        batch, frames, channels = sample.shape[:3]
        if channels != self.config["in_channels"]:
            raise ShapeError(f"got {channels} input channels, expected {self.config['in_channels']}")
        rows, cols = self.config["motion_grid"]
        if tuple(condition.shape[:3]) != (batch, frames, rows * cols):
            raise ShapeError(
                f"got a motion condition of shape {tuple(condition.shape)}, expected ({batch}, {frames}, "
                f"{rows * cols}, width): one map of {rows} x {cols} cells for each frame of the latents"
            )


class _OnePerFrame(Tensor):
    """A condition that is per frame already: the one repetition over frames that diffusers does leaves it as it is."""

    def repeat_interleave(self, *_: Any, **__: Any) -> Tensor:
        return self.as_subclass(Tensor).flatten(0, 1)


class _Cells(NamedTuple):
    """Input of temporal cross-attention: the time steps of every cell, and the cell that covers each position."""

    vectors: Float[Tensor, "batch cells frames dim"]
    cell_of_position: Int[Tensor, " positions"]


class _MotionTransformer(TransformerSpatioTemporalModel):
    """diffusers' spatio-temporal transformer with a condition of its own for each frame and each position."""

    motion_grid: tuple[int, int]

    def forward(
        self,
        hidden_states: Float[Tensor, "batch_frames channels height width"],
        encoder_hidden_states: Float[Tensor, "batch_frames cells dim"] | None = None,
        image_only_indicator: Float[Tensor, "batch frames"] | None = None,
        return_dict: bool = True,
    ) -> TransformerTemporalModelOutput | tuple[Tensor]:
        assert encoder_hidden_states is not None
        assert image_only_indicator is not None
        frames, (height, width) = image_only_indicator.shape[1], hidden_states.shape[2:]
        cells = self._cells(encoder_hidden_states, frames, height, width)
        frame_embedding = self._frame_embedding(frames, hidden_states)
        tokens = self.proj_in(rearrange(self.norm(hidden_states), "bf c h w -> bf (h w) c"))
        for spatial, temporal in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            tokens = self._run(spatial, tokens, None, encoder_hidden_states)
            mixed = rearrange(tokens, "(b f) n c -> b f n c", f=frames) + frame_embedding
            mixed = self._run(temporal, mixed.flatten(0, 1), frames, cells)
            tokens = self.time_mixer(x_spatial=tokens, x_temporal=mixed, image_only_indicator=image_only_indicator)
        output = hidden_states + rearrange(self.proj_out(tokens), "bf (h w) c -> bf c h w", h=height)
        return TransformerTemporalModelOutput(sample=output) if return_dict else (output,)

    def _cells(self, condition: Tensor, frames: int, height: int, width: int) -> _Cells:
        cell_of_position = _nearest_cell(*self.motion_grid, height, width, condition.device)
        return _Cells(rearrange(condition, "(b f) n d -> b n f d", f=frames), cell_of_position)

    def _frame_embedding(self, frames: int, like: Tensor) -> Float[Tensor, "frames 1 channels"]:
        sinusoids = self.time_proj(torch.arange(frames, device=like.device)).to(like.dtype)
        return self.time_pos_embed(sinusoids)[:, None]

    def _run(self, block: nn.Module, *inputs: Any) -> Tensor:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(block, *inputs)  # type: ignore[operator]
        return block(*inputs)


class _MotionAttention(AttendProcessor):
    """Attention with cells as a context.

    Of cells, keys and values are projected before they are given to the positions: resizing by nearest neighbour and a
    linear map commute, and there are far fewer cells than positions in a large feature map.
    """

    def project(self, linear: nn.Module, context: Tensor | _Cells) -> Float[Tensor, "n keys channels"]:
        if isinstance(context, Tensor):
            return linear(context)
        vectors, cell_of_position = context
        if len(cell_of_position) < vectors.shape[1]:
            return linear(vectors[:, cell_of_position]).flatten(0, 1)
        return linear(vectors)[:, cell_of_position].flatten(0, 1)


def _let_motion_in(transformer: Any, rows: int, cols: int) -> None:
    """Replace what a built transformer does and keep what it holds, so that nothing about its parameters changes."""
    transformer.__class__ = _MotionTransformer
    transformer.motion_grid = (rows, cols)
    processor: Any = _MotionAttention()
    for module in transformer.modules():
        if isinstance(module, Attention):
            module.set_processor(processor)


def _nearest_cell(rows: int, cols: int, height: int, width: int, device: torch.device) -> Int[Tensor, " positions"]:
    """Index of the cell of a `rows` x `cols` map that nearest-neighbour resizing puts at each position."""
    cells = torch.arange(rows * cols, dtype=torch.float32, device=device).reshape(1, 1, rows, cols)
    return F.interpolate(cells, (height, width), mode="nearest").flatten().long()
