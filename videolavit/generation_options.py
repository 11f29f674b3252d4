"""Options of generation: the one place where each is named, explained and given its range.

Names are those of diffusers and transformers. The command line derives its options from the fields of
`GenerationOptions`, so this file imports no torch; `option_info` gives what a surface needs to show of one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from videolavit.config import plain_number, refuse_unknown, true_or_false
from videolavit.detokenizers.video_options import VideoOptions
from videolavit.errors import ConfigError
from videolavit.language.sampling_options import Sampling

if TYPE_CHECKING:
    import torch

    from videolavit.settings import ModelSettings

__all__ = [
    "MOST_CANDIDATES",
    "MOST_CLIPS",
    "RUN_TIME_OPTIONS",
    "GenerationOptions",
    "OptionInfo",
    "check_of_image",
    "option_info",
    "options_with_info",
]

MOST_CANDIDATES = 1000
"""Drafts of one result."""
MOST_CLIPS = 10_000
"""Clips that are generated in one go: eleven hours."""

RUN_TIME_OPTIONS = frozenset({"generator", "callback_on_step_end"})
"""Options that are objects of a running program, and are not kept with a result."""

_ELSEWHERE = {
    "guidance_scale": "keyframe_guidance_scale of images and max_guidance_scale of frames",
    "num_frames": "clips=, of 24 frames each",
    "num_images_per_prompt": "a list of prompts with seed=[...]",
    "num_videos_per_prompt": "a list of prompts with seed=[...]",
    "output_type": "`.pil` and `.frames` of what is returned",
    "callback": "callback_on_step_end",
    "steps": "num_inference_steps",
    "temperature": "sampling=Sampling(...)",
    "top_k": "sampling=Sampling(...)",
    "top_p": "sampling=Sampling(...)",
}
"""Names of options of other libraries, and what stands for them here."""
_OF_IMAGES = {
    "num_inference_steps": "keyframe_num_inference_steps",
    "min_guidance_scale": "keyframe_guidance_scale",
    "max_guidance_scale": "keyframe_guidance_scale",
}
"""Options of videos alone, and what stands for them where there is an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionInfo:
    """Description of one option for a surface."""

    help: str
    unit: str = ""
    minimum: float | int = -math.inf
    maximum: float | int = math.inf
    above: float | int = -math.inf
    """The value must be more than this."""
    choices: tuple[str, ...] = ()
    """The words that are allowed, of an option that is no number."""
    whole: bool = False
    """True if the number must be whole."""
    video_only: bool = False
    """True if the option matters for videos alone."""

    def check(self, name: str, value: Any) -> None:
        """Raise ConfigError for a word that is no choice, a number out of range, or something that is no number."""
        if self.choices:
            if value not in self.choices:
                raise ConfigError(f"got {name}={value!r}, expected {self.range}")
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"got {name}={value!r}, expected a number")
        if not (self.minimum <= value <= self.maximum and value > self.above and math.isfinite(value)):
            raise ConfigError(f"got {name}={value:g}, expected {self.range}")
        if self.whole and value != int(value):
            raise ConfigError(f"got {name}={value:g}, expected a whole number")

    @property
    def range(self) -> str:
        """The values that are allowed, in words."""
        if self.choices:
            return ", ".join(f'"{choice}"' for choice in self.choices[:-1]) + f' or "{self.choices[-1]}"'
        if self.above > -math.inf:
            return f"more than {self.above:g}"
        if self.maximum < math.inf:
            return f"{self.minimum:g} to {self.maximum:g}"
        return f"at least {self.minimum:g}"


