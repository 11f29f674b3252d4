"""Video processing of a model: at which size, where motion is searched, and which clips it takes.

Its tokenizers learnt this, so it is kept with the model, and data for training and videos for use go through the same
functions. The whole image is brought to the model's size whatever its shape, as the visual tokenizer does it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from videolavit.clip import Clip
from videolavit.errors import ConfigError
from videolavit.video.adaptive import AdaptiveKeyframes, AdaptiveOptions
from videolavit.video.clips.assemble import timeline
from videolavit.video.clips.decompose import VideoSource, iter_clips
from videolavit.video.clips.decompose_options import DecomposeOptions
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.frames import Frames, as_rate
from videolavit.video.io.limits import Limits
from videolavit.video.io.pixels import resize_image
from videolavit.video.motion.reencode import Reencoding

__all__ = [
    "KeyframeChoice",
    "VideoProcessorConfig",
    "clips_with_images",
    "front_end_clips",
    "looked_at_clips",
    "whole_video_clips",
    "with_keyframes",
]

KeyframeChoice = Literal["every", "adaptive"]
"""Clips that have a keyframe: every one, or those alone that motion does not explain from the clip before."""

_NONE = Limits(max_duration_seconds=math.inf)
"""For images of the model's size: those of the source have passed the limits already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoProcessorConfig:
    """Options of processing a model's videos. The defaults are those of the released model."""

    height: int | None = None
    width: int | None = None
    """Size that images are brought to; None for the video's own."""
    motion_scale: int = 1
    """Times that size is the image in which motion is searched: enlarged, blocks of 16 pixels make a finer grid."""
    slices: int = 16
    fps: float = 6.0
    frames_per_clip: int = 24
    look_at: Literal["reference", "timeline"] = "reference"
    """Clips that a question is asked about: chosen by the released rule, or those that follow one another."""
    keyframes: KeyframeChoice = "every"
    """Clips that have one; a model must have been trained on those that have none."""
    adaptive: AdaptiveOptions = field(default_factory=AdaptiveOptions)
    """Agreement at which a clip needs no keyframe, where keyframes are adaptive."""

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ConfigError(f"got height {self.height} and width {self.width}, expected both or neither")
        if min(*(self.size or (1,)), self.motion_scale) < 1 or self.frames_per_clip < 2:
            raise ConfigError(f"sizes must be positive and clips have at least 2 frames, got {self}")
        as_rate(self.fps, "fps")
        if self.slices < 1:
            raise ConfigError(f"got slices={self.slices}, expected at least 1")
        if self.motion_scale != 1 and self.size is None:
            raise ConfigError(f"got motion_scale={self.motion_scale} without a size; give height and width, too")
        if self.look_at not in ("reference", "timeline"):
            raise ConfigError(f'got look_at={self.look_at!r}, expected "reference" or "timeline"')
        if self.keyframes not in get_args(KeyframeChoice):
            raise ConfigError(f'got keyframes={self.keyframes!r}, expected "every" or "adaptive"')

    def __repr__(self) -> str:
        """All options; those of adaptive keyframes only where these are in use.

        Folders of prepared data note it and go on only with the same one, also those made before there was a choice.
        """
        later = ("keyframes", "adaptive") if self.keyframes == "every" else ()
        shown = [one.name for one in dataclasses.fields(self) if one.name not in later]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of keyframes and frames; None for the video's own."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    @property
    def motion_size(self) -> tuple[int, int] | None:
        """(height, width) of the images in which motion is searched; None for the video's own."""
        return None if self.size is None else (self.size[0] * self.motion_scale, self.size[1] * self.motion_scale)

    @property
    def options(self) -> DecomposeOptions:
        """I-frames come twice in a clip, so that clips can follow one another and overlap by half."""
        reencoding = Reencoding(slices=self.slices, gop=self.frames_per_clip // 2)
        return DecomposeOptions(fps=self.fps, frames_per_clip=self.frames_per_clip, reencoding=reencoding)

    def resized(self, image: UInt8[np.ndarray, "_ _ 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
        """An image at the model's size."""
        return image if self.size is None else resize_image(image, *self.size)


def front_end_clips(
    source: VideoSource, video_processor: VideoProcessorConfig, *, limits: Limits | None = None, **changes: Any
) -> Iterator[Clip]:
    """`iter_clips` as a model sees the video; `changes` are further options of it, `select="all"` above all.

    Motion is in pixels of the image in which it was searched, as `Clip.motion` says, keyframes are of the model's
    size.

    Raises:
        MediaError: there is no such file, it is not a video, or it is damaged beyond reading.
        LimitError: it is larger or longer than `limits` allow.
    """
    if video_processor.motion_size is None:
        yield from iter_clips(source, video_processor.options, limits=limits, **changes)
        return
    size = video_processor.motion_size
    with closing(images_on_ticks(source, fps=video_processor.options.rate, limits=limits)) as images:
        seen = Frames(images=(resize_image(image, *size) for image in images), fps=video_processor.fps)
        for clip in iter_clips(seen, video_processor.options, limits=_NONE, **changes):
            yield dataclasses.replace(clip, keyframe=video_processor.resized(clip.keyframe))


def whole_video_clips(
    source: VideoSource, video_processor: VideoProcessorConfig, *, limits: Limits | None = None
) -> Iterator[tuple[Clip, int]]:
    """The whole video as clips that follow one another, each with the number of frames it is shown for.

    Where keyframes are adaptive, `Clip.has_keyframe` says which clips go on with motion alone.
    """
    clips = timeline(front_end_clips(source, video_processor, limits=limits, select="all"))
    return with_keyframes(clips, video_processor)


def with_keyframes(
    clips: Iterable[tuple[Clip, int]], video_processor: VideoProcessorConfig
) -> Iterator[tuple[Clip, int]]:
    """Clips that follow one another, marked as the options of keyframes say; the first one has a keyframe."""
    mark = _Marks(video_processor)
    return ((mark(clip, num_frames), num_frames) for clip, num_frames in clips)


def clips_with_images(
    source: VideoSource, video_processor: VideoProcessorConfig, *, limits: Limits | None = None
) -> Iterator[tuple[Clip, list[UInt8[np.ndarray, "height width 3"]]]]:
    """The clips of `whole_video_clips`, each with the images of the video at its ticks, as many as it is shown for.

    A video that is brought to the model's size is read once; the images wait until their clip is known. At its own size
    the encoder takes the decoder's own pixels, not these images, and the video is read twice.
    """
    mark = _Marks(video_processor)
    with closing(images_on_ticks(source, fps=video_processor.options.rate, limits=limits)) as images:
        size = video_processor.motion_size
        if size is None:
            for clip, num_frames in whole_video_clips(source, video_processor, limits=limits):  # marked already
                yield clip, list(itertools.islice(images, num_frames))
            return
        passed: deque[UInt8[np.ndarray, "_ _ 3"]] = deque()

        def resized() -> Iterator[UInt8[np.ndarray, "_ _ 3"]]:
            for image in images:
                passed.append(image)
                yield resize_image(image, *size)

        seen = Frames(images=resized(), fps=video_processor.fps)
        for clip, num_frames in timeline(iter_clips(seen, video_processor.options, limits=_NONE, select="all")):
            clip = dataclasses.replace(clip, keyframe=video_processor.resized(clip.keyframe))
            yield mark(clip, num_frames), [passed.popleft() for _ in range(num_frames)]


def looked_at_clips(
    source: VideoSource, video_processor: VideoProcessorConfig, *, max_clips: int, limits: Limits | None = None
) -> list[Clip]:
    """Clips to ask a question about, at most `max_clips` of them, in order of time.

    Raises:
        ConfigError: `max_clips` is less than 1.
    """
    if video_processor.look_at == "reference":
        return list(front_end_clips(source, video_processor, limits=limits, max_clips=max_clips))
    if max_clips < 1:
        raise ConfigError(f"got max_clips={max_clips}, expected at least 1")
    return _evenly_spaced((clip for clip, _ in whole_video_clips(source, video_processor, limits=limits)), max_clips)


class _Marks:
    """Clips that follow one another, marked as they have a keyframe or not."""

    def __init__(self, video_processor: VideoProcessorConfig) -> None:
        is_adaptive = video_processor.keyframes == "adaptive"
        self._keyframes = AdaptiveKeyframes(video_processor.adaptive) if is_adaptive else None

    def __call__(self, clip: Clip, num_frames: int) -> Clip:
        if self._keyframes is None:
            return clip
        return dataclasses.replace(clip, has_keyframe=self._keyframes.take(clip, num_frames).has_keyframe)


def _evenly_spaced(clips: Iterable[Clip], count: int) -> list[Clip]:
    """`count` of all clips; there are never more than twice as many in memory, however many come."""
    kept: list[tuple[int, Clip]] = []
    stride = 1
    for position, clip in enumerate(clips):
        if position % stride == 0:
            kept.append((position, clip))
        if len(kept) > 2 * count:
            kept, stride = kept[::2], 2 * stride
    if len(kept) > count:
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, count).round().astype(int)]
    return _with_keyframes_after_gaps(kept)


def _with_keyframes_after_gaps(numbered: list[tuple[int, Clip]]) -> list[Clip]:
    """Clips of which one that does not follow the one before it has its keyframe in any case."""
    before = [None, *(number for number, _ in numbered)]
    return [
        clip if clip.has_keyframe or previous == number - 1 else dataclasses.replace(clip, has_keyframe=True)
        for previous, (number, clip) in zip(before, numbered, strict=False)
    ]
