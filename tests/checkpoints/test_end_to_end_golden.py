"""A small checkpoint in the released layout, through the public `from_pretrained`, gives the reference's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints.small_release import KEYFRAME, UNDERSTANDING, VIDEO
from reference.golden import assert_close, golden, rand
from torch import Tensor

from videolavit.checkpoints import convert
from videolavit.detokenizers.continuation import restart_latents
from videolavit.detokenizers.video_detokenizer import VideoNoise, VideoOptions
from videolavit.language.generate import generate
from videolavit.language.grammar import Block, Modality
from videolavit.language.prompts import ClipInput, Ids, ImageInput, Prompt, VideoInput, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.pipeline import VideoLaVIT


@pytest.fixture(scope="module", params=["released", "native", "safetensors"])
def model(request: pytest.FixtureRequest, small_release: Path, tmp_path_factory: pytest.TempPathFactory) -> VideoLaVIT:
    """From the released layout; after conversion to the native one; after conversion back."""
    if request.param == "released":
        return VideoLaVIT.from_pretrained(small_release)
    folder = tmp_path_factory.mktemp("converted")
    convert(small_release, folder / "native")
    if request.param == "native":
        return VideoLaVIT.from_pretrained(folder / "native")
    convert(folder / "native", folder / "released", layout="released")
    return VideoLaVIT.from_pretrained(folder / "released")


def gumbel(seed: int, *shape: int) -> Tensor:
    return -(-torch.rand(shape, generator=torch.Generator().manual_seed(seed)).log()).log()


def last_logits(model: VideoLaVIT, prompt: Prompt) -> Tensor:
    language = model.answering.language_model
    with torch.inference_mode():
        return language.logits(language.hidden(language.embed(prompt)[None])[:, -1])[:, :33000:7]


def around(ids: list[int], media: ImageInput | VideoInput, model: VideoLaVIT) -> Prompt:
    place = next(index for index, value in enumerate(ids) if value < 0)
    return assemble([Ids(ids[:place]), media, Ids(ids[place + 1 :])], model.vocabulary)


@torch.no_grad()
def test_a_question_about_a_video_has_the_reference_embeddings_and_logits(model):
    _, expected = golden("understanding_small")
    parts, config = model.answering, UNDERSTANDING["video"]
    features = parts.visual_tokenizer.language_features(
        rand(60, 2, 3, 56, 56), patch_selection="gumbel", gumbel_noise=gumbel(config["gumbel_seed"], 2, 16, 2)
    )
    codes = parts.motion_tokenizer.encode(rand(61, 2, 2, 24, 20, 36))
    clips = [
        ClipInput(keyframe=ImageInput(features=rows), motion_ids=model.vocabulary.motion_ids(motion))
        for rows, motion in zip(features, codes, strict=True)
    ]
    prompt = around(config["input_ids"][0], VideoInput(clips=tuple(clips)), model)
    assert_close(parts.language_model.embed(prompt), expected["video.inputs_embeds"])
    assert_close(last_logits(model, prompt), expected["video.last_logits"])


@torch.no_grad()
def test_a_question_about_an_image_has_the_reference_embeddings_and_logits(model):
    _, expected = golden("understanding_small")
    config = UNDERSTANDING["image"]
    [features] = model.answering.visual_tokenizer.language_features(
        rand(64, 1, 3, 56, 56), patch_selection="gumbel", gumbel_noise=gumbel(config["gumbel_seed"], 1, 16, 2)
    )
    assert_close(features, expected["image.embeds"][1:-1])
    prompt = around(config["input_ids"][0], ImageInput(features=features), model)
    assert_close(last_logits(model, prompt), expected["image.last_logits"])


def test_a_prompt_is_continued_by_the_reference_ids(model):
    config, expected = golden("generation_small")
    blocks = [
        Block.released(Modality.KEYFRAME, min_ids=20, max_ids=60),
        Block.released(Modality.MOTION, min_ids=20, max_ids=150),
    ]
    sampling = Sampling(
        keyframe=SamplingOptions(greedy=True, guidance=4.0), motion=SamplingOptions(greedy=True, guidance=7.0)
    )
    [drawn] = generate(model.language_model, [Prompt.from_ids(config["prompt"])], blocks, sampling)
    assert torch.equal(drawn.blocks[0].ids, expected["image_ids"])
    assert torch.equal(drawn.blocks[1].ids, expected["motion_ids"])


def test_keyframe_codes_become_the_reference_image_and_its_continuation(model):
    _, expected = golden("keyframe_detokenizer_small")
    detokenizer = model.keyframe_detokenizer
    codes = model.vocabulary.visual_codes(torch.tensor(KEYFRAME["tokens"]))
    vectors = [model.visual_tokenizer.code_vectors(codes)]
    size = {"height": KEYFRAME["height"], "width": KEYFRAME["width"], "guidance": KEYFRAME["guidance_scale"]}
    image = detokenizer.generate(vectors, **size, steps=KEYFRAME["num_inference_steps"], noise=rand(81, 1, 4, 8, 12))
    assert_close(image, expected["image"])

    row, column = np.indices((64, 96))
    last_frame = ((row + column)[..., None] * np.array([1, 2, 3]) % 256).astype(np.uint8)
    start = restart_latents(detokenizer, last_frame[None], steps=20, inverse_rate=0.85, noise=rand(82, 1, 4, 8, 12))
    assert_close(start.latents, expected["restart_latents"])
    assert_close(detokenizer.generate(vectors, **size, start=start), expected["continued_image"])


def test_motion_codes_become_the_reference_frames(model):
    _, expected = golden("video_detokenizer_small")
    codes = torch.randint(0, 64, (1, 135), generator=torch.Generator().manual_seed(71))
    with torch.no_grad():
        motion = model.motion_tokenizer.condition(codes, 8, 12)
    latents = model.video_detokenizer.sample_latents(
        rand(70, 1, 3, 64, 96).clamp(-1, 1),
        motion,
        options=VideoOptions(num_inference_steps=VIDEO["num_inference_steps"]),
        noise=VideoNoise(rand(72, 1, 3, 64, 96), rand(73, 1, 24, 4, 8, 12)),
    )
    assert_close(latents[:, ::3], expected["latents"])
    frames = model.video_detokenizer.decode(latents)
    assert_close(frames[:, :, ::6, ::4, ::4], expected["frames"])
