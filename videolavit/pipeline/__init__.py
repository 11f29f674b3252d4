"""`VideoLaVIT`, the whole model; `videolavit/pipeline/model.py` tells what it does, step by step."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videolavit.generation_options import GenerationOptions
    from videolavit.pipeline.model import VideoLaVIT

__all__ = ["GenerationOptions", "VideoLaVIT"]

_HOME = {"VideoLaVIT": "videolavit.pipeline.model", "GenerationOptions": "videolavit.generation_options"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
