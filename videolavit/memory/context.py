"""Clips of a long video that a question is asked about: all, the last ones, a budget of ids, or those that fit it.

None of the four needs training. Positions are those of the prompt that is built, so they are contiguous whatever was
left out.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from videolavit.errors import ConfigError
from videolavit.memory.token_memory import TokenMemory

__all__ = ["Chosen", "ContextOptions", "Scorer", "choose_clips", "description_scores"]

logger = logging.getLogger(__name__)

NEAR = 0.75
"""Share of the best score that a clip must reach to be looked at beside it: others would only distract the model."""

Scorer = Callable[[TokenMemory, str], Float[np.ndarray, " clips"]]
"""Score of each clip of a memory for a question; more is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextOptions:
    """Options of choosing clips for a question about a long video."""

    context: Literal["whole", "window", "budget", "retrieval"] = "retrieval"
    """`whole`: all clips, or evenly spaced ones where they do not fit; `window`: the last ones; `budget`: the first
    keyframe, the last clips whole, of older ones first the motion is dropped and then the keyframes that show least
    news; `retrieval`: those that fit the question best, in order of time."""
    max_clips: int = 4
    """Most clips of window and retrieval, and of the last ones that the budget keeps whole."""

    def __post_init__(self) -> None:
        if self.context not in ("whole", "window", "budget", "retrieval"):
            raise ConfigError(f'got context={self.context!r}, expected "whole", "window", "budget" or "retrieval"')
        if self.max_clips < 1:
            raise ConfigError(f"got max_clips={self.max_clips}, expected at least 1")


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
        scorer: of retrieval; by default `description_scores`.

    Raises:
        ConfigError: the memory is empty, or not even one clip fits.
    """
    if not len(memory):
        raise ConfigError(f"{memory.folder}: holds no clip yet")
    keyframes, motion = memory.lengths()
    clips = keyframes + motion
    if options.context == "budget":
        chosen = _budget(memory, room, options.max_clips)
    elif options.context == "whole":
        chosen = _whole(clips, room)
    elif options.context == "window":
        chosen = _fitting(range(len(clips) - 1, -1, -1), clips, room, options.max_clips)
    else:
        scores = (scorer or description_scores)(memory, question)
        # Of equally good ones the latest: what happened last is asked about most.
        order = sorted(range(len(clips)), key=lambda number: (-scores[number], -number))
        best = float(scores.max())
        near = [number for number in order if best <= 0 or scores[number] >= NEAR * best]
        fitting = _fitting(near, clips, room, options.max_clips)
        chosen = [Chosen(number=one.number, score=float(scores[one.number])) for one in fitting]
    if not chosen:
        raise ConfigError(f"the context has room for {room} ids, less than one clip takes; ask a shorter question")
    return sorted(chosen, key=lambda one: one.number)


def description_scores(memory: TokenMemory, question: str) -> Float[np.ndarray, " clips"]:
    """Share of the descriptions of each clip that have the words of a question, rare words counting most.

    The model has described each clip by itself when it was read, so a question costs no look at any clip. Several
    sampled descriptions make a score a measure of how sure it was, too.
    """
    asked = set(_words(question))
    shares = np.array([[share.get(word, 0.0) for word in asked] for share in map(_shares, memory.descriptions())])
    shares = shares.reshape(len(memory), len(asked))
    mean = shares.mean(axis=0)
    return shares @ np.array([math.log((1 + 1 / len(memory)) / (one + 1 / len(memory))) for one in mean])


def _shares(descriptions: Sequence[str]) -> dict[str, float]:
    counts = Counter(word for text in descriptions for word in set(_words(text)))
    return {word: count / len(descriptions) for word, count in counts.items()}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _whole(clips: np.ndarray, room: int) -> list[Chosen]:
    """As many evenly spaced ones as fit."""
    for count in range(min(len(clips), room // int(clips.min())), 0, -1):
        numbers = [number * len(clips) // count for number in range(count)]
        if clips[numbers].sum() <= room:
            return [Chosen(number=number) for number in numbers]
    return []


def _fitting(order: Sequence[int], clips: np.ndarray, room: int, most: int) -> list[Chosen]:
    """The first ones of an order, up to a number and as long as they fit."""
    chosen: list[Chosen] = []
    for number in order:
        room -= int(clips[number])
        if room < 0 or len(chosen) == most:
            break
        chosen.append(Chosen(number=number))
    return chosen


def _budget(memory: TokenMemory, room: int, recent: int) -> list[Chosen]:
    keyframes, motion = memory.lengths()
    count = len(memory)
    with_motion, kept = np.ones(count, bool), np.ones(count, bool)
    recent_from = max(count - recent, 0)

    def size() -> int:
        return int(keyframes[kept].sum() + motion[kept & with_motion].sum())

    for number in range(recent_from):  # motion, from the oldest on
        if size() <= room:
            break
        with_motion[number] = False
    novelty = _novelty(memory)
    for number in sorted(range(1, recent_from), key=lambda number: (novelty[number], number)):
        if size() <= room:
            break
        kept[number] = False
    for number in range(recent_from, count - 1):  # not even the last clips fit
        if size() <= room:
            break
        kept[number] = False
    if size() > room:
        kept[0] = count == 1
    _tell(kept, with_motion)
    chosen = [Chosen(number=int(number), with_motion=bool(with_motion[number])) for number in np.flatnonzero(kept)]
    return chosen if size() <= room else []


def _novelty(memory: TokenMemory) -> Float[np.ndarray, " clips"]:
    """Share of the visual ids of each keyframe that the one before does not have."""
    found, before = np.ones(len(memory)), set[int]()
    for number in range(len(memory)):
        ids = set(memory.visual_ids(number).tolist())
        found[number] = 1 - len(ids & before) / max(len(ids), 1)
        before = ids
    return found


def _tell(kept: np.ndarray, with_motion: np.ndarray) -> None:
    dropped, still = int((~kept).sum()), int((kept & ~with_motion).sum())
    if dropped or still:
        logger.info("of %d clips %d are left out and %d are looked at without their motion", len(kept), dropped, still)
