"""The pipeline's tasks on a small checkpoint with random weights: what goes in, what comes out, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints.small_release import PLAYABLE_VOCABULARY, write_playable_release
from PIL import Image

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import CheckpointError, ConfigError, MediaError, PromptError, ShapeError, VideoLaVITError
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.pipeline import GenerationOptions, VideoLaVIT
from videolavit.pipeline.media import check_video, read_image
from videolavit.video.io.write import read_metadata, write_video

VOCABULARY = PLAYABLE_VOCABULARY
FAST = GenerationOptions(keyframe_num_inference_steps=2, keyframe_guidance_scale=2.0).changed(
    num_inference_steps=1, max_guidance_scale=2.0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_playable_release(tmp_path_factory.mktemp("playable"))


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoLaVIT:
    return VideoLaVIT.from_pretrained(folder)


def image(height: int = 48, width: int = 64) -> np.ndarray:
    rows, cols = np.indices((height, width))
    return ((rows + cols)[..., None] * np.array([1, 2, 3]) % 256).astype(np.uint8)


def moving_image(num_frames: int) -> np.ndarray:
    return np.stack([np.roll(image(), 2 * i, axis=1) for i in range(num_frames)])


def test_a_question_is_answered_in_words_about_anything_it_shows(model):
    for media in ({}, {"image": image()}, {"image": [image(), image(32, 32)]}, {"video": moving_image(30)}):
        answer = model.answer("What moves?", **media, max_new_tokens=8)
        assert isinstance(answer.text, str)
        assert answer.num_prompt_ids > 200 * ("video" in media)
        assert str(answer) == answer.text
        assert answer == model.answer("What moves?", **media, max_new_tokens=8)


def test_an_image_is_drawn_and_saved_with_what_it_was_made_from(model, tmp_path):
    image = model.image("a red ball", options=FAST, seed=3, height=32, width=48)
    assert image.pixels.shape == (32, 48, 3)
    assert 1 <= len(image.tokens.keyframe) <= 16
    assert image.ids[-1] == VOCABULARY.image_end
    path = image.save(tmp_path / "ball.png")
    assert np.array_equal(np.asarray(Image.open(path)), image.pixels)
    metadata = read_metadata(path)
    assert (metadata["prompt"], metadata["options"]["seed"]) == ("a red ball", 3)


def test_size_defaults_to_what_the_unet_was_made_for(model):
    assert model.image("a", options=FAST).pixels.shape == (64, 64, 3)


def test_one_seed_gives_one_result_and_another_seed_another(model):
    small = {"height": 32, "width": 32}
    first, again, other = (model.image("a ball", options=FAST, seed=seed, **small) for seed in (1, 1, 2))
    assert np.array_equal(first.pixels, again.pixels)
    assert not torch.equal(first.ids, other.ids)
    drawn = [model.image("a ball", options=FAST, generator=torch.Generator().manual_seed(5), **small) for _ in range(2)]
    assert np.array_equal(drawn[0].pixels, drawn[1].pixels)


def test_a_video_is_drawn_from_text_and_goes_on(model, tmp_path):
    video = model.video("a ball", options=FAST, height=32, width=32)
    assert video.frames.shape == (24, 32, 32, 3)
    assert [clip.motion.shape for clip in video.tokens] == [(135,)]
    longer = model.continue_video(video, options=FAST)
    assert longer.frames.shape == (24 + 23, 32, 32, 3)
    assert np.array_equal(longer.frames[:24], video.frames)
    assert torch.equal(longer.ids[: len(video.ids)], video.ids)
    assert len(longer.tokens) == 2
    assert not torch.equal(longer.tokens[0].keyframe, longer.tokens[1].keyframe)
    path = longer.save(tmp_path / "ball.mp4")
    assert read_metadata(path)["task"] == "continue_video"


@pytest.mark.slow
def test_later_clips_do_not_change_earlier_ones(model):
    one, two = (model.video("a", options=FAST, height=32, width=32, clips=clips, seed=4) for clips in (1, 2))
    assert len(two.frames) == 47
    assert np.array_equal(two.frames[:24], one.frames)


@pytest.mark.slow
@pytest.mark.parametrize("continuation", ["restart", "inversion", "none"])
def test_every_way_to_start_the_next_keyframe_gives_another_one(model, continuation):
    video = model.video("a", options=FAST, height=32, width=32, clips=2, continuation=continuation, seed=4)
    start = model.video("a", options=FAST, height=32, width=32, clips=2, continuation="none", seed=4)
    assert np.array_equal(video.frames[:24], start.frames[:24])
    assert np.array_equal(video.frames[24:], start.frames[24:]) == (continuation == "none")


def test_an_image_comes_to_life_as_the_first_keyframe(model):
    video = model.video(image=image(), options=FAST, height=32, width=32)
    [tokens] = model.tokenize(image=image())
    assert torch.equal(video.tokens[0].keyframe, tokens.keyframe)
    assert video.frames.shape == (24, 32, 32, 3)


def test_the_released_rule_draws_with_its_own_blocks(model):
    sampling = Sampling(
        keyframe=SamplingOptions(guidance=4.0, top_k=5), motion=SamplingOptions(guidance=7.0, greedy=True)
    )
    video = model.video("a", options=FAST, height=32, width=32, constrained=False, sampling=sampling)
    assert video.tokens[0].motion.shape == (135,)


def test_a_video_file_goes_on_from_its_last_frame(model, tmp_path):
    path = write_video(moving_image(30), tmp_path / "in.mp4")
    video = model.continue_video(path, options=FAST, height=32, width=32)
    assert video.frames.shape == (24, 32, 32, 3)


@pytest.mark.slow
def test_a_video_becomes_tokens_and_frames_again(model):
    tokens = model.tokenize(video=moving_image(30))
    assert [clip.num_frames for clip in tokens] == [24, 6]
    video = model.detokenize(tokens, options=FAST, height=32, width=32)
    assert video.frames.shape == (30, 32, 32, 3)
    again = model.reconstruct(moving_image(30), options=FAST, height=32, width=32)
    assert np.array_equal(video.frames, again.frames)


def test_an_image_becomes_tokens_and_one_frame_again(model):
    video = model.detokenize(model.tokenize(image=image()), options=FAST, height=32, width=32)
    assert video.frames.shape == (1, 32, 32, 3)


def test_a_prompt_may_be_ids(model):
    ids = model.language_model.text_tokenizer("a ball", add_special_tokens=False).input_ids
    words = model.image("a ball", options=FAST, height=32, width=32)
    assert np.array_equal(model.image(Prompt.from_ids(ids), options=FAST, height=32, width=32).pixels, words.pixels)


def test_what_was_saved_draws_the_same(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = VideoLaVIT.from_pretrained(tmp_path / "saved")
    assert again.vocabulary == VOCABULARY
    small = {"height": 32, "width": 32}
    assert np.array_equal(*(one.image("a ball", options=FAST, **small).pixels for one in (again, model)))
    assert again.answer("Why?", image=image(), max_new_tokens=6) == model.answer(
        "Why?", image=image(), max_new_tokens=6
    )
    with pytest.raises(CheckpointError, match="exists already"):
        model.save_pretrained(tmp_path / "saved")
    model.save_pretrained(tmp_path / "saved", overwrite=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_in_another_precision_does_every_task(folder, dtype):
    model = VideoLaVIT.from_pretrained(folder, dtype=dtype)
    assert model.language_model.dtype == dtype
    assert model.video("a", options=FAST, height=32, width=32).frames.shape == (24, 32, 32, 3)
    assert isinstance(model.answer("Why?", video=moving_image(24), max_new_tokens=4).text, str)
    assert model.keyframe_detokenizer.vae.dtype == torch.float32


def refused(error: type[VideoLaVITError], message: str):
    return pytest.raises(error, match=message)


def test_media_of_the_wrong_kind_are_refused(model, tmp_path):
    Image.fromarray(image()).save(tmp_path / "still.png")
    write_video(moving_image(3), tmp_path / "moving.mp4")
    (tmp_path / "text.txt").write_text("words")
    with refused(MediaError, "still image"):
        model.answer("Why?", video=tmp_path / "still.png")
    with refused(PromptError, "pass it as image="):
        model.answer("Why?", video=image())
    with refused(PromptError, "pass it as image="):
        check_video(Image.fromarray(image()))
    with refused(MediaError, "pass a video as video="):
        model.answer("Why?", image=tmp_path / "moving.mp4")
    with refused(PromptError, "got 3 images for 1 prompts, expected one"):
        model.video(image=moving_image(3))
    with refused(PromptError, "expected a path"):
        read_image(3)
    with refused(MediaError, "no such file"):
        model.video(image=tmp_path / "gone.png")
    with refused(MediaError, r"text\.txt"):
        model.reconstruct(tmp_path / "text.txt")


def test_prompts_and_options_that_make_no_sense_are_refused(model):
    with refused(PromptError, "empty"):
        model.video("")
    with refused(PromptError, "neither"):
        model.tokenize()
    with refused(PromptError, "expected one"):
        model.tokenize(image=image(), video=moving_image(3))
    with refused(PromptError, "context has room"):
        model.image("long " * 5000)
    with refused(PromptError, "<video>|video"):
        model.answer("What is in <video>?", image=image())
    with refused(ConfigError, "unknown option sed"):
        model.image("a", sed=3)
    with refused(ConfigError, "continuation="):
        model.video("a", continuation="restarts")
    with refused(ConfigError, "both or neither"):
        model.image("a", height=32)
    with refused(ConfigError, "multiples of 8"):
        model.image("a", options=FAST, height=33, width=32)
    with refused(ShapeError, "expected"):
        model.detokenize([ClipTokens(keyframe=torch.tensor([1]), motion=torch.tensor([1, 2]))], options=FAST)
    with refused(PromptError, "without clips"):
        model.detokenize([], options=FAST)
    with refused(VideoLaVITError, "64"):
        model.detokenize([ClipTokens(keyframe=torch.tensor([64]))], options=FAST)
