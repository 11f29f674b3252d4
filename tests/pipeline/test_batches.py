"""Several prompts, videos and questions in one call give what single calls give."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from pipeline.small_model import image, moving

from videolavit.errors import ConfigError, PromptError
from videolavit.language.generation_prompt import generation_prompt
from videolavit.language.prompts import Prompt

PROMPTS = ["a red ball", "a blue square moves", "red"]
SEEDS = [3, 4, 9]


def test_images_of_a_batch_are_those_of_single_calls(model):
    together = model.generate_image(PROMPTS, seed=SEEDS)
    for prompt, seed, found in zip(PROMPTS, SEEDS, together, strict=True):
        alone = model.generate_image(prompt, seed=seed)
        assert torch.equal(found.ids, alone.ids)
        assert np.abs(found.pixels.astype(int) - alone.pixels).max() <= 1  # a batch rounds otherwise
        assert found.metadata == alone.metadata


@pytest.mark.parametrize("clips", [1, 3])
def test_videos_of_a_batch_are_those_of_single_calls(model, clips):
    together = model.generate_video(PROMPTS, seed=SEEDS, clips=clips)
    for prompt, seed, found in zip(PROMPTS, SEEDS, together, strict=True):
        alone = model.generate_video(prompt, seed=seed, clips=clips)
        assert torch.equal(found.ids, alone.ids)
        assert found.frames.shape == alone.frames.shape == (24 + 23 * (clips - 1), *alone.frames.shape[1:])
        # Later clips start from frames that differ by rounding, which random weights enlarge.
        assert np.abs(found.frames[:24].astype(int) - alone.frames[:24]).max() <= 2
        assert (found.metadata["seed"], found.metadata["prompt"]) == (seed, prompt)


@pytest.mark.slow
def test_samples_of_a_batch_slide_through_the_context_each_by_itself(model):
    prompts = ["a red ball", "a blue square moves and stops and moves"]
    # Ids are compared: pixels are made in the cheapest way, without diffusion of frames.
    options = {"seed": 5, "clips": 18, "keyframe_num_inference_steps": 1, "num_inference_steps": 0}
    together = model.generate_video(prompts, **options)
    for prompt, found in zip(prompts, together, strict=True):
        assert torch.equal(found.ids, model.generate_video(prompt, **options).ids)


def test_each_video_of_a_batch_may_start_with_its_own_image(model):
    images = [image(), 255 - image()]
    together = model.generate_video(["it moves", "it moves"], image=images, seed=[1, 2])
    for own, seed, found in zip(images, [1, 2], together, strict=True):
        alone = model.generate_video("it moves", image=own, seed=seed)
        assert torch.equal(found.ids, alone.ids)
        assert np.abs(found.frames.astype(int) - alone.frames).max() <= 2


def test_patches_of_a_batch_are_chosen_by_chance_as_in_single_calls(model):
    how = {"patch_selection": "gumbel", "keyframe_num_inference_steps": 1, "num_inference_steps": 0}
    together = model.generate_video(["it moves"] * 2, image=image(), seed=[1, 2], **how)
    assert not torch.equal(together[0].tokens[0].keyframe, together[1].tokens[0].keyframe)
    for seed, found in zip([1, 2], together, strict=True):
        alone = model.generate_video("it moves", image=image(), seed=seed, **how)
        assert torch.equal(found.tokens[0].keyframe, alone.tokens[0].keyframe)
        assert torch.equal(found.ids, alone.ids)
    how.pop("num_inference_steps")
    for seed, found in zip([1, 2], model.generate_image(["red"] * 2, image=image(), seed=[1, 2], **how), strict=True):
        assert torch.equal(found.ids, model.generate_image("red", image=image(), seed=seed, **how).ids)


def test_the_best_of_several_is_found_for_each_of_a_batch(model):
    together = model.generate_video(PROMPTS[:2], seed=SEEDS[:2], candidates=2)
    for prompt, seed, found in zip(PROMPTS[:2], SEEDS[:2], together, strict=True):
        assert torch.equal(found.ids, model.generate_video(prompt, seed=seed, candidates=2).ids)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("kind", ["generate_image", "generate_video"])
def test_prompts_without_words_among_others_are_written_as_alone(model, monkeypatch, kind, order):
    """Nothing compares their drafts, so they have a single one."""
    monkeypatch.setattr(model, "settings", replace(model.settings, candidates=3))
    generate = getattr(model, kind)
    without_words = Prompt.from_ids(generation_prompt(model.language_model, "a blue square"))
    prompts = [without_words, *PROMPTS[:2]][::order]
    together = generate(prompts, seed=[1, 2, 3])
    assert [found.metadata["candidates"] for found in together] == [1, 3, 3][::order]
    for prompt, seed, found in zip(prompts, [1, 2, 3], together, strict=True):
        alone = generate(prompt, seed=seed)
        assert torch.equal(found.ids, alone.ids)


def test_questions_of_a_batch_may_bring_their_own_media(model):
    questions = [
        {"question": "what moves?", "video": moving(24)},
        {"question": "what is it?", "image": image()},
        "and this?",
    ]
    shared = image()
    together = model.answer(questions, image=shared, max_new_tokens=4)
    alone = [
        model.answer("what moves?", video=moving(24), image=shared, max_new_tokens=4),
        model.answer("what is it?", image=image(), max_new_tokens=4),
        model.answer("and this?", image=shared, max_new_tokens=4),
    ]
    assert together == alone


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"prompt": []}, PromptError, "empty list of prompts"),
        ({"prompt": ["a", "red"], "seed": [1]}, ConfigError, "1 values of seed for 2 prompts"),
        ({"prompt": ["a", "red"], "preview": print}, ConfigError, "one video"),
        ({"prompt": ["a", "red"], "image": [image()] * 3}, PromptError, "3 images for 2 prompts"),
        ({"prompt": "a", "clips": 0}, ConfigError, "clips=0"),
        ({"prompt": "a", "num_inference_steps": -1}, ConfigError, "expected 0 to 1000"),
        ({"prompt": "a", "max_guidance_scale": float("nan")}, ConfigError, "max_guidance_scale=nan"),
        ({"prompt": "a", "fps": 0.0}, ConfigError, "fps=0"),
        ({"prompt": "a", "height": 101, "width": 101}, ConfigError, "multiples of"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else None,
)
def test_what_makes_no_sense_is_refused_before_any_id_is_written(model, monkeypatch, arguments, error, words):
    from videolavit.pipeline import token_generation

    def never(*_):
        raise AssertionError("ids were written")

    monkeypatch.setattr(token_generation, "stream", never)
    with pytest.raises(error, match=words):
        model.generate_video(**arguments)


WRONG_TYPES = """
from videolavit.errors import ConfigError
from videolavit.generation_options import GenerationOptions
for wrong in ({"seed": "1"}, {"seed": None}, {"seed": 1.5}, {"num_inference_steps": 2.5}, {"fps": "6"},
              {"sampling": {"temperature": 1}}, {"patch_selection": "argmax"}, {"height": True, "width": True}):
    try:
        GenerationOptions(**wrong)
    except ConfigError as error:
        [name] = {*wrong} - {"width"}
        assert f"{name}=" in str(error), error
        print("refused")
"""


def test_options_of_the_wrong_type_are_refused_with_a_message():
    """In a process of its own: here the types of all calls are checked already."""
    answer = subprocess.run([sys.executable, "-c", WRONG_TYPES], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["refused"] * 8
