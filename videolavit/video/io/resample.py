"""The time grid: which source frame each tick of 1 / fps seconds shows (reference section 2.1).

Frames that no tick shows and no other frame refers to are not decoded. Whether that went well is checked frame by
frame; where a wanted frame does not come, everything is decoded instead.
"""

from __future__ import annotations

import bisect
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

import av
from av.video.frame import VideoFrame

from videolavit.video.io.limits import Limits
from videolavit.video.io.open import VideoReader

__all__ = ["FrameClock", "Stamped", "frames_on_ticks", "read_ticks", "show", "video_on_ticks"]

logger = logging.getLogger(__name__)

_LOOK_AHEAD = 32
"""Packets; twice the 16 images that codecs may reorder."""

Item = TypeVar("Item")
Stamped = tuple[int, VideoFrame | None]
"""The tick that a frame is rounded to, and the frame. The last item has no frame: its tick is where the video ends."""


def video_on_ticks(video: VideoReader, fps: Fraction, *, selective: bool = True) -> Iterator[VideoFrame]:
    """One source frame per tick, from tick 0; a frame that lasts for several ticks comes several times.

    Args:
        video: just opened; it is read to its end.
        fps: ticks per second.
        selective: leave out decoding what no tick shows. The frames do not depend on it.

    Raises:
        MediaError: not one frame could be decoded.
        LimitError: the video is longer, or an image larger, than the reader's limits allow.
    """

    def shown(stamped: Iterator[Stamped]) -> Iterator[VideoFrame]:
        return show(stamped, fps, video.limits, video.name)

    return read_ticks(video, fps, shown, selective=selective)


def read_ticks(
    video: VideoReader, fps: Fraction, read: Callable[[Iterator[Stamped]], Iterator[Item]], *, selective: bool
) -> Iterator[Item]:
    """Result of `read` on a video's frames, selectively decoded if possible.

    Args:
        video: just opened; it is read to its end.
        fps: ticks per second.
        read: makes items of frames; called again, with all frames, if leaving some out turns out not to work. Items
            must not depend on which frames are left out.
        selective: leave out decoding what no tick shows.
    """
    num_read = 0
    if selective and video.can_rewind:
        try:
            for item in read(_stamped(video, fps, _decode_wanted(video, fps))):
                num_read += 1
                yield item
            return
        except _WantedFrameMissing:
            logger.info("%s: decoding every frame, because leaving some out lost others", video.name)
            video.rewind()
    for position, item in enumerate(read(_stamped(video, fps, video.frames()))):
        if position >= num_read:
            yield item


def frames_on_ticks(
    frames: Iterable[VideoFrame], frame_rate: Fraction, fps: Fraction, limits: Limits, name: str
) -> Iterator[VideoFrame]:
    """One frame per tick of a sequence of frames without times, `frame_rate` of them a second."""
    return show(_stamp_evenly(frames, fps / frame_rate), fps, limits, name)


class _WantedFrameMissing(Exception):  # noqa: N818 - a signal inside this module
    pass


def show(stamped: Iterator[tuple[int, Item | None]], fps: Fraction, limits: Limits, name: str) -> Iterator[Item]:
    """At every tick the last frame, or what stands for it, whose own tick has come; the first also before its own."""
    last_tick = math.inf if math.isinf(limits.max_duration_seconds) else int(limits.max_duration_seconds * fps)
    next_tick, held = 0, None
    for tick, frame in stamped:
        if tick > last_tick:
            limits.check_duration(float(tick / fps), name)
        if held is not None:
            for _ in range(next_tick, tick):
                yield held
            next_tick = max(next_tick, tick)
        if frame is not None:
            held = frame
    if next_tick == 0 and held is not None:
        yield held  # An image, or a video shorter than half a tick, is still one frame.


def _stamp_evenly(frames: Iterable[VideoFrame], ticks_per_frame: Fraction) -> Iterator[Stamped]:
    numerator, denominator = ticks_per_frame.as_integer_ratio()
    count = 0
    for frame in frames:
        yield _round_half_away(count * numerator, denominator), frame
        count += 1
    yield _round_half_away(count * numerator, denominator), None


