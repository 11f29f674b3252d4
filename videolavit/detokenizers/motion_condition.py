"""Motion condition encoder: what the 3-D UNet attends to of the motion (paper, section 3.2; reference section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videolavit.clip import resize_motion_tensor
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.space_time import SpaceTimeBlock

__all__ = ["MotionConditionEncoder", "MotionConditionEncoderConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionConditionEncoderConfig:
    """Sizes of a motion condition encoder. The defaults are those of the released model."""

    rows: int = 16
    cols: int = 16
    """Grid that motion of any size is resized to; the UNet resizes the result to each of its feature maps."""
    width: int = 512
    heads: int = 8
    depth: int = 12
    mlp_ratio: float = 4.0
    out_width: int = 1024
    """Width of the UNet's cross-attention."""

    def __post_init__(self) -> None:
        if min(self.rows, self.cols, self.width, self.depth, self.out_width) < 1:
            raise ConfigError(f"every size must be at least 1, got {self}")

    @property
    def num_positions(self) -> int:
        """Vectors per frame."""
        return self.rows * self.cols

    @property
    def hidden(self) -> int:
        return int(self.width * self.mlp_ratio)


class MotionConditionEncoder(nn.Module):
    """Motion at any size to `config.num_positions` vectors per frame, row by row."""

    def __init__(self, config: MotionConditionEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.in_proj = nn.Linear(2, config.width)
        self.spatial_position = nn.Parameter(0.02 * torch.randn(1, config.num_positions, config.width))
        self.blocks = nn.ModuleList(
            SpaceTimeBlock(config.width, config.heads, config.hidden) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.out_proj = nn.Linear(config.width, config.out_width)

    def forward(
        self, motion: Float[Tensor, "batch 2 frames rows cols"]
    ) -> Float[Tensor, "batch frames positions out_width"]:
        """Encode motion in normalised units, usually at latent size: the two channels that also enter the UNet.

        Raises:
            ShapeError: the motion is not (batch, 2, frames, rows, cols).
        """
        if motion.ndim != 5 or motion.shape[1] != 2:
            raise ShapeError(
                f"got motion of shape {tuple(motion.shape)}, expected (batch, 2, frames, rows, cols); "
                "Clip.motion.for_detokenizer(rows, cols) gives one clip, and a batch axis comes first"
            )
        grid = resize_motion_tensor(motion, self.config.rows, self.config.cols)
        cells = rearrange(grid, "b c t h w -> b t (h w) c").to(self.in_proj.weight.dtype)
        x = self.in_proj(cells) + self.spatial_position
        for block in self.blocks:
            x = block(x)
        return self.out_proj(self.norm(x))
