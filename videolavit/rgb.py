"""Any Pillow image as it looks on a screen: upright, 8-bit sRGB, transparency over white.

The one place that does so, for files and for images in memory. A plain `convert("RGB")` is right for an 8-bit opaque
sRGB image alone: it shows what is hidden under transparent pixels, cuts 16-bit grey to black and white, takes the
numbers of a wide-gamut profile for sRGB, and lays a phone's photo on its side.
"""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

__all__ = ["rgb_pixels"]

logger = logging.getLogger(__name__)

_BACKGROUND = (255, 255, 255)
_ADOBE_TO_SRGB = np.array(
    [[1.39835574, -0.39835574, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293286, 1.04293286]], dtype=np.float32
)
"""Linear light, both with the white point D65."""
_ADOBE_GAMMA = 563 / 256
_DEEP_MODES = ("I", "F")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF."""


def rgb_pixels(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels of an image of any mode, as it is meant to be seen.

    Raises:
        ValueError: its samples have a range that nothing tells, such as 32-bit integers or floats beyond 0 to 1.
    """
    upright = _upright(image)
    shallow = _eight_bits(upright, image)
    return np.array(_in_srgb(_over_white(shallow), upright))


def _upright(image: Image.Image) -> Image.Image:
    """Turned and mirrored as its EXIF data or XMP says; as it is stored where those are damaged."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's EXIF reader raises whatever the damage leads to
        logger.warning("%s: damaged EXIF data is ignored: %s", _name(image), error)
        return image


def _eight_bits(image: Image.Image, original: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, integer or float, scaled to 8; any other image as it is."""
    if not image.mode.startswith(_DEEP_MODES):
        return image
    values = np.asarray(image)
    scaled = values.astype(np.float64) * (255 / _white(image.mode, values, original))
    if _tags(original).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 255 - scaled
    grey = Image.fromarray((scaled + 0.5).clip(0, 255).astype(np.uint8))
    grey.info = dict(image.info)
    transparent = grey.info.pop("transparency", None)
    if isinstance(transparent, int):  # one deep value stands for what is not there
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _white(mode: str, values: np.ndarray, original: Image.Image) -> float:
    """The value of white. Raises `ValueError` where nothing tells it."""
    lowest, highest = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ValueError("has samples that are not numbers; convert it to 8 or 16 bits")
    if mode.startswith("I;16"):
        return float(2 ** _bits(original, 16) - 1)
    if mode == "I" and lowest >= 0 and highest <= 65535:
        return 65535.0 if original.format is not None or highest > 255 else 255.0
    if mode == "F" and lowest >= 0 and highest <= 1:
        return 1.0
    raise ValueError(
        f"has {'32-bit' if mode == 'I' else 'float'} samples from {lowest:g} to {highest:g}, and nothing tells which "
        "is white; convert it to 8 or 16 bits"
    )


def _bits(image: Image.Image, usual: int) -> int:
    bits = _tags(image).get(_BITS_PER_SAMPLE)
    return int(bits[0]) if bits else usual


def _tags(image: Image.Image) -> Any:
    """Tags of a TIFF, nothing for any other image."""
    return getattr(image, "tag_v2", None) or {}


def _over_white(image: Image.Image) -> Image.Image:
    """An image with transparency laid over white; one without as it is."""
    if not image.has_transparency_data:
        return image
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    info, layered = dict(image.info), image.convert("RGBA")
    ground = Image.new("RGBA", image.size, (*_BACKGROUND, 255))
    flat = Image.alpha_composite(ground, layered).convert("RGB")
    flat.info = {name: value for name, value in info.items() if name != "transparency"}
    return flat


def _in_srgb(image: Image.Image, original: Image.Image) -> Image.Image:
    """RGB in sRGB, from the colour space that a profile or the camera's EXIF data names."""
    profile = original.info.get("icc_profile")
    if profile or image.mode == "LAB":
        converted = _through_profile(image, profile)
        if converted is not None:
            return converted
    if image.mode == "LAB":
        return image.convert("L").convert("RGB")  # at least its lightness
    plain = image.convert("RGB")
    return _from_adobe_rgb(plain) if not profile and _says_adobe_rgb(original) else plain


def _through_profile(image: Image.Image, profile: bytes | None) -> Image.Image | None:
    """Through an ICC profile; None where it is sRGB already, damaged, or of other channels than the image."""
    from PIL import ImageCms

    try:
        if profile:
            source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            described = source.profile.profile_description or ""
            if space == "RGB" and "srgb" in described.lower().replace(" ", "") and "linear" not in described.lower():
                return None
        else:
            source, space = ImageCms.createProfile("LAB"), "LAB"
        mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB", "Lab": "LAB"}[space]
        if mode in ("RGB", "L") and image.mode in ("1", "L", "P", "RGB", "YCbCr", "HSV"):
            image = image.convert(mode)
        if image.mode != mode:
            raise ValueError(f"a profile of {space} on an image of mode {image.mode}")
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, ValueError, KeyError, TypeError, OSError) as error:
        logger.warning("%s: its colour profile is ignored: %s", _name(image), error)
        return None


def _says_adobe_rgb(image: Image.Image) -> bool:
    """True if a camera says by its interoperability index, as it does in place of a profile, that this is Adobe RGB."""
    try:
        exif = image.getexif()
        interoperability = exif.get_ifd(ExifTags.IFD.Interop) or exif.get_ifd(ExifTags.IFD.Exif).get(0xA005) or {}
        return isinstance(interoperability, dict) and str(interoperability.get(1, "")).startswith("R03")
    except Exception:  # damaged EXIF data says nothing
        return False


def _from_adobe_rgb(image: Image.Image) -> Image.Image:
    linear = (np.asarray(image, dtype=np.float32) / 255) ** _ADOBE_GAMMA
    linear = (linear @ _ADOBE_TO_SRGB.T).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray((255 * encoded + 0.5).astype(np.uint8))


def _name(image: Image.Image) -> str:
    return str(getattr(image, "filename", "") or "the image")
