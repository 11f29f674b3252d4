"""Still images from files and memory: the one reader for every command and method.

Containers that hold a second image beside the first, such as a phone's preview (MPO) or the pages of a scan (TIFF), are
still images: the main one is read. GIF, APNG, WebP and AVIF with several frames are animations, which are videos.
"""

from __future__ import annotations

import io
import logging
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image

from videolavit.errors import LimitError, MediaError, PromptError
from videolavit.rgb import rgb_pixels

__all__ = ["IMAGE_EXTENSIONS", "IMAGE_FORMATS", "ImageFile", "describe_image", "image_kind", "open_image", "read_image"]

logger = logging.getLogger(__name__)

IMAGE_FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "GIF", "AVIF", "HEIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "PSD", "QOI"),
    *("ICO", "CUR", "ICNS", "DDS", "PCX", "SGI", "SUN", "XBM", "XPM"),
)
"""Pillow's readers that are used. Left out are those that start another program, hold no images, or take any bytes."""
IMAGE_EXTENSIONS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".avif", ".heic", ".heif", ".hif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".psd", ".qoi"),
    *(".ico", ".cur", ".icns", ".dds", ".pcx", ".sgi", ".ras", ".xbm", ".xpm", ".tga"),
)
_BY_NAME_ALONE = {".tga": "TGA", ".icb": "TGA", ".vda": "TGA", ".vst": "TGA"}
"""Formats without a signature, taken where the name says so."""
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF", "HEIF")
"""Formats in which several frames are a video. HEIF only as a sequence, whose images have times."""
_MOST_PIXELS = 2**28
"""268 million: the largest photos of phones have 200 million."""
_REDUCED, _SUBFILE_TYPE, _DNG_VERSION, _MAKE_OF_RAW = 1, 254, 50706, (".dng", ".cr2", ".nef", ".arw", ".orf", ".rw2")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

_lock = threading.Lock()
"""Pillow keeps its limit of pixels in a global variable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFile:
    """Facts about an image file."""

    format: str
    mode: str
    width: int
    height: int
    """As displayed."""
    num_frames: int
    is_animation: bool


def read_image(source: Any) -> UInt8[np.ndarray, "height width 3"]:
    """An image as it is meant to be seen: upright, 8-bit sRGB, transparency over white.

    Args:
        source: a path, the bytes of a file, a binary file object, a Pillow image, or an RGB array (height, width, 3) of
            uint8, which is returned as it is.

    Raises:
        PromptError: a video, or something that is no image at all.
        MediaError: a file that cannot be read as an image, or a URL.
        LimitError: more than 268 million pixels.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, Image.Image):
        with _explained("the image"):
            return rgb_pixels(source)
    with open_image(source) as image:
        name = _name_of(source)
        with _explained(name):
            is_animation = _is_animation(image)
        if is_animation:
            raise MediaError(f"{name}: is an animation, not an image; pass it as video=")
        with _explained(name):
            _seek_main_page(image, name)
            return rgb_pixels(image)


def image_kind(source: Any) -> Literal["image", "animation"] | None:
    """`image` for a file of a still image, `animation` for one of these formats that moves, None for anything else."""
    try:
        with open_image(source) as image, _explained(_name_of(source)):
            return "animation" if _is_animation(image) else "image"
    except LimitError:
        return "image"
    except (MediaError, PromptError):
        return None


def _head(file: Any, name: str) -> bytes:
    """The first bytes of an open file, which is then at its beginning again.

    Raises:
        MediaError: it was opened as text, is closed, or cannot be read.
    """
    try:
        file.seek(0)
        head = file.read(32)
        file.seek(0)
    except (OSError, ValueError) as error:
        raise MediaError(f"{name}: cannot be read: {error}") from error
    if not isinstance(head, bytes):
        raise MediaError(f"{name}: is open as text, expected bytes; open it with mode 'rb'")
    return head


def describe_image(source: Any) -> ImageFile:
    """Facts about an image file, which is not decoded and may be of any size.

    Raises:
        MediaError: it is no image file.
    """
    with open_image(source, max_pixels=math.inf) as image, _explained(_name_of(source)):
        width, height = image.size
        if _is_turned(image):
            width, height = height, width
        return ImageFile(
            format=image.format or "",
            mode=image.mode,
            width=width,
            height=height,
            num_frames=getattr(image, "n_frames", 1),
            is_animation=_is_animation(image),
        )


def _is_turned(image: Image.Image) -> bool:
    """True if an image lies on its side. Pillow tells the upright size of a TIFF, and decodes a PNG to know."""
    if image.format == "TIFF" or image.width * image.height > _MOST_PIXELS:
        return False
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # of a damaged file or damaged EXIF data
        return False


