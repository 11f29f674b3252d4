"""Needles in long videos: one odd clip among many, and a question about it; all tasks on long videos.

Clips are scenes of the shapes world. The needle is the only one with its shape, and the question names that shape. A
video is put together of clips that stand for themselves, from a pool that is looked at once: length costs little.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions, Target
from videolavit.evaluation.benchmarks.long_questions import (
    NOTES,
    POOL,
    POOL_SEED,
    LongSample,
    direction_of,
    long_question_tasks,
    moving_scenes,
)
from videolavit.evaluation.benchmarks.stories import story_task
from videolavit.evaluation.needs import QUESTIONS
from videolavit.evaluation.question_tasks import is_right
from videolavit.evaluation.samples import FIRST_SEED, SEEDS_APART
from videolavit.evaluation.tasks import Result, Task, choose_tasks, each

__all__ = ["NeedleWorld", "long_tasks"]

SAMPLES = 60
LENGTHS = (8, 32, 128, 512)
CONTEXTS = ("whole", "window", "budget", "retrieval")
QUESTIONS_ABOUT = ("What colour is the {}?", "Which way does the {} move?")


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedleWorld:
    """Videos of a number of clips."""

    num_clips: int

    def check(self) -> None:
        """Nothing: scenes can be rendered everywhere."""

    def count(self, wanted: int) -> int:
        return wanted

    def sample(self, number: int, seed: int) -> LongSample:
        """Needle and question depend on number and seed alone, so that lengths can be compared."""
        first = FIRST_SEED + SEEDS_APART * seed
        needle_seed, scene = next(moving_scenes(first + number))
        actor = scene.actors[0]
        pool = itertools.islice(moving_scenes(first + POOL_SEED), POOL)
        others = [one for one, other in pool if other.actors[0].shape != actor.shape]
        random = np.random.default_rng([seed, number, self.num_clips])
        scenes = [others[index] for index in random.integers(len(others), size=self.num_clips)]
        place = int(random.integers(self.num_clips))
        scenes[place] = needle_seed
        return LongSample(
            id=f"needle {needle_seed} in {self.num_clips}",
            question=QUESTIONS_ABOUT[number % 2].format(actor.shape),
            answer=(actor.colour, direction_of(scene))[number % 2],
            needles=(place,),
            scenes=tuple(scenes),
        )


def long_tasks(options: BenchmarkOptions | None = None, names: Sequence[str] = ()) -> list[Benchmark]:
    """The needle alone, and in videos of each length for each way to choose clips; questions on several clips; stories.

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
    tasks += long_question_tasks()
    tasks += [story_task(), story_task(candidates=4)]
    wanted = SAMPLES if options.limit is None else options.limit
    return choose_tasks([task.with_samples(wanted, options.seed) for task in tasks], names)


def _task(name: str, about: str, num_clips: int, context: str) -> Task:
    def needle(model: Any, sample: LongSample) -> Result:
        said, looked_at = model.answer_about_clips(sample.question, sample.clips, context=context, notes=NOTES)
        return {"right": is_right(said, sample.answer), "looked at": sample.needles[0] in looked_at}

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
