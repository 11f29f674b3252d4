"""Clips of a long video that a question is asked about: all, the last ones, a budget of ids, or those that fit it.

None of the four needs training. Positions are those of the prompt that is built, so they are contiguous whatever was
left out. A clip that has motion alone is never looked at without the clips that it goes on from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from videolavit.config import whole_number
from videolavit.errors import ConfigError
from videolavit.memory.description_scores import description_scores
from videolavit.memory.token_memory import TokenMemory

__all__ = ["CONTEXTS", "Chosen", "ContextOptions", "Scorer", "choose_clips"]

logger = logging.getLogger(__name__)

CONTEXTS = ("whole", "window", "budget", "retrieval")

NEAR = 0.75
"""Share of the best score that a clip must reach to be looked at beside it: others would only distract the model."""

_MOST = 4

Scorer = Callable[[TokenMemory, str], Float[np.ndarray, " clips"]]
"""Score of each clip of a memory for a question; more is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextOptions:
    """Options of choosing clips for a question about a long video."""

    context: Literal["whole", "window", "budget", "retrieval"] = "retrieval"
    """`whole`: all clips, or evenly spaced ones where they do not fit; `window`: the last ones; `budget`: the first
    keyframe, the last clips whole, of older ones first the motion is dropped and then the keyframes that show least
    news; `retrieval`: those that fit the question best, in order of time."""
    max_clips: int | None = None
    """Most clips of window and retrieval, and of the last ones that the budget keeps whole; None for as many as the
    model was made for."""
    scorer: Scorer | Literal["words", "likelihood"] | Path = "words"
    """Of retrieval. `words`: what the model said about each clip when it was read; `likelihood`: the model's own
    likelihood of the question after each clip alone; a folder: an image-text encoder of transformers, such as CLIP; or
    a function of yours."""
    times: bool = False
    """Tell the model, in words, when each part of the video was. Only for models that know such words."""

    def __post_init__(self) -> None:
        if self.context not in CONTEXTS:
            raise ConfigError(f'got context={self.context!r}, expected "whole", "window", "budget" or "retrieval"')
        if self.max_clips is not None:
            object.__setattr__(self, "max_clips", whole_number("max_clips", self.max_clips, at_least=1))
        if isinstance(self.scorer, str) and self.scorer not in ("words", "likelihood"):
            raise ConfigError(f'got scorer={self.scorer!r}, expected "words", "likelihood", a Path or a function')


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """One clip that is looked at."""

    number: int
    with_motion: bool = True
    score: float | None = None
    """Of retrieval."""


def choose_clips(
    memory: TokenMemory, question: str, options: ContextOptions, *, room: int, scorer: Scorer | None = None
) -> list[Chosen]:
    """Clips to look at, in order of time.

    Args:
        memory: the video.
        question: it is asked; only retrieval reads it.
        options: which way.
        room: positions of the context that clips may take.
        scorer: of retrieval, as a function; by default `description_scores`.

    Raises:
        ConfigError: the memory is empty, or not even one clip fits.
    """
    if not len(memory):
        raise ConfigError(f"{memory.folder}: holds no clip yet")
    video, most = _Lengths(memory), options.max_clips or _MOST
    if options.context == "budget":
        chosen = _budget(memory, video, room, most)
    elif options.context == "whole":
        chosen = [Chosen(number=number) for number in _whole(video, room)]
    elif options.context == "window":
        last_first = range(len(memory) - 1, -1, -1)
        chosen = [Chosen(number=number) for number in _fitting(last_first, video, room, most)]
    else:
        scores = (scorer or description_scores)(memory, question)
        numbers = _fitting(_best_first(scores), video, room, most)
        chosen = [Chosen(number=number, score=float(scores[number])) for number in numbers]
    if not chosen:
        raise ConfigError(f"the context has room for {room} ids, less than one clip takes; ask a shorter question")
    _tell(len(memory), chosen)
    return sorted(chosen, key=lambda one: one.number)


