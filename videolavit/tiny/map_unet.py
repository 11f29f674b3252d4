"""The tiny preset's keyframe UNet: diffusers' UNet2DConditionModel that also sees its prompt as a map.

A prompt embedding belongs to each patch of the image. A large UNet finds out which one lies where through
cross-attention; a small one learns the same in a fraction of the steps when the embeddings are laid over the latents
as further input channels. A prompt of zeros gives channels of zeros, so that guidance works as it does without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videolavit.errors import ShapeError
from videolavit.tiny.own_arguments import OwnArguments

__all__ = ["MapUNet2DConditionModel"]


class MapUNet2DConditionModel(OwnArguments, UNet2DConditionModel):
    """From noisy latents of `in_channels` and the embeddings of a square of patches to what the scheduler asks for."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = 8,
        map_channels: int = 32,
        map_upscale: int = 1,
        block_out_channels: Sequence[int] = (64, 128, 192),
        layers_per_block: int = 1,
        transformer_layers_per_block: int | Sequence[int] = 1,
        attention_head_dim: int | Sequence[int] = 4,
        cross_attention_dim: int = 192,
        pooled_width: int = 192,
        addition_time_embed_dim: int = 32,
        norm_num_groups: int = 16,
        sample_size: int | Sequence[int] | None = None,
    ) -> None:
        blocks = len(block_out_channels)
        super().__init__(
            sample_size=sample_size,  # pyright: ignore[reportArgumentType] - a pair as well
            in_channels=in_channels + map_channels,
            out_channels=in_channels,
            # Annotated by diffusers as if there were always four blocks.
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * (blocks - 1)),  # pyright: ignore[reportArgumentType]
            up_block_types=(*["CrossAttnUpBlock2D"] * (blocks - 1), "UpBlock2D"),  # pyright: ignore[reportArgumentType]
            block_out_channels=block_out_channels,  # pyright: ignore[reportArgumentType]
            layers_per_block=layers_per_block,
            transformer_layers_per_block=transformer_layers_per_block,  # pyright: ignore[reportArgumentType]
            attention_head_dim=attention_head_dim,  # pyright: ignore[reportArgumentType]
            cross_attention_dim=cross_attention_dim,
            use_linear_projection=True,
            norm_num_groups=norm_num_groups,
            addition_embed_type="text_time",
            addition_time_embed_dim=addition_time_embed_dim,
            projection_class_embeddings_input_dim=pooled_width + 6 * addition_time_embed_dim,
        )
        self.map_upscale = map_upscale
        self.map_proj = nn.Linear(cross_attention_dim, map_channels * map_upscale**2, bias=False)
        self.register_to_config(in_channels=in_channels)  # those of the latents; the map is this class's own matter

    def forward(
        self,
        sample: Float[Tensor, "batch channels rows cols"],
        timestep: Tensor | float | int,
        encoder_hidden_states: Float[Tensor, "batch patches width"],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Arguments are those of diffusers' class.

        Raises:
            ShapeError: the embeddings are not those of a square of patches.
        """
        side = math.isqrt(encoder_hidden_states.shape[1])
        if side**2 != encoder_hidden_states.shape[1]:
            raise ShapeError(
                f"got {encoder_hidden_states.shape[1]} prompt embeddings, expected those of a square of patches"
            )
        # a patch has `h` x `w` places of its own in the map, so that a convolution sees where in the patch it is
        upscale = {"h": self.map_upscale, "w": self.map_upscale}
        projected = self.map_proj(encoder_hidden_states)
        laid_out = rearrange(projected, "b (r c) (k h w) -> b k (r h) (c w)", r=side, **upscale)
        resized = F.interpolate(laid_out, sample.shape[2:], mode="nearest")
        return super().forward(torch.cat([sample, resized], dim=1), timestep, encoder_hidden_states, *args, **kwargs)
