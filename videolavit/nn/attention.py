"""Self- and cross-attention in the two parameter layouts of the released model (reference sections 3 to 5).

`attend` is the one place that chooses how attention is computed. The merger's weighted softmax is not attention of this
form and lives in `nn/policy.py`; it reuses the projections here through `project` and `join`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from videolavit.errors import ConfigError

__all__ = ["AttendProcessor", "CrossAttention", "SelfAttention", "attend"]

PLAIN_BELOW_KEYS = 512
"""Keys from which the fused CPU kernel's backward pass in half precision is faster (measured, see `attend`)."""


def attend(
    queries: Float[Tensor, "*batch queries head_width"],
    keys: Float[Tensor, "*batch keys head_width"],
    values: Float[Tensor, "*batch keys head_width"],
    mask: Shaped[Tensor, "... #queries #keys"] | None = None,
    causal: bool = False,
) -> Float[Tensor, "*batch queries head_width"]:
    """softmax(queries keys^T / sqrt(head_width)) values, fused wherever that is faster.

    The fused kernel won everywhere but in one case: on a CPU, its *backward* pass in bfloat16. There plain products
    are 2 to 10 times faster up to 256 keys, level at about 720, slower from 1024 on. Elsewhere fused was mostly 1.1 to
    3.5 times faster forward and 0.9 to 2.6 times with backward, for 3 to 720 keys and head widths of 16 to 88.
    (Xeon with AMX, torch 2.13, one thread; the order is the same with two.)

    Args:
        queries: usually (batch, heads, positions, head_width), as keys and values; views with strides are fine.
        keys: of the positions that are attended to.
        values: one for each key.
        mask: boolean, True where attention is allowed, or floating point, added to the logits; it broadcasts. What
            may attend to nothing gets 0.
        causal: position i sees positions up to i. Not together with `mask`.
    """
    assert mask is None or not causal
    if _fused_backward_is_slow(queries, keys, values):
        return _plain(queries, keys, values, mask, causal)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal)


class SelfAttention(nn.Module):
    """Every position attends to all, or with `causal` to all before it and itself.

    `key_bias=False` is the layout of EVA and of the motion blocks: `qkv.weight` and separate `q_bias` and `v_bias`.
    `key_bias=True` is that of the merger and of the condition decoder: `qkv` with a full bias.

    Raises:
        ConfigError: `width` is not a multiple of `heads`.
    """

    def __init__(self, width: int, heads: int, *, key_bias: bool, causal: bool = False) -> None:
        super().__init__()
        self.heads = _check_heads(width, heads)
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width, bias=key_bias)
        self.q_bias = None if key_bias else nn.Parameter(torch.zeros(width))
        self.v_bias = None if key_bias else nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "*batch positions width"],
        mask: Shaped[Tensor, "... #positions #positions"] | None = None,
    ) -> Float[Tensor, "*batch positions width"]:
        """`mask` as in `attend`; it broadcasts against (\\*batch, heads, positions, positions)."""
        queries, keys, values = self.project(x)
        return self.join(attend(queries, keys, values, mask, self.causal))

    def project(self, x: Float[Tensor, "*batch positions width"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (\\*batch, heads, positions, head_width), as views of one product."""
        joint = F.linear(x, self.qkv.weight, self._bias())
        queries, keys, values = joint.unflatten(-1, (3, self.heads, -1)).transpose(-4, -2).unbind(-3)
        return queries, keys, values

    def join(
        self, attended: Float[Tensor, "*batch heads positions head_width"]
    ) -> Float[Tensor, "*batch positions width"]:
        """Heads side by side, then the output projection."""
        return self.proj(_join_heads(attended))

    def _bias(self) -> Tensor:
        if self.q_bias is None or self.v_bias is None:
            return self.qkv.bias
        return torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))


class CrossAttention(nn.Module):
    """Positions of `x` attend to those of a context of the same width; four projections with bias.

    Raises:
        ConfigError: `width` is not a multiple of `heads`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = _check_heads(width, heads)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "*batch positions width"],
        context: Float[Tensor, "*batch context_positions width"],
        mask: Shaped[Tensor, "... #positions #context_positions"] | None = None,
    ) -> Float[Tensor, "*batch positions width"]:
        """`mask` as in `attend`; it broadcasts against (\\*batch, heads, positions, context_positions)."""
        queries, keys, values = self.project(x, context)
        return self.join(attend(queries, keys, values, mask))

    def project(
        self, x: Float[Tensor, "*batch positions width"], context: Float[Tensor, "*batch context_positions width"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of `x`, keys and values of the context, each (\\*batch, heads, positions, head_width)."""
        projected = self.query(x), self.key(context), self.value(context)
        queries, keys, values = (_split_heads(part, self.heads) for part in projected)
        return queries, keys, values

    def join(
        self, attended: Float[Tensor, "*batch heads positions head_width"]
    ) -> Float[Tensor, "*batch positions width"]:
        """Heads side by side, then the output projection."""
        return self.proj(_join_heads(attended))


class AttendProcessor:
    """diffusers' attention over `attend`: for the `set_attn_processor` of its UNets. Their masks are not taken."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "n queries channels"],
        encoder_hidden_states: Any = None,
        attention_mask: None = None,
    ) -> Float[Tensor, "n queries channels"]:
        """`attn` is diffusers' `Attention`; without encoder states, positions attend to each other."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        parts = attn.to_q(hidden_states), self.project(attn.to_k, context), self.project(attn.to_v, context)
        query, key, value = (_split_heads(part, attn.heads) for part in parts)
        attended = _join_heads(attend(query, key, value))
        for layer in attn.to_out:
            attended = layer(attended)
        return attended

    def project(self, linear: Any, context: Any) -> Float[Tensor, "n keys channels"]:
        """Keys or values of a context."""
        return linear(context)


def _fused_backward_is_slow(*tensors: Tensor) -> bool:
    queries, keys, _ = tensors
    wants_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    half_on_cpu = queries.device.type == "cpu" and queries.dtype.itemsize < 4
    return wants_gradient and half_on_cpu and keys.shape[-2] < PLAIN_BELOW_KEYS


def _plain(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    logits = (queries * queries.shape[-1] ** -0.5) @ keys.mT
    if causal:
        mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if mask is None:
        return logits.softmax(-1).to(values.dtype) @ values
    logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    sees_nothing = logits.isneginf().all(-1, keepdim=True)
    weights = logits.masked_fill(sees_nothing, 0).softmax(-1).masked_fill(sees_nothing, 0)
    return weights.to(values.dtype) @ values


def _split_heads(x: Tensor, heads: int) -> Tensor:
    return rearrange(x, "... n (heads d) -> ... heads n d", heads=heads)


def _join_heads(x: Tensor) -> Tensor:
    return rearrange(x, "... heads n d -> ... n (heads d)")


def _check_heads(width: int, heads: int) -> int:
    if heads < 1 or width % heads:
        raise ConfigError(f"got width {width} for {heads} heads, expected a multiple; change one of the two")
    return heads
