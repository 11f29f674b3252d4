"""Video-LaVIT: one language model that reads and writes text, images and video.

The public names below are imported when first used, so `import videolavit` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Clip": "videolavit.clip",
    "MotionField": "videolavit.clip",
    "VideoLaVIT": "videolavit.pipeline",
    "VideoLaVITError": "videolavit.errors",
    "Vocabulary": "videolavit.vocabulary",
    "decompose": "videolavit.video",
    "iter_clips": "videolavit.video",
    "load_clips": "videolavit.video.clips.clip_file",
    "open_video": "videolavit.video",
    "probe": "videolavit.video",
    "warp": "videolavit.video.motion.warp",
}

__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
