"""Frames of a video from any second on, forwards or backwards, in memory that does not grow with the video."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from av.video.frame import VideoFrame

from videolavit.video.editing.timing import Pause, Piece
from videolavit.video.io.open import VideoReader
from videolavit.video.io.resample import FrameClock

__all__ = ["FrameReader", "TimedFrame"]

_CHUNK_BYTES = 192 * 2**20
"""Decoded frames that are kept to be shown backwards."""
_SEEKABLE = ("mov", "matroska")
"""libav's formats with an index, in which it can start anywhere."""
_USUAL_RATE = Fraction(25)
_HIGHEST_RATE = 240


class TimedFrame(NamedTuple):
    """A decoded frame and when it is shown, in seconds of the video."""

    seconds: float | int
    frame: VideoFrame


class FrameReader:
    """Reads one open video as often as pieces of it are asked for."""

    def __init__(self, video: VideoReader) -> None:
        """Read the packets of a video that can be rewound once, for its length."""
        self._video = video
        rate = video.frame_rate or _USUAL_RATE
        self.rate = rate if 0 < rate <= _HIGHEST_RATE else _USUAL_RATE
        self._tolerance = float(1 / self.rate) / 4
        """Times are rounded differently by different formats; a frame is not late by less than this."""
        self._can_seek = video.container.format.name.split(",")[0] in _SEEKABLE
        self.name = video.name
        self.seconds = self._length()
        video.limits.check_duration(self.seconds, video.name)

    def shown(self, part: Piece | Pause, count: int, fps: Fraction) -> Iterator[TimedFrame]:
        """`count` frames, `fps` a second, as a part of a timing shows the video."""
        if isinstance(part, Pause):
            still = next(self.forwards(part.at))
            yield from (still for _ in range(count))
            return
        moments = [part.moment(index / float(fps)) for index in range(count)]
        yield from _latest(self._read(part), moments, self._tolerance, backwards=part.speed < 0)

    def _read(self, part: Piece) -> Iterator[TimedFrame]:
        return self.forwards(part.start) if part.speed > 0 else self.backwards(part.start, part.end)

    def forwards(self, start: float | int = 0.0) -> Iterator[TimedFrame]:
        """Every frame from the one that is shown at `start` seconds."""
        held: TimedFrame | None = None
        for timed in self._from(start):
            if timed.seconds <= start + self._tolerance:
                held = timed
                continue
            if held is not None:
                yield held
                held = None
            yield timed
        if held is not None:
            yield held

    def backwards(self, start: float | int, end: float | int) -> Iterator[TimedFrame]:
        """Every frame from the last one before `end` to the one that is shown at `start`."""
        for low, high in self._chunks(start, end):
            kept = []
            for timed in self.forwards(low):
                if timed.seconds >= high - self._tolerance:
                    break
                if timed.seconds >= low - self._tolerance or low == start:
                    kept.append(timed)
            yield from reversed(kept)

    def _chunks(self, start: float | int, end: float | int) -> list[tuple[float, float]]:
        """Parts of the way, the last first, each short enough to be kept."""
        codec = self._video.stream.codec_context
        num_frames = max(2, _CHUNK_BYTES // (codec.width * codec.height * 3))
        count = math.ceil((end - start) / (num_frames / float(self.rate)))
        borders = [start + (end - start) * index / count for index in range(count + 1)]
        return list(itertools.pairwise(borders))[::-1]

    def _from(self, start: float | int) -> Iterator[TimedFrame]:
        if self._can_seek and start > 0:
            target = int((start + float(self._video.start_seconds)) * 1_000_000)
            self._video.rewind()
            self._video.container.seek(target)
            frames = self._timed()
            first = next(frames, None)
            if first is not None and first.seconds <= start + self._tolerance:
                yield first
                yield from frames
                return
        self._video.rewind()
        yield from self._timed()

    def _timed(self) -> Iterator[TimedFrame]:
        """Every frame with its time.

        Raises:
            MediaError: not one can be decoded.
        """
        clock, frames = FrameClock(self._video, self.rate), self._decoded()
        first = next(frames, None)
        if first is None:
            raise self._video.no_frames()
        for frame in itertools.chain([first], frames):
            yield TimedFrame(clock.seconds(clock.time_of(frame)), frame)

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._video.packets():
            yield from self._video.decode(packet)
        yield from self._video.decode(None)

    def _length(self) -> float:
        clock, end = FrameClock(self._video, self.rate), 0.0
        usual = float(1 / self.rate)
        for packet in self._video.packets():
            time = packet.dts if clock.decoding_times or packet.pts is None else packet.pts
            if time is not None:
                span = float((packet.duration or 0) * (packet.time_base or 0)) or usual
                end = max(end, clock.seconds(time) + span)
        return end or float(self._video.duration_seconds or 0) or usual


def _latest(
    frames: Iterator[TimedFrame], moments: list[float], tolerance: float | int, *, backwards: bool
) -> Iterator[TimedFrame]:
    """For each moment the frame that is shown then: the last one whose time has come, also on the way back."""
    held = next(frames)
    following = next(frames, None)
    for moment in moments:
        if backwards:
            while held.seconds >= moment - tolerance and following is not None:
                held, following = following, next(frames, None)
        else:
            while following is not None and following.seconds <= moment + tolerance:
                held, following = following, next(frames, None)
        yield held
