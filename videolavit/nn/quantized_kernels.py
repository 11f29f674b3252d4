"""Products with weights in 8 and 4 bits by the kernels of bitsandbytes, the extra `quantize`.

The library is looked for when a layer first computes on a device that it has kernels for. Without it, and on any other
device, layers compute in plain PyTorch from the same stored numbers.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import Any

import torch
from torch import Tensor

__all__ = ["LibraryKernels", "has_library", "kernels_for"]

logger = logging.getLogger(__name__)

DEVICES = frozenset({"cuda"})
"""Types of devices on which the library is used. It runs on CPUs, too, but nobody needs it there."""

_OUTLIER = 6.0
"""Inputs from this size on are multiplied in 16 bits, as the method of the library's 8 bits has it."""


class LibraryKernels:
    """Two products of the library; inputs and results have 16 bits.

    Args:
        library: the module `bitsandbytes`, or one with the same functions.
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def int8(self, inputs: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        """Inputs (..., columns) times the transpose of signed 8-bit weights (rows, columns) and their scales (rows).

        The inputs are quantised, too, row by row, but for columns that are large.
        """
        state = self._library.MatmulLtState()
        state.CB, state.SCB = weight, scale.float() * 127  # the library keeps the largest value of each row
        state.has_fp16_weights, state.is_training, state.threshold = False, False, _OUTLIER
        half_bias = None if bias is None else bias.half()
        # Its kernel wants float16, and would say so at each call.
        return self._library.matmul(inputs.half(), weight, state=state, bias=half_bias).to(inputs.dtype)

    def nf4(self, inputs: Tensor, weight: Tensor, largest: Tensor, bias: Tensor | None) -> Tensor:
        """Inputs (..., columns) times the transpose of 4-bit weights, two in a byte, (rows, columns / 2).

        Args:
            inputs: of float16 or bfloat16.
            weight: numbers of the sixteen values of "nf4"; the first of two is in the upper half of a byte.
            largest: magnitude of the largest of each 64 or 32 weights in float32, (rows, blocks).
            bias: for each row, or None.
        """
        state = self._library.functional.QuantState(
            absmax=largest.flatten(),
            shape=torch.Size((weight.shape[0], 2 * weight.shape[1])),
            code=self._library.functional.get_4bit_type("nf4", device=weight.device),
            blocksize=2 * weight.shape[1] // largest.shape[1],
            quant_type="nf4",
            dtype=inputs.dtype,
        )
        return self._library.matmul_4bit(inputs, weight.view(-1, 1), quant_state=state, bias=bias)


def kernels_for(inputs: Tensor) -> LibraryKernels | None:
    """The library's kernels where they can take these inputs, else None."""
    is_short = inputs.dtype in (torch.float16, torch.bfloat16)
    return _loaded() if is_short and inputs.device.type in DEVICES else None


def has_library() -> bool:
    """True if bitsandbytes is installed; it is not imported."""
    return importlib.util.find_spec("bitsandbytes") is not None


@functools.cache
def _loaded() -> LibraryKernels | None:
    if not has_library():
        return None
    try:
        import bitsandbytes  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError, RuntimeError) as error:  # built for another CUDA, for instance
        logger.warning("bitsandbytes cannot be used, so quantised weights are slower: %s", error)
        return None
    return LibraryKernels(bitsandbytes)
