"""A real model as the subject of an evaluation gives what the pipeline gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoints.small_release import write_playable_release

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.model_parts import ModelParts
from videolavit.clip import PixelMotion
from videolavit.detokenizers.video import VideoOptions
from videolavit.evaluation.model_subject import ModelSubject
from videolavit.evaluation.shapes import shapes_tasks
from videolavit.evaluation.subject import Subject
from videolavit.evaluation.tasks import VIDEO
from videolavit.pipeline import VideoLaVIT
from videolavit.settings import ModelSettings
from videolavit.video.front_end import FrontEnd

SETTINGS = ModelSettings(
    front_end=FrontEnd(height=32, width=32, motion_scale=2, slices=1, look_at="timeline"),
    min_keyframe_ids=2,
    keyframe_steps=2,
    frames=VideoOptions(steps=1, max_guidance=1.0),
)
PROMPTS = ("a ball", "a longer text about a box")
SEEDS = (5, 900_000_001)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VideoLaVIT:
    folder = write_playable_release(tmp_path_factory.mktemp("playable"))
    return VideoLaVIT(ModelParts(open_checkpoint(str(folder)), settings=SETTINGS))


@pytest.fixture(scope="module")
def subject(model: VideoLaVIT) -> ModelSubject:
    return ModelSubject(model)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_it_is_a_subject(subject):
    assert isinstance(subject, Subject)
    assert subject.missing(VIDEO) == []


def test_pictures_and_videos_of_a_batch_are_those_of_the_pipeline(model, subject):
    pictures = subject.pictures(PROMPTS, SEEDS)
    videos = subject.videos(PROMPTS, SEEDS)
    for prompt, seed, drawn, filmed in zip(PROMPTS, SEEDS, pictures, videos, strict=True):
        assert np.array_equal(drawn, model.image(prompt, seed=seed).pixels)
        assert np.array_equal(filmed, model.video(prompt, seed=seed).frames)


@pytest.mark.slow
def test_given_pictures_move_as_in_the_pipeline(model, subject):
    given = [picture(1), picture(2)]
    videos = subject.videos(PROMPTS, SEEDS, given)
    for prompt, seed, first, filmed in zip(PROMPTS, SEEDS, given, videos, strict=True):
        assert np.array_equal(filmed, model.video(prompt, image=first, seed=seed).frames)


@pytest.mark.slow
def test_long_videos_are_those_of_the_pipeline(model, subject):
    [videos] = subject.long_videos(PROMPTS[:1], SEEDS[:1], clips=2, noises=("none", "restart"))
    assert videos["none"].shape == (47, 32, 32, 3)
    for noise, video in videos.items():
        assert np.array_equal(video, model.video(PROMPTS[0], clips=2, noise=noise, seed=SEEDS[0]).frames)
    assert not np.array_equal(videos["none"], videos["restart"])


def test_answers_are_those_of_the_pipeline(model, subject):
    questions = ["What moves?", "Why?"]
    video = np.stack([np.roll(picture(), 2 * i, axis=1) for i in range(24)])
    for media in ({"picture": picture()}, {"video": video}):
        answers = subject.answers(questions, **media)
        alone = [
            model.answer(question, image=media.get("picture"), video=media.get("video"), max_ids=32).text
            for question in questions
        ]
        assert answers == alone


def test_codecs_are_those_of_the_pipeline(model, subject):
    given = picture()
    [tokens] = model.tokenize(image=given)
    assert subject.visual_counts([given, given]) == [len(tokens.keyframe)] * 2
    assert subject.num_patches() == 16
    assert subject.num_motion_ids() == 135
    redrawn = subject.redrawn(given, 3)
    assert np.array_equal(redrawn, model.detokenize([tokens], seed=3).frames[0])
    restored = subject.autoencoded(given)
    assert restored.shape == given.shape
    assert restored.dtype == np.uint8
    assert not np.array_equal(restored, subject.autoencoded(picture(7)))


def test_motion_keeps_its_unit_and_drives_frames(subject):
    rows, cols = subject.motion_grid()
    values = np.zeros((2, 24, rows, cols), np.float32)
    values[0] = 2.0
    motion = PixelMotion(values=values, height=64, width=64)
    restored = subject.motion_restored(motion)
    assert restored.values.shape == values.shape
    assert (restored.height, restored.width) == (64, 64)
    assert np.array_equal(subject.motion_restored(motion).values, restored.values)
    frames = subject.animated(picture(), restored, 3)
    assert frames.shape == (24, 32, 32, 3)
    assert np.array_equal(frames, subject.animated(picture(), restored, 3))


def test_only_the_parts_that_are_there_are_used(model):
    parts = ModelParts(
        vocabulary=model.vocabulary,
        settings=SETTINGS,
        modules={"motion_tokenizer": model.parts.module("motion_tokenizer")},
    )
    subject = ModelSubject(VideoLaVIT(parts))
    possible = [task.name for task in shapes_tasks() if not subject.missing(task.needs)]
    assert possible == ["motion_tokenizer"]
    assert "keyframe_scheduler" in subject.missing(VIDEO)


def test_another_weight_is_another_model(model, subject):
    before = subject.identity(["motion_tokenizer"])
    assert before == ModelSubject(model).identity(["motion_tokenizer"])
    assert before != subject.identity(["motion_tokenizer", "video_scheduler"])
    weight = next(model.motion_tokenizer.parameters())
    with torch.no_grad():
        weight.view(-1)[0] += 1
    try:
        assert subject.identity(["motion_tokenizer"]) != before
    finally:
        with torch.no_grad():
            weight.view(-1)[0] -= 1
