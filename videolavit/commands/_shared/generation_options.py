"""Options of generation on the command line, derived from `videolavit.generation_options`.

One that is left out has the model's own value.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from videolavit.commands._shared.console import is_quiet
from videolavit.commands._shared.requests import new_seed
from videolavit.errors import ConfigError
from videolavit.generation_options import OptionInfo, options_with_info
from videolavit.language.sampling_options import text_sampling

if TYPE_CHECKING:
    from videolavit.language.sampling_options import Sampling, SamplingOptions

__all__ = ["AnswerSampling", "ImageOptions", "TokenOptions", "VideoOptions"]

_ELSEWHERE = {"fps", "patch_selection"}
"""`--fps` of a command is the speed at which its file plays; patches are a matter of Python."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Options:
    seed: int | None = None
    """Same seed, model, machine and version: same result. By default a new one when the language model writes, which is
    printed and kept in the file; else 0."""

    def changes(self) -> dict[str, Any]:
        """Options with a value, by the names that the pipeline gives them."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


def _options(name: str, description: str, infos: dict[str, OptionInfo]) -> type[_Options]:
    made = [(option, _annotation(info), field(default=None)) for option, info in infos.items()]
    cls = make_dataclass(name, made, bases=(_Options,), frozen=True, kw_only=True)
    cls.__doc__ = description
    return cls


def _annotation(info: OptionInfo) -> Any:
    kind: Any = Literal[info.choices] if info.choices else int if info.whole else float
    text = f"{info.help[0].upper()}{info.help[1:]}{f' ({info.unit})' if info.unit else ''}."
    return Annotated[kind | None, arg(help=text)]


_INFOS = {name: info for name, info in options_with_info().items() if name not in _ELSEWHERE}

_IMAGE_INFOS = {name: info for name, info in _INFOS.items() if not info.video_only}

if TYPE_CHECKING:

    class ImageOptions(_Options):
        """Options of images."""

    class VideoOptions(ImageOptions):
        """Options of videos."""

else:
    ImageOptions = _options("ImageOptions", "Options of images.", _IMAGE_INFOS)
    VideoOptions = _options("VideoOptions", "Options of videos.", _INFOS)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenOptions:
    """Sampling of the tokens of images and motion; what is left out has the model's own value."""

    temperature: float | None = None
    """Higher is more varied; 0 takes the likeliest token."""
    top_k: int | None = None
    """Choose among so many likeliest tokens; 0 for all."""
    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability; 1 for all."""
    guidance_scale: float | None = None
    """Strength with which tokens follow the prompt; 1 is no guidance."""
    negative_prompt: str | None = None
    """Text that guidance steps away from, such as what is not to be seen."""

    @property
    def samples(self) -> bool:
        """True if an option of sampling was chosen."""
        return replace(self, negative_prompt=None) != TokenOptions()

    def changes(self, own: Sampling) -> dict[str, Any]:
        """The options of the pipeline that stand for these, if any was chosen; `own` is the model's way.

        Raises:
            ConfigError: a value is out of range.
        """
        negative = {} if self.negative_prompt is None else {"negative_prompt": self.negative_prompt}
        if not self.samples:
            return negative
        try:
            sampling = replace(own, keyframe=self._changed(own.keyframe), motion=self._changed(own.motion))
        except ConfigError as error:  # the option has another name here
            raise ConfigError(str(error).replace("guidance=", "guidance_scale=")) from error
        return {"sampling": sampling, **negative}

    def _changed(self, own: SamplingOptions) -> SamplingOptions:
        names = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "guidance_scale": "guidance"}
        chosen = {new: value for name, new in names.items() if (value := getattr(self, name)) is not None}
        if chosen.get("temperature") == 0:
            del chosen["temperature"]
            return replace(own, **chosen, greedy=True)
        samples = any(name in chosen for name in ("temperature", "top_k", "top_p"))
        return replace(own, **chosen, greedy=own.greedy and not samples)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSampling:
    """Sampling of answers; by default the likeliest words come."""

    temperature: float | None = None
    """Higher is more varied; without it, --top-k and --top-p, or with 0, the likeliest words come."""
    top_k: int | None = None
    """Choose among so many likeliest tokens; 0 for all."""
    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability; 1 for all."""
    seed: int | None = None
    """Same seed, same answer. By default a new one where words are chosen by chance, told on stderr; else 0."""

    def changes(self) -> dict[str, Any]:
        """Options of `VideoLaVIT.answer` that stand for these; a seed that nobody chose is told.

        Raises:
            ConfigError: a value is out of range.
        """
        names = ("temperature", "top_k", "top_p")
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        is_random = not text_sampling(**chosen).greedy
        seed = self.seed
        if seed is None:
            seed = new_seed() if is_random else 0
            if is_random and not is_quiet():
                print(f"videolavit: seed {seed}", file=sys.stderr)
        return {**chosen, "seed": seed}
