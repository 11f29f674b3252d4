"""The vision transformer whose features the visual tokenizer works on: EVA-CLIP's ViT-g/14 (reference section 4).

Pre-norm, absolute positions, class token. The output is that of the last block: the released model does not apply the
final norm, so it is held here, with the head, only for the sake of checkpoints that contain them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Num
from torch import Tensor, nn

from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.attention import SelfAttention
from videolavit.nn.mlp import MLP

__all__ = ["VisionTransformer", "VisionTransformerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionTransformerConfig:
    """Sizes of the ViT. The defaults are those of the released model."""

    image_size: int = 224
    """Height and width of an image."""
    patch_size: int = 14
    width: int = 1408
    layers: int = 40
    heads: int = 16
    mlp_ratio: float = 4.3637
    """Hidden width of the MLPs over `width`; the product is rounded down."""
    unused_head_width: int | None = 1024
    """Width of the head that the released file carries, with a final norm, and nothing uses; None for neither."""

    def __post_init__(self) -> None:
        if min(self.image_size, self.patch_size, self.width, self.heads) < 1 or self.layers < 0:
            raise ConfigError(f"sizes must be positive, got {self}")
        if self.image_size % self.patch_size or self.width % self.heads:
            raise ConfigError(f"image_size must be a multiple of patch_size and width one of heads, got {self}")

    @property
    def num_patches(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    @property
    def hidden_width(self) -> int:
        return int(self.width * self.mlp_ratio)


class VisionTransformer(nn.Module):
    """Features of an image's patches, row by row, behind that of a class token."""

    def __init__(self, config: VisionTransformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embed = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + config.num_patches, width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        if config.unused_head_width is not None:
            self.norm = nn.LayerNorm(width, eps=1e-6)
            self.head = nn.Linear(width, config.unused_head_width)

    def forward(self, images: Num[Tensor, "batch channels height cols"]) -> Float[Tensor, "batch tokens width"]:
        """Output of the last block for normalised images; token 0 is the class token.

        Raises:
            ShapeError: the images are not of the configured size, or not floating point.
        """
        x = self._embedded(images)
        for block in self.blocks:
            x = block(x)
        return x

    def each_block(
        self, images: Num[Tensor, "batch channels height cols"]
    ) -> Iterator[Float[Tensor, "batch tokens width"]]:
        """Output of every block in turn; images and errors are those of `forward`."""
        x = self._embedded(images)
        for block in self.blocks:
            x = block(x)
            yield x

    def _embedded(self, images: Tensor) -> Float[Tensor, "batch tokens width"]:
        """Class token and patches with their positions."""
        size = self.config.image_size
        if images.shape[1:] != (3, size, size) or not images.is_floating_point():
            raise ShapeError(
                f"got images of shape {tuple(images.shape)} and type {images.dtype}, expected normalised ones of "
                f"shape (batch, 3, {size}, {size}); VisualTokenizer.preprocess makes them from images of any size"
            )
        patches = rearrange(self.patch_embed(images), "b width rows cols -> b (rows cols) width")
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed


class _Block(nn.Module):
    def __init__(self, config: VisionTransformerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.attention = SelfAttention(config.width, config.heads, key_bias=False)
        self.mlp_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = MLP(config.width, config.hidden_width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))
