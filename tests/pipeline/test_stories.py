"""Stories: a prompt for each clip, the first keyframe and the last clips in view, single clips anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from videolavit.cli import main
from videolavit.clip_tokens import ClipTokens
from videolavit.errors import ConfigError, PromptError
from videolavit.pipeline import VideoLaVIT
from videolavit.pipeline.encoding import ids_as_tokens
from videolavit.pipeline.stories import Story, with_clip
from videolavit.pipeline.token_generation import TokenGenerator
from videolavit.progress import Progress
from videolavit.video import probe

PROMPTS = ["a red circle moves right", "a red circle moves left", "a red circle moves up"]
QUICK = {"num_inference_steps": 1, "keyframe_num_inference_steps": 1, "candidates": 1}


@pytest.fixture(scope="module")
def model() -> VideoLaVIT:
    return VideoLaVIT.from_pretrained()


@pytest.fixture(scope="module")
def story(model: VideoLaVIT):
    return model.generate_story(PROMPTS, seed=5, **QUICK)


def same(one: ClipTokens, other: ClipTokens) -> bool:
    assert one.motion is not None
    assert other.motion is not None
    return torch.equal(one.keyframe, other.keyframe) and torch.equal(one.motion, other.motion)


def test_each_clip_has_a_prompt_of_its_own_and_adds_its_new_frames(model: VideoLaVIT, story):
    assert story.frames.shape == (24 + 23 + 23, 128, 128, 3)
    assert len(story.tokens) == 3
    clips = list(model.stream_story(PROMPTS, seed=5, **QUICK))
    assert [len(clip.frames) for clip in clips] == [24, 23, 23]
    assert [clip.metadata["prompt"] for clip in clips] == PROMPTS
    assert all(one.metadata["prompts"] == PROMPTS for one in (story, *clips))
    assert story.metadata["prompt"] == PROMPTS[0]
    assert np.array_equal(np.concatenate([clip.frames for clip in clips]), story.frames)


def test_the_first_clip_is_that_of_a_video_of_the_first_prompt(model: VideoLaVIT, story):
    single = model.generate_video(PROMPTS[0], seed=5, **QUICK)
    assert same(single.tokens[0], story.tokens[0])
    assert np.array_equal(single.frames, story.frames[:24])


def test_the_model_sees_the_first_keyframe_and_the_last_clips_alone(model: VideoLaVIT, story):
    options = model._options(None, {"seed": 5})
    generator = TokenGenerator(model, Progress())

    def seen(num_clips: int, recent: int) -> list[ClipTokens]:
        state = Story.of_video(story, num_clips, options, recent).state(model, generator, PROMPTS[1], 1)
        return list(ids_as_tokens(state.context, model.vocabulary))

    assert seen(0, 1) == []
    assert [same(one, story.tokens[0]) for one in seen(1, 1)] == [True]
    first, last = seen(3, 1)
    assert first.motion is None
    assert torch.equal(first.keyframe, story.tokens[0].keyframe)
    assert same(last, story.tokens[2])
    assert [one.motion is None for one in seen(3, 2)] == [True, False, False]
    assert [one.motion is None for one in seen(3, 3)] == [False, False, False]


def test_however_long_a_story_is_its_context_does_not_grow(model: VideoLaVIT, story):
    options = model._options(None, {"seed": 5})
    generator = TokenGenerator(model, Progress())
    tale = Story(options=options, recent=50)
    lengths = []
    for number in range(24):
        tale.add(replace(story, tokens=(story.tokens[number % 3],), frames=story.frames[:1]))
        lengths.append(len(tale.state(model, generator, PROMPTS[0], 1).context))
    longest = sum(block.max_ids + 2 for block in generator.grammar.video())
    assert max(lengths) <= model.language_model.context_length - longest
    assert lengths[-1] <= lengths[20]
    first, *_ = ids_as_tokens(tale.state(model, generator, PROMPTS[0], 1).context, model.vocabulary)
    assert torch.equal(first.keyframe, story.tokens[0].keyframe)
    assert len(tale.last) == 24


@pytest.mark.slow
def test_one_clip_is_drawn_anew(model: VideoLaVIT, story):
    again = model.redraw_clip(story, 1, PROMPTS[1], seed=5, **QUICK)
    assert same(again.tokens[1], story.tokens[1])
    assert np.array_equal(again.frames, story.frames)
    other = model.redraw_clip(story, 1, "a red circle moves down", seed=6, **QUICK)
    assert not same(other.tokens[1], story.tokens[1])
    assert other.metadata["redrawn"] == [{"clip": 2, "prompt": "a red circle moves down", "seed": 6}]
    assert "redrawn" not in story.metadata
    assert np.array_equal(other.frames[:24], story.frames[:24])
    assert np.array_equal(other.frames[47:], story.frames[47:])
    assert not np.array_equal(other.frames[24:47], story.frames[24:47])
    last = model.redraw_clip(story, 2, "a red circle moves down", seed=6, **QUICK)
    assert len(story.tokens) == 3
    assert not torch.equal(last.ids, story.ids), "what goes on reads the ids of the new clip"
    assert torch.equal(other.ids, story.ids)
    first = model.redraw_clip(story, 0, PROMPTS[0], seed=5, **QUICK)
    assert np.array_equal(first.frames, story.frames)


def test_what_is_no_story_is_refused(model: VideoLaVIT, story):
    for prompts in ("a red circle", [], ["a red circle", " "]):
        with pytest.raises(PromptError, match="list of texts"):
            model.stream_story(prompts)
    with pytest.raises(ConfigError, match="recent=0"):
        model.stream_story(PROMPTS, recent=0)
    with pytest.raises(ConfigError, match="got clip 3"):
        model.redraw_clip(story, 3, "a red circle")
    with pytest.raises(ConfigError, match="as it was generated"):
        with_clip(replace(story, frames=story.frames[:-1]), 1, story)
    with pytest.raises(ConfigError, match="expected 23"):
        with_clip(story, 1, story)


def test_what_is_of_another_type_is_refused_in_words(model: VideoLaVIT, story, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    wrong: Any = None
    for wrong in (None, 3, iter([])):
        with pytest.raises(PromptError, match="list of texts"):
            model.stream_story(wrong)
    for wrong in (1.5, "2", True):
        with pytest.raises(ConfigError, match=r"got recent=.*, expected a whole number"):
            model.stream_story(PROMPTS, recent=wrong)
    wrong = "story.mp4"
    with pytest.raises(ConfigError, match="got a str as the story"):
        model.redraw_clip(wrong, 1, "a red circle")
    wrong = "1"
    with pytest.raises(ConfigError, match="got clip '1', expected one from 0 to 2"):
        model.redraw_clip(story, wrong, "a red circle")


def test_a_story_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "story.txt").write_text("\n".join(PROMPTS[:2]) + "\n\n")
    told = ["video", "--story", str(tmp_path / "story.txt"), "-o", str(tmp_path / "story.mp4"), "--seed", "5"]
    quick = ["--num-inference-steps", "0", "--keyframe-num-inference-steps", "1", "--json"]
    assert main([*told, *quick]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["num_clips"], facts["num_frames"], facts["seed"]) == (2, 47, 5)
    assert probe(tmp_path / "story.mp4").duration_seconds == pytest.approx(47 / 6, abs=0.1)
    assert main(["info", str(tmp_path / "story.mp4"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["prompts"] == PROMPTS[:2]
    assert main(["video", "a red circle", "--story", str(tmp_path / "story.txt"), "--clips", "2"]) == 2
    assert "leave out a prompt, --clips" in capsys.readouterr().err
