"""A real model as the adapter of an evaluation gives what the pipeline gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from checkpoints.small_release import write_playable_release

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.components import ModelComponents
from videolavit.clip import MotionField
from videolavit.detokenizers.video_detokenizer import VideoOptions
from videolavit.evaluation.adapter import ModelAdapter
from videolavit.evaluation.benchmarks.shapes import shapes_tasks
from videolavit.evaluation.needs import VIDEO
from videolavit.evaluation.pipeline_adapter import PipelineAdapter
from videolavit.language.conversation import Turn, conversation
from videolavit.language.language_model import left_pad
from videolavit.pipeline import VideoLaVIT
from videolavit.settings import ModelSettings
from videolavit.video.processor import VideoProcessorConfig

SETTINGS = ModelSettings(
    video_processor=VideoProcessorConfig(height=32, width=32, motion_scale=2, slices=1, look_at="timeline"),
    min_keyframe_ids=2,
    keyframe_num_inference_steps=2,
    frames=VideoOptions(num_inference_steps=1, max_guidance_scale=1.0),
)
PROMPTS = ("a ball", "a longer text about a box")
SEEDS = (5, 900_000_001)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VideoLaVIT:
    folder = write_playable_release(tmp_path_factory.mktemp("playable"))
    return VideoLaVIT(ModelComponents(open_checkpoint(str(folder)), settings=SETTINGS))


@pytest.fixture(scope="module")
def adapter(model: VideoLaVIT) -> PipelineAdapter:
    return PipelineAdapter(model)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_it_is_an_adapter(adapter):
    assert isinstance(adapter, ModelAdapter)
    assert adapter.missing(VIDEO) == []


def differ_by_rounding(one: np.ndarray, other: np.ndarray) -> bool:
    """A network sums in another order for a batch: at most 2 of 255 here."""
    return int(np.abs(one.astype(int) - other).max()) <= 2


@pytest.mark.slow
def test_images_and_videos_of_a_batch_are_those_of_the_pipeline(model, adapter):
    images = adapter.generate_images(PROMPTS, SEEDS)
    videos = adapter.generate_videos(PROMPTS, SEEDS)
    for prompt, seed, drawn, filmed in zip(PROMPTS, SEEDS, images, videos, strict=True):
        assert differ_by_rounding(drawn, model.image(prompt, seed=seed).pixels)
        assert differ_by_rounding(filmed, model.video(prompt, seed=seed).frames)


@pytest.mark.slow
def test_given_images_move_as_in_the_pipeline(model, adapter):
    given = [image(1), image(2)]
    videos = adapter.generate_videos(PROMPTS, SEEDS, given)
    for prompt, seed, first, filmed in zip(PROMPTS, SEEDS, given, videos, strict=True):
        assert differ_by_rounding(filmed, model.video(prompt, image=first, seed=seed).frames)


@pytest.mark.slow
def test_long_videos_are_those_of_the_pipeline(model, adapter):
    [videos] = adapter.generate_long_videos(PROMPTS[:1], SEEDS[:1], clips=2, continuations=("none", "restart"))
    assert videos["none"].shape == (47, 32, 32, 3)
    for noise, video in videos.items():
        assert np.array_equal(video, model.video(PROMPTS[0], clips=2, continuation=noise, seed=SEEDS[0]).frames)
    assert not np.array_equal(videos["none"], videos["restart"])


def test_answers_are_those_of_the_pipeline(model, adapter):
    questions = ["What moves?", "Why?"]
    video = np.stack([np.roll(image(), 2 * i, axis=1) for i in range(24)])
    for media in ({"image": image()}, {"video": video}):
        [(name, shown)] = media.items()
        both = {"images": [None, None], "videos": [None, None]} | {f"{name}s": [shown] * 2}
        answers = adapter.answer(questions, **both, max_new_tokens=32)
        alone = [
            model.answer(question, image=media.get("image"), video=media.get("video"), max_new_tokens=32).text
            for question in questions
        ]
        assert answers == alone


def test_codecs_are_those_of_the_pipeline(model, adapter):
    given = image()
    [tokens] = model.tokenize(image=given)
    assert adapter.visual_counts([given, given]) == [len(tokens.keyframe)] * 2
    assert adapter.num_patches() == 16
    assert adapter.num_motion_ids() == 135
    reconstructed = adapter.reconstruct_image(given, 3)
    assert np.array_equal(reconstructed, model.detokenize([tokens], seed=3).frames[0])
    restored = adapter.autoencode(given)
    assert restored.shape == given.shape
    assert restored.dtype == np.uint8
    assert not np.array_equal(restored, adapter.autoencode(image(7)))


def test_motion_keeps_its_unit_and_drives_frames(adapter):
    rows, cols = adapter.motion_grid()
    values = np.zeros((2, 24, rows, cols), np.float32)
    values[0] = 2.0
    motion = MotionField(values=values, height=64, width=64)
    restored = adapter.reconstruct_motion(motion)
    assert restored.values.shape == values.shape
    assert (restored.height, restored.width) == (64, 64)
    assert np.array_equal(adapter.reconstruct_motion(motion).values, restored.values)
    frames = adapter.decode_clip(image(), restored, 3)
    assert frames.shape == (24, 32, 32, 3)
    assert np.array_equal(frames, adapter.decode_clip(image(), restored, 3))


def test_only_the_parts_that_are_there_are_used(model):
    parts = ModelComponents(
        vocabulary=model.vocabulary,
        settings=SETTINGS,
        modules={"motion_tokenizer": model.components.module("motion_tokenizer")},
    )
    adapter = PipelineAdapter(VideoLaVIT(parts))
    possible = [task.name for task in shapes_tasks() if not adapter.missing(task.needs)]
    assert possible == ["motion_tokenizer"]
    assert "keyframe_scheduler" in adapter.missing(VIDEO)


def test_another_weight_is_another_model(model, adapter):
    before = adapter.identity(["motion_tokenizer"])
    assert before == PipelineAdapter(model).identity(["motion_tokenizer"])
    assert before != adapter.identity(["motion_tokenizer", "video_scheduler"])
    weight = next(model.motion_tokenizer.parameters())
    with torch.no_grad():
        weight.view(-1)[0] += 1
    try:
        assert adapter.identity(["motion_tokenizer"]) != before
    finally:
        with torch.no_grad():
            weight.view(-1)[0] -= 1


@torch.inference_mode()
def test_the_likelihood_of_an_option_is_the_sum_over_its_own_ids(model, adapter):
    question, option = "What moves?", "a much longer text about a box"
    language = model.answering.language_model
    words = replace(language.chat, answer=" {answer}")
    asked, read = (
        conversation((turn,), model.vocabulary, language.text_tokenizer, template=words)
        for turn in (Turn(question=question), Turn(question=question, answer=option))
    )
    [states] = language.hidden(*left_pad([language.embed(read)]))
    scores = language.logits(states, [model.vocabulary.text_range]).float().log_softmax(-1)
    places = range(len(asked), len(read) - 1)  # the last id ends the text, and is no part of the option
    assert len(places) > 1
    total = sum(float(scores[place - 1, read.ids[place]]) for place in places)
    likeliest = all(int(scores[place - 1].argmax()) == int(read.ids[place]) for place in places)
    likelihood, is_greedy = adapter.option_likelihood(question, option)
    assert likelihood == pytest.approx(total, rel=1e-4)
    assert is_greedy == likeliest
    longer, _ = adapter.option_likelihood(question, f"{option} {option}")
    assert longer < likelihood


def test_the_loss_of_an_option_is_that_of_reading_it_alone(model, adapter):
    options = ["a ball", "a much longer text about a box", "left"]
    together = adapter.option_losses("What moves?", options, image=image())
    alone = [adapter.option_losses("What moves?", [option], image=image())[0] for option in options]
    assert together == pytest.approx(alone, rel=1e-4)
    assert len(set(together)) == 3
    assert together != adapter.option_losses("What moves?", options, image=image(5))
