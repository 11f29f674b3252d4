"""Counting the memory that a forward pass keeps for its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["kept_bytes"]


def kept_bytes(module: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes of all tensors that a forward pass keeps for its gradient, those of the module itself left out."""
    own = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result
    return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in own)
