"""A whole video as a row of clips, and the images that it is compared with, tick by tick.

Clips of the selection `all` start at every keyframe and overlap. `timeline` picks those that follow one another;
`images_on_ticks` gives the original at the same ticks, as the re-encoder was given it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from videolavit.clip import Clip
from videolavit.video.clips.decompose import VideoSource, file_or_frames
from videolavit.video.io.frames import Frames, libav_frames
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import open_video
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.pixels import rgb_array, to_yuv420p
from videolavit.video.io.resample import frames_on_ticks, video_on_ticks
from videolavit.video.io.sources import describe

__all__ = ["images_on_ticks", "timeline"]


def timeline(clips: Iterable[Clip]) -> Iterator[tuple[Clip, int]]:
    """Clips that follow one another, each with the number of ticks until the next one starts.

    After a clip comes the latest one that starts no later than its end. So every clip is shown for as long as it can
    be, and a cut, where clips end early, is met by a fresh keyframe. The ticks add up to the length of the video. A
    clip is shown for longer than it has frames only where keyframes are further apart than clips are long.

    Args:
        clips: all clips of a video in order of time, from tick 0.
    """
    current: Clip | None = None
    following: Clip | None = None
    for clip in clips:
        while current is not None and clip.start > _end(current):
            yield current, (following or clip).start - current.start
            current, following = following, None
        if current is None:
            current = clip
        else:
            following = clip
    if current is None:
        return
    if following is not None and _end(following) > _end(current):
        yield current, following.start - current.start
        current = following
    yield current, current.num_real_frames


def _end(clip: Clip) -> int:
    return clip.start + clip.num_real_frames


def images_on_ticks(
    source: VideoSource, *, fps: Fraction = Fraction(6), limits: Limits | None = None
) -> Generator[UInt8[np.ndarray, "height width 3"], None, None]:
    """The video at `fps` frames per second, upright, each image of the first one's size, RGB as keyframes are.

    Images in memory come as they are.

    Raises:
        MediaError: there is no such file, it is not a video, or it is damaged beyond reading.
        LimitError: it is larger or longer than `limits` allow.
    """
    source, limits = file_or_frames(source, float(fps)), limits or Limits()
    if isinstance(source, Frames):
        name = describe(source)
        for frame in frames_on_ticks(libav_frames(source, limits, name), source.rate, fps, limits, name):
            yield rgb_array(frame)
        return
    with open_video(source, limits=limits) as video:
        size, orientation, last = None, Orientation(), None
        for frame in video_on_ticks(video, fps):
            if size is None:
                size, orientation = (frame.width, frame.height), Orientation.of(frame)
            if last is None or last[0] is not frame:
                last = frame, rgb_array(orientation.apply(to_yuv420p(frame, *size)))
            yield last[1]
