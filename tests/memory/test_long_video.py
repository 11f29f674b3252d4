"""Videos read into a memory and asked about, with the model of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from videolavit.data.shapes import render, sample_scene
from videolavit.errors import CheckpointError
from videolavit.memory.context import ContextOptions
from videolavit.memory.long_video import answer_about, read_video, remembered_clips
from videolavit.memory.token_memory import TokenMemory
from videolavit.pipeline import VideoLaVIT
from videolavit.video import Frames
from videolavit.vocabulary import Vocabulary

NOTES = ("What shape is the object?", "What colour is the object?")


@pytest.fixture(scope="module")
def model() -> VideoLaVIT:
    return VideoLaVIT.from_pretrained()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Four clips: a star is in one of them."""
    scenes: list[np.ndarray] = []
    for seed in range(1000):
        scene = sample_scene(seed)
        wanted = "star" if len(scenes) == 2 else "circle"
        if len(scene.actors) == 1 and scene.actors[0].shape == wanted and scene.ground.kind == "plain":
            scenes.append(render(scene))
        if len(scenes) == 4:
            break
    return np.concatenate(scenes)


def as_video(frames: np.ndarray) -> Frames:
    return Frames(images=iter(frames), fps=6.0)


@pytest.fixture(scope="module")
def memory(model: VideoLaVIT, frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> TokenMemory:
    with read_video(model, as_video(frames), tmp_path_factory.mktemp("video") / "memory", ask=NOTES) as memory:
        return memory


def test_every_clip_is_remembered_with_its_time(memory: TokenMemory):
    assert [(clip.start_seconds, clip.end_seconds) for clip in memory] == [(0, 4), (4, 8), (8, 12), (12, 16)]
    assert all(len(clip.visual_ids) for clip in memory)
    assert memory[0].features is not None
    assert memory[0].features.shape == (len(memory[0].visual_ids), memory.feature_width)


def test_the_answer_names_the_moment_that_it_is_about(model: VideoLaVIT, memory: TokenMemory, frames: np.ndarray):
    found = answer_about(model, memory, "What colour is the star?")
    assert [moment.clip for moment in found.moments] == [2]
    assert (found.moments[0].start_seconds, found.moments[0].end_seconds) == (8, 12)
    assert found.num_clips == 4
    assert found.text == model.answer("What colour is the star?", video=as_video(frames[48:72])).text


@pytest.mark.parametrize("context", ["whole", "window", "budget", "retrieval"])
def test_each_way_gives_an_answer(model: VideoLaVIT, memory: TokenMemory, context: str):
    options = ContextOptions(context=context, max_clips=2)  # type: ignore[arg-type]
    found = answer_about(model, memory, "What colour is the star?", options, max_new_tokens=8)
    assert found.text
    assert found.num_prompt_ids <= model.answering.language_model.context_length - 8
    assert len(found.moments) == {"whole": 4, "window": 2, "budget": 4, "retrieval": 1}[context]


def test_a_memory_is_gone_on_with_where_a_run_was_killed(
    model: VideoLaVIT, frames: np.ndarray, memory: TokenMemory, tmp_path: Path
):
    with read_video(model, as_video(frames[:48]), tmp_path / "memory", ask=NOTES) as first:
        assert len(first) == 2
    with read_video(model, as_video(frames), tmp_path / "memory", ask=NOTES) as whole:
        assert len(whole) == 4
        for one, other in zip(whole, memory, strict=True):
            assert torch.equal(one.visual_ids, other.visual_ids)
            assert torch.equal(one.motion_ids, other.motion_ids)
            assert one.descriptions == other.descriptions
    with read_video(model, as_video(frames[:24]), tmp_path / "memory", append=True) as longer:
        assert len(longer) == 5
        assert longer[4].start_seconds == 16
        assert len(longer[4].descriptions) == 8


def test_free_descriptions_are_several_and_the_same_again(model: VideoLaVIT, frames: np.ndarray):
    from videolavit.video.processor import whole_video_clips

    clips = list(whole_video_clips(as_video(frames[:24]), model.settings.video_processor))
    [one], [again] = (list(remembered_clips(model, clips)) for _ in range(2))
    assert one.descriptions == again.descriptions
    assert len(one.descriptions) == 8
    assert any("circle" in text or "disc" in text or "ball" in text for text in one.descriptions)


def test_a_memory_of_another_model_is_refused(model: VideoLaVIT, tmp_path: Path):
    with (
        TokenMemory.create(tmp_path / "memory", Vocabulary()) as memory,
        pytest.raises(CheckpointError, match="another vocabulary"),
    ):
        answer_about(model, memory, "What moves?")
