"""Drift of stories: the measures know a kept subject from a lost one, a still ground from another, a jump from none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from videolavit.data.shapes import Scene, render, sample_scene
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks import stories
from videolavit.evaluation.benchmarks.long import long_tasks
from videolavit.evaluation.benchmarks.stories import ground_psnr, story_drift, story_prompts


@pytest.fixture(scope="module")
def task() -> Any:
    [task] = long_tasks(BenchmarkOptions(limit=2), ["story_30"])
    return task


def to_and_fro(scene: Scene, clips: int) -> list[np.ndarray]:
    """The true story: forwards and backwards in turns."""
    there = render(scene)
    return [there, *(there[::-1][1:] if number % 2 else there[1:] for number in range(1, clips))]


def test_a_true_story_keeps_everything(task: Any):
    class Truthful:
        def generate_story(self, prompts: list[str], seed: int, candidates: int) -> list[np.ndarray]:
            assert len(prompts) == 30
            return to_and_fro(sample.scene, 30)

    sample = task.sample(0)
    [found] = task.results(Truthful(), [sample])
    assert all(found[f"subject in clip {number}"] for number in (1, 10, 30))
    assert found["subject in the last clip"] is True
    assert found["direction, all clips"] == 1.0
    assert found["PSNR of the ground of clip 30, dB"] > 40
    assert 0 < found["border / inside"] < 1.5


def test_a_lost_subject_and_a_jump_are_seen(task: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stories, "LOOKED_AT", (1, 2, 4))  # of a story of four clips: every one is judged, which is slow
    scene, other = task.sample(0).scene, task.sample(1).scene
    clips = [*to_and_fro(scene, 2), *to_and_fro(other, 2)]
    found = story_drift(clips, scene)
    assert found["subject in clip 2"] is True
    same = (scene.actors[0].colour, scene.actors[0].shape) == (other.actors[0].colour, other.actors[0].shape)
    assert found["subject in the last clip"] is same
    assert found["border / inside"] > story_drift(to_and_fro(scene, 2), scene)["border / inside"]


def test_prompts_name_the_subject_and_go_to_and_fro(task: Any):
    scene = task.sample(0).scene
    prompts = story_prompts(scene, 4)
    assert prompts[0] == prompts[2] != prompts[1] == prompts[3]
    assert all(f" {scene.actors[0].colour} {scene.actors[0].shape} moves " in prompt for prompt in prompts)


def test_the_ground_is_compared_where_no_object_is():
    scene = next(scene for scene in map(sample_scene, range(99)) if len(scene.actors) == 1)
    frames = render(scene)
    assert ground_psnr(frames[0], frames[0]) == 60
    darker = (frames[0] * 0.9).astype(np.uint8)
    assert ground_psnr(frames[0], darker) < 40
