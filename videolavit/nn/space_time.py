"""Attention over space, then over time: the block of the motion tokenizer and of the motion condition encoder.

Reference section 3; paper, section 3.1 and appendix.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videolavit.nn.attention import SelfAttention
from videolavit.nn.mlp import MLP

__all__ = ["SpaceTimeBlock"]


class SpaceTimeBlock(nn.Module):
    """Each position attends within its frame, then to itself at all times, then an MLP; normalised before each.

    Raises:
        ConfigError: `width` is not a multiple of `heads`.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.spatial_norm = nn.LayerNorm(width)
        self.spatial_attention = SelfAttention(width, heads, key_bias=False)
        self.temporal_norm = nn.LayerNorm(width)
        self.temporal_attention = SelfAttention(width, heads, key_bias=False)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = MLP(width, hidden)

    def forward(
        self, x: Float[Tensor, "batch frames positions width"]
    ) -> Float[Tensor, "batch frames positions width"]:
        frames, positions = x.shape[1:3]
        in_frame = rearrange(self.spatial_norm(x), "b t s c -> (b t) s c")
        x = x + rearrange(self.spatial_attention(in_frame), "(b t) s c -> b t s c", t=frames)
        in_cell = rearrange(self.temporal_norm(x), "b t s c -> (b s) t c")
        x = x + rearrange(self.temporal_attention(in_cell), "(b s) t c -> b t s c", s=positions)
        return x + self.mlp(self.mlp_norm(x))
