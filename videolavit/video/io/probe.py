"""Facts about a video, without taking it apart: `probe` and the value it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange

from videolavit.video.io.limits import Limits
from videolavit.video.io.open import VideoReader, open_video
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.sources import Source

__all__ = ["VideoInfo", "probe"]

_COLOR_SPACES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
}
"""libav's `AVColorSpace`, for which PyAV has no names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """Facts about a video file. What the headers do not tell is `None`."""

    source: str
    """Path, or a description of what was read."""
    container: str
    """libav's names of the format, e.g. `mov,mp4,m4a,3gp,3g2,mj2`."""
    codec: str
    profile: str | None
    pixel_format: str
    width: int
    height: int
    """As displayed: after the rotation."""
    coded_width: int
    coded_height: int
    """As stored: before the rotation."""
    rotation_degrees: int
    """Clockwise turn of the stored image for display, in degrees: 0, 90, 180 or 270."""
    duration_seconds: float | None
    frame_rate: Fraction | None
    """Average frames per second."""
    num_frames: int | None
    """As the headers declare it, or counted when `image_types` was asked for."""
    color_range: str
    """`limited`, `full` or `unspecified`."""
    color_space: str
    """e.g. `bt709`, or `unspecified`."""
    has_audio: bool
    num_video_streams: int
    image_types: str | None = None
    """One letter per frame in display order, e.g. `IPPBPI`; only on request, because it decodes everything."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; the frame rate as a fraction in text, e.g. `30000/1001`."""
        values = dataclasses.asdict(self)
        values["frame_rate"] = None if self.frame_rate is None else str(self.frame_rate)
        return values


def probe(source: Source, *, limits: Limits | None = None, image_types: bool = False) -> VideoInfo:
    """Describe a video: its headers and its first frame.

    Args:
        source: a path, the bytes of a file, or a binary file object.
        limits: what to refuse; by default `Limits()`.
        image_types: decode all of it to tell the type of every image.

    Raises:
        MediaError: there is no such file, it is not a video, or not one frame can be decoded.
        LimitError: it is larger or longer than `limits` allow.
    """
    with open_video(source, limits=limits) as video:
        frames = video.frames()
        first = next(frames)
        info = _describe(video, first)
        if not image_types:
            return info
        types = "".join(_letters(chain([first], frames)))
        return dataclasses.replace(info, image_types=types, num_frames=len(types))


def _describe(video: VideoReader, first: VideoFrame) -> VideoInfo:
    orientation = Orientation.of(first)
    width, height = orientation.displayed_size(first.width, first.height)
    decoder = video.stream.codec_context
    return VideoInfo(
        source=video.name,
        container=video.container.format.name,
        codec=decoder.codec.canonical_name,
        profile=decoder.profile,
        pixel_format=first.format.name,
        width=width,
        height=height,
        coded_width=first.width,
        coded_height=first.height,
        rotation_degrees=orientation.clockwise_degrees,
        duration_seconds=None if video.duration_seconds is None else float(video.duration_seconds),
        frame_rate=video.frame_rate,
        num_frames=video.stream.frames or None,
        color_range=_color_range(first),
        color_space=_color_space(first),
        has_audio=bool(video.container.streams.audio),
        num_video_streams=len(video.container.streams.video),
    )


def _letters(frames: Iterator[VideoFrame]) -> Iterator[str]:
    for frame in frames:
        yield PictureType(frame.pict_type).name[0] if frame.pict_type else "?"


def _color_range(frame: VideoFrame) -> str:
    if frame.format.name.startswith("yuvj"):
        return "full"
    return {ColorRange.MPEG.value: "limited", ColorRange.JPEG.value: "full"}.get(frame.color_range, "unspecified")


def _color_space(frame: VideoFrame) -> str:
    return _COLOR_SPACES.get(frame.colorspace, "unspecified")