@contextmanager
def open_image(source: Any, *, max_pixels: float = _MOST_PIXELS) -> Iterator[Image.Image]:
    """A Pillow image of a file that is in one of `IMAGE_FORMATS`, not decoded yet.

    Raises:
        PromptError: not a path, bytes or file object.
        MediaError: no such file, a URL, or no image.
        LimitError: more than `max_pixels`.
    """
    name = _name_of(source)
    file, owned = _opened(source, name)
    try:
        head = _head(file, name)
        formats = _formats(name, head)
        with _explained(name, formats=formats, is_empty=not head):
            image = _open_with_limit(file, formats)
        if image.width * image.height > max_pixels:
            raise LimitError(
                f"{name}: has {image.width} x {image.height} pixels, more than {max_pixels}; make it smaller first"
            )
        yield image
    finally:
        if owned:
            file.close()


def _checked_array(source: np.ndarray) -> np.ndarray:
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[-1] != 3 or 0 in source.shape:
        hint = "; pass several frames as video=" if source.ndim == 4 else ""
        raise PromptError(
            f"got an array of shape {source.shape} and type {source.dtype} as the image, expected (height, width, 3) "
            f"of uint8{hint}"
        )
    return source


def _name_of(source: Any) -> str:
    from videolavit.video.io.sources import describe

    return describe(source)


def _opened(source: Any, name: str) -> tuple[Any, bool]:
    from videolavit.video.io.sources import local_path

    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), True
    if isinstance(source, str | os.PathLike):
        try:
            return open(local_path(source), "rb"), True
        except MediaError:
            raise
        except FileNotFoundError as error:
            raise MediaError(f"{name}: no such file; relative paths start at {os.getcwd()!r}") from error
        except (OSError, ValueError) as error:
            raise MediaError(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if callable(getattr(source, "read", None)) and callable(getattr(source, "seek", None)):
        return source, False
    raise PromptError(
        f"got a {type(source).__name__} as the image, expected a path, bytes, a Pillow image or an array of pixels"
    )


def _formats(name: str, head: bytes) -> tuple[str, ...]:
    """Pillow's readers for a file, with that of HEIF where the optional library for it is installed."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(name)
        return IMAGE_FORMATS
    extra = _BY_NAME_ALONE.get(Path(name).suffix.lower())
    known = tuple(one for one in IMAGE_FORMATS if one != "HEIF")
    return (*known, extra) if extra else known


def _register_heif(name: str) -> None:
    try:
        from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MediaError(
            f"{name}: is a HEIC image, which needs one more library: pip install 'videolavit[heic]', or save it as JPEG"
        ) from error
    register_heif_opener()


def _open_with_limit(file: Any, formats: tuple[str, ...]) -> Image.Image:
    with _lock:
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # `open_image` has its own
        try:
            return Image.open(file, formats=[one for one in formats if _is_known(one)])
        finally:
            Image.MAX_IMAGE_PIXELS = usual


def _is_known(name: str) -> bool:
    Image.init()
    return name in Image.OPEN


def _is_animation(image: Image.Image) -> bool:
    if image.format not in _ANIMATED or getattr(image, "n_frames", 1) == 1:
        return False
    return image.format != "HEIF" or "duration" in image.info


def _seek_main_page(image: Image.Image, name: str) -> None:
    """The first page of a TIFF that is no reduced copy of another; every other format opens at its main image."""
    if image.format != "TIFF":
        return
    tags: Any = image
    if _DNG_VERSION in tags.tag_v2 or Path(name).suffix.lower() in _MAKE_OF_RAW:
        raise MediaError(f"{name}: is a raw photo, which needs developing first; export it as JPEG, PNG or TIFF")
    pages = getattr(image, "n_frames", 1)
    for page in range(pages):
        image.seek(page)
        if not int(tags.tag_v2.get(_SUBFILE_TYPE, 0)) & _REDUCED:
            break
    else:
        image.seek(0)
    if pages > 1:
        logger.warning("%s: has %d pages; page %d is read", name, pages, image.tell() + 1)


@contextmanager
def _explained(name: str, *, formats: tuple[str, ...] = (), is_empty: bool = False) -> Iterator[None]:
    """One error for all that Pillow's readers raise, which on damaged files may be anything."""
    try:
        yield
    except (MediaError, PromptError):
        raise
    except Exception as error:
        if is_empty:
            raise MediaError(f"{name}: is empty (0 bytes), expected an image; was it downloaded completely?") from error
        if isinstance(error, Image.UnidentifiedImageError):
            known = ", ".join(dict.fromkeys(one for one in formats if one not in ("MPO", "DIB")))
            raise MediaError(
                f"{name}: is not an image in one of {known}, or its start is damaged; pass a video as video="
            ) from error
        raise MediaError(f"{name}: cannot be read as an image: {error or type(error).__name__}") from error
