"""Callbacks of denoising steps as diffusers has them, and negative prompts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pipeline.small_model import image, moving

from videolavit.errors import ConfigError, PromptError, ShapeError
from videolavit.language.sampling_options import Sampling, SamplingOptions, text_sampling

PROMPT = "a red ball moves left"
UNGUIDED = Sampling(keyframe=SamplingOptions(), motion=SamplingOptions())


def test_a_callback_sees_the_latents_of_each_step(model):
    seen = []

    def callback(pipeline, step, timestep, callback_kwargs):
        assert pipeline is model
        seen.append((callback_kwargs["stage"], callback_kwargs["clip"], step, int(timestep)))
        assert callback_kwargs["latents"].dtype == torch.float32
        assert len(callback_kwargs["latents"]) == 2, "both samples"
        return callback_kwargs

    options = {"seed": 1, "clips": 2, "keyframe_num_inference_steps": 3, "continuation": "none"}
    watched = model.video([PROMPT, PROMPT], callback_on_step_end=callback, **options)
    alone = model.video([PROMPT, PROMPT], **options)
    assert [np.array_equal(one.frames, two.frames) for one, two in zip(watched, alone, strict=True)] == [True, True]
    assert [one[:3] for one in seen] == [
        *(("keyframe", 0, step) for step in range(3)),
        ("frames", 0, 0),
        *(("keyframe", 1, step) for step in range(3)),
        ("frames", 1, 0),
    ]
    assert seen[0][3] > seen[1][3] > seen[2][3], "diffusers' timesteps"
    assert "callback_on_step_end" not in watched[0].metadata["options"]


def test_latents_that_a_callback_returns_are_gone_on_with(model):
    def nothing(pipeline, step, timestep, callback_kwargs):
        return {"latents": torch.zeros_like(callback_kwargs["latents"])}

    first, second = (model.image(PROMPT, seed=seed, callback_on_step_end=nothing) for seed in (1, 2))
    assert np.array_equal(first.pixels, second.pixels), "all of them end at the same latents"
    assert not np.array_equal(first.pixels, model.image(PROMPT, seed=1).pixels)


def test_a_callback_leaves_out_the_steps_that_remain(model):
    latents = {}

    def stop_after_the_second(pipeline, step, timestep, callback_kwargs):
        latents[step] = callback_kwargs["latents"]
        return {"interrupt": True} if step == 1 else None

    options = {"seed": 3, "keyframe_num_inference_steps": 5}
    stopped = model.image(PROMPT, callback_on_step_end=stop_after_the_second, **options)
    assert list(latents) == [0, 1]
    [decoded] = model.keyframe_detokenizer.decode(latents[1])
    assert np.abs(stopped.pixels / 255 - decoded.numpy()).max() < 0.01
    assert not np.array_equal(stopped.pixels, model.image(PROMPT, **options).pixels)


def test_a_callback_that_raises_ends_the_work_and_spoils_nothing(model):
    def stop(*arguments):
        raise KeyboardInterrupt

    before = model.image(PROMPT, seed=1)
    with pytest.raises(KeyboardInterrupt):
        model.image(PROMPT, seed=1, callback_on_step_end=stop)
    assert np.array_equal(model.image(PROMPT, seed=1).pixels, before.pixels)


def test_callbacks_take_part_in_decoding_what_was_not_generated(model):
    stages = []

    def callback(pipeline, step, timestep, callback_kwargs):
        stages.append((callback_kwargs["stage"], callback_kwargs["clip"]))

    model.reconstruct(moving(30), callback_on_step_end=callback, keyframe_num_inference_steps=1)
    assert stages == [("keyframe", 0), ("frames", 0), ("keyframe", 1), ("frames", 1)]


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (7, ConfigError, "returned a int"),
        ({"latents": torch.zeros(1)}, ShapeError, r"\(1,\), expected a tensor of shape"),
        ({"latents": 7}, ShapeError, "int"),
    ],
)
def test_what_a_callback_returns_is_checked(model, returned, error, message):
    with pytest.raises(error, match=message):
        model.image(PROMPT, callback_on_step_end=lambda *_: returned)


def test_a_callback_is_a_function(model):
    with pytest.raises(ConfigError, match="expected a function"):
        model.image(PROMPT, callback_on_step_end=7)


def test_a_negative_prompt_changes_ids_and_is_kept_with_the_result(model):
    plain = model.image(PROMPT, seed=1)
    negative = model.image(PROMPT, seed=1, negative_prompt="a green square")
    assert negative.metadata["options"]["negative_prompt"] == "a green square"
    assert negative.ids.tolist() != plain.ids.tolist()
    assert model.image(PROMPT, seed=1, negative_prompt="").ids.tolist() == plain.ids.tolist()


def test_negative_prompts_of_a_list_are_those_of_single_calls(model):
    prompts, negative = [PROMPT, "a green square moves right"], ["a green square", "a red ball"]
    together = model.video(prompts, seed=[1, 2], negative_prompt=negative)
    alone = [
        model.video(prompt, seed=seed, negative_prompt=words)
        for prompt, seed, words in zip(prompts, [1, 2], negative, strict=True)
    ]
    assert [one.ids.tolist() for one in together] == [one.ids.tolist() for one in alone]
    assert alone[0].ids.tolist() != model.video(prompts[0], seed=1).ids.tolist()
    with pytest.raises(ConfigError, match="1 values of negative_prompt for 2 prompts"):
        model.video(prompts, negative_prompt=["a ball"])


def test_drafts_go_on_from_the_negative_prompt_too(model):
    plain, negative = (model.image(PROMPT, seed=1, candidates=3, **one) for one in ({}, {"negative_prompt": "a ball"}))
    assert plain.ids.tolist() != negative.ids.tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.image(PROMPT, negative_prompt="blue", sampling=UNGUIDED),
        lambda model: model.video(PROMPT, negative_prompt="blue", sampling=UNGUIDED),
        lambda model: model.video(
            PROMPT,
            image=image(),
            negative_prompt="blue",
            sampling=Sampling(keyframe=SamplingOptions(guidance=3.0), motion=SamplingOptions()),
        ),
    ],
)
def test_a_negative_prompt_without_guidance_is_refused(model, call):
    with pytest.raises(ConfigError, match="which is no guidance"):
        call(model)


def test_a_negative_prompt_where_nothing_is_written_is_refused(model):
    with pytest.raises(ConfigError, match="the language model writes nothing"):
        model.reconstruct(moving(24), negative_prompt="blue")
    with pytest.raises(PromptError, match="does not fit"):
        model.image(PROMPT, negative_prompt="a red ball " * 60)


def test_answers_are_sampled_where_that_is_asked_for(model):
    asked = {"image": image(), "max_new_tokens": 8}
    greedy = model.answer("what moves?", **asked)
    assert model.answer("what moves?", seed=5, **asked).text == greedy.text, "nothing is left to chance"
    assert model.answer("what moves?", temperature=0, top_k=3, **asked).text == greedy.text
    hot = [model.answer("what moves?", temperature=5.0, seed=seed, **asked).text for seed in (1, 1, 2, 3)]
    assert hot[0] == hot[1]
    assert len({greedy.text, *hot}) >= 3
    assert model.answer("what moves?", top_k=1, seed=3, **asked).text == greedy.text
    stream = model.stream_answer("what moves?", temperature=5.0, seed=1, **asked)
    assert "".join(stream) == hot[0]
    questions = ["which way?", "what moves?"]
    assert model.answer(questions, temperature=5.0, seed=1, **asked)[1].text == hot[0], "as if it were alone"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "got temperature=-1, expected a number above 0"),
        ({"top_p": 1.5}, "got top_p=1.5, expected"),
        ({"max_new_tokens": 0}, "expected at least 1"),
    ],
)
def test_sampling_of_answers_is_checked_before_any_work(model, options, message):
    with pytest.raises(ConfigError, match=message):
        model.answer("what moves?", **options)


def test_sampling_of_answers_is_made_of_numbers():
    assert text_sampling().greedy
    assert text_sampling(0, 5, 0.9).greedy
    assert text_sampling(None, None, 0.5) == SamplingOptions(top_k=0, top_p=0.5)
    for wrong in (("hot",), (None, 1.5), (None, True), (None, None, "all")):
        with pytest.raises(ConfigError, match="number"):
            text_sampling(*wrong)


@pytest.mark.parametrize(
    ("name", "hint"), [("guidance_scale", "keyframe_guidance_scale"), ("num_frames", "clips="), ("output_type", ".pil")]
)
def test_names_of_other_libraries_are_answered_with_those_of_this_one(model, name, hint):
    with pytest.raises(ConfigError, match=f"for {name} there is .*{hint}"):
        model.image(PROMPT, **{name: 3})