def _stamped(video: VideoReader, fps: Fraction, frames: Iterator[VideoFrame]) -> Iterator[Stamped]:
    clock = FrameClock(video, fps)
    last: VideoFrame | None = None
    for frame in frames:
        last = frame
        yield clock.tick(clock.time_of(frame)), frame
    if last is not None:
        yield clock.tick(clock.end), None


class FrameClock:
    """Times of a stream in units of its time base, and the ticks that they are rounded to."""

    def __init__(self, video: VideoReader, fps: Fraction) -> None:
        time_base = video.stream.time_base or Fraction(1, 1000)
        self._numerator, self._denominator = (fps * time_base).as_integer_ratio()
        self._seconds_per_unit = float(time_base)
        self._start = _round_half_away(*(video.start_seconds / time_base).as_integer_ratio())
        frame_rate = video.frame_rate or Fraction(25)
        self._usual_duration = max(1, _round_half_away(*(1 / (frame_rate * time_base)).as_integer_ratio()))
        # AVI has no display times, and those that libav makes up are wrong where images are reordered.
        self.decoding_times = video.container.format.name == "avi"
        self.end = self._start
        """End of the frame that was seen last."""

    def seconds(self, time: int) -> float:
        """A time in seconds from the start of the video."""
        return (time - self._start) * self._seconds_per_unit

    def tick(self, time: int) -> int:
        """The tick that a time is rounded to."""
        return _round_half_away((time - self._start) * self._numerator, self._denominator)

    def time_of(self, frame: VideoFrame) -> int:
        """Its display time; where it has none, the end of the frame before."""
        known = frame.dts if self.decoding_times or frame.pts is None else frame.pts
        time = self.end if known is None else known
        self.end = time + (frame.duration or self._usual_duration)
        return time


def _round_half_away(numerator: int, denominator: int) -> int:
    """The quotient to the nearest integer, halves away from zero. Not `Fraction`: this runs for every frame."""
    rounded = (2 * abs(numerator) + denominator) // (2 * denominator)
    return rounded if numerator >= 0 else -rounded


def _decode_wanted(video: VideoReader, fps: Fraction) -> Iterator[VideoFrame]:
    """Frames in display order, without those that no tick shows, as far as the decoder can leave them out.

    Raises:
        _WantedFrameMissing: a frame that a tick may show did not come, or times are missing.
    """
    decoder = video.stream.codec_context
    clock = FrameClock(video, fps)
    awaited: list[int] = []
    found = False
    for packet, wanted in _look_ahead(video, clock):
        decoder.skip_frame = "DEFAULT" if wanted else "NONREF"
        if wanted:
            bisect.insort(awaited, packet.pts or 0)
        for frame in video.decode(packet):
            found = True
            _arrived(frame, awaited)
            yield frame
    for frame in video.decode(None):
        found = True
        _arrived(frame, awaited)
        yield frame
    if awaited:
        raise _WantedFrameMissing
    if not found:
        raise video.no_frames()


def _arrived(frame: VideoFrame, awaited: list[int]) -> None:
    if frame.pts is None or (awaited and awaited[0] < frame.pts):
        raise _WantedFrameMissing
    if awaited and awaited[0] == frame.pts:
        del awaited[0]


def _look_ahead(video: VideoReader, clock: FrameClock) -> Iterator[tuple[av.Packet, bool]]:
    """Packets in decoding order, and whether a tick may show their frame.

    No tick shows a frame that a later one, rounded to the same tick, replaces. The first frame is always wanted.
    """
    if clock.decoding_times:
        raise _WantedFrameMissing
    window: deque[av.Packet] = deque()
    times: list[int] = []
    first_time: int | None = None
    packets = video.packets()
    while True:
        while len(window) < _LOOK_AHEAD and (packet := next(packets, None)) is not None:
            if packet.pts is None:
                raise _WantedFrameMissing
            window.append(packet)
            bisect.insort(times, packet.pts)
        if not window:
            return
        if first_time is None:
            first_time = times[0]
        packet = window.popleft()
        time = packet.pts or 0
        following = bisect.bisect_right(times, time)
        replaced = following < len(times) and clock.tick(times[following]) == clock.tick(time)
        yield packet, time == first_time or not replaced
        if len(times) > 4 * _LOOK_AHEAD:
            del times[:_LOOK_AHEAD]  # Long past: decoding has moved on by more than codecs reorder.