def _option(text: str, *, default: Any = None, **info: Any) -> Any:
    return field(default=default, metadata={"info": OptionInfo(help=text, **info)})


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationOptions:
    """Options of generated ids and pixels. None stands for the model's own value, from its `ModelSettings`."""

    seed: int = 0
    """Same seed, model, machine and version: same ids and frames."""
    generator: Any = None
    """A `torch.Generator`: the source of all randomness, in place of the seed."""
    height: int | None = _option(
        "height of the result; goes with width", unit="pixels", minimum=1, maximum=4096, whole=True
    )
    width: int | None = _option(
        "width of the result; goes with height", unit="pixels", minimum=1, maximum=4096, whole=True
    )
    negative_prompt: str | None = None
    """Words that guidance of ids steps away from, in place of no words at all."""
    callback_on_step_end: Any = None
    """Called after each denoising step as `callback(model, step, timestep, callback_kwargs)`, with step from 0 on.
    `callback_kwargs` has the "latents" of all samples, the "stage" ("keyframe" or "frames") and the number of the
    "clip". It may return a dictionary: its "latents" take the place of those, and with `"interrupt": True` the other
    steps are left out. To end all the work, raise."""
    sampling: Sampling | None = None
    """Temperature, top-k, top-p and guidance scale of ids, for keyframes, motion and text."""
    constrained: bool = True
    """Hold blocks to the grammar; False cuts or fills malformed ones afterwards, as the released model does."""
    patch_selection: Literal["likeliest", "gumbel"] = _option(
        "patches of a given image that become tokens: the likeliest, or a random choice as in the released model",
        default="likeliest",
        choices=("likeliest", "gumbel"),
    )
    keyframe_num_inference_steps: int | None = _option(
        "denoising steps of a keyframe; more are slower and, up to a point, better", minimum=1, maximum=1000, whole=True
    )
    keyframe_guidance_scale: float | None = _option(
        "adherence of a keyframe to its tokens; 1 is no guidance", minimum=0, maximum=100
    )
    num_inference_steps: int | None = _option(
        "denoising steps of the frames of a clip; 0 is no diffusion, only motion compensation",
        minimum=0,
        maximum=1000,
        whole=True,
        video_only=True,
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
        "frames that the VAE decodes at a time; fewer take less memory",
        unit="frames",
        minimum=1,
        whole=True,
        video_only=True,
    )
    continuation: str = _option(
        "start of the next keyframe of a longer video from the last frame: restart noises it (as released), inversion "
        "inverts it by DDIM (as in the paper), none ignores it",
        default="restart",
        choices=("restart", "inversion", "none"),
        video_only=True,
    )
    inverse_rate: float | None = _option(
        "share of the steps that such a start skips; by default 0.85 (restart) or 0 (inversion)",
        minimum=0,
        maximum=0.999,
        video_only=True,
    )

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            object.__setattr__(self, option.name, plain_number(getattr(self, option.name)))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"got seed={self.seed!r}, expected a whole number")
        self._check_generator()
        object.__setattr__(self, "constrained", true_or_false("constrained", self.constrained))
        if self.negative_prompt is not None and not isinstance(self.negative_prompt, str):
            raise ConfigError(f"got negative_prompt={self.negative_prompt!r}, expected a text")
        if self.callback_on_step_end is not None and not callable(self.callback_on_step_end):
            raise ConfigError(f"got callback_on_step_end={self.callback_on_step_end!r}, expected a function")
        if self.sampling is not None and not isinstance(self.sampling, Sampling):
            raise ConfigError(
                f"got sampling={self.sampling!r}, expected a videolavit.language.sampling_options.Sampling"
            )
        for name, info in options_with_info().items():
            value = getattr(self, name)
            if value is not None or info.choices:
                info.check(name, value)
            if value is not None and info.whole:
                object.__setattr__(self, name, int(value))
        if (self.height is None) != (self.width is None):
            given, other = ("height", "width") if self.width is None else ("width", "height")
            raise ConfigError(f"{given}= needs {other}= beside it")

    def _check_generator(self) -> None:
        if self.generator is None:
            return
        import torch

        if not isinstance(self.generator, torch.Generator):
            raise ConfigError(
                f"got a generator of type {type(self.generator).__name__}, expected a torch.Generator; for a number "
                "there is seed="
            )

    @classmethod
    def given(cls, options: GenerationOptions | None, changes: Mapping[str, Any]) -> GenerationOptions:
        """The options that a caller gave, None for those of a model, with single ones replaced.

        Raises:
            ConfigError: they are of another type, or what `changed` raises.
        """
        if options is not None and not isinstance(options, GenerationOptions):
            raise ConfigError(
                f"got options of type {type(options).__name__}, expected GenerationOptions; single options are given "
                "by name, such as seed=1"
            )
        return (options or cls()).changed(**changes)

    def changed(self, **changes: Any) -> GenerationOptions:
        """These options with some replaced.

        Raises:
            ConfigError: there is no such option, or its value is out of range.
        """
        refuse_unknown(changes, (option.name for option in dataclasses.fields(self)), _ELSEWHERE)
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
        import torch

        from videolavit.nn.random import sample_generators

        if self.generator is None:
            return sample_generators(self.seed, count, stream=stream)
        if count == 1:
            return [self.generator]
        return sample_generators(int(torch.randint(2**62, (), generator=self.generator)), count, stream=stream)


def check_of_image(changes: Mapping[str, Any]) -> None:
    """Refuse options that matter for videos alone where an image is generated.

    Raises:
        ConfigError: there is one; the message says what stands for it.
    """
    for name, info in options_with_info().items():
        if info.video_only and changes.get(name) is not None:
            hint = f"; for images there is {_OF_IMAGES[name]}" if name in _OF_IMAGES else "; leave it out"
            raise ConfigError(f"got {name}={changes[name]!r} for an image, but that is an option of videos{hint}")


def options_with_info() -> dict[str, OptionInfo]:
    """All options that have a help text and a range, by name, in the order of `GenerationOptions`."""
    return {
        option.name: option.metadata["info"]
        for option in dataclasses.fields(GenerationOptions)
        if "info" in option.metadata
    }


def option_info(name: str) -> OptionInfo:
    """Help, unit and range of one option.

    Raises:
        ConfigError: there is no such option, or it has no range.
    """
    try:
        return options_with_info()[name]
    except KeyError:
        raise ConfigError(f"no option {name!r} with a range; known are {', '.join(options_with_info())}") from None
