"""Bounds on the size and length of a video: a guard against files made to exhaust memory."""

from __future__ import annotations

from dataclasses import dataclass, fields

from videolavit.config import plain_number
from videolavit.errors import ConfigError, LimitError

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Checked from the headers before anything is decoded, and again on what is really there."""

    max_bytes: int = 64 * 2**30
    """Size of the file, or how much is read from a pipe."""
    max_width: int = 8191
    max_height: int = 8191
    """Of the image, in pixels. MPEG-4 Part 2 cannot code more than 8191 either way."""
    max_pixels: int = 8191 * 4608
    """Width times height."""
    max_duration_seconds: float | int = 12 * 3600.0
    """`math.inf` for no limit."""
    max_index_entries: int = 20_000_000
    """Samples that the tables of an MP4 or MOV may declare; each takes about 70 bytes of memory. 12 hours of video with
    five sound tracks have 12 million."""

    video_stream: int | None = None
    """Number of the video stream that is read, counted from 0; by default the one that libav calls best."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = plain_number(getattr(self, field.name))
            if field.name != "video_stream" and not (isinstance(value, int | float) and value > 0):
                raise ConfigError(f"got {field.name}={value!r}, expected a number above 0")
        if self.video_stream is not None and self.video_stream < 0:
            raise ConfigError(f"got video_stream={self.video_stream}, expected 0 or more")

    def check_bytes(self, num_bytes: int, name: str) -> None:
        """Raises `LimitError` for a file of more than `max_bytes`."""
        self._check("max_bytes", num_bytes, f"{name}: has {num_bytes} bytes")

    def check_size(self, width: int, height: int, name: str) -> None:
        """Raises `LimitError` for an image that is too wide, too high, or has too many pixels."""
        found = f"{name}: the image is {width} x {height} pixels"
        self._check("max_width", width, found)
        self._check("max_height", height, found)
        self._check("max_pixels", width * height, found)

    def check_duration(self, seconds: float | int, name: str) -> None:
        """Raises `LimitError` for a video of more than `max_duration_seconds`."""
        self._check("max_duration_seconds", seconds, f"{name}: lasts {seconds:.6g} s")

    def check_index(self, num_entries: int, name: str) -> None:
        """Raises `LimitError` for a file that makes libav list more than `max_index_entries`."""
        self._check("max_index_entries", num_entries, f"{name}: its tables declare {num_entries} samples")

    def _check(self, option: str, value: float | int, found: str) -> None:
        allowed, flag = getattr(self, option), option.replace("_", "-")
        if value > allowed:
            raise LimitError(
                f"{found}, more than {option}={allowed} allows; raise {option} (in a command: --{flag}) if you trust it"
            )
