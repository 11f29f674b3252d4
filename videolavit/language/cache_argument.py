"""The cache as an argument of transformers' decoders, under the name that the installed version has for it."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

from torch import nn

__all__ = ["cache_argument"]


def cache_argument(decoder: nn.Module, cache: Any) -> dict[str, Any]:
    """Keyword argument that hands a cache to a decoder: `cache` from transformers 5.24 on, `past_key_values` before.

    5.24 warns of the old name and 5.40 will not know it any more. Each class is asked for itself, as decoders from
    elsewhere may follow later.
    """
    return {_name(type(decoder)): cache}


@lru_cache
def _name(decoder: type[nn.Module]) -> str:
    return "cache" if "cache" in inspect.signature(decoder.forward).parameters else "past_key_values"
