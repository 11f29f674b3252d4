"""Options of sampling, apart from it: a model's settings and the command line hold them without importing torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from videolavit.config import plain_number
from videolavit.errors import ConfigError

__all__ = ["Sampling", "SamplingOptions", "text_sampling"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingOptions:
    """Options of sampling the ids of one modality."""

    greedy: bool = False
    """Take the likeliest id; temperature, top-k and top-p do nothing then."""
    temperature: float = 1.0
    top_k: int = 200
    """Only the so many likeliest ids, and those exactly as likely as the last of them; 0 keeps all."""
    top_p: float = 1.0
    """Only the likeliest ids that together reach this probability; 1 keeps all."""
    guidance: float = 1.0
    """Guidance scale: step from the unconditional logits to those of the prompt, and beyond; 1 is no guidance."""

    def __post_init__(self) -> None:
        for name in ("temperature", "top_k", "top_p", "guidance"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        wrong = {
            "temperature": ("a number above 0; for the likeliest ids take greedy=True", self.temperature > 0),
            "top_k": ("0 (all) or more", self.top_k >= 0),
            "top_p": ("more than 0 and at most 1", 0 < self.top_p <= 1),
            "guidance": ("a number of at least 0", self.guidance >= 0),
        }
        for name, (expected, is_in_range) in wrong.items():
            value = getattr(self, name)
            if not (is_in_range and math.isfinite(value)):
                raise ConfigError(f"got {name}={value:g}, expected {expected}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Options of every modality. The defaults are the released model's for text to video; text is greedy."""

    keyframe: SamplingOptions = field(default_factory=lambda: SamplingOptions(guidance=4.0))
    motion: SamplingOptions = field(default_factory=lambda: SamplingOptions(guidance=7.0, greedy=True))
    text: SamplingOptions = field(default_factory=lambda: SamplingOptions(greedy=True))

    def __post_init__(self) -> None:
        if self.text.guidance != 1:
            raise ConfigError(f"text cannot be guided: it has no unconditional branch; got {self.text}")

    @classmethod
    def image_to_video(cls) -> Sampling:
        """The released model's defaults where the image is given: motion is sampled."""
        return cls(motion=SamplingOptions(guidance=7.0))


def text_sampling(temperature: Any = None, top_k: Any = None, top_p: Any = None) -> SamplingOptions:
    """Sampling of answers: greedy where nothing is chosen or the temperature is 0, else from all ids that are not cut.

    Raises:
        ConfigError: a value is out of range, or no number.
    """
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    chosen: dict[str, Any] = {name: _number(name, value) for name, value in given.items() if value is not None}
    if chosen.get("temperature") == 0 or not chosen:
        return SamplingOptions(greedy=True)
    chosen.setdefault("top_k", 0)
    return SamplingOptions(**chosen)


def _number(name: str, value: Any) -> Any:
    """A number of Python; raises `ConfigError` for anything else, which includes a fraction as `top_k`."""
    number = plain_number(value)
    if isinstance(number, bool) or not isinstance(number, int if name == "top_k" else int | float):
        raise ConfigError(f"got {name}={number!r}, expected a {'whole ' if name == 'top_k' else ''}number")
    return number
