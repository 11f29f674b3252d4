"""Bounds of what a request may hold and ask for, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, fields

from videolavit.errors import ConfigError

__all__ = ["RequestLimits"]

_MB = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestLimits:
    """Bounds of one request, and of all bodies together."""

    body_bytes: int = 64 * _MB
    """Of a request's body, counted as it arrives."""
    bodies_bytes: int = 1000 * _MB
    """Of the bodies of all requests under way, which stay in memory as long as these; what comes then is refused."""
    body_seconds: float | int = 60.0
    """In which all of it must have arrived."""
    media: int = 8
    """Images and videos of one request."""
    text_characters: int = 20_000
    """Of one prompt, or of all messages together."""
    messages: int = 64
    image_bytes: int = 20 * _MB
    image_pixels: int = 4096 * 4096
    video_bytes: int = 48 * _MB
    video_pixels: int = 4096 * 2304
    video_frames: int = 9000
    video_seconds: float | int = 120.0
    """Of the video's own time."""
    read_seconds: float | int = 10.0
    """Of wall time and of processor time to read one image or video."""
    read_memory_bytes: int = 400 * _MB
    """Bytes that reading one may take beyond those of the reading process at its start."""
    frames_bytes: int = 256 * _MB
    """Of the frames that a video is kept as."""
    answer_ids: int = 1024
    """More may be asked for and are not written."""
    answers: int = 8
    """`n` of a chat completion."""
    images: int = 10
    """`n` of an image generation."""
    candidates: int = 8
    clips: int = 8
    steps: int = 200
    pixels: int = 1024 * 1024
    """Width times height of what is generated."""
    result_bytes: int = 700 * _MB
    """Of the frames of a video that is made: all clips at all pixels, or a longer one that is smaller."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if not getattr(self, name) > 0:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected more than 0")
