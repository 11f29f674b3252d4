"""What people hand to the pipeline: options, images and videos, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from videolavit.detokenizers.video_detokenizer import VideoOptions
from videolavit.errors import ConfigError, MediaError, PromptError
from videolavit.language.sampling import Sampling
from videolavit.nn.random import sample_generators
from videolavit.settings import ModelSettings
from videolavit.tokenizers.selector import PatchSelection
from videolavit.video import Frames, VideoInfo, probe
from videolavit.video.io.images import image_kind, read_image
from videolavit.video.io.sources import can_read_again, describe, is_file

__all__ = [
    "GenerationOptions",
    "ImageSource",
    "check_video",
    "is_still",
    "read_image",
    "resize_image",
]

ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, a Pillow image, or an RGB array (height, width, 3) of uint8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationOptions:
    """How ids and pixels are drawn. None stands for the model's own way, which is in its `ModelSettings`."""

    seed: int = 0
    """Same seed, model, machine and version: same ids and frames."""
    generator: torch.Generator | None = None
    """Source of all randomness in place of the seed."""
    height: int | None = None
    """Of the image in pixels; None for the size that the model was made for."""
    width: int | None = None
    sampling: Sampling | None = None
    """How ids are chosen."""
    constrained: bool = True
    """Hold blocks to the grammar; False cuts or fills malformed ones afterwards, as the released model does."""
    patch_selection: PatchSelection = "likeliest"
    """Which patches of a given image become tokens: the likely ones, or a draw as the released model does it."""
    keyframe_num_inference_steps: int | None = None
    keyframe_guidance_scale: float | None = None
    num_inference_steps: int | None = None
    """Denoising steps of the frames; this and the next six are explained in `VideoOptions`."""
    min_guidance_scale: float | None = None
    max_guidance_scale: float | None = None
    fps: float | None = None
    motion_bucket_id: float | None = None
    noise_aug_strength: float | None = None
    decode_chunk_size: int | None = None
    continuation: str = "restart"
    """How the next keyframe of a longer video starts from the last frame: "restart" noises it (as released),
    "inversion" inverts it (as in the paper), "none" takes no notice of it."""
    inverse_rate: float | None = None
    """Share of the steps that such a start skips; None for 0.85 (restart) or 0 (inversion)."""

    def __post_init__(self) -> None:
        if self.continuation not in ("restart", "inversion", "none"):
            raise ConfigError(f'got continuation={self.continuation!r}, expected "restart", "inversion" or "none"')
        if (self.height is None) != (self.width is None):
            raise ConfigError(f"got height {self.height} and width {self.width}, expected both or neither")

    def changed(self, **changes: Any) -> GenerationOptions:
        """These options with some replaced.

        Raises:
            ConfigError: there is no such option, or its value is out of range.
        """
        known = {option.name for option in dataclasses.fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise ConfigError(f"unknown option {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)

    def completed(self, settings: ModelSettings, *, after_image: bool = False) -> GenerationOptions:
        """These options, with the model's own way wherever they leave one open.

        The size is left open if the settings do not tell it; then the keyframe UNet does.

        Raises:
            ConfigError: a value is out of range.
        """
        own = {field.name: getattr(settings.frames, field.name) for field in dataclasses.fields(VideoOptions)}
        own["sampling"] = settings.sampling_after_image if after_image else settings.sampling
        own["keyframe_num_inference_steps"], own["keyframe_guidance_scale"] = (
            settings.keyframe_num_inference_steps,
            settings.keyframe_guidance_scale,
        )
        own["height"], own["width"] = settings.video_processor.size or (None, None)
        chosen = self.changed(**{name: value for name, value in own.items() if getattr(self, name) is None})
        dataclasses.replace(
            settings, keyframe_num_inference_steps=chosen.keyframe_num_inference_steps, frames=chosen.frames
        )  # checks them
        return chosen

    @property
    def frames(self) -> VideoOptions:
        """What the video detokenizer takes, of completed options."""
        return VideoOptions(**{field.name: getattr(self, field.name) for field in dataclasses.fields(VideoOptions)})

    def generators(self, stream: str) -> list[torch.Generator]:
        """The random stream of one step of the work, for a batch of one."""
        return [self.generator] if self.generator is not None else sample_generators(self.seed, 1, stream=stream)


read_image = read_image


def is_still(source: Any) -> bool:
    """Whether a source is a file of an image that does not move."""
    return is_file(source) and image_kind(source) == "image"


def check_video(source: Any) -> VideoInfo | None:
    """What is known of a file before it is read. Raises unless `source` may be a video: a still image is none.

    Raises:
        PromptError: an image in memory.
        MediaError: a file of an image, or one that cannot be read as a video.
    """
    if isinstance(source, Image.Image) or (isinstance(source, np.ndarray) and source.ndim == 3):
        raise PromptError("got an image as the video; pass it as image=, or frames as an array (frames, h, w, 3)")
    if isinstance(source, Frames) or not is_file(source):
        return None
    if can_read_again(source) and is_still(source):
        raise MediaError(f"{describe(source)}: is a still image, not a video; pass it as image=")
    return probe(source) if isinstance(source, str | os.PathLike | bytes) else None


def resize_image(image: UInt8[np.ndarray, "_ _ 3"], height: int, width: int) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """The whole image at another size, by Pillow's bicubic filter as the tokenizer does it."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
