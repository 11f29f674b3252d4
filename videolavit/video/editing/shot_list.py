"""Shots of a video, with their borders to the frame, and their export as videos of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from videolavit.video.editing.frame_reader import FrameReader
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import open_video
from videolavit.video.io.pixels import to_yuv420p
from videolavit.video.io.sources import Source
from videolavit.video.motion.shots import CutDetector, CutDetectorConfig

__all__ = ["Shot", "find_shots"]

_SHORTEST_SECONDS = 0.25
"""A flash of light is no shot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """Part of a video between two cuts."""

    start_seconds: float | int
    end_seconds: float | int

    @property
    def seconds(self) -> float:
        """Length."""
        return self.end_seconds - self.start_seconds


def find_shots(
    source: Source,
    *,
    detector: CutDetectorConfig | None = None,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Shot]:
    """Shots in order of time, at least one; together they are the video.

    Args:
        source: a path, the bytes of a file, or a file object that can seek.
        detector: how different images must be.
        limits: what to refuse.
        progress: called with the number of frames read, and about how many there are.

    Raises:
        MediaError: there is no such file, it is not a video, or it is damaged beyond reading.
        LimitError: it is larger or longer than `limits` allow.
    """
    with open_video(source, limits=limits) as video:
        reader = FrameReader(video)
        total = round(reader.seconds * float(reader.rate))
        cuts = CutDetector(detector)
        starts, size = [0.0], None
        for number, timed in enumerate(reader.forwards(), start=1):
            size = size or (timed.frame.width, timed.frame.height)
            if cuts.is_cut(to_yuv420p(timed.frame, *size)) and timed.seconds - starts[-1] >= _SHORTEST_SECONDS:
                starts.append(timed.seconds)
            if progress is not None:
                progress(number, total)
    ends = [*starts[1:], max(reader.seconds, starts[-1])]
    return [Shot(start_seconds=start, end_seconds=end) for start, end in zip(starts, ends, strict=True)]
