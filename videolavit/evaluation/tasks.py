"""What a task of an evaluation is: samples, the parts of a model that it needs, a measure, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from videolavit.evaluation.samples import Samples
from videolavit.evaluation.subject import Subject

__all__ = [
    "ANIMATION",
    "AUTOENCODER",
    "IMAGE",
    "LANGUAGE",
    "MOTION",
    "QUESTIONS",
    "REDRAWING",
    "VIDEO",
    "VISUAL",
    "Result",
    "Target",
    "Task",
    "each",
]

Result = Mapping[str, bool | float | list[bool] | list[float]]
"""What was measured on one sample: by name of the measure one value, or one for each thing that was counted."""

LANGUAGE = ("language_model",)
VISUAL = ("visual_tokenizer",)
MOTION = ("motion_tokenizer",)
QUESTIONS = LANGUAGE + VISUAL + MOTION
AUTOENCODER = ("keyframe_vae",)
REDRAWING = ("condition_decoder", "keyframe_unet", "keyframe_vae", "keyframe_scheduler", *VISUAL)
ANIMATION = ("motion_encoder", "video_unet", "video_vae", "video_scheduler", *MOTION)
IMAGE = LANGUAGE + REDRAWING
VIDEO = (*IMAGE, *ANIMATION)
"""Parts that kinds of tasks need, by their names in a checkpoint."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a measure should reach. For a `lower` one, less is better."""

    wanted: float
    least: float | None = None
    """What still is worth shipping."""
    lower: bool = False

    def met(self, value: float) -> str:
        """ "yes", "least" where only that is reached, or "no"."""
        for name, bound in (("yes", self.wanted), ("least", self.least)):
            if bound is not None and (value <= bound if self.lower else value >= bound):
                return name
        return "no"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """One thing to measure."""

    name: str
    about: str
    """What is done, in a line."""
    needs: tuple[str, ...]
    """Parts of the checkpoint."""
    samples: Samples
    measure: Callable[[Subject, Sequence[Any]], Sequence[Result | None]]
    """From a batch of samples to one result for each, None for one that cannot be used."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """By name of the measure."""
    batch_size: int = 20
    cost: float = 1.0
    """About how long one sample takes, relative to other tasks; for the progress bar."""
    is_core: bool = True
    """Whether it is about the core world, on which targets are set."""


def each(
    measure: Callable[[Subject, Any], Result | None],
) -> Callable[[Subject, Sequence[Any]], list[Result | None]]:
    """The measure of a task whose samples are measured one after another."""
    return lambda subject, samples: [measure(subject, sample) for sample in samples]
