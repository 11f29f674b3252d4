"""Convert a checkpoint between the released layout and this project's own.

The native layout is safetensors files with a config.json, read without running code. Both
layouts hold the same tensors: without --dtype every one keeps its bits, there and back. The
weights of the released model stay under their own licence, whatever their layout.

examples:
  videolavit convert Video-LaVIT-v1 video-lavit
  videolavit convert Video-LaVIT-v1 video-lavit --dtype bfloat16
  videolavit convert video-lavit Video-LaVIT-again --layout released
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional

from videolavit.commands._shared.console import print_json, tell_written
from videolavit.shipped import named_model

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit convert`."""

    source: Annotated[str, Positional]
    """Folder of a checkpoint in either layout, its name on the Hugging Face hub, tiny or things."""
    target: Annotated[str, Positional]
    """Folder to write; must not exist, or be empty."""
    layout: Literal["native", "released"] = "native"
    """Layout of the target."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Store numbers as this type, but for codebooks and others that need float32. By default as they are."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Convert, and say which parts were written."""
    import torch

    from videolavit.checkpoints.convert import convert

    started = time.monotonic()
    dtype = None if config.dtype is None else getattr(torch, config.dtype)
    written = convert(
        named_model(config.source), config.target, layout=config.layout, dtype=dtype, revision=config.revision
    )
    seconds = time.monotonic() - started
    if config.json:
        print_json({"target": config.target, "layout": config.layout, "parts": written, "seconds": round(seconds, 3)})
    else:
        tell_written(f"{config.target}: {', '.join(written)} ({seconds:.1f} s)")
    return 0
