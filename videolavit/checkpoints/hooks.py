"""Changes to a part once it is loaded: weights in fewer bits, compiled steps, images in slices and tiles."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from videolavit.nn.quantized import quantize_linears, quantized_linear

__all__ = ["Adaptation", "compile_steps", "decode_slices", "decode_tiles", "quantizer_of"]

logger = logging.getLogger(__name__)

Adaptation = Callable[[str, nn.Module], None]
"""Changes the part of that name in place, or leaves it alone."""


def quantizer_of(precision: str) -> Adaptation:
    """Weights of language models in "int8" or "int4". Other parts are smaller, and their errors would be seen.

    The embedding table and the output projection stay as they are: sampling computes a few rows of the projection only.

    Raises:
        ConfigError: another precision.
    """
    quantized_linear(precision)

    def quantize(name: str, part: nn.Module) -> None:
        if name.endswith("language_model"):
            language_model: Any = part
            quantize_linears(part, precision, keep=(language_model.get_output_embeddings(),))

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


def _enable(name: str, part: nn.Module, way: str) -> None:
    if not name.endswith("_vae"):
        return
    if hasattr(part, f"use_{way}"):
        getattr(part, f"enable_{way}")()
    else:
        logger.info("%s: %s has no %s; use the option decode_chunk_size", name, type(part).__name__, way)
