"""Condition decoder: visual codes become what the keyframe UNet is conditioned on (reference section 5).

Learned queries, one for each patch of the image, read the codes and become the ViT features that the codes were made
from; two projections of those features are the UNet's prompt embeddings, an attention pool of them its pooled one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.attention import CrossAttention, SelfAttention, attend
from videolavit.nn.mlp import MLP, TanhHead
from videolavit.nn.policy import weighted_attention

__all__ = ["Condition", "ConditionDecoder", "ConditionDecoderConfig", "pad_code_vectors"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConditionDecoderConfig:
    """Sizes of the condition decoder. The defaults are those of the released model."""

    code_dim: int = 32
    num_positions: int = 256
    """Patches of an image: as many queries, and at most as many codes."""
    width: int = 1408
    layers: int = 12
    heads: int = 16
    mlp_ratio: float = 4.3637
    """Hidden width of the MLPs over `width`; the product is rounded down."""
    feature_width: int = 1408
    """Width of the reconstructed ViT features."""
    prompt_widths: tuple[int, ...] = (768, 1280)
    """Widths of the projections that side by side are one prompt embedding."""
    pooled_width: int = 1280
    pool_heads: int | None = None
    """Heads of the attention pool; None for as many as the blocks have."""

    def __post_init__(self) -> None:
        positive = (self.code_dim, self.num_positions, self.width, self.heads, self.feature_width, self.pooled_width)
        if min(*positive, *self.prompt_widths, self.num_pool_heads) < 1 or self.layers < 0:
            raise ConfigError(f"sizes must be positive, got {self}")
        if self.width % self.heads or self.feature_width % self.num_pool_heads:
            raise ConfigError(f"width must be a multiple of heads and feature_width one of pool_heads, got {self}")

    @property
    def hidden_width(self) -> int:
        return int(self.width * self.mlp_ratio)

    @property
    def num_pool_heads(self) -> int:
        return self.heads if self.pool_heads is None else self.pool_heads


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Condition:
    """Condition of the keyframe UNet."""

    prompt_embeds: Float[Tensor, "batch positions prompt_width"]
    pooled: Float[Tensor, "batch pooled_width"]

    def __repr__(self) -> str:
        return f"Condition(prompt_embeds={tuple(self.prompt_embeds.shape)}, pooled={tuple(self.pooled.shape)})"


class ConditionDecoder(nn.Module):
    """Code vectors to reconstructed ViT features, and those to a `Condition`."""

    def __init__(self, config: ConditionDecoderConfig) -> None:
        super().__init__()
        self.config = config
        width, feature_width = config.width, config.feature_width
        self.in_proj = nn.Linear(config.code_dim, width)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, config.num_positions, width))
        self.query_embed = nn.Parameter(0.02 * torch.randn(1, config.num_positions, width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.feature_head = TanhHead(width, feature_width)
        self.prompt_projs = nn.ModuleList(nn.Linear(feature_width, width) for width in config.prompt_widths)
        self.pool = _AttentionPool(config)

    def forward(
        self, code_vectors: Float[Tensor, "batch n code_dim"], mask: Bool[Tensor, "batch n"] | None = None
    ) -> Condition:
        """Condition of a batch of images; arguments and errors are those of `features`."""
        return self.condition(self.features(code_vectors, mask))

    def features(
        self, code_vectors: Float[Tensor, "batch n code_dim"], mask: Bool[Tensor, "batch n"] | None = None
    ) -> Float[Tensor, "batch positions feature_width"]:
        """Reconstructed ViT features, from codebook rows in sequence order.

        Args:
            code_vectors: rows of the codebook, filled up at the end to a common number (`pad_code_vectors`).
            mask: True where a row is a code, False where it is filling; None where there is no filling.

        Raises:
            ShapeError: another code width, more codes than positions, a mask of another shape, or no code at all.
        """
        self._check(code_vectors, mask)
        # Codebooks stay in float32 when a model is cast, so their rows may come wider than the weights here.
        code_vectors = code_vectors.to(self.in_proj.weight.dtype)
        codes = self.in_proj(code_vectors) + self.pos_embed[:, : code_vectors.shape[1]]
        # The reference adds -10000 to the logits of filling, which comes to a weight of 0 all the same.
        allowed = None if mask is None else mask[:, None, None]
        x = self.query_embed.expand(len(codes), -1, -1)
        for block in self.blocks:
            x = block(x, codes, allowed)
        return self.feature_head(self.norm(x))

    def features_of_choice(
        self, code_vectors: Float[Tensor, "batch n code_dim"], keep: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "batch positions feature_width"]:
        """`features` of the chosen rows, for training: with gradients to `keep`, for rows that it drops, too.

        `keep` is 1 or 0. A dropped row stands where it would if it were chosen, and counts nothing in the attention.
        """
        chosen = keep.detach()
        ranks = (chosen.cumsum(1) - chosen).long()  # sequence order: how many chosen rows come before
        codes = self.in_proj(code_vectors.to(self.in_proj.weight.dtype)) + self.pos_embed[0, ranks]
        x = self.query_embed.expand(len(codes), -1, -1)
        for block in self.blocks:
            x = block(x, codes, keep)
        return self.feature_head(self.norm(x))

    def condition(self, features: Float[Tensor, "batch positions feature_width"]) -> Condition:
        """Condition from ViT features, reconstructed or true ones (without the class token)."""
        prompt_embeds = torch.cat([proj(features) for proj in self.prompt_projs], dim=-1)
        return Condition(prompt_embeds=prompt_embeds, pooled=self.pool(features))

    def _check(self, code_vectors: Tensor, mask: Tensor | None) -> None:
        most, width = self.config.num_positions, self.config.code_dim
        shape = tuple(code_vectors.shape)
        if shape[2:] != (width,) or not 0 < shape[1] <= most:
            raise ShapeError(f"got code vectors of shape {shape}, expected (batch, 1 to {most}, {width})")
        if mask is None:
            return
        if tuple(mask.shape) != shape[:2]:
            raise ShapeError(f"got a mask of shape {tuple(mask.shape)}, expected {shape[:2]}")
        empty = (~mask.any(1)).nonzero().flatten().tolist()
        if empty:
            raise ShapeError(f"images {empty} of the batch have no code, expected at least one")


def pad_code_vectors(
    code_vectors: Sequence[Float[Tensor, "_ code_dim"]],
) -> tuple[Float[Tensor, "batch n code_dim"], Bool[Tensor, "batch n"]]:
    """A batch and its mask from images with different numbers of codes.

    Raises:
        ShapeError: the list is empty.
    """
    if not code_vectors:
        raise ShapeError("got code vectors of no image, expected at least one")
    padded = nn.utils.rnn.pad_sequence(list(code_vectors), batch_first=True)
    counts = torch.tensor([len(vectors) for vectors in code_vectors], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) < counts[:, None]


class _Block(nn.Module):
    def __init__(self, config: ConditionDecoderConfig) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(config.width)
        self.self_attention = SelfAttention(config.width, config.heads, key_bias=True)
        self.cross_norm = nn.LayerNorm(config.width)
        self.cross_attention = CrossAttention(config.width, config.heads)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp = MLP(config.width, config.hidden_width)

    def forward(self, x: Tensor, codes: Tensor, allowed: Tensor | None) -> Tensor:
        """`allowed` is a mask, or in floating point how much each code counts."""
        x = x + self.self_attention(self.self_norm(x))
        if allowed is None or allowed.dtype == torch.bool:
            x = x + self.cross_attention(self.cross_norm(x), codes, allowed)
        else:
            queries, keys, values = self.cross_attention.project(self.cross_norm(x), codes)
            x = x + self.cross_attention.join(weighted_attention(queries, keys, values, allowed[:, None, None]))
        return x + self.mlp(self.mlp_norm(x))


class _AttentionPool(nn.Module):
    """One vector of an image: the mean of its features asks, the mean and all features answer."""

    def __init__(self, config: ConditionDecoderConfig) -> None:
        super().__init__()
        width = config.feature_width
        self.heads = config.num_pool_heads
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1 + config.num_positions, width))
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, config.pooled_width)

    def forward(self, features: Float[Tensor, "batch n width"]) -> Float[Tensor, "batch pooled_width"]:
        tokens = torch.cat([features.mean(1, keepdim=True), features], dim=1) + self.pos_embed
        query, key, value = (
            rearrange(projected, "b n (h d) -> b h n d", h=self.heads)
            for projected in (self.query(tokens[:, :1]), self.key(tokens), self.value(tokens))
        )
        pooled = attend(query, key, value)
        return self.proj(rearrange(pooled, "b h 1 d -> b (h d)"))
