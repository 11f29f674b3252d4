"""Modules whose tensors stay in float32 when the model around them is cast to half precision."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

__all__ = ["KeepsFloat32"]


class KeepsFloat32(nn.Module):
    """Mixin: `.half()`, `.bfloat16()` and `.to(dtype)` move these tensors but never shorten them; `.double()` works.

    Also on the meta device, so a loader that casts an empty model first can ask each tensor which dtype it should have.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def apply_without_shortening(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            shortened = result.is_floating_point() and result.dtype.itemsize < tensor.dtype.itemsize
            return tensor.to(result.device) if shortened else result

        return super()._apply(apply_without_shortening, recurse)
