"""A check that what a part of the model computed are numbers, so that damage is told where it begins."""

from __future__ import annotations

import torch
from torch import Tensor

from videolavit.errors import GenerationError

__all__ = ["check_finite"]

_NARROW = (torch.float16, torch.bfloat16)


def check_finite(values: Tensor, part: str, dtype: torch.dtype | None = None) -> Tensor:
    """The values as they are.

    Args:
        values: what a part computed; integers are always finite.
        part: of the model, for the message, e.g. "the video UNet".
        dtype: what it computes in; by default that of the values.

    Raises:
        GenerationError: a value is infinite or not a number.
    """
    if values.is_meta or not values.is_floating_point():  # a run on the meta device has shapes and no numbers
        return values
    if not bool(values.isfinite().all()):
        raise GenerationError(f"{part} computed numbers that are not finite: {_advice(dtype or values.dtype)}")
    return values


def _advice(dtype: torch.dtype) -> str:
    damaged = "its weights, or what it was given, are damaged (`videolavit doctor --model FOLDER` compares checksums)"
    if dtype not in _NARROW:
        return damaged
    name = str(dtype).removeprefix("torch.")
    return f"they overflow in {name}, try dtype=torch.float32 (in a command: --dtype float32); or {damaged}"
