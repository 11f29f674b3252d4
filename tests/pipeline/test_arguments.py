"""Arguments of calls: what is of another type is refused in a line, before any work, and never taken for something."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from pipeline.small_model import image, moving

from videolavit.errors import ConfigError
from videolavit.pipeline import VideoLaVIT

QUICK = {"keyframe_num_inference_steps": 1, "num_inference_steps": 0}
DRAW = {"keyframe_num_inference_steps": 1}
PROMPT = "a red ball moves"


@pytest.fixture(autouse=True)
def calls_are_not_checked(monkeypatch):
    """As it is for whoever calls this."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("num_inference_steps", 50, "keyframe_num_inference_steps"),
        ("max_guidance_scale", 2.0, "keyframe_guidance_scale"),
        ("min_guidance_scale", 2.0, "keyframe_guidance_scale"),
        ("fps", 12, "leave it out"),
        ("continuation", "none", "leave it out"),
    ],
)
def test_options_of_videos_are_refused_where_there_is_an_image(model, name, value, hint):
    with pytest.raises(ConfigError, match=f"got {name}={value!r} for an image.*{hint}"):
        model.image(PROMPT, **{name: value})


def test_each_prompt_may_have_its_own_generator(model):
    together = model.image([PROMPT, PROMPT], generator=generators(1, 2), **DRAW)
    for [own], found in zip((generators(1), generators(2)), together, strict=True):
        assert torch.equal(found.ids, model.image(PROMPT, generator=own, **DRAW).ids)
    assert not torch.equal(together[0].ids, together[1].ids)
    video = model.video([PROMPT], generator=generators(1), **QUICK)[0]
    assert torch.equal(video.ids, model.video(PROMPT, generator=generators(1)[0], **QUICK).ids)
    with pytest.raises(ConfigError, match="got 3 values of generator for 2 prompts, expected one for each"):
        model.image([PROMPT, PROMPT], generator=generators(1, 2, 3))


@pytest.mark.parametrize("wrong", [5, np.random.default_rng(0), "cpu", [5]])
def test_what_is_no_generator_of_torch_is_refused(model, wrong):
    with pytest.raises(ConfigError, match=r"got a generator of type .*, expected a torch\.Generator"):
        model.image(PROMPT, generator=wrong)
    with pytest.raises(ConfigError, match=r"got a generator of type .*, expected a torch\.Generator"):
        model.reconstruct(moving(5), generator=wrong)


@pytest.mark.parametrize("seeds", [np.array([1, 2]), torch.tensor([1, 2]), range(1, 3), (1, np.int64(2))], ids=str)
def test_seeds_may_be_any_row_of_whole_numbers(model, seeds):
    together = model.image([PROMPT, PROMPT], seed=seeds, **DRAW)
    assert [found.metadata["seed"] for found in together] == [1, 2]


def test_whole_numbers_of_numpy_are_whole_numbers(model):
    tokens = model.tokenize(video=moving(24), motion_layers=np.int64(1))
    assert tokens.text == model.tokenize(video=moving(24)).text
    story = model.generate_story([PROMPT, PROMPT], recent=np.int64(1), **QUICK)
    assert type(story.metadata["recent"]) is int
    again = model.redraw_clip(story, np.int64(1), PROMPT, seed=5, **QUICK)
    assert again.metadata["redrawn"] == [{"clip": 2, "prompt": PROMPT, "seed": 5}]
    assert type(again.metadata["redrawn"][0]["clip"]) is int


@pytest.mark.parametrize("name", ["seed", "negative_prompt", "generator"])
def test_a_story_has_one_value_of_each_option(model, name):
    for values in ([1, 2], [1]):
        with pytest.raises(
            ConfigError, match=rf"got {len(values)} values of {name}, expected one, which holds for all"
        ):
            model.generate_story([PROMPT, PROMPT], **{name: values})


@pytest.mark.parametrize("options", [{"seed": 1}, 5, "fast"])
def test_options_of_another_type_are_refused(model, options):
    calls: list[Any] = [
        lambda: model.image(PROMPT, options=options),
        lambda: model.stream_video(PROMPT, options=options),
        lambda: model.stream_story([PROMPT], options=options),
        lambda: model.reconstruct(moving(5), options=options),
        lambda: model.detokenize("K 1", options=options),
        lambda: model.edit(moving(5), options=options),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=r"got options of type .*, expected GenerationOptions; .* seed=1"):
            call()


@pytest.mark.parametrize("name", ["progress", "preview", "on_keyframe"])
@pytest.mark.parametrize("value", [True, 5, "no"])
def test_what_cannot_be_called_is_refused_before_the_work(model, name, value):
    with pytest.raises(ConfigError, match=f"got {name}={value!r}, expected a function"):
        model.stream_video(PROMPT, **{name: value})  # not begun yet


def test_progress_that_cannot_be_called_is_refused_wherever_it_is_given(model, tmp_path):
    calls: list[Any] = [
        lambda: model.answer("what?", progress=True),
        lambda: model.stream_answer("what?", progress=True),
        lambda: model.image(PROMPT, progress=True),
        lambda: model.tokenize(image=image(), progress=True),
        lambda: model.remember(moving(5), tmp_path / "memory", progress=True),
        lambda: model.stream_story([PROMPT], progress=True),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="got progress=True, expected a function"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("do_sample", "temperature="),
        ("num_beams", "temperature="),
        ("max_length", "max_new_tokens="),
        ("tempreature", ""),
    ],
)
def test_names_of_other_libraries_are_answered_for_answers_too(model, name, hint):
    for ask in (model.answer, model.stream_answer):
        with pytest.raises(ConfigError, match=f"unknown option {name}.*{hint}.*; known are .*max_new_tokens"):
            ask("what?", **{name: 3})


@pytest.mark.parametrize(
    ("name", "hint"),
    [("torch_dtype", "dtype="), ("device_map", "device="), ("load_in_4bit", "quantize="), ("typo", "")],
)
def test_names_of_other_libraries_are_answered_where_a_model_is_opened(name, hint):
    with pytest.raises(ConfigError, match=f"unknown option {name}.*{hint}.*; known are .*device"):
        VideoLaVIT.from_pretrained("a folder that is not there", **{name: "auto"})


def test_what_is_drawn_on_a_keyframe_that_was_shown_changes_no_video(model):
    def draw(shown: np.ndarray, clip: int) -> None:
        shown[:] = 0

    plain = model.video(PROMPT, seed=1, **QUICK)
    assert plain.frames.any()
    drawn_on = model.video(PROMPT, seed=1, on_keyframe=draw, preview=draw, **QUICK)
    assert np.array_equal(drawn_on.frames, plain.frames)


@pytest.mark.parametrize("value", ["no", 0, 1, None])
def test_only_true_and_false_are_yes_and_no(model, value):
    for name in ("reverse", "mirror", "freeze"):
        with pytest.raises(ConfigError, match=f"got {name}={value!r}, expected True or False"):
            model.edit(moving(5), **{name: value})
    with pytest.raises(ConfigError, match=f"got constrained={value!r}, expected True or False"):
        model.image(PROMPT, constrained=value)


def test_truth_values_of_numpy_are_truth_values(model):
    edited = model.edit(moving(24), freeze=np.True_, detokenizer="warp")
    assert edited.metadata["edit"]["freeze"] is True
    drawn = model.image(PROMPT, constrained=np.False_, **DRAW)
    assert drawn.metadata["options"]["constrained"] is False
