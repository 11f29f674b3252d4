"""Bodies of video requests, JSON or forms with files, as work for the engine."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import PromptError
from videolavit.pipeline.token_text import parse_tokens
from videolavit.server.api_error import ApiError
from videolavit.server.jobs import Job
from videolavit.server.model_tasks import VideoRequest
from videolavit.server.request_bodies import json_object, read_values, refuse_if, validated, wrong_value
from videolavit.server.request_limits import RequestLimits
from videolavit.server.request_options import model_size, num_clips, video_options, video_steps
from videolavit.server.schemas import VideoBody, VideoReference
from videolavit.server.services import Services
from videolavit.video import Frames
from videolavit.video.processor import VideoProcessorConfig

__all__ = ["AskedVideo", "asked_video", "num_frames", "read_body", "read_video", "remixed"]

Way = Literal["generate", "edit", "extend"]

_FILES = ("input_reference", "image_reference", "video", "motion_of")
_CHANGES = ("reverse", "mirror", "scale", "freeze", "keyframe", "motion", "detokenizer")
_LENGTHS = ("seconds", "num_frames", "clips")
_WITHOUT_EFFECT = {"edit": (*_LENGTHS, "candidates"), "tokens": (*_LENGTHS, "candidates"), "extend": ("candidates",)}
"""Fields that would change other results and not these, by the way in which a video is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedVideo:
    """A video that was asked for."""

    request: VideoRequest
    steps: int
    """Cost of a clip."""
    size: str
    seconds: str
    again: dict[str, Any]
    """Plain values from which the same can be asked for with other words; empty where media were sent."""


async def read_body(request: Request) -> VideoBody:
    """The body of a request, whichever its form.

    Raises:
        RequestValidationError: a field is unknown or has a wrong value.
        ApiError: it is neither JSON nor a form.
    """
    return validated(VideoBody, _with_extra(await read_values(request, _form_values, max_files=len(_FILES))))


