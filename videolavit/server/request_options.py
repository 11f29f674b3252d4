"""Options of a request as options of the pipeline, within bounds."""

from __future__ import annotations

import re
from typing import Any

from videolavit.server.api_error import ApiError
from videolavit.server.request_limits import RequestLimits
from videolavit.server.schemas import ImageBody, VideoBody
from videolavit.settings import ModelSettings

__all__ = ["image_options", "image_steps", "model_size", "num_clips", "video_options", "video_steps"]

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})\Z", re.ASCII)


def image_options(body: ImageBody, limits: RequestLimits) -> dict[str, Any]:
    """Options of an image by name.

    Raises:
        ApiError: one is out of bounds.
    """
    options = {
        "negative_prompt": body.negative_prompt or None,
        "keyframe_num_inference_steps": body.num_inference_steps,
        "keyframe_guidance_scale": body.guidance_scale,
    }
    return _given(options, limits) | _size(body.size, None, None, limits)


def video_options(body: VideoBody, limits: RequestLimits) -> dict[str, Any]:
    """Options of a video by name; raises as `image_options` does."""
    options = {
        "negative_prompt": body.negative_prompt or None,
        "keyframe_num_inference_steps": body.keyframe_num_inference_steps,
        "keyframe_guidance_scale": body.keyframe_guidance_scale,
        "num_inference_steps": body.num_inference_steps,
        "max_guidance_scale": body.guidance_scale,
        "fps": body.fps,
        "continuation": body.continuation,
    }
    return _given(options, limits) | _size(body.size, body.width, body.height, limits)


def num_clips(body: VideoBody, settings: ModelSettings, limits: RequestLimits) -> int:
    """Clips that a video has: from `seconds`, `num_frames` or `clips`, of which one may be given.

    Raises:
        ApiError: it is no whole number of clips, or there are too many.
    """
    given = [name for name in ("seconds", "num_frames", "clips") if getattr(body, name) is not None]
    if not given:
        return 1
    if len(given) > 1:
        raise _bad(f"got {' and '.join(given)}, expected one of them", given[1])
    processor = settings.video_processor
    unit = {
        "seconds": processor.frames_per_clip / processor.fps,
        "num_frames": processor.frames_per_clip,
        "clips": 1,
    }[given[0]]
    allowed = [f"{unit * count:g}" for count in range(1, limits.clips + 1)]
    value = getattr(body, given[0])
    if f"{value}" not in allowed:
        raise _bad(f"got {str(value)[:40]!r}, expected one of {', '.join(allowed)}", given[0])
    return allowed.index(f"{value}") + 1


def model_size(options: dict[str, Any], settings: ModelSettings) -> tuple[int, int] | None:
    """(width, height) of the result; None where only the model's parts know it."""
    if options.get("width"):
        return options["width"], options["height"]
    size = settings.video_processor.size
    return None if size is None else (size[1], size[0])


def image_steps(options: dict[str, Any], settings: ModelSettings) -> int:
    """Denoising steps of an image: the unit of cost."""
    return options.get("keyframe_num_inference_steps") or settings.keyframe_num_inference_steps


def video_steps(options: dict[str, Any], settings: ModelSettings) -> int:
    """Denoising steps of one clip and its keyframe."""
    return image_steps(options, settings) + (options.get("num_inference_steps") or settings.frames.num_inference_steps)


def _given(options: dict[str, Any], limits: RequestLimits) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    given |= {name: float(given[name]) for name in given if name == "fps" or name.endswith("guidance_scale")}
    if len(given.get("negative_prompt", "")) > limits.text_characters:
        raise _bad(f"has more than {limits.text_characters} characters", "negative_prompt")
    for name, value in given.items():
        if name.endswith("steps") and value > limits.steps:
            raise _bad(f"got {value}, expected at most {limits.steps}", "num_inference_steps")
    return given


def _size(size: str | None, width: int | None, height: int | None, limits: RequestLimits) -> dict[str, int]:
    if (width is None) != (height is None):
        raise _bad("got only one of width and height, expected both", "width")
    if size is not None and size != "auto":
        match = _SIZE.match(size)
        if match is None or width is not None:
            raise _bad(f"got {size[:40]!r}, expected WIDTHxHEIGHT such as 128x128, and no width beside it", "size")
        width, height = int(match[1]), int(match[2])
    if width is None or height is None:
        return {}
    if width * height > limits.pixels:
        raise _bad(f"got {width}x{height}, expected at most {limits.pixels} pixels", "size")
    return {"width": width, "height": height}


def _bad(message: str, param: str) -> ApiError:
    return ApiError(f"{param}: {message}", code="invalid_value", param=param)
