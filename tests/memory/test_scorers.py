"""Ways to compare clips with a question: the likelihood of the question, and an image-text encoder."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation.feature_networks import write_clip
from PIL import Image

from videolavit.data.shapes import render, sample_scene
from videolavit.errors import MediaError
from videolavit.language.conversation import Turn, conversation
from videolavit.language.prompts import VideoInput
from videolavit.memory.context import ContextOptions
from videolavit.memory.image_text import ClipEncoder, ImageTextScorer, size_by_short_side
from videolavit.memory.likelihood_scores import LikelihoodScorer
from videolavit.memory.token_memory import TokenMemory
from videolavit.pipeline import VideoLaVIT

QUESTION = "What colour is the star?"


@pytest.fixture(scope="module")
def model() -> VideoLaVIT:
    return VideoLaVIT.from_pretrained()


@pytest.fixture(scope="module")
def memory(model: VideoLaVIT, tmp_path_factory: pytest.TempPathFactory) -> TokenMemory:
    frames = np.concatenate([render(sample_scene(seed)) for seed in (1, 2, 3)])
    return model.remember(frames, tmp_path_factory.mktemp("scored") / "memory", describe=False)


@torch.inference_mode()
def alone(model: VideoLaVIT, video: VideoInput) -> float:
    """Mean log-likelihood of the ids of the question, without batches."""
    language = model.answering.language_model
    prompt = conversation([Turn(question=QUESTION, media=(video,))], model.vocabulary, language.text_tokenizer)
    hidden = language.hidden(language.embed(prompt)[None])[0]
    assert language.text_tokenizer is not None
    words = language.text_tokenizer(
        f"\n{QUESTION} ASSISTANT:", add_special_tokens=False, split_special_tokens=True
    ).input_ids
    scores = language.logits(hidden, [model.vocabulary.text_range]).log_softmax(-1)[-len(words) - 1 : -1]
    return float(scores[torch.arange(len(words)), torch.tensor(words)].mean())


def test_likelihoods_are_those_of_each_clip_alone(model: VideoLaVIT, memory: TokenMemory):
    scores = LikelihoodScorer(model.answering.language_model)(memory, QUESTION)
    expected = [alone(model, VideoInput(clips=(clip.as_input(),))) for clip in memory]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert len(set(scores.round(6))) == 3


def test_a_clip_without_a_keyframe_is_read_after_the_one_it_goes_on_from(
    model: VideoLaVIT, memory: TokenMemory, tmp_path: Path
):
    nothing, width = memory[1].visual_ids[:0], memory.feature_width
    with TokenMemory.create(tmp_path / "memory", model.vocabulary, feature_width=width) as longer:
        longer.append(memory[0])
        longer.append(dataclasses.replace(memory[1], visual_ids=nothing, features=torch.zeros(0, width), jpeg=b""))
    scores = LikelihoodScorer(model.answering.language_model)(longer, QUESTION)
    both = VideoInput(clips=(longer[0].as_input(), longer[1].as_input()))
    np.testing.assert_allclose(scores[1], alone(model, both), atol=1e-4)


def test_an_encoder_compares_keyframes_with_the_question_and_keeps_their_vectors(memory: TokenMemory, tmp_path: Path):
    encoder = ClipEncoder(write_clip(tmp_path / "clip"))
    scores = ImageTextScorer(encoder)(memory, "a red circle moves")
    images = [np.asarray(Image.open(io.BytesIO(memory.jpeg(number)))) for number in range(3)]
    expected = encoder.features(images) @ encoder.text_features(["a red circle moves"])[0]
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    [kept] = memory.folder.glob("encoder-*.npy")
    assert np.load(kept).shape == (3, 8)

    class Blind(ClipEncoder):
        def features(self, frames):
            raise AssertionError("keyframes are looked at once")

    again = ImageTextScorer(Blind(encoder.path))(memory, "a red circle moves")
    assert np.array_equal(again, scores), "the first question is scored as those after it"
    kept.unlink()


def test_images_are_resized_for_an_encoder_as_transformers_does():
    assert size_by_short_side(320, 240, 224) == (298, 224)  # 298.67
    assert size_by_short_side(240, 320, 224) == (224, 298)
    assert size_by_short_side(480, 240, 224) == (448, 224)
    assert size_by_short_side(24, 32, 32) == (32, 42)


def test_a_memory_without_images_says_so(model: VideoLaVIT, memory: TokenMemory, tmp_path: Path):
    width = memory.feature_width
    with TokenMemory.create(tmp_path / "memory", model.vocabulary, feature_width=width) as bare:
        bare.append(dataclasses.replace(memory[0], jpeg=b""))
    with pytest.raises(MediaError, match="no images of its keyframes"):
        ImageTextScorer(ClipEncoder(write_clip(tmp_path / "clip")))(bare, "red")


def test_the_pipeline_takes_a_folder_as_the_scorer(model: VideoLaVIT, memory: TokenMemory, tmp_path: Path):
    folder = write_clip(tmp_path / "clip")
    options = ContextOptions(scorer=folder, max_clips=1)
    [moment] = model.answer("a red circle?", video=memory, context=options, max_new_tokens=4).moments
    assert moment.clip == ImageTextScorer(ClipEncoder(folder))(memory, "a red circle?").argmax()
