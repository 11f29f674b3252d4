"""Options of generation: the one place where each is named, explained and given its range.

Names are those of diffusers and transformers. The command line, the server and the page derive their options from the
fields of `GenerationOptions`; `option_info` gives what they need to show of one.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import torch

from videolavit.detokenizers.video_options import VideoOptions
from videolavit.errors import ConfigError
from videolavit.language.sampling import Sampling
from videolavit.nn.random import sample_generators
from videolavit.settings import ModelSettings
from videolavit.tokenizers.selector import PatchSelection

__all__ = ["GenerationOptions", "OptionInfo", "option_info"]

CONTINUATIONS = ("restart", "inversion", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionInfo:
    """What a surface shows of one option."""

    help: str
    unit: str = ""
    minimum: float | int = -math.inf
    maximum: float | int = math.inf
    above: float | int = -math.inf
    """The value must be more than this."""
    video_only: bool = False
    """Whether the option matters for videos alone."""

    def check(self, name: str, value: Any) -> None:
        """Raise ConfigError for a number out of range, or for something that is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"got {name}={value!r}, expected a number")
        if not (self.minimum <= value <= self.maximum and value > self.above and math.isfinite(value)):
            raise ConfigError(f"got {name}={value:g}, expected {self.range}")

    @property
    def range(self) -> str:
        """The values that are allowed, in words."""
        if self.above > -math.inf:
            return f"more than {self.above:g}"
        if self.maximum < math.inf:
            return f"{self.minimum:g} to {self.maximum:g}"
        return f"at least {self.minimum:g}"


def _option(text: str, **info: Any) -> Any:
    return field(default=None, metadata={"info": OptionInfo(help=text, **info)})


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationOptions:
    """Options of generated ids and pixels. None stands for the model's own value, from its `ModelSettings`."""

    seed: int = 0
    """Same seed, model, machine and version: same ids and frames."""
    generator: torch.Generator | None = None
    """Source of all randomness in place of the seed."""
    height: int | None = _option("height of the result; goes with width", unit="pixels", minimum=1)
    width: int | None = _option("width of the result; goes with height", unit="pixels", minimum=1)
    sampling: Sampling | None = None
    """Temperature, top-k, top-p and guidance scale of ids, for keyframes, motion and text."""
    constrained: bool = True
    """Hold blocks to the grammar; False cuts or fills malformed ones afterwards, as the released model does."""
    patch_selection: PatchSelection = "likeliest"
    """Patches of a given image that become tokens: the likely ones, or a draw as the released model does it."""
    keyframe_num_inference_steps: int | None = _option("denoising steps of a keyframe", minimum=1, maximum=1000)
    keyframe_guidance_scale: float | None = _option(
        "adherence of a keyframe to its tokens; 1 is no guidance", minimum=0, maximum=100
    )
    num_inference_steps: int | None = _option(
        "denoising steps of the frames of a clip", minimum=1, maximum=1000, video_only=True
    )
    min_guidance_scale: float | None = _option(
        "guidance scale of the first frame of a clip", minimum=0, maximum=100, video_only=True
    )
    max_guidance_scale: float | None = _option(
        "guidance scale of the last frame of a clip, reached linearly", minimum=0, maximum=100, video_only=True
    )
    fps: float | None = _option("frame rate that the video UNet is told", unit="frames/s", above=0, video_only=True)
    motion_bucket_id: float | None = _option(
        "amount of motion that the video UNet is told", minimum=0, maximum=1000, video_only=True
    )
    noise_aug_strength: float | None = _option(
        "noise added to the keyframe before the video UNet sees it", minimum=0, maximum=10, video_only=True
    )
    decode_chunk_size: int | None = _option(
        "frames that the VAE decodes at a time; fewer take less memory", unit="frames", minimum=1, video_only=True
    )
    continuation: str = "restart"
    """Start of the next keyframe from the last frame of a longer video: "restart" noises it (as released), "inversion"
    inverts it by DDIM (as in the paper), "none" ignores it."""
    inverse_rate: float | None = _option(
        "share of the steps that such a start skips; by default 0.85 (restart) or 0 (inversion)",
        minimum=0,
        maximum=0.999,
        video_only=True,
    )

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"got seed={self.seed!r}, expected a whole number")
        if self.continuation not in CONTINUATIONS:
            raise ConfigError(f'got continuation={self.continuation!r}, expected "restart", "inversion" or "none"')
        if self.patch_selection not in ("likeliest", "gumbel"):
            raise ConfigError(f'got patch_selection={self.patch_selection!r}, expected "likeliest" or "gumbel"')
        if self.sampling is not None and not isinstance(self.sampling, Sampling):
            raise ConfigError(f"got sampling={self.sampling!r}, expected a videolavit.language.sampling.Sampling")
        for option in dataclasses.fields(self):
            value, info = getattr(self, option.name), option.metadata.get("info")
            if info is not None and value is not None:
                info.check(option.name, value)
                if option.type.startswith("int") and value != int(value):
                    raise ConfigError(f"got {option.name}={value:g}, expected a whole number")
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
        """These options, with the model's own value for each that is None.

        The size is left open if the settings do not tell it; then the UNet does.
        """
        own = {option.name: getattr(settings.frames, option.name) for option in dataclasses.fields(VideoOptions)}
        own["sampling"] = settings.sampling_after_image if after_image else settings.sampling
        own["keyframe_num_inference_steps"] = settings.keyframe_num_inference_steps
        own["keyframe_guidance_scale"] = settings.keyframe_guidance_scale
        own["height"], own["width"] = settings.video_processor.size or (None, None)
        return self.changed(**{name: value for name, value in own.items() if getattr(self, name) is None})

    @property
    def frames(self) -> VideoOptions:
        """The options of the video detokenizer, of completed options."""
        return VideoOptions(**{option.name: getattr(self, option.name) for option in dataclasses.fields(VideoOptions)})

    def generators(self, stream: str, count: int = 1) -> list[torch.Generator]:
        """Random streams of one step of the work, one for each of `count` candidates."""
        if self.generator is None:
            return sample_generators(self.seed, count, stream=stream)
        if count == 1:
            return [self.generator]
        return sample_generators(int(torch.randint(2**62, (), generator=self.generator)), count, stream=stream)


def option_info(name: str) -> OptionInfo:
    """Help, unit and range of a numeric option.

    Raises:
        ConfigError: there is no such option, or it is no number.
    """
    for option in dataclasses.fields(GenerationOptions):
        if option.name == name and "info" in option.metadata:
            return option.metadata["info"]
    raise ConfigError(f"no numeric option {name!r}")
