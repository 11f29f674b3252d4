"""The images of a video tick by tick, as the re-encoder is given them: what clips are compared with."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from videolavit.video.clips.decompose import VideoSource, file_or_frames
from videolavit.video.io.frames import Frames, libav_frames
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import open_video
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.pixels import rgb_array, to_yuv420p
from videolavit.video.io.resample import frames_on_ticks, video_on_ticks
from videolavit.video.io.sources import describe

__all__ = ["images_on_ticks"]


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
