"""Changes to a part once it is loaded: weights in fewer bits, compiled steps, images in slices and tiles."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import nn

from videolavit.checkpoints.registry import quantize_language_model
from videolavit.nn.quantized import quantized_linear
from videolavit.nn.quantized_kernels import DEVICES, has_library

__all__ = ["Adaptation", "compile_steps", "decode_slices", "decode_tiles", "quantizer_of"]

logger = logging.getLogger(__name__)

_SLOWER = {"int8": "1.1 to 2.5", "int4": "1.4 to 16", "nf4": "2.4 to 33"}
"""Times as long as a whole layer takes, on a CPU (docs/memory.md); on a GPU nobody has measured it."""

_IN_LIBRARY = ("int8", "nf4")
"""Precisions that bitsandbytes has kernels for."""

Adaptation = Callable[[str, nn.Module], None]
"""Changes the part of that name in place, or leaves it alone."""


def quantizer_of(precision: str, device: torch.device | None = None) -> Adaptation:
    """Weights of language models in "int8", "int4" or "nf4". Other parts are smaller, and their errors would be seen.

    The embedding table and the output projection stay as they are. Where `device` is told, a warning says how much
    slower that is there than whole weights, unless a library's kernels compute it.

    Raises:
        ConfigError: another precision.
    """
    quantized_linear(precision)
    if device is not None:
        _say_how_slow(precision, device)

    def quantize(name: str, part: nn.Module) -> None:
        if name.endswith("language_model"):
            quantize_language_model(part, precision)

    return quantize


def compile_steps(name: str, part: nn.Module) -> None:
    """Compile what runs many times with the same sizes, the UNets, when it is first called with each size."""
    if name.endswith("_unet"):
        part.forward = torch.compile(part.forward)


def decode_slices(name: str, part: nn.Module) -> None:
    """One image at a time through an autoencoder."""
    _enable(name, part, "slicing")


def decode_tiles(name: str, part: nn.Module) -> None:
    """Large images through an autoencoder in overlapping tiles."""
    _enable(name, part, "tiling")


def _say_how_slow(precision: str, device: torch.device) -> None:
    can_be_fast = device.type in DEVICES
    if can_be_fast and precision in _IN_LIBRARY and has_library():
        logger.info("quantize=%s: layers in 16 bits are computed by bitsandbytes", precision)
        return
    logger.warning(
        "quantize=%s saves memory and not time: on a %s a layer takes %s times as long as with whole weights%s",
        precision,
        device.type,
        _SLOWER[precision] if device.type == "cpu" else "some",
        '; "int8" and "nf4" are faster with pip install "videolavit[quantize]"' if can_be_fast else "",
    )


def _enable(name: str, part: nn.Module, way: str) -> None:
    if not name.endswith("_vae"):
        return
    if hasattr(part, f"use_{way}"):
        getattr(part, f"enable_{way}")()
    else:
        logger.info("%s: %s has no %s; use the option decode_chunk_size", name, type(part).__name__, way)