async def asked_video(body: VideoBody, services: Services, way: Way) -> AskedVideo:
    """The body as work for the engine; all media are read.

    Raises:
        ApiError: fields do not fit each other, one is out of bounds, or media cannot be read.
    """
    services.check_model(body.model)
    limits, settings = services.limits, services.engine.model.settings
    prompt = (body.prompt or "").strip()
    _check_bounds(body, prompt, services)
    options, clips = video_options(body, limits), num_clips(body, settings, limits)
    changes = {name: getattr(body, name) for name in _CHANGES if getattr(body, name) is not None}
    seed = secrets.randbits(48) if body.seed is None else body.seed
    image = await _image(body, services)
    video = await read_video(body.video, "video", services)
    motion_of = await read_video(body.motion_of, "motion_of", services)
    request = VideoRequest(
        way=_way(body, way, prompt, image, video, motion_of, changes),
        prompt=prompt,
        clips=clips,
        seed=seed,
        image=image,
        video=video,
        motion_of=motion_of,
        tokens=body.from_tokens,
        candidates=body.candidates,
        options=options,
        changes=changes,
    )
    if way == "edit" and request.way == "generate":  # other motion for what is seen: by words
        request = _moved_by_words(request)
    for name in _WITHOUT_EFFECT.get(request.way, ()):
        refuse_if(getattr(body, name) is not None, "has no effect on this video; leave it out", name)
    if request.way == "tokens":
        clips = len(_clips_of(request.tokens))
        refuse_if(clips > limits.clips, f"got {clips} clips, expected at most {limits.clips}", "from_tokens")
    frames, size = num_frames(request, settings.video_processor), model_size(options, settings)
    before = 0 if video is None or request.way != "extend" else sum(1 for _ in video.images)
    _check_result(before + frames, size, limits)
    sent = image is not None or video is not None or motion_of is not None
    again = body.model_dump(exclude_none=True, exclude={"prompt", "user", "extra_params"}) | {"seed": seed}
    return AskedVideo(
        request=dataclasses.replace(request, clips=max(clips, -(-frames // settings.video_processor.frames_per_clip))),
        steps=video_steps(options, settings),
        size="auto" if size is None else "{}x{}".format(*size),
        seconds=f"{frames / settings.video_processor.fps:g}",
        again={} if sent else again,
    )


def num_frames(request: VideoRequest, processor: VideoProcessorConfig) -> int:
    """Frames of what is made: edits are as long as the motion that they take, and tokens tell theirs.

    Raises:
        ApiError: what should be tokens is none.
    """
    whole = processor.frames_per_clip
    if request.way == "edit":
        moved = request.motion_of or request.video
        return whole if moved is None else sum(1 for _ in moved.images)
    if request.way == "tokens":
        return sum(_shown(clip, whole) for clip in _clips_of(request.tokens))
    return request.clips * whole


def _clips_of(tokens: str | None) -> tuple[ClipTokens, ...]:
    try:
        return parse_tokens(tokens or "")
    except PromptError as error:
        raise wrong_value(str(error), "from_tokens") from None


def _shown(clip: ClipTokens, whole: int) -> int:
    """Frames of a clip: one of an image, and one less than all where it goes on from the clip before."""
    if clip.num_frames is not None:
        return clip.num_frames
    return 1 if clip.motion is None else whole - (clip.keyframe is None)


def remixed(job: Job, prompt: str) -> VideoBody:
    """The body of an earlier job with other words.

    Raises:
        ApiError: it was made from media or tokens, which are not kept.
    """
    if not job.request or "from_tokens" in job.request:
        message = "this video was made from media that were sent with it; only videos of words alone can be remixed"
        raise ApiError(message, code="cannot_remix", param="video_id")
    return VideoBody.model_validate({**job.request, "prompt": prompt})


def _way(
    body: VideoBody, way: Way, prompt: str, image: Any, video: Any, motion_of: Any, changes: dict[str, Any]
) -> Literal["generate", "extend", "edit", "tokens"]:
    """Method of the pipeline that does it; fields that have no place there are refused."""
    if way == "extend":
        refuse_if(
            image is not None or motion_of is not None or changes, "an extension takes a video and a prompt alone"
        )
        refuse_if(video is None, "needs the video to go on from", "video")
        return "extend"
    if way == "edit":
        refuse_if(video is None and image is None, "needs the video to edit", "video")
        refuse_if(
            bool(prompt) and bool(changes or motion_of), "got a prompt and other motion; expected one of them", "prompt"
        )
        refuse_if(
            not (prompt or changes or motion_of),
            "says no other motion: give a prompt, reverse, mirror, scale, freeze or motion_of",
        )
        return "generate" if prompt else "edit"
    if body.from_tokens is not None:
        extra = prompt or image is not None or video is not None or changes
        refuse_if(extra, "tokens say all there is; leave prompt and media out", "from_tokens")
        return "tokens"
    if motion_of is not None:
        refuse_if(image is None, "motion_of needs an image as input_reference", "input_reference")
        refuse_if(bool(prompt), "got a prompt and motion_of; expected one of them", "prompt")
        return "edit"
    refuse_if(
        video is not None or changes,
        "a video is edited by /v1/videos/edits and extended by /v1/videos/extensions",
        "video",
    )
    refuse_if(not prompt and image is None, "say what to make, or give an image as input_reference", "prompt")
    return "generate"


def _moved_by_words(request: VideoRequest) -> VideoRequest:
    if request.video is None:
        return request
    first = next(iter(request.video.images))
    return dataclasses.replace(request, image=first, video=None)


def _check_bounds(body: VideoBody, prompt: str, services: Services) -> None:
    limits = services.limits
    for name, text in (("prompt", prompt), ("from_tokens", body.from_tokens or "")):
        refuse_if(len(text) > limits.text_characters, f"has more than {limits.text_characters} characters", name)
    refuse_if((body.candidates or 1) > limits.candidates, f"expected at most {limits.candidates}", "candidates")


def _check_result(frames: int, size: tuple[int, int] | None, limits: RequestLimits) -> None:
    """Refuse what would take too much memory; a model that does not tell its size makes no more than it may."""
    pixels = limits.pixels if size is None else size[0] * size[1]
    most = limits.result_bytes // (3 * pixels)
    message = f"{frames} frames of this size are too many, expected at most {most}; ask for fewer or smaller ones"
    refuse_if(frames > most, message, "size")


async def _image(body: VideoBody, services: Services) -> Any:
    given = [name for name in ("input_reference", "image_reference") if getattr(body, name) is not None]
    refuse_if(len(given) > 1, "got input_reference and image_reference, expected one of them", "image_reference")
    if not given:
        return None
    name, value = given[0], getattr(body, given[0])
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json_object(value, name)
    if isinstance(value, dict):
        value = value.get("image_url")
        value = value.get("url") if isinstance(value, dict) else value
    if not isinstance(value, str | bytes):
        raise wrong_value("expected a file, a URL, or {image_url: URL}", name)
    return await services.gate.image(value, name)


async def read_video(value: Any, name: str, services: Services) -> Frames | None:
    """Frames of a video that this server made, of a URL, or of a file; None for None.

    Raises:
        ApiError: there is no such video, or it cannot be read.
    """
    if value is None:
        return None
    if isinstance(value, VideoReference):
        refuse_if((value.id is None) == (value.video_url is None), "expected either id or video_url", name)
        value = value.id or value.video_url
    if isinstance(value, str) and value.startswith("video_"):
        job = services.jobs.get(value)
        refuse_if(job is None or job.status != "completed", "there is no completed video of that id", name)
        try:
            value = await asyncio.to_thread(services.jobs.path(value).read_bytes)
        except FileNotFoundError:  # removed meanwhile
            raise wrong_value("the files of this video are gone", name) from None
    return await services.gate.video(value, name, services.engine.model.settings.video_processor)


async def _form_values(form: FormData) -> dict[str, Any]:
    """Fields of a form: files as bytes, text as it is; numbers and flags are made by the schema."""
    values: dict[str, Any] = {}
    for name, value in form.multi_items():
        refuse_if(name in values, "came twice", name)
        if isinstance(value, UploadFile):
            refuse_if(name not in _FILES, "is no field for a file", name)
            values[name] = await value.read()
        elif value != "":
            values[name] = json_object(value, name) if value.lstrip().startswith("{") else value
    return values


def _with_extra(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of `extra_params` beside the others; it may be JSON as text."""
    extra = values.get("extra_params")
    if extra is None:
        return values
    extra = json_object(extra, "extra_params") if isinstance(extra, str) else extra
    refuse_if(not isinstance(extra, dict), "expected an object", "extra_params")
    twice = sorted(set(extra) & set(values))
    refuse_if(bool(twice), f"repeats {', '.join(map(str, twice))[:80]}", "extra_params")
    return {name: value for name, value in values.items() if name != "extra_params"} | extra
