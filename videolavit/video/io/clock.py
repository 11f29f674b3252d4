"""One clock for a whole video stream, though the clocks of its parts restart, leap or run back.

Recordings are joined with `cat`, receivers are switched off and on, cameras start a file anew: the times in the packets
then leap. Leaps are taken out where FFmpeg's command takes them out, in containers whose times may be discontinuous,
and wherever time runs back, since what comes after would be lost. Each is told with its length.
"""

from __future__ import annotations

import logging
from fractions import Fraction

import av

__all__ = ["ContinuousClock"]

logger = logging.getLogger(__name__)

_DISCONTINUOUS = ("mpegts", "mpeg", "vob", "svcd", "dvd", "mpegtsraw", "wtv")
"""libav's formats whose times may leap without meaning a pause."""
_LONGEST_PAUSE_SECONDS = 10
"""As FFmpeg's `-dts_delta_threshold`: a leap of more, in such a format, is none in what was filmed."""
_LONGEST_SANE_SECONDS = 30 * 3600
"""As FFmpeg's `-dts_error_threshold`, in any other format: such a time is damaged."""
_RUNS_BACK_SECONDS = Fraction(1, 10)
"""Less is disorder among neighbours, which sorting by display time mends."""
_LONGEST_DELAY_SECONDS = 5
"""Delay from decoding to display that a frame may have, beyond what was usual before."""
_MOST_WARNINGS = 5


class ContinuousClock:
    """Corrects the times of packets in decoding order, one after the other."""

    def __init__(self, name: str, format_name: str, time_base: Fraction, usual_duration: int) -> None:
        self._name = name
        self._seconds = time_base
        self._usual_duration = usual_duration
        formats = set(format_name.split(","))
        self._may_leap = bool(formats & set(_DISCONTINUOUS))
        self._by_display = "matroska" in formats
        """Matroska has display times alone, and the decoding times that libav makes up are in no order."""
        self._expected: int | None = None
        self._start = self._last = 0
        self._offset = 0
        self._delay: int | None = None
        """From decoding to display of the packet before."""
        self._longest_pause = 0
        """Told; slides pause all the time."""
        self._num_leaps = 0

    def correct(self, packet: av.Packet) -> None:
        """Move the times of a packet so that they go on from the packets before."""
        time = packet.pts if self._by_display or packet.dts is None else packet.dts
        if time is None:
            return
        if self._expected is None:
            self._start = self._expected = self._last = time
        leap = time + self._offset - self._expected
        if self._is_wrong(leap, time, may_run_back=not self._by_display or packet.is_keyframe):
            self._tell(leap, taken_out=True)
            self._offset -= leap
        elif leap > 2 * self._longest_pause and leap * self._seconds > _LONGEST_PAUSE_SECONDS:
            self._tell(leap, taken_out=False)
            self._longest_pause = leap
        self._move(packet)
        time += self._offset
        self._last = max(self._last, time) if self._by_display else time
        end = time + (packet.duration or self._usual_duration)
        self._expected = max(self._expected, end) if self._by_display else end

    def _move(self, packet: av.Packet) -> None:
        if packet.pts is not None and packet.dts is not None and not self._by_display:
            # The parser gives the last frame before a leap the display time of the first one behind it.
            delay = packet.pts - packet.dts
            usual = delay if self._delay is None else self._delay
            if abs(delay - usual) > max(_LONGEST_DELAY_SECONDS / self._seconds, 32 * self._usual_duration):
                packet.pts = packet.dts + usual
            else:
                self._delay = delay
        if self._offset:
            packet.dts = None if packet.dts is None else packet.dts + self._offset
            packet.pts = None if packet.pts is None else packet.pts + self._offset

    def _is_wrong(self, leap: int, time: int, *, may_run_back: bool) -> bool:
        longest = _LONGEST_PAUSE_SECONDS if self._may_leap else _LONGEST_SANE_SECONDS
        back = (self._last - time - self._offset) * self._seconds
        return leap * self._seconds > longest or (may_run_back and back > _RUNS_BACK_SECONDS)

    def _tell(self, leap: int, *, taken_out: bool) -> None:
        self._num_leaps += 1
        if self._num_leaps > _MOST_WARNINGS:
            return
        at = float((self._expected or 0) - self._start) * float(self._seconds)
        length = abs(float(leap * self._seconds))
        way = "leaps forward" if leap > 0 else "runs back"
        what = "taken out, so that nothing is lost or repeated" if taken_out else "shown as the frame before them"
        rest = "; further leaps are not told" if self._num_leaps == _MOST_WARNINGS else ""
        logger.warning("%s: its clock %s by %.2f s at %.2f s; these are %s%s", self._name, way, length, at, what, rest)
