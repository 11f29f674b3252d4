"""What people hand to the pipeline: options, pictures and videos, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from videolavit.detokenizers.video import VideoOptions
from videolavit.errors import ConfigError, MediaError, PromptError
from videolavit.language.sampling import Sampling
from videolavit.nn.random import sample_generators
from videolavit.settings import ModelSettings
from videolavit.tokenizers.selector import Choice
from videolavit.video import Frames, VideoInfo, probe
from videolavit.video.io.images import image_kind, read_image
from videolavit.video.sources import can_read_again, describe, is_file

__all__ = [
    "DrawOptions",
    "PictureSource",
    "check_video",
    "is_still",
    "read_picture",
    "resize_picture",
]

PictureSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, a Pillow image, or an RGB array (height, width, 3) of uint8."""


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


read_picture = read_image


def is_still(source: Any) -> bool:
    """Whether a source is a file of an image that does not move."""
    return is_file(source) and image_kind(source) == "image"


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
    if can_read_again(source) and is_still(source):
        raise MediaError(f"{describe(source)}: is a still picture, not a video; pass it as image=")
    return probe(source) if isinstance(source, str | os.PathLike | bytes) else None


def resize_picture(
    picture: UInt8[np.ndarray, "_ _ 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """The whole picture at another size, by Pillow's bicubic filter as the tokenizer does it."""
    if picture.shape[:2] == (height, width):
        return picture
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
