"""What `videolavit info` tells of still pictures, and of animated WebP, which the video libraries cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from videolavit.commands.console import readable_size
from videolavit.errors import LimitError
from videolavit.video import Limits

__all__ = ["PictureInfo", "look_at_picture"]

FORMATS = ("PNG", "WEBP", "JPEG", "BMP")
"""GIF is read as a video. Others are left alone: some of Pillow's readers start programs."""


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
    """What a picture file holds, None if it is none or Pillow does not trust it.

    Raises:
        LimitError: it is larger than `limits` allow.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            limits.check_size(image.width, image.height, str(path))
            return PictureInfo(
                source=str(path),
                container=image.format or "",
                pixel_format=image.mode,
                width=image.width,
                height=image.height,
                num_frames=getattr(image, "n_frames", 1),
            )
    except LimitError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
