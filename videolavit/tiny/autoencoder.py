"""The tiny preset's image autoencoder: diffusers' AutoencoderKL behind a rearrangement of pixels.

Squares of `patch_size` x `patch_size` pixels become channels before the first convolution, so that no layer runs at
full resolution: on a CPU that is most of the cost of such a network at small size.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn

from videolavit.nn.group_norm import normalise_in_float32
from videolavit.tiny.own_arguments import OwnArguments

__all__ = ["PatchAutoencoderKL"]

_TILE_LATENTS = 32
"""Side of a tile where tiling is enabled."""


class PatchAutoencoderKL(OwnArguments, AutoencoderKL):
    """An AutoencoderKL of images (batch, 3, height, width), -1..1, whose sides are multiples of the total factor."""

    _keep_in_fp32_modules = None  # diffusers warns of an empty list whenever the type of numbers changes

    @register_to_config
    def __init__(
        self,
        patch_size: int = 4,
        block_out_channels: Sequence[int] = (64, 128),
        layers_per_block: int = 2,
        latent_channels: int = 8,
        norm_num_groups: int = 16,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__(
            in_channels=3 * patch_size**2,
            out_channels=3 * patch_size**2,
            # Annotated by diffusers as if there were always one block.
            down_block_types=("DownEncoderBlock2D",) * len(block_out_channels),  # pyright: ignore[reportArgumentType]
            up_block_types=("UpDecoderBlock2D",) * len(block_out_channels),  # pyright: ignore[reportArgumentType]
            block_out_channels=tuple(block_out_channels),  # pyright: ignore[reportArgumentType]
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            scaling_factor=scaling_factor,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
        # Rearranging is part of the two halves, so everything that diffusers does with them goes on to work.
        self.encoder = nn.Sequential(nn.PixelUnshuffle(patch_size), self.encoder)
        self.decoder = nn.Sequential(self.decoder, nn.PixelShuffle(patch_size))
        self.register_to_config(patch_size=patch_size)
        # What diffusers' tiles are measured in: it counts the halvings, and knows nothing of patches.
        self.tile_latent_min_size = _TILE_LATENTS
        self.tile_sample_min_size = _TILE_LATENTS * self.factor
        # Both only for speed: a training step in bfloat16 on a CPU takes 0.40 s instead of 0.48 s.
        normalise_in_float32(self)
        self.set_attn_processor(AttnProcessor())  # plain products; see `videolavit.nn.attention.attend`

    @property
    def factor(self) -> int:
        """Pixels per latent, along each side."""
        return self.config["patch_size"] * 2 ** (len(self.config["block_out_channels"]) - 1)