class _Lengths:
    """Positions that clips take, and the keyframes that they go on from."""

    def __init__(self, memory: TokenMemory) -> None:
        self.keyframes, self.motion = memory.lengths()
        numbers = np.arange(len(self.keyframes))
        self.anchors: Int[np.ndarray, " clips"] = np.maximum.accumulate(np.where(self.keyframes > 0, numbers, 0))
        """The last clip with a keyframe, itself included."""

    def __len__(self) -> int:
        return len(self.keyframes)

    def with_anchor(self, number: int) -> set[int]:
        """A clip and all since the keyframe that it goes on from."""
        return set(range(int(self.anchors[number]), number + 1))

    def size(self, numbers: set[int]) -> int:
        """Positions that whole clips take."""
        places = sorted(numbers)
        return int((self.keyframes[places] + self.motion[places]).sum())


def _best_first(scores: Float[np.ndarray, " clips"]) -> list[int]:
    """Clips that fit nearly as well as the best one; of equally good ones the latest, which is asked about most.

    Scores that are not positive, such as log-likelihoods, have no share of the best: then all are in the running.
    """
    best = float(scores.max())
    order = sorted(range(len(scores)), key=lambda number: (-scores[number], -number))
    return [number for number in order if best <= 0 or scores[number] >= NEAR * best]


def _whole(video: _Lengths, room: int) -> set[int]:
    """As many evenly spaced ones as fit."""
    least = max(1, int((video.keyframes + video.motion).min()))
    for count in range(min(len(video), room // least), 0, -1):  # hours of video are not tried clip by clip
        numbers = {number * len(video) // count for number in range(count)}
        shown = set().union(*map(video.with_anchor, numbers))
        if video.size(shown) <= room:
            return shown
    return set()


def _fitting(order: Sequence[int], video: _Lengths, room: int, most: int) -> set[int]:
    """The first ones of an order, up to a number and as long as they fit."""
    shown: set[int] = set()
    for number in order[:most]:
        more = shown | video.with_anchor(number)
        if video.size(more) > room:
            break
        shown = more
    return shown


def _budget(memory: TokenMemory, video: _Lengths, room: int, recent: int) -> list[Chosen]:
    count = len(video)
    with_motion, kept = np.ones(count, bool), np.ones(count, bool)
    recent_from = int(video.anchors[max(count - recent, 0)])

    def size() -> int:
        return int(video.keyframes[kept].sum() + video.motion[kept & with_motion].sum())

    for first in _blocks(video, recent_from):  # motion, from the oldest on
        if size() <= room:
            break
        with_motion[video.anchors == first] = False
        kept &= with_motion | (video.keyframes > 0)
    novelty = _novelty(memory)
    for number in sorted(np.flatnonzero(kept[1:recent_from]) + 1, key=lambda number: (novelty[number], number)):
        if size() <= room:
            break
        kept[video.anchors == number] = False
    for first in _blocks(video, int(video.anchors[-1]), recent_from):  # not even the last clips fit
        if size() <= room:
            break
        kept[video.anchors == first] = False
    if size() > room:
        kept[video.anchors == 0] = video.anchors[-1] == 0
    numbers = np.flatnonzero(kept) if size() <= room else []
    return [Chosen(number=int(number), with_motion=bool(with_motion[number])) for number in numbers]


def _blocks(video: _Lengths, end: int, start: int = 0) -> list[int]:
    """Keyframes from `start` to before `end`, oldest first, each with the clips that go on from it."""
    return [number for number in range(start, end) if video.anchors[number] == number]


def _novelty(memory: TokenMemory) -> Float[np.ndarray, " clips"]:
    """Share of the visual ids of each keyframe that the one before does not have."""
    found, before = np.ones(len(memory)), set[int]()
    for number in range(len(memory)):
        ids = set(memory.visual_ids(number).tolist())
        found[number] = 1 - len(ids & before) / max(len(ids), 1)
        before = ids or before
    return found


def _tell(num_clips: int, chosen: Sequence[Chosen]) -> None:
    left_out, still = num_clips - len(chosen), sum(not one.with_motion for one in chosen)
    if left_out or still:
        logger.info("of %d clips %d are left out and %d are looked at without their motion", num_clips, left_out, still)
