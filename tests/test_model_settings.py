"""A model is used as its settings say: how it sees, how it draws, and what a call changes of that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints.small_release import write_playable_release

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.components import ModelComponents
from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.detokenizers.video_detokenizer import VideoOptions
from videolavit.errors import ConfigError
from videolavit.generation_options import GenerationOptions
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.pipeline import VideoLaVIT
from videolavit.settings import ModelSettings
from videolavit.training.presets import TINY, TINY_SETTINGS

SETTINGS = ModelSettings(
    video_processor=dataclasses.replace(SHAPES_FRONT_END, height=32, width=32),
    visual_input="discrete",
    max_clips=2,
    min_keyframe_ids=3,
    sampling=Sampling(keyframe=SamplingOptions(temperature=0.5)),
    keyframe_num_inference_steps=2,
    keyframe_guidance_scale=1.0,
    frames=VideoOptions(num_inference_steps=1, max_guidance_scale=1.0),
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_playable_release(tmp_path_factory.mktemp("playable"))


def model_of(release: Path, settings: ModelSettings) -> VideoLaVIT:
    return VideoLaVIT(ModelComponents(open_checkpoint(release), settings=settings))


def drifting(num_frames: int, height: int = 48, width: int = 80) -> np.ndarray:
    rows, cols = np.indices((height, width))
    image = (((rows // 8 + cols // 8) % 2)[..., None] * np.array([200, 120, 60])).astype(np.uint8)
    return np.stack([np.roll(image, 2 * i, axis=1) for i in range(num_frames)])


def test_what_options_leave_open_comes_from_the_model():
    options = GenerationOptions(seed=5).changed(num_inference_steps=7).completed(SETTINGS)
    assert options.frames == VideoOptions(num_inference_steps=7, max_guidance_scale=1.0)
    assert (options.height, options.width, options.keyframe_num_inference_steps, options.seed) == (32, 32, 2, 5)
    assert options.sampling == SETTINGS.sampling
    assert GenerationOptions().completed(SETTINGS, after_image=True).sampling == SETTINGS.sampling_after_image
    assert options.completed(ModelSettings()) == options, "what is complete is not completed again"
    released = GenerationOptions().completed(ModelSettings())
    assert released.frames == VideoOptions()
    assert (released.height, released.keyframe_num_inference_steps, released.keyframe_guidance_scale) == (None, 50, 3.0)
    assert GenerationOptions(height=64, width=48).completed(SETTINGS).width == 48


def test_options_out_of_range_are_refused_before_any_work():
    for change in ({"num_inference_steps": -1}, {"keyframe_num_inference_steps": 0}, {"fps": 0.0}):
        with pytest.raises(ConfigError):
            GenerationOptions(**change).completed(SETTINGS)
    with pytest.raises(ConfigError, match="unknown option step;"):
        GenerationOptions().changed(step=3)


def test_options_of_the_frames_have_the_names_of_the_detokenizers():
    names = {field.name for field in dataclasses.fields(GenerationOptions)}
    assert {field.name for field in dataclasses.fields(VideoOptions)} <= names


def test_a_model_draws_in_its_size_and_at_least_as_many_ids_as_it_says(release):
    image = model_of(release, SETTINGS).image("a red ball")
    assert image.pixels.shape == (32, 32, 3)
    assert len(image.tokens.keyframe) >= 3
    assert image.metadata["options"]["keyframe_num_inference_steps"] == 2


def test_videos_of_any_size_are_seen_as_the_model_saw_its_data(release):
    model = model_of(release, SETTINGS)
    tokens = model.tokenize(video=drifting(48))
    assert [clip.num_frames for clip in tokens] == [24, 24]
    assert all(torch.equal(a.motion, b.motion) for a, b in zip(tokens, model.tokenize(video=drifting(48)), strict=True))


def test_images_are_asked_about_as_ids_where_the_model_learnt_ids(release):
    """The same patches enter either way, so the prompts are equally long, and what they hold is not the same."""
    discrete = model_of(release, SETTINGS)
    continuous = model_of(release, dataclasses.replace(SETTINGS, visual_input="continuous"))
    for model in (discrete, continuous):
        heard = []
        embed = type(model.answering.language_model).embed

        def noted(self, prompt, *args, heard=heard, embed=embed):
            heard.append(prompt)
            return embed(self, prompt, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(model.answering.language_model), "embed", noted)
            for media in ({"image": drifting(1)[0]}, {"video": drifting(24)}):
                model.answer("What moves?", **media, max_new_tokens=2)
        has_features = [any(part.is_floating_point() for part in prompt.parts) for prompt in heard]
        assert heard
        assert all(has_features) if model is continuous else not any(has_features)


@pytest.mark.slow
def test_a_question_is_about_as_many_clips_as_the_model_takes(release):
    model = model_of(release, SETTINGS)
    long, short = (model.answer("What?", video=drifting(n), max_new_tokens=1).num_prompt_ids for n in (96, 48))
    assert abs(long - short) < 40, "of four clips, two are looked at"
    assert model.answer("What?", video=drifting(96), max_new_tokens=1, max_clips=4).num_prompt_ids > 1.5 * long


def test_the_tiny_models_settings_are_those_it_is_trained_with():
    assert TINY_SETTINGS.video_processor.size == (TINY["video_detokenizer"].height, TINY["video_detokenizer"].width)
    assert TINY_SETTINGS.video_processor.frames_per_clip == TINY["motion_tokenizer"].model.frames
    rows, cols = (side // 16 for side in TINY_SETTINGS.video_processor.motion_size)
    assert (rows, cols) == (TINY["motion_tokenizer"].model.rows, TINY["motion_tokenizer"].model.cols)
    assert TINY_SETTINGS.frames == TINY["video_detokenizer"].options
