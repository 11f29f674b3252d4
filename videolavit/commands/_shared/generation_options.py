"""The options by which commands draw. One that is left out has the model's own value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

__all__ = ["ImageOptions", "VideoOptions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageOptions:
    """How an image is drawn. Options that are left out have the values that the model was made for."""

    seed: int | None = None
    """Same seed, model, machine and version: same result. By default 0."""
    height: int | None = None
    """Pixels; goes with --width."""
    width: int | None = None
    """Pixels; goes with --height."""
    keyframe_num_inference_steps: int | None = None
    """Steps in which a keyframe is drawn: more are slower and, up to a point, better."""
    keyframe_guidance_scale: float | None = None
    """How strictly a keyframe follows its tokens; 1 is no guidance."""

    def changes(self) -> dict[str, Any]:
        """What was chosen, as the pipeline's tasks take it."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoOptions(ImageOptions):
    """How a video is drawn."""

    num_inference_steps: int | None = None
    """Steps in which the frames of a clip are drawn."""
    max_guidance_scale: float | None = None
    """How strictly the last frame of a clip follows its motion; earlier ones follow it less. 1 is no guidance."""
    decode_chunk_size: int | None = None
    """Frames that are decoded at a time; fewer take less memory."""
    continuation: Literal["restart", "inversion", "none"] | None = None
    """How the keyframe of a further clip starts from the last frame: noised, inverted, or not at all."""
