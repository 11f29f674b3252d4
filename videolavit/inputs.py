"""What people hand to the pipeline: options, pictures and videos, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from videolavit.detokenizers.video import VideoOptions
from videolavit.errors import ConfigError, MediaError, PromptError
from videolavit.language.sampling import Sampling
from videolavit.nn.random import sample_generators
from videolavit.settings import ModelSettings
from videolavit.tokenizers.selector import Choice
from videolavit.video import Frames, VideoInfo, probe
from videolavit.video.sources import is_file

__all__ = [
    "PICTURE_FORMATS",
    "DrawOptions",
    "PictureSource",
    "check_video",
    "is_still",
    "read_picture",
    "resize_picture",
]

PictureSource = str | os.PathLike[str] | Image.Image | np.ndarray
"""A path, a Pillow image, or an RGB array (height, width, 3) of uint8."""

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Those that are read. Pillow knows many more that nobody hands to a model, and one that starts another program."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawOptions:
    """How ids and pixels are drawn. None stands for the model's own way, which is in its `ModelSettings`."""

    seed: int = 0
    """Same seed, model, machine and version: same ids and frames."""
    generator: torch.Generator | None = None
    """Source of all randomness in place of the seed."""
    height: int | None = None
    """Of the picture in pixels; None for the size that the model was made for."""
    width: int | None = None
    sampling: Sampling | None = None
    """How ids are chosen."""
    released: bool = False
    """Let blocks come out malformed as the released model does, and then cut or fill them, in place of the grammar."""
    choice: Choice = "argmax"
    """Which patches of a given picture become tokens: the likely ones, or a draw as the released model does it."""
    keyframe_steps: int | None = None
    keyframe_guidance: float | None = None
    steps: int | None = None
    """Denoising steps of the frames; this and the next six are explained in `VideoOptions`."""
    min_guidance: float | None = None
    max_guidance: float | None = None
    fps: float | None = None
    motion_bucket: float | None = None
    noise_augmentation: float | None = None
    decode_chunk: int | None = None
    noise: str = "restart"
    """How the next keyframe of a longer video starts from the last frame: "restart" noises it (as released),
    "inversion" inverts it (as in the paper), "none" takes no notice of it."""
    inverse_rate: float | None = None
    """Share of the steps that such a start skips; None for 0.85 (restart) or 0 (inversion)."""

    def __post_init__(self) -> None:
        if self.noise not in ("restart", "inversion", "none"):
            raise ConfigError(f'got noise={self.noise!r}, expected "restart", "inversion" or "none"')
        if (self.height is None) != (self.width is None):
            raise ConfigError(f"got height {self.height} and width {self.width}, expected both or neither")

    def changed(self, **changes: Any) -> DrawOptions:
        """These options with some replaced.

        Raises:
            ConfigError: there is no such option, or its value is out of range.
        """
        known = {option.name for option in dataclasses.fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise ConfigError(f"unknown option {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)

    def completed(self, settings: ModelSettings, *, after_picture: bool = False) -> DrawOptions:
        """These options, with the model's own way wherever they leave one open.

        The size is left open if the settings do not tell it; then the keyframe UNet does.

        Raises:
            ConfigError: a value is out of range.
        """
        own = {field.name: getattr(settings.frames, field.name) for field in dataclasses.fields(VideoOptions)}
        own["sampling"] = settings.sampling_after_picture if after_picture else settings.sampling
        own["keyframe_steps"], own["keyframe_guidance"] = settings.keyframe_steps, settings.keyframe_guidance
        own["height"], own["width"] = settings.front_end.size or (None, None)
        chosen = self.changed(**{name: value for name, value in own.items() if getattr(self, name) is None})
        dataclasses.replace(settings, keyframe_steps=chosen.keyframe_steps, frames=chosen.frames)  # checks them
        return chosen

    @property
    def frames(self) -> VideoOptions:
        """What the video detokenizer takes, of completed options."""
        return VideoOptions(**{field.name: getattr(self, field.name) for field in dataclasses.fields(VideoOptions)})

    def generators(self, stream: str) -> list[torch.Generator]:
        """The random stream of one step of the work, for a batch of one."""
        return [self.generator] if self.generator is not None else sample_generators(self.seed, 1, stream=stream)


def read_picture(source: Any) -> UInt8[np.ndarray, "height width 3"]:
    """A picture as RGB, turned as its EXIF data says, from a `PictureSource`.

    Raises:
        PromptError: a video, or something that is no picture at all.
        MediaError: a file that cannot be read as a picture.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[-1] != 3 or 0 in source.shape:
            hint = "; pass several frames as video=" if source.ndim == 4 else ""
            raise PromptError(
                f"got an array of shape {source.shape} and type {source.dtype} as the image, expected (height, width, "
                f"3) of uint8{hint}"
            )
        return source
    if isinstance(source, Image.Image):
        return np.array(ImageOps.exif_transpose(source).convert("RGB"))
    if not isinstance(source, str | os.PathLike):
        raise PromptError(f"got a {type(source).__name__} as the image, expected a path, a Pillow image or an array")
    return _open_picture(Path(source))


def check_video(source: Any) -> VideoInfo | None:
    """What is known of a file before it is read. Raises unless `source` may be a video: a still picture is none.

    Raises:
        PromptError: a picture in memory.
        MediaError: a file of a picture, or one that cannot be read as a video.
    """
    if isinstance(source, Image.Image) or (isinstance(source, np.ndarray) and source.ndim == 3):
        raise PromptError("got a picture as the video; pass it as image=, or frames as an array (frames, h, w, 3)")
    if isinstance(source, Frames) or not is_file(source):
        return None
    if isinstance(source, str | os.PathLike) and is_still(Path(source)):
        raise MediaError(f"{os.fspath(source)!s}: is a still picture, not a video; pass it as image=")
    return probe(source) if isinstance(source, str | os.PathLike | bytes) else None


def resize_picture(
    picture: UInt8[np.ndarray, "_ _ 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """The whole picture at another size, by Pillow's bicubic filter as the tokenizer does it."""
    if picture.shape[:2] == (height, width):
        return picture
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def _open_picture(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise MediaError(f"{path}: is an animation, not a picture; pass it as video=")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as error:
        raise MediaError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{path}: is not a picture in one of {', '.join(PICTURE_FORMATS)}; pass a video as video="
        ) from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: cannot be read as a picture: {error}") from error


def is_still(path: Path) -> bool:
    """Whether a file is a picture that does not move."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            return getattr(image, "n_frames", 1) == 1
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
