"""Options of generation on the command line, derived from `videolavit.generation_options`.

One that is left out has the model's own value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from videolavit.generation_options import OptionInfo, options_with_info

if TYPE_CHECKING:
    from videolavit.language.sampling_options import Sampling, SamplingOptions

__all__ = ["ImageOptions", "TokenOptions", "VideoOptions"]

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

    def changes(self, own: Sampling) -> dict[str, Any]:
        """The option of the pipeline that stands for these, if any was chosen; `own` is the model's way.

        Raises:
            ConfigError: a value is out of range.
        """
        if self == TokenOptions():
            return {}
        return {"sampling": replace(own, keyframe=self._changed(own.keyframe), motion=self._changed(own.motion))}

    def _changed(self, own: SamplingOptions) -> SamplingOptions:
        names = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "guidance_scale": "guidance"}
        chosen = {new: value for name, new in names.items() if (value := getattr(self, name)) is not None}
        if chosen.get("temperature") == 0:
            del chosen["temperature"]
            return replace(own, **chosen, greedy=True)
        samples = any(name in chosen for name in ("temperature", "top_k", "top_p"))
        return replace(own, **chosen, greedy=own.greedy and not samples)
