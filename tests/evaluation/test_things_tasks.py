"""Tasks in the world of things with models that do all of it right, nothing, and anything."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from evaluation.shapes_models import TruthfulModel
from things_images import draw_sources

from videolavit.data.things.matching import caption_questions
from videolavit.data.things.questions import questions as asked_of
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks.things import things_task_names, things_tasks

LIMIT = 2
QUESTIONS = {
    "things_questions": "all",
    "things_order": "order",
    "things_two_questions": "all",
    "things_new_styles": "all",
    "things_captions": "all",
}
IMAGES = {"things_text_to_image": "thing and place", "things_keyframes": "thing"}
VIDEOS = {
    "things_text_to_video": "thing, motion and clean",
    "things_text_to_video_unseen": "thing, motion and clean",
    "things_two": "thing, motion and clean",
    "things_new_styles_to_video": "motion and clean",
    "things_new_places_to_video": "motion and clean",
}
MEASURED_OTHERWISE = {"things_detokenizer", "things_motion_ids"}
"""Against warping, and against the keyframe alone."""


class Model(TruthfulModel):
    """Knows the samples of a task; draws and answers as `kind` says."""

    def __init__(self, samples, kind: str) -> None:
        self.samples, self.kind = samples, kind
        self.random = np.random.default_rng(0)

    def drawn(self, seed: int) -> np.ndarray:
        [frames] = [sample.frames for sample in self.samples if sample.seed == seed]
        noise = self.random.integers(0, 256, frames.shape, dtype=np.uint8)
        return {"knowing": frames, "silent": np.zeros_like(frames), "guessing": noise}[self.kind]

    def generate_images(self, prompts, seeds):
        return [self.drawn(seed)[0] for seed in seeds]

    def generate_videos(self, prompts, seeds, first_frames=None):
        return [self.drawn(seed) for seed in seeds]

    def visual_counts(self, images):
        return [20 for _ in images]

    def reconstruct_image(self, image, seed):
        return self.drawn(seed)[0]

    def answer(self, questions, *, images, videos, max_new_tokens):
        pairs = [(one.text, one.answer) for sample in self.samples for one in asked(sample)]
        known = [self._answer(*one) for one in zip(questions, images, videos, strict=True)]
        guesses = [pairs[int(self.random.integers(len(pairs)))][1] for _ in known]
        return {"knowing": known, "silent": ["" for _ in known], "guessing": guesses}[self.kind]

    def _answer(self, text, image, video):
        seen = image if video is None else video[0]
        [sample] = [one for one in self.samples if np.array_equal(one.first_frame, seen)]
        return next(one.answer for one in asked(sample) if one.text == text)


def asked(sample):
    facts = sample.scene, sample.seed, sample.num_things
    return asked_of(*facts) + caption_questions(*facts)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sources(tmp_path_factory.mktemp("things") / "sources.npz")


def _is_read(sample) -> bool:
    """False where a thing spins: drawn things are read wrongly then, and one video of two would be half of all."""
    return all(event.motion != "spins" for actor in sample.scene.actors for event in actor.events)


def values(file: Path, name: str, measure: str) -> list[float]:
    """Of models that know, say nothing, and guess; all see the same samples, which take long to render."""
    [task] = things_tasks(BenchmarkOptions(data=file, limit=LIMIT), [name])
    samples = list(itertools.islice(filter(_is_read, map(task.sample, itertools.count())), LIMIT))
    models = [Model(samples, kind) for kind in ("knowing", "silent", "guessing")]
    return [task.summary(task.measure(model, samples))[measure].value for model in models]


@pytest.mark.parametrize(("name", "measure"), QUESTIONS.items())
def test_questions(file: Path, name: str, measure: str):
    knowing, silent, guessing = values(file, name, measure)
    assert (knowing, silent) == (1, 0)
    assert guessing < 0.6


@pytest.mark.parametrize(("name", "measure"), IMAGES.items())
def test_images(file: Path, name: str, measure: str):
    assert values(file, name, measure) == [1, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "measure"), VIDEOS.items())
def test_videos(file: Path, name: str, measure: str):
    assert values(file, name, measure) == [1, 0, 0]


def test_every_task_is_tested():
    assert {*QUESTIONS, *IMAGES, *VIDEOS} | MEASURED_OTHERWISE == set(things_task_names())
