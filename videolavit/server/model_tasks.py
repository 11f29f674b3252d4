"""Images, videos and tokens as tasks of the engine: each calls what a user of `VideoLaVIT` calls."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo
from videolavit.server.engine import Task
from videolavit.video import Frames

__all__ = ["ImageRequest", "TokensRequest", "VideoProgress", "VideoRequest", "image_task", "tokens_task", "video_task"]

ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """Images of what a text says; each has the seed after the last one's."""

    prompt: str
    n: int = 1
    seed: int = 0
    image: tuple[np.ndarray, ...] = ()
    """Images that the prompt speaks of."""
    candidates: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Single options by name, those of `GenerationOptions`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRequest:
    """A video, by one of four ways: from words and an image, after a video, with other motion, from tokens."""

    way: Literal["generate", "extend", "edit", "tokens"] = "generate"
    prompt: str = ""
    clips: int = 1
    seed: int = 0
    image: np.ndarray | None = None
    video: Frames | None = None
    """To go on from, or to edit."""
    motion_of: Frames | None = None
    tokens: str | None = None
    candidates: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of an edit: reverse, scale, freeze, keyframe, motion, detokenizer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokensRequest:
    """Tokens of an image or a video, as text."""

    image: np.ndarray | None = None
    video: Frames | None = None


def image_task(request: ImageRequest, *, steps: int) -> Task:
    """Work for the images lane; its result is a list of `GeneratedImage`. `steps` is the cost of one."""
    return Task(lane="images", cost=request.n * (request.candidates or 1) * steps, run=_run_images, params=request)


def video_task(request: VideoRequest, *, steps: int) -> Task:
    """Work for the videos lane; its result is a `GeneratedVideo`. Events: ("preview", (frames, clip number)).

    `steps` is the cost of one clip. Videos of words alone, of as many clips and by the same options, are made together;
    then there are no previews.
    """
    cost = request.clips * (request.candidates or 1) * steps
    return Task(lane="videos", cost=cost, run=_run_videos, batch_key=_batch_key(request), params=request)


def tokens_task(request: TokensRequest) -> Task:
    """Work for the images lane; its result is a `Tokens`."""
    return Task(lane="images", cost=1 if request.video is None else 10, run=_run_tokens, params=request)


class VideoProgress:
    """Percent of a video that is done, from what the pipeline tells; never less than before, at most 99."""

    _SHARES: Mapping[str, float] = {"generate": 0.15, "keyframe": 0.1, "frames": 0.6}

    def __init__(self, clips: int) -> None:
        self._clips, self.percent = clips, 0
        self._done, self._stage, self._inside = 0.0, "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> int:
        """Take a call of the pipeline's progress; the percent so far."""
        share = self._SHARES.get(stage, 0.0)
        if done == 0:
            self._done += self._inside
            self._inside = 0.0
        elif total:
            self._inside = share * min(done / total, 1.0)
        fraction = (self._done + self._inside) / self._clips
        self.percent = min(99, max(self.percent, int(100 * fraction)))
        return self.percent


def _run_images(model: Any, tasks: list[Task], progress: ProgressCallback) -> list[list[GeneratedImage]]:
    request: ImageRequest = tasks[0].params
    images = [
        model.image(
            request.prompt,
            image=list(request.image) or None,
            candidates=request.candidates,
            seed=request.seed + number,
            progress=progress,
            **request.options,
        )
        for number in range(request.n)
    ]
    return [images]


def _batch_key(request: VideoRequest) -> Hashable | None:
    """Equal for videos that one call of `generate_video` can make; None for one that is made alone."""
    if request.way != "generate" or request.image is not None:
        return None
    return request.clips, request.candidates, tuple(sorted(request.options.items()))


def _run_videos(model: Any, tasks: list[Task], progress: ProgressCallback) -> list[GeneratedVideo]:
    request: VideoRequest = tasks[0].params
    if len(tasks) > 1:
        return model.generate_video(
            [task.params.prompt for task in tasks],
            clips=request.clips,
            candidates=request.candidates,
            seed=[task.params.seed for task in tasks],
            progress=progress,
            **request.options,
        )
    ways = {"generate": _generate, "extend": _extend, "edit": _edit, "tokens": _from_tokens}
    return [ways[request.way](model, request, tasks[0], progress)]


def _generate(model: Any, request: VideoRequest, task: Task, progress: ProgressCallback) -> GeneratedVideo:
    return model.video(
        request.prompt,
        image=request.image,
        clips=request.clips,
        candidates=request.candidates,
        preview=lambda frames, clip: task.emit("preview", (frames, clip)),
        seed=request.seed,
        progress=progress,
        **request.options,
    )


def _extend(model: Any, request: VideoRequest, task: Task, progress: ProgressCallback) -> GeneratedVideo:
    return model.continue_video(
        request.video,
        request.prompt,
        clips=request.clips,
        preview=lambda frames, clip: task.emit("preview", (frames, clip)),
        seed=request.seed,
        progress=progress,
        **request.options,
    )


def _edit(model: Any, request: VideoRequest, task: Task, progress: ProgressCallback) -> GeneratedVideo:
    shown = request.video if request.image is None else request.image
    changes = {**request.changes, **request.options}
    return model.edit(shown, motion_of=request.motion_of, seed=request.seed, progress=progress, **changes)


def _from_tokens(model: Any, request: VideoRequest, task: Task, progress: ProgressCallback) -> GeneratedVideo:
    return model.detokenize(request.tokens, seed=request.seed, progress=progress, **request.options)


def _run_tokens(model: Any, tasks: list[Task], progress: ProgressCallback) -> list[Any]:
    request: TokensRequest = tasks[0].params
    return [model.tokenize(image=request.image, video=request.video, progress=progress)]
