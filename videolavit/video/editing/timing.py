"""Timing of an edit: pieces of a video one after another, each at a speed of its own. Pure numbers."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from videolavit.errors import ConfigError

__all__ = ["Pause", "Piece", "Timing", "parse_pieces"]

SPEEDS = (0.01, 100.0)
"""Slowest and fastest, of either direction."""
_PIECE = re.compile(r"(?P<start>[\d.]*)-(?P<end>[\d.]*):(?P<speed>-?[\d.]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """The part of a video from one second to another; a negative speed runs it backwards."""

    start: float | int
    end: float | int
    speed: float | int = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end < math.inf:
            raise ConfigError(f"a piece from {self.start:g} to {self.end:g} s; expected an end after its start")
        check_speed(self.speed)

    @property
    def seconds(self) -> float:
        """Length of the result."""
        return (self.end - self.start) / abs(self.speed)

    def moment(self, seconds: float | int) -> float:
        """Second of the video that is shown so many seconds after the piece begins."""
        return self.start + seconds * self.speed if self.speed > 0 else self.end + seconds * self.speed


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """One image of the video that stands still, in silence."""

    at: float | int
    seconds: float | int

    def __post_init__(self) -> None:
        if not (0 <= self.at < math.inf and 0 < self.seconds < math.inf):
            raise ConfigError(
                f"a pause of {self.seconds:g} s at {self.at:g} s; expected at least 0, and longer than 0 s"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Pieces and pauses in the order in which they are shown."""

    parts: tuple[Piece | Pause, ...]

    @property
    def seconds(self) -> float:
        """Length of the result."""
        return sum(part.seconds for part in self.parts)

    @property
    def keeps_time(self) -> bool:
        """True if one piece is shown as it is."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Piece) and self.parts[0].speed == 1

    def num_frames(self, fps: Fraction) -> list[int]:
        """Frames of every part; rounding does not add up over the parts."""
        ends = [0.0]
        for part in self.parts:
            ends.append(ends[-1] + part.seconds)
        ticks = [round(end * fps) for end in ends]
        return [max(end - start, 0) for start, end in itertools.pairwise(ticks)]

    def with_pause(self, pause: Pause) -> Timing:
        """The same, standing still when `pause.at` has been shown for the first time.

        Raises:
            ConfigError: that second is not shown.
        """
        parts: list[Piece | Pause] = []
        rest = list(self.parts)
        while rest:
            part = rest.pop(0)
            if isinstance(part, Piece) and part.start <= pause.at <= part.end:
                return Timing(parts=(*parts, *_split(part, pause), *rest))
            parts.append(part)
        raise ConfigError(f"second {pause.at:g} is not shown, so the video cannot stand still there")

    def reversed(self) -> Timing:
        """The same backwards."""
        turned = [
            Piece(start=part.start, end=part.end, speed=-part.speed) if isinstance(part, Piece) else part
            for part in self.parts[::-1]
        ]
        return Timing(parts=tuple(turned))

    def faster(self, factor: float | int) -> Timing:
        """The same with every piece at `factor` times its speed; pauses stay as long as they are."""
        changed = [
            Piece(start=part.start, end=part.end, speed=part.speed * factor) if isinstance(part, Piece) else part
            for part in self.parts
        ]
        return Timing(parts=tuple(changed))


def check_speed(speed: float | int) -> None:
    """Raise `ConfigError` unless a speed is between a hundredth and a hundred, forwards or backwards."""
    if not SPEEDS[0] <= abs(speed) <= SPEEDS[1]:
        raise ConfigError(f"got a speed of {speed:g}, expected {SPEEDS[0]:g} to {SPEEDS[1]:g}; 0.5 is half as fast")


def parse_pieces(text: str, duration: float | int) -> Timing:
    """Read `0-2:0.5,2-4:2,4-:1`: start, end and speed of pieces, in seconds of the video.

    A start that is left out is the end of the piece before, an end that is left out that of the video.

    Args:
        text: as above; a negative speed runs backwards.
        duration: of the video in seconds.

    Raises:
        ConfigError: it is none of these, or a piece lies outside of the video.
    """
    parts: list[Piece | Pause] = []
    before = 0.0
    for word in filter(None, re.split(r"[,; ]+", text)):
        piece = _piece(word, before, duration)
        parts.append(piece)
        before = piece.end
    if not parts:
        raise ConfigError(f"got the pieces {text!r}, expected START-END:SPEED, such as 0-2:0.5,2-4:2")
    return Timing(parts=tuple(parts))


def _piece(word: str, before: float | int, duration: float | int) -> Piece:
    match = _PIECE.fullmatch(word)
    if match is None:
        raise ConfigError(f"got the piece {word!r}, expected START-END:SPEED in seconds, such as 1.5-4:0.5")
    try:
        start = float(match["start"]) if match["start"] else before
        end = float(match["end"]) if match["end"] else duration
        speed = float(match["speed"])
    except ValueError:
        raise ConfigError(f"got the piece {word!r}, expected numbers such as 1.5-4:0.5") from None
    if start >= duration or end > duration + 0.05:
        raise ConfigError(f"the piece {word!r} lies outside of the video, which is {duration:.2f} s long")
    return Piece(start=start, end=min(end, duration), speed=speed)


def _split(piece: Piece, pause: Pause) -> Iterable[Piece | Pause]:
    early = Piece(start=piece.start, end=pause.at, speed=piece.speed) if pause.at > piece.start else None
    late = Piece(start=pause.at, end=piece.end, speed=piece.speed) if pause.at < piece.end else None
    around = (early, pause, late) if piece.speed > 0 else (late, pause, early)
    return [part for part in around if part is not None]
