"""Attention within packed sequences alone, without a mask: each position sees its own sequence up to itself.

A mask of all pairs of a row keeps fused attention kernels from their fastest form and costs memory that grows with the
square of the row. Here the ends of the sequences are enough. On a GPU, in half precision, one kernel takes them all
(`torch.nn.attention.varlen`); elsewhere sequences are computed one after the other. `packing.attention_mask` says the
same as a mask, and tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videolavit.nn.attention import attend

__all__ = ["SequenceEnds", "attend_packed", "sequence_ends", "use_packed_attention"]

_NAME = "videolavit_packed"
_HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class SequenceEnds:
    """Ends of the sequences of packed rows, the rows laid one behind the other."""

    ends: Int[Tensor, "sequences_and_one"]
    """0, then the end of each sequence, int32; padding counts as a sequence."""
    lengths: tuple[int, ...]


def sequence_ends(segments: Int[Tensor, "rows columns"]) -> SequenceEnds:
    """Ends of the sequences in rows that `packing.pack` made."""
    rows = torch.arange(len(segments), device=segments.device)[:, None].expand_as(segments)
    own, row = segments.flatten(), rows.flatten()
    starts = (own[1:] != own[:-1]) | (row[1:] != row[:-1])
    inner = starts.nonzero()[:, 0] + 1
    ends = torch.cat([inner.new_zeros(1), inner, inner.new_full((1,), len(own))]).int()
    return SequenceEnds(ends, tuple(ends.diff().tolist()))


def attend_packed(
    query: Float[Tensor, "rows heads columns width"],
    key: Float[Tensor, "rows key_heads columns width"],
    value: Float[Tensor, "rows key_heads columns width"],
    ends: SequenceEnds,
    scale: float | None = None,
) -> Float[Tensor, "rows columns heads width"]:
    """Causal attention within each sequence."""
    rows, _, columns, _ = query.shape
    # (rows, heads, columns, width) -> (rows * columns, heads, width)
    flat = [part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)]
    grouped = query.shape[1] != key.shape[1]
    kernel: Any = _with_one_kernel if query.is_cuda and query.dtype in _HALF else _one_by_one
    return kernel(flat[0], flat[1], flat[2], ends, scale, grouped).unflatten(0, (rows, columns))


def use_packed_attention(causal_lm: Any) -> None:
    """Let a transformers causal LM attend within `packed=`, a `SequenceEnds`, where its decoder gets one.

    Without it, as when it generates, the model attends as before.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(_NAME, _attention_of_a_layer)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    causal_lm.set_attn_implementation(_NAME)


def _attention_of_a_layer(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    packed: SequenceEnds | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    if packed is not None:
        return attend_packed(query, key, value, packed, scaling), None
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)


def _with_one_kernel(
    query: Tensor, key: Tensor, value: Tensor, ends: SequenceEnds, scale: float | None, grouped: bool
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    longest = max(ends.lengths)
    seen = (-1, 0)  # all that comes before, nothing after
    attended: Any = varlen_attn(
        query, key, value, ends.ends, ends.ends, longest, longest, scale=scale, window_size=seen, enable_gqa=grouped
    )
    return attended


@torch.compiler.disable  # every step has other lengths: a compiled block would be compiled anew for each
def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, ends: SequenceEnds, scale: float | None, grouped: bool
) -> Tensor:
    if grouped:
        heads = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(heads, dim=1), value.repeat_interleave(heads, dim=1)
    if scale is not None:  # `attend` divides by the root of the width
        query = query * (scale * query.shape[-1] ** 0.5)
    parts = zip(*(part.split(ends.lengths) for part in (query, key, value)), strict=True)
    attended = [attend(*(part.transpose(0, 1) for part in own), causal=True).transpose(0, 1) for own in parts]
    return torch.cat(attended)
