"""Videos read into a memory and asked about, with the model of the package."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from videolavit.clip import Clip
from videolavit.data.shapes import render, sample_scene
from videolavit.errors import CheckpointError, ConfigError, PromptError
from videolavit.language.prompts import ClipInput, Moment, VideoInput
from videolavit.memory.context import ContextOptions
from videolavit.memory.token_memory import TokenMemory
from videolavit.pipeline import VideoLaVIT, remembering
from videolavit.pipeline.moment_times import with_times
from videolavit.pipeline.remembering import moment_image, remembered_clips
from videolavit.video import Frames, Limits
from videolavit.video.io.write import write_video
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
    return model.remember(as_video(frames), tmp_path_factory.mktemp("video") / "memory", ask=NOTES)


def test_every_clip_is_remembered_with_its_time(memory: TokenMemory):
    assert [(clip.start_seconds, clip.end_seconds) for clip in memory] == [(0, 4), (4, 8), (8, 12), (12, 16)]
    assert all(len(clip.visual_ids) for clip in memory)
    assert memory[0].features is not None
    assert memory[0].features.shape == (len(memory[0].visual_ids), memory.feature_width)


def test_the_answer_names_the_moment_that_it_is_about(model: VideoLaVIT, memory: TokenMemory, frames: np.ndarray):
    found = model.answer("What colour is the star?", video=memory)
    assert [moment.clip for moment in found.moments] == [2]
    assert (found.moments[0].start_seconds, found.moments[0].end_seconds) == (8, 12)
    assert found.moments[0].num_clips == 4
    assert found.moments[0].source == str(memory.folder)
    assert found.text == model.answer("What colour is the star?", video=as_video(frames[48:72])).text


@pytest.mark.parametrize("context", ["whole", "window", "budget", "retrieval"])
def test_each_way_gives_an_answer(model: VideoLaVIT, memory: TokenMemory, context: str):
    options = ContextOptions(context=context, max_clips=2)  # type: ignore[arg-type]
    found = model.answer("What colour is the star?", video=memory, context=options, max_new_tokens=8)
    assert found.text
    assert found.num_prompt_ids <= model.answering.language_model.context_length - 8
    assert len(found.moments) == {"whole": 4, "window": 2, "budget": 4, "retrieval": 1}[context]


def test_a_memory_is_gone_on_with_where_a_run_was_killed(
    model: VideoLaVIT, frames: np.ndarray, memory: TokenMemory, tmp_path: Path
):
    first = model.remember(as_video(frames[:48]), tmp_path / "memory", ask=NOTES)
    assert len(first) == 2
    whole = model.remember(as_video(frames), tmp_path / "memory", ask=NOTES)
    assert len(whole) == 4
    for one, other in zip(whole, memory, strict=True):
        assert torch.equal(one.visual_ids, other.visual_ids)
        assert torch.equal(one.motion_ids, other.motion_ids)
        assert one.descriptions == other.descriptions
    longer = model.remember(as_video(frames[:24]), tmp_path / "memory", append=True)
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
    with TokenMemory.create(tmp_path / "memory", Vocabulary()) as memory:
        with pytest.raises(CheckpointError, match="another vocabulary"):
            model.answer("What moves?", video=memory)
        with pytest.raises(CheckpointError, match="another vocabulary"):
            model.remember(np.zeros((24, 32, 32, 3), np.uint8), memory.folder)


def test_a_memory_is_named_by_its_folder_and_several_questions_look_at_moments_of_their_own(
    model: VideoLaVIT, memory: TokenMemory, frames: np.ndarray
):
    questions = ["What colour is the star?", "What colour is the <video> star?", "What shape is the object?"]
    found = model.answer(questions, video=str(memory.folder), max_new_tokens=8)
    assert [[moment.clip for moment in one.moments] for one in found[:2]] == [[2], [2]]
    assert found[0].text == model.answer(questions[0], video=memory).text
    beside = model.answer("What colour is the star?", image=frames[0], video=[memory], max_new_tokens=8)
    assert [moment.clip for moment in beside.moments] == [2]
    with pytest.raises(PromptError, match="media"):
        model.answer("What is in the <video> and the <video>?", video=memory)


def test_ordinary_videos_have_no_moments(model: VideoLaVIT, frames: np.ndarray):
    assert model.answer("What moves?", video=as_video(frames[:24]), max_new_tokens=4).moments == ()


def test_the_keyframe_of_a_moment_is_what_was_seen(model: VideoLaVIT, memory: TokenMemory, frames: np.ndarray):
    [moment] = model.answer("What colour is the star?", video=memory, max_new_tokens=4).moments
    image = moment_image(model, moment)
    assert image.shape == frames[48].shape
    assert np.abs(image.astype(int) - frames[48]).mean() < 4


def test_without_kept_images_the_detokenizer_shows_the_moment(model: VideoLaVIT, frames: np.ndarray, tmp_path: Path):
    memory = model.remember(as_video(frames[48:72]), tmp_path / "memory", describe=False, images=False)
    assert memory.jpeg(0) == b""
    [moment] = model.answer("What moves?", video=memory, max_new_tokens=4).moments
    image = moment_image(model, moment)
    assert image.shape == frames[48].shape
    assert np.abs(image.astype(int) - frames[48]).mean() < 25


def test_the_time_of_each_moment_can_be_said(model: VideoLaVIT, memory: TokenMemory):
    options = ContextOptions(context="whole", times=True)
    clips = memory_clips(memory)
    turn = with_times("What moves?", [VideoInput(clips=(clips[0], clips[1], clips[3]))])
    assert turn.question == "0:00 to 0:08: <video>\n0:12 to 0:16: <video>\nWhat moves?"
    assert [len(one.clips) for one in turn.media if isinstance(one, VideoInput)] == [2, 1]
    silent = model.answer("What moves?", video=memory, context="whole", max_new_tokens=4)
    told = model.answer("What moves?", video=memory, context=options, max_new_tokens=4)
    assert told.num_prompt_ids > silent.num_prompt_ids
    assert told.moments == silent.moments


def memory_clips(memory: TokenMemory) -> list[ClipInput]:
    times = [Moment(clip=n, num_clips=4, start_seconds=4.0 * n, end_seconds=4.0 * n + 4) for n in range(4)]
    return [clip.as_input(moment=moment) for clip, moment in zip(memory, times, strict=True)]


def test_a_pipe_is_read_as_it_comes(model: VideoLaVIT, frames: np.ndarray, tmp_path: Path):
    write_video(frames[:60], tmp_path / "video.webm", fps=6)

    class Pipe(io.RawIOBase):
        """What can be read once and has no length."""

        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            return self._data.readinto(buffer)

    lengths: list[int] = []
    memory = model.remember(
        io.BufferedReader(Pipe((tmp_path / "video.webm").read_bytes())),
        tmp_path / "memory",
        describe=False,
        progress=lambda stage, done, total: lengths.append(done) if stage == "encode" else None,
    )
    assert lengths[:4] == [0, 0, 1, 2]
    assert [clip.end_seconds for clip in memory] == [4, 8, 10]


def test_a_camera_is_remembered_clip_by_clip(model: VideoLaVIT, frames: np.ndarray, tmp_path: Path):
    taken: list[int] = []
    taken_at_first: list[int] = []

    def images() -> Iterator[np.ndarray]:
        for number, image in enumerate(frames):
            taken.append(number)
            yield image

    def show(stage: str, done: int, total: int) -> None:
        if stage == "encode" and done == 1:
            taken_at_first.append(len(taken))

    live = Frames(images=images(), fps=6.0, is_live=True)
    model.remember(live, tmp_path / "memory", describe=False, progress=show)
    assert taken_at_first[0] < len(taken) == len(frames), "the first clip does not wait for the last image"


def test_a_camera_may_run_for_days(model: VideoLaVIT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    longest: list[float] = []

    def none(video: object, processor: object, *, limits: Limits | None) -> Iterator[tuple[Clip, int]]:
        longest.append((limits or Limits()).max_duration_seconds)
        return iter(())

    monkeypatch.setattr(remembering, "whole_video_clips", none)
    for is_live in (True, False):
        model.remember(Frames(images=[], fps=6.0, is_live=is_live), tmp_path / str(is_live), describe=False)
    assert longest == [math.inf, 12 * 3600]


def test_another_file_is_added_only_when_asked(model: VideoLaVIT, frames: np.ndarray, tmp_path: Path):
    first = write_video(frames[:24], tmp_path / "first.mp4", fps=6)
    second = write_video(frames[24:], tmp_path / "second.mp4", fps=6)
    model.remember(first, tmp_path / "memory", describe=False)
    with pytest.raises(ConfigError, match=r"those of first\.mp4, and second\.mp4 is another video"):
        model.remember(second, tmp_path / "memory", describe=False)
    assert len(TokenMemory(tmp_path / "memory")) == 1
    assert len(model.remember(second, tmp_path / "memory", describe=False, append=True)) == 4
    assert len(model.remember(second, tmp_path / "memory", describe=False)) == 4


def test_a_single_question_is_no_list_of_letters(model: VideoLaVIT, frames: np.ndarray, tmp_path: Path):
    one = model.remember(as_video(frames[:24]), tmp_path / "one", ask=NOTES[0])
    same = model.remember(as_video(frames[:24]), tmp_path / "same", ask=NOTES[:1])
    assert one.descriptions() == same.descriptions()
    with pytest.raises(PromptError, match="got an empty question for each clip"):
        model.remember(as_video(frames[:24]), tmp_path / "empty", ask=(NOTES[0], " "))
    with pytest.raises(ConfigError, match="nothing is to be noted"):
        model.remember(as_video(frames[:24]), tmp_path / "empty", ask=NOTES, describe=False)
    assert not (tmp_path / "empty").exists()


def test_words_that_nobody_noted_are_missed_aloud(
    model: VideoLaVIT, frames: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    silent = model.remember(as_video(frames[:24]), tmp_path / "memory", describe=False)
    assert model.answer("What moves?", video=silent, max_new_tokens=4).moments
    assert "nothing was noted about its clips" in caplog.text
    caplog.clear()
    model.answer("What moves?", video=silent, context="window", max_new_tokens=4)
    assert "nothing was noted" not in caplog.text


def test_a_folder_of_something_else_is_left_alone(model: VideoLaVIT, frames: np.ndarray, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no memory"):
        model.remember(as_video(frames[:24]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
