"""The options by which commands draw. One that is left out has the model's own value."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from videolavit.language.sampling import Sampling, SamplingOptions

__all__ = ["ImageOptions", "TokenOptions", "VideoOptions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageOptions:
    """How an image is drawn. Options that are left out have the values that the model was made for."""

    seed: int | None = None
    """Same seed, model, machine and version: same result. By default a new one when the language model writes, which is
    told and kept in the file; else 0."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenOptions:
    """How the language model chooses tokens of images and motion. What is left out is as the model was made for."""

    temperature: float | None = None
    """Higher is more varied; 0 takes the likeliest token."""
    top_k: int | None = None
    """Choose among so many likeliest tokens; 0 for all."""
    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability; 1 for all."""
    guidance_scale: float | None = None
    """How strictly tokens follow the prompt; 1 is no guidance."""

    def changes(self, own: Sampling) -> dict[str, Any]:
        """The option of the pipeline that stands for these, if any was chosen; `own` is the model's way.

        Raises:
            ConfigError: a value is out of range.
        """
        if self == TokenOptions():
            return {}
        return {"sampling": replace(own, keyframe=self._changed(own.keyframe), motion=self._changed(own.motion))}

    def _changed(self, own: SamplingOptions) -> SamplingOptions:
        names = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "guidance_scale": "guidance"}
        chosen = {new: value for name, new in names.items() if (value := getattr(self, name)) is not None}
        if chosen.get("temperature") == 0:
            del chosen["temperature"]
            return replace(own, **chosen, greedy=True)
        samples = any(name in chosen for name in ("temperature", "top_k", "top_p"))
        return replace(own, **chosen, greedy=own.greedy and not samples)
