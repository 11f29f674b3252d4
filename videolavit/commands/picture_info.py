"""What `videolavit info` tells of still pictures, and of animated WebP, which the video libraries cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videolavit.commands.console import readable_size
from videolavit.errors import LimitError, MediaError, PromptError
from videolavit.video import Limits
from videolavit.video.io.images import describe_image

__all__ = ["PictureInfo", "look_at_picture"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureInfo:
    """A still picture, or several in one file."""

    source: str
    container: str
    pixel_format: str
    width: int
    height: int
    num_frames: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self, num_bytes: int | None) -> Iterator[tuple[str, str]]:
        """Names and values to print."""
        yield "file", f"{self.container}{'' if num_bytes is None else f', {readable_size(num_bytes)}'}"
        yield "picture", f"{self.width} x {self.height}, {self.pixel_format}"
        if self.num_frames > 1:
            yield "time", f"{self.num_frames} frames"


def look_at_picture(path: Path, limits: Limits) -> PictureInfo | None:
    """What an image file holds, None if it is none.

    Raises:
        LimitError: it is larger than `limits` allow.
    """
    try:
        found = describe_image(path)
    except LimitError:
        raise
    except (MediaError, PromptError):
        return None
    limits.check_size(found.width, found.height, str(path))
    if found.format == "GIF" and found.is_animation:
        return None  # described better as the video that it is
    return PictureInfo(
        source=str(path),
        container=found.format,
        pixel_format=found.mode,
        width=found.width,
        height=found.height,
        num_frames=found.num_frames,
    )
