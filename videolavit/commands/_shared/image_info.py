"""Facts that `videolavit info` shows of still images, and of animated WebP, which the video libraries cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videolavit.commands._shared.console import readable_size
from videolavit.errors import LimitError, MediaError, PromptError
from videolavit.video import Limits
from videolavit.video.io.images import describe_image

__all__ = ["ImageInfo", "look_at_image"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageInfo:
    """A still image, or several in one file."""

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
        yield "image", f"{self.width} x {self.height}, {self.pixel_format}"
        if self.num_frames > 1:
            yield "time", f"{self.num_frames} frames"


def look_at_image(path: Path, limits: Limits) -> ImageInfo | None:
    """Facts about an image file, None if it is none.

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
    return ImageInfo(
        source=str(path),
        container=found.format,
        pixel_format=found.mode,
        width=found.width,
        height=found.height,
        num_frames=found.num_frames,
    )
