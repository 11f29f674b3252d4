"""Merger: moves what the dropped patches show into the kept ones (LaVIT's visual tokenizer; reference section 4).

Each block looks from every patch at the kept ones before it, then at the dropped ones of the image as the ViT saw it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from videolavit.errors import ShapeError
from videolavit.nn.attention import CrossAttention, SelfAttention
from videolavit.nn.mlp import MLP
from videolavit.nn.policy import policy_attention

__all__ = ["Merger", "causal_policy"]


class Merger(nn.Module):
    """Blocks of causal attention among kept patches and cross-attention to dropped ones, and a final LayerNorm."""

    def __init__(self, *, width: int, layers: int, heads: int, hidden_width: int) -> None:
        super().__init__()
        self.context_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_Block(width, heads, hidden_width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, features: Float[Tensor, "batch n width"], keep: Bool[Tensor, "_ _"] | Float[Tensor, "_ _"]
    ) -> Float[Tensor, "batch n width"]:
        """Merged features of all positions; only those of kept ones mean something.

        `keep` is True or 1 where a patch is kept. As floats it may lie between 0 and 1 and carry gradients.
        Rows of dropped positions are computed in every block all the same. Their keys and values enter the maximum and
        the epsilon terms of the masked softmax: leaving them out changes the kept rows of a network with random
        weights by a millionth, but by a third once its logits are sixteen times as large.
        """
        if keep.shape != features.shape[:2]:
            raise ShapeError(f"got keep of shape {tuple(keep.shape)} for features of shape {tuple(features.shape)}")
        keep = keep.float()
        own, dropped = causal_policy(keep)[:, None], (1 - keep)[:, None, None]
        context, x = self.context_norm(features), features
        for block in self.blocks:
            x = block(x, context, own, dropped)
        return self.norm(x)


def causal_policy(keep: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n n"]:
    """Weight of position j for position i: as far as j is kept, itself fully, later ones not at all."""
    own = torch.eye(keep.shape[1], dtype=keep.dtype, device=keep.device)
    return (own + (1 - own) * keep[:, None]).tril()


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden_width: int) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width, heads, key_bias=True)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = CrossAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = MLP(width, hidden_width)

    def forward(self, x: Tensor, context: Tensor, own: Tensor, dropped: Tensor) -> Tensor:
        queries, keys, values = self.self_attention.project(self.self_norm(x))
        x = x + self.self_attention.join(policy_attention(queries, keys, values, own))
        queries, keys, values = self.cross_attention.project(self.cross_norm(x), context)
        x = x + self.cross_attention.join(policy_attention(queries, keys, values, dropped))
        return x + self.mlp(self.mlp_norm(x))
