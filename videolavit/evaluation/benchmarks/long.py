"""Needles in long videos: one odd clip among many, and a question about it.

Clips are scenes of the shapes world. The needle is the only one with its shape, and the question names that shape. A
video is put together of clips that stand for themselves, from a pool that is looked at once: length costs little.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from videolavit.data.shapes import Scene, render, sample_scene
from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions, Target
from videolavit.evaluation.benchmarks.stories import story_task
from videolavit.evaluation.needs import QUESTIONS
from videolavit.evaluation.question_tasks import is_right
from videolavit.evaluation.samples import FIRST_SEED, SEEDS_APART
from videolavit.evaluation.tasks import Result, Task, choose_tasks, each

__all__ = ["NeedleSample", "NeedleWorld", "long_tasks"]

SAMPLES = 60
LENGTHS = (8, 32, 128, 512)
CONTEXTS = ("whole", "window", "budget", "retrieval")
POOL = 40
"""Scenes that are not the needle; long videos show some of them several times."""
POOL_SEED = 500_000
QUESTIONS_ABOUT = ("What colour is the {}?", "Which way does the {} move?")
NOTES = ("What shape is the object?", "What colour is the object?", "Which way does the object move?")
"""Asked about each clip when it is read; retrieval compares the question with their answers."""


@dataclass(frozen=True, kw_only=True)
class NeedleSample:
    """One video of many clips and a question on one of them."""

    seed: int
    num_clips: int
    question: str
    answer: str
    needle: int
    """Number of the odd clip."""
    scenes: tuple[int, ...]
    """Seed of each clip's scene."""

    @property
    def id(self) -> str:
        """As records call it."""
        return f"needle {self.seed} in {self.num_clips}"

    @cached_property
    def clips(self) -> list[tuple[str, Any]]:
        """Each with a name and what renders it."""
        return [(f"scene {seed}", lambda seed=seed: render(sample_scene(seed))) for seed in self.scenes]


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedleWorld:
    """Videos of a number of clips."""

    num_clips: int

    def check(self) -> None:
        """Nothing: scenes can be rendered everywhere."""

    def count(self, wanted: int) -> int:
        return wanted

    def sample(self, number: int, seed: int) -> NeedleSample:
        """Needle and question depend on number and seed alone, so that lengths can be compared."""
        first = FIRST_SEED + SEEDS_APART * seed
        needle_seed, scene = _moving_scene(first + number)
        actor = scene.actors[0]
        others = [
            one
            for one, other in itertools.islice(_pool(first + POOL_SEED), POOL)
            if other.actors[0].shape != actor.shape
        ]
        random = np.random.default_rng([seed, number, self.num_clips])
        scenes = [others[index] for index in random.integers(len(others), size=self.num_clips)]
        place = int(random.integers(self.num_clips))
        scenes[place] = needle_seed
        answers = (actor.colour, actor.events[0].direction.replace("-", " and "))
        return NeedleSample(
            seed=needle_seed,
            num_clips=self.num_clips,
            question=QUESTIONS_ABOUT[number % 2].format(actor.shape),
            answer=answers[number % 2],
            needle=place,
            scenes=tuple(scenes),
        )


def long_tasks(options: BenchmarkOptions | None = None, names: Sequence[str] = ()) -> list[Benchmark]:
    """The needle alone, and in videos of each length for each way to choose clips; and stories of thirty clips.

    Raises:
        ConfigError: there is no such task, or no sample is wanted.
    """
    options = options or BenchmarkOptions()
    tasks = [_task("needle_alone", "a clip alone, which is what a model can answer", 1, "whole")]
    tasks += [
        _task(f"{context}_{length}", f"one odd clip among {length}, context: {context}", length, context)
        for length in LENGTHS
        for context in CONTEXTS
    ]
    tasks.append(story_task())
    wanted = SAMPLES if options.limit is None else options.limit
    return choose_tasks([task.with_samples(wanted, options.seed) for task in tasks], names)


def _task(name: str, about: str, num_clips: int, context: str) -> Task:
    def needle(model: Any, sample: NeedleSample) -> Result:
        said, looked_at = model.answer_about_clips(sample.question, sample.clips, context=context, notes=NOTES)
        return {"right": is_right(said, sample.answer), "looked at": sample.needle in looked_at}

    targets = {"right": Target(0.9), "looked at": Target(0.9)} if name == "retrieval_128" else {}
    return Task(
        name=name,
        about=about,
        needs=QUESTIONS,
        samples=NeedleWorld(num_clips=num_clips),  # type: ignore[arg-type] - samples with an id are all that is needed
        results=each(needle),
        targets=targets,
        cost=0.05 + num_clips / 1000,
    )


def _pool(first: int) -> Any:
    """Scenes of one moving object with their seeds, from a seed on."""
    seed = first
    while True:
        found, scene = _moving_scene(seed)
        yield found, scene
        seed = found + 1


def _moving_scene(first: int) -> tuple[int, Scene]:
    """The first scene from a seed on in which one object moves; neighbouring numbers give other scenes."""
    for seed in itertools.count(first, SEEDS_APART // 100):
        scene = sample_scene(seed)
        if len(scene.actors) == 1 and scene.actors[0].events[0].direction != "still":
            return seed, scene
    raise AssertionError("unreachable")
