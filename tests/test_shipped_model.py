"""The model in the package does what it is for: a few prompts and questions, far fewer than `evaluate shapes` asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from videolavit import VideoLaVIT
from videolavit.data.shapes import captions, render
from videolavit.evaluation.generation_tasks import judge_prompted
from videolavit.evaluation.samples import SceneSample, ShapesWorld
from videolavit.video.similarity import psnr_db

pytestmark = pytest.mark.slow
MEGABYTE = 1e6


@pytest.fixture(scope="module")
def model(shipped_model: Path) -> VideoLaVIT:
    return VideoLaVIT.from_pretrained(shipped_model)


@pytest.fixture(scope="module")
def samples() -> list[SceneSample]:
    return [ShapesWorld().sample(number, seed=77) for number in range(8)]


def test_it_is_small(shipped_model: Path):
    assert sum(path.stat().st_size for path in shipped_model.rglob("*") if path.is_file()) < 60 * MEGABYTE


def test_it_draws_what_it_is_told(model: VideoLaVIT, samples: list[SceneSample]):
    right = {"colour": 0, "shape": 0, "direction": 0, "clean": 0}
    for sample in samples:
        prompt = captions(sample.scene, sample.seed, 1)[0]
        seen = judge_prompted(model.video(prompt, seed=sample.seed).frames, sample.scene, prompt)
        right = {name: count + seen[name] for name, count in right.items()}
    assert min(right.values()) >= 5, right


def test_it_answers_what_it_sees(model: VideoLaVIT, samples: list[SceneSample]):
    right = 0
    for sample in samples:
        asked = ["What colour is the object?", "What shape is the object?"]
        said = [answer.text for answer in model.answer(asked, video=render(sample.scene))]
        right += said == [sample.scene.actors[0].colour, sample.scene.actors[0].shape]
    assert right >= 6


def test_its_preview_is_near_the_frames_and_needs_no_video_detokenizer(shipped_model: Path):
    fresh = VideoLaVIT.from_pretrained(shipped_model)
    seen: list[np.ndarray] = []
    loaded: list[str] = []

    def preview(frames: np.ndarray, clip: int) -> None:
        seen.append(frames)
        loaded.extend(fresh.components.loaded)

    video = fresh.video("a large red circle moves right", seed=1, preview=preview)
    assert "video_unet" not in loaded
    assert psnr_db(seen[0], video.frames) > 25
