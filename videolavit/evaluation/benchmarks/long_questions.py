"""Questions on several moments of a long video: what comes after what, and how often something is seen.

Clips are scenes of the shapes world. Those that a question is about are the only ones with their shape, and stand at
random places among thirty.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from videolavit.data.shapes import Scene, render, sample_scene
from videolavit.evaluation.needs import QUESTIONS
from videolavit.evaluation.question_tasks import is_right
from videolavit.evaluation.samples import FIRST_SEED, SEEDS_APART
from videolavit.evaluation.tasks import Result, Task, each

__all__ = [
    "NOTES",
    "POOL",
    "POOL_SEED",
    "LongSample",
    "MomentsWorld",
    "direction_of",
    "long_question_tasks",
    "moving_scenes",
]

CLIPS = 30
POOL = 40
"""Scenes that no question is about; long videos show some of them several times."""
POOL_SEED = 500_000
LIKE_SEED = 900_000
"""From which on further scenes with the shape of a question are looked for."""
MOST = 4
"""Clips with one shape that are to be counted, and as many as the small model looks at."""
NOTES = ("What shape is the object?", "What colour is the object?", "Which way does the object move?")
"""Asked about each clip when it is read; retrieval compares the question with their answers."""
CONTEXTS = ("whole", "budget", "retrieval")


@dataclass(frozen=True, kw_only=True)
class LongSample:
    """One video of many clips and a question on one or several of them."""

    id: str
    """As records call it."""
    question: str
    answer: str
    needles: tuple[int, ...]
    """Numbers of the clips that it is about."""
    scenes: tuple[int, ...]
    """Seed of each clip's scene."""

    @cached_property
    def clips(self) -> list[tuple[str, Callable[[], Any]]]:
        """Each with a name and what renders it."""
        return [(f"scene {seed}", lambda seed=seed: render(sample_scene(seed))) for seed in self.scenes]


@dataclass(frozen=True, kw_only=True, slots=True)
class MomentsWorld:
    """Videos in which one shape is seen in several clips."""

    kind: Literal["order", "count"]
    num_clips: int = CLIPS

    def check(self) -> None:
        """Nothing: scenes can be rendered everywhere."""

    def count(self, wanted: int) -> int:
        return wanted

    def sample(self, number: int, seed: int) -> LongSample:
        """A video, and where a shape goes after it went another way, or in how many clips it is seen."""
        first = FIRST_SEED + SEEDS_APART * seed
        needle, scene = next(moving_scenes(first + number))
        others = itertools.islice(moving_scenes(first + POOL_SEED), POOL)
        unlike = [one for one, other in others if _shape(other) != _shape(scene)]
        random = np.random.default_rng([seed, number, self.num_clips, self.kind == "order"])
        seen = self._seen(needle, scene, number, first)
        scenes = [unlike[index] for index in random.integers(len(unlike), size=self.num_clips)]
        places = sorted(random.choice(self.num_clips, size=len(seen), replace=False).tolist())
        for place, one in zip(places, seen, strict=True):
            scenes[place] = one
        question, answer = self._asked(seen)
        return LongSample(
            id=f"{self.kind} {number} in {self.num_clips}",
            question=question,
            answer=answer,
            needles=tuple(places),
            scenes=tuple(scenes),
        )

    def _seen(self, needle: int, scene: Scene, number: int, first: int) -> list[int]:
        """Scenes with the shape, in order of time; for questions of order the second goes another way."""
        like = (one for one in moving_scenes(first + LIKE_SEED + number) if _shape(one[1]) == _shape(scene))
        if self.kind == "count":
            return [needle, *(one for one, _ in itertools.islice(like, number % MOST))]
        return [needle, next(one for one, other in like if direction_of(other) != direction_of(scene))]

    def _asked(self, seen: list[int]) -> tuple[str, str]:
        scenes = [sample_scene(seed) for seed in seen]
        shape = _shape(scenes[0])
        if self.kind == "count":
            return f"How many clips show a {shape}?", str(len(seen))
        before, after = map(direction_of, scenes)
        return f"What does the {shape} do after it moves {before}?", after


def long_question_tasks() -> list[Task]:
    """Questions of order and number over thirty clips, for each way to choose clips."""
    about = {"order": "what a shape does after something else", "count": "in how many clips a shape is seen"}
    return [
        Task(
            name=f"{kind}_{context}_{CLIPS}",
            about=f"{about[kind]}, in {CLIPS} clips, context: {context}",
            needs=QUESTIONS,
            samples=MomentsWorld(kind=kind),  # type: ignore[arg-type] - samples with an id are all that is needed
            results=each(_question(context)),
            cost=0.05 + CLIPS / 1000,
        )
        for kind in ("order", "count")
        for context in CONTEXTS
    ]


def moving_scenes(first: int) -> Iterator[tuple[int, Scene]]:
    """Scenes from a seed on in which one object moves, with their seeds; neighbouring numbers give other scenes."""
    for seed in itertools.count(first, SEEDS_APART // 100):
        scene = sample_scene(seed)
        if len(scene.actors) == 1 and scene.actors[0].events[0].direction != "still":
            yield seed, scene


def direction_of(scene: Scene) -> str:
    """The way in which the object of a scene moves, in words."""
    return scene.actors[0].events[0].direction.replace("-", " and ")


def _shape(scene: Scene) -> str:
    return scene.actors[0].shape


def _question(context: str) -> Callable[[Any, LongSample], Result]:
    def asked(model: Any, sample: LongSample) -> Result:
        said, looked_at = model.answer_about_clips(sample.question, sample.clips, context=context, notes=NOTES)
        found = len(set(sample.needles) & set(looked_at)) / len(sample.needles)
        return {"right": is_right(said, sample.answer), "looked at": found}

    return asked
