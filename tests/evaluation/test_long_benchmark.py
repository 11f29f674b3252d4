"""The needle test: videos as it says, and scores that only a model that finds the needle reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from videolavit.data.shapes import sample_scene
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks.long import CONTEXTS, LENGTHS, NeedleWorld, long_tasks
from videolavit.evaluation.benchmarks.long_questions import MomentsWorld, direction_of


@pytest.mark.parametrize("num_clips", [1, 8, 128])
def test_one_clip_is_odd_and_answers_the_question(num_clips: int):
    for number in range(6):
        sample = NeedleWorld(num_clips=num_clips).sample(number, 0)
        actors = [sample_scene(seed).actors[0] for seed in sample.scenes]
        needle = actors[sample.needles[0]]
        assert len(sample.clips) == num_clips
        assert [actor.shape == needle.shape for actor in actors].count(True) == 1
        assert needle.shape in sample.question
        assert sample.answer in (needle.colour, needle.events[0].direction.replace("-", " and "))


def test_lengths_ask_the_same_and_seeds_ask_something_else():
    short, long, again, other = (
        NeedleWorld(num_clips=count).sample(3, seed) for count, seed in ((8, 0), (128, 0), (8, 0), (8, 1))
    )
    assert (short.question, short.answer) == (long.question, long.answer)
    assert short.scenes[short.needles[0]] == long.scenes[long.needles[0]]
    assert (short.scenes, short.needles) == (again.scenes, again.needles)
    assert short.scenes != other.scenes


def test_clips_are_rendered_when_they_are_looked_at():
    sample = NeedleWorld(num_clips=3).sample(0, 0)
    name, frames = sample.clips[1]
    assert name == f"scene {sample.scenes[1]}"
    assert frames().shape == (24, 128, 128, 3)


class Seer:
    """Knows the truth of clips that it looks at: all of them, or the last four."""

    def __init__(self, *, sees_all: bool) -> None:
        self.sees_all = sees_all

    def answer_about_clips(
        self, question: str, clips: Sequence[tuple[str, Any]], *, context: str, notes: Sequence[str]
    ) -> tuple[str, list[int]]:
        seen = list(range(len(clips)))[0 if self.sees_all else -4 :]
        for number in seen:
            actor = sample_scene(int(clips[number][0].removeprefix("scene "))).actors[0]
            if actor.shape in question:
                is_colour = "colour" in question
                return actor.colour if is_colour else actor.events[0].direction.replace("-", " and "), [number]
        return "red", seen


@pytest.mark.parametrize(("sees_all", "right"), [(True, 1.0), (False, 0.5)])
def test_only_a_model_that_finds_the_needle_is_right(sees_all: bool, right: float):
    task: Any
    [task] = long_tasks(BenchmarkOptions(limit=20), names=["window_8"])
    results = task.results(Seer(sees_all=sees_all), [task.sample(number) for number in range(task.count())])
    assert len(results) == 20
    looked_at, said = (np.mean([result[name] for result in results]) for name in ("looked at", "right"))
    assert looked_at == pytest.approx(right, abs=0.3 * (not sees_all))
    assert looked_at <= said < 1.0 + sees_all


def test_every_length_is_measured_in_every_way():
    names = [task.name for task in long_tasks()]
    needles = ["needle_alone", *(f"{way}_{length}" for length in LENGTHS for way in CONTEXTS)]
    several = [f"{kind}_{way}_30" for kind in ("order", "count") for way in ("whole", "budget", "retrieval")]
    assert names == [*needles, *several, "story_30", "story_30_best_of_4"]


@pytest.mark.parametrize("kind", ["order", "count"])
def test_questions_on_several_moments_have_one_right_answer(kind: Any):
    answers = set()
    for number in range(8):
        sample = MomentsWorld(kind=kind).sample(number, 0)
        scenes = [sample_scene(seed) for seed in sample.scenes]
        shape = scenes[sample.needles[0]].actors[0].shape
        assert len(scenes) == 30
        assert [place for place, scene in enumerate(scenes) if scene.actors[0].shape == shape] == list(sample.needles)
        assert shape in sample.question
        if kind == "count":
            assert sample.answer == str(len(sample.needles))
        else:
            before, after = (direction_of(scenes[place]) for place in sample.needles)
            assert before != after
            assert f"after it moves {before}" in sample.question
            assert sample.answer == after
        answers.add(sample.answer)
    assert len(answers) > 2
    assert MomentsWorld(kind=kind).sample(3, 0) == MomentsWorld(kind=kind).sample(3, 0)
    assert MomentsWorld(kind=kind).sample(3, 1).scenes != MomentsWorld(kind=kind).sample(3, 0).scenes


class Counter:
    """Counts the clips with the shape of a question among those that it looks at: all of them, or the last four."""

    def __init__(self, *, sees_all: bool) -> None:
        self.first = 0 if sees_all else -4

    def answer_about_clips(
        self, question: str, clips: Sequence[tuple[str, Any]], *, context: str, notes: Sequence[str]
    ) -> tuple[str, list[int]]:
        looked_at = list(range(len(clips)))[self.first :]
        shapes = [sample_scene(int(clips[one][0].removeprefix("scene "))).actors[0].shape for one in looked_at]
        return str(sum(shape in question for shape in shapes)), looked_at


@pytest.mark.parametrize("sees_all", [True, False])
def test_counting_needs_all_moments(sees_all: bool):
    task: Any
    [task] = long_tasks(BenchmarkOptions(limit=8), names=["count_whole_30"])
    results = task.results(Counter(sees_all=sees_all), [task.sample(number) for number in range(task.count())])
    right, looked_at = (np.mean([result[name] for result in results]) for name in ("right", "looked at"))
    assert (right, looked_at) == (1.0, 1.0) if sees_all else right < 0.5 > looked_at
