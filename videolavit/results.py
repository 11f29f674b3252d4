"""What the pipeline hands back: answers, pictures, videos, and the tokens between."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, PngImagePlugin
from torch import Tensor

from videolavit.errors import OutputError, ShapeError
from videolavit.video.write import write_video

__all__ = ["Answer", "ClipTokens", "GeneratedImage", "GeneratedVideo"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipTokens:
    """A clip, or a picture, as codes: indices into the codebooks of the two tokenizers."""

    keyframe: Int[Tensor, "n"]
    """As many as the tokenizer kept of the picture."""
    motion: Int[Tensor, "k"] | None = None
    """None for a picture that does not move."""
    num_frames: int | None = None
    """Frames to show where a clip is not shown whole; None for all."""

    def __post_init__(self) -> None:
        if self.keyframe.ndim != 1 or (self.motion is not None and self.motion.ndim != 1):
            raise ShapeError(f"got {self}, expected one row of codes each")

    def __repr__(self) -> str:
        motion = "no" if self.motion is None else tuple(self.motion.shape)
        return f"ClipTokens(keyframe={tuple(self.keyframe.shape)}, motion={motion}, num_frames={self.num_frames})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer in words."""

    text: str
    question: str
    num_prompt_ids: int
    """Length of the prompt, features of pictures included."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedImage:
    """A picture and where it came from."""

    pixels: UInt8[np.ndarray, "height width 3"]
    tokens: ClipTokens
    ids: Int[Tensor, "n"]
    """Prompt and picture in the unified vocabulary: the context of what may follow."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Prompt, options and model; written into files."""

    def __repr__(self) -> str:
        return f"GeneratedImage({'x'.join(map(str, self.pixels.shape[:2]))}, {self.tokens})"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a PNG with the metadata inside.

        Raises:
            OutputError: another extension than `.png`, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise OutputError(f"{path}: pictures are written as .png, got {path.suffix or 'no extension'!r}")
        info = PngImagePlugin.PngInfo()
        info.add_itxt("videolavit", json.dumps(self.metadata, default=str))
        try:
            Image.fromarray(self.pixels).save(path, pnginfo=info)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error
        return path


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedVideo:
    """Frames and where they came from."""

    frames: UInt8[np.ndarray, "frames height width 3"]
    fps: float
    tokens: tuple[ClipTokens, ...]
    """One per clip."""
    ids: Int[Tensor, "n"]
    """Prompt and clips in the unified vocabulary: the context of what may follow."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Prompt, options and model; written into files."""

    def __repr__(self) -> str:
        frames, height, width, _ = self.frames.shape
        return f"GeneratedVideo({frames} frames of {height}x{width} at {self.fps:g} fps, {len(self.tokens)} clips)"

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write an `.mp4`, `.gif`, `.webp` or a `.png` sheet; `options` are those of `videolavit.video.write_video`."""
        return write_video(self.frames, path, fps=self.fps, metadata=self.metadata, **options)
