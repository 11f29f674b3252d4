"""Clips of motion alone: through tokens and back, in memories and while ids are written; refused by other models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pipeline.small_model import SIDE, VOCABULARY, image, moving, small_model

from videolavit.checkpoints.components import ModelComponents
from videolavit.clip_tokens import ClipTokens
from videolavit.errors import ConfigError, PromptError, ShapeError, VocabularyError
from videolavit.language.grammar import Modality
from videolavit.memory.token_memory import TokenMemory
from videolavit.pipeline import VideoLaVIT
from videolavit.pipeline.encoding import ids_as_tokens, tokens_as_ids
from videolavit.pipeline.motion_only import check_motion_only
from videolavit.pipeline.remembering import moment_image
from videolavit.pipeline.token_generation import TokenGenerator, window
from videolavit.pipeline.token_text import format_tokens, parse_tokens, read_note
from videolavit.progress import Progress
from videolavit.settings import ModelSettings

STILL_THEN_ANOTHER = np.concatenate([np.repeat(image()[None], 72, axis=0), np.repeat(255 - image()[None], 30, axis=0)])
"""Twelve seconds of one image, then five of another: clips at ticks 0, 24, 48 | 72, 96."""


@pytest.fixture(scope="module")
def knowing() -> VideoLaVIT:
    return small_model(motion_only_clips=True)


def kept(tokens) -> list[bool]:
    return [clip.keyframe is not None for clip in tokens]


def test_a_scene_that_stands_still_has_one_keyframe_and_a_cut_brings_the_next(model):
    tokens = model.tokenize(video=STILL_THEN_ANOTHER, keyframes="adaptive")
    assert kept(tokens) == [True, False, False, True, False]
    every = model.tokenize(video=STILL_THEN_ANOTHER)
    assert all(kept(every))
    assert [one.motion.tolist() for one in tokens] == [one.motion.tolist() for one in every]
    assert len(tokens.ids) == len(every.ids) - sum(
        len(one.keyframe) + 2 for one, mine in zip(every, tokens, strict=True) if mine.keyframe is None
    )


def test_ids_and_text_say_the_same_clips(model):
    tokens = model.tokenize(video=STILL_THEN_ANOTHER, keyframes="adaptive")
    assert kept(ids_as_tokens(tokens.ids, VOCABULARY)) == kept(tokens)
    assert torch.equal(tokens_as_ids(ids_as_tokens(tokens.ids, VOCABULARY), VOCABULARY), tokens.ids)
    again = parse_tokens(tokens.text)
    assert kept(again) == kept(tokens)
    assert tokens.text.splitlines()[2].startswith("M ")
    assert read_note(tokens.text)["token_format"] == 2
    assert "token_format" not in read_note(format_tokens(tokens[:1], {"task": "tokenize"}))


def test_frames_of_a_video_keep_their_time_and_go_on_from_the_last_one(model):
    tokens = model.tokenize(video=STILL_THEN_ANOTHER, keyframes="adaptive")
    frames = model.detokenize(tokens, detokenizer="warp").frames
    assert frames.shape == (102, SIDE, SIDE, 3)
    again = model.reconstruct(STILL_THEN_ANOTHER, keyframe="raw", motion="raw", detokenizer="warp")
    assert again.psnr_db > 25
    without_times = model.detokenize(tokens.ids, detokenizer="warp").frames
    assert len(without_times) == 2 * 24 + 3 * 23, "ids do not say how long a clip is shown, and no frame comes twice"


def test_motion_leads_on_where_a_keyframe_is_missing(model):
    """A moving edge stands, one tick behind the last frame of a clip, where its last step leads."""
    from videolavit.clip import MotionField
    from videolavit.video.adaptive import next_image

    values = np.zeros((2, 24, 1, 1), np.float32)
    values[0, 1:] = 2
    motion = MotionField(values=values, height=16, width=16)
    frame = np.zeros((16, 16, 3), np.uint8)
    frame[:, :4] = 255
    for shown in (12, 24):
        assert next_image(frame, motion, shown)[8, :, 0].tolist() == [255] * 6 + [0] * 10


def test_reversed_motion_alone_starts_from_frames_of_the_whole_chain(model):
    tokens = model.tokenize(video=STILL_THEN_ANOTHER, keyframes="adaptive")
    turned = model.edit(tokens, reverse=True, keyframe="raw", motion="tokens", detokenizer="warp").frames
    forward = model.detokenize(tokens, detokenizer="warp").frames
    assert len(turned) == 102
    assert np.array_equal(turned[0], forward[-1])


def test_what_begins_with_motion_alone_is_refused(model):
    motion = ClipTokens(keyframe=None, motion=torch.tensor([0, 0, 0]))
    with pytest.raises(PromptError, match="motion alone, and there is none before it"):
        tokens_as_ids([motion], VOCABULARY)
    with pytest.raises(PromptError, match="motion alone, and there is none before it"):
        model.detokenize("M 0 0 0\nK 1 | M 0 0 0")
    with pytest.raises(VocabularyError, match="without a keyframe"):
        ids_as_tokens(torch.tensor([VOCABULARY.motion_start, 330, 330, 330, VOCABULARY.motion_end]), VOCABULARY)
    with pytest.raises(ShapeError, match="neither keyframe nor motion"):
        ClipTokens(keyframe=None)


def test_a_text_of_a_newer_version_is_refused_and_older_ones_are_read():
    with pytest.raises(PromptError, match="format 4, this version reads up to format 3; update"):
        parse_tokens('# videolavit {"token_format": 4}\nK 1')
    assert len(parse_tokens('# videolavit {"task": "tokenize"}\nK 1')) == 1


def test_settings_say_what_a_model_knows():
    processor = replace(ModelSettings().video_processor, keyframes="adaptive")
    with pytest.raises(ConfigError, match="not trained on clips of motion alone"):
        ModelSettings(video_processor=processor)
    check_motion_only(ModelSettings(motion_only_clips=True), "it")
    with pytest.raises(ConfigError, match="it has clips of motion alone, on which this model was not trained"):
        check_motion_only(ModelSettings(), "it")


def test_other_models_refuse_to_remember_and_to_go_on_with_them(model, knowing, tmp_path):
    with pytest.raises(ConfigError, match="a memory with adaptive keyframes has clips of motion alone"):
        model.remember(STILL_THEN_ANOTHER, tmp_path / "refused", keyframes="adaptive")
    assert not (tmp_path / "refused").exists()
    knowing.remember(STILL_THEN_ANOTHER, tmp_path / "memory", describe=False)
    with pytest.raises(ConfigError, match="memory has clips of motion alone"):
        model.answer("what moves?", video=tmp_path / "memory", context="whole")
    video = model.detokenize(model.tokenize(video=STILL_THEN_ANOTHER, keyframes="adaptive"), detokenizer="warp")
    with pytest.raises(ConfigError, match="the video before has clips of motion alone"):
        model.continue_video(video)
    assert len(knowing.continue_video(video).tokens) == 6


def test_a_memory_keeps_the_keyframes_that_say_something(knowing, tmp_path):
    memory = knowing.remember(STILL_THEN_ANOTHER, tmp_path / "memory", describe=False)
    assert (memory.lengths()[0] > 0).tolist() == [True, False, False, True, False]
    assert memory.motion_only
    answer = knowing.answer("what moves?", video=tmp_path / "memory", context="whole")
    assert [moment.clip for moment in answer.moments] == [0, 1, 2, 3, 4]
    assert np.array_equal(moment_image(knowing, answer.moments[2]), moment_image(knowing, answer.moments[0]))
    whole = knowing.remember(STILL_THEN_ANOTHER, tmp_path / "whole", describe=False, keyframes="every")
    assert not whole.motion_only


def test_a_newer_memory_is_refused(knowing, tmp_path):
    knowing.remember(moving(10), tmp_path / "memory", describe=False)
    about = tmp_path / "memory" / "memory.json"
    about.write_text(about.read_text().replace('"version": 2', '"version": 3'))
    with pytest.raises(Exception, match="version 3 of the format, this package reads up to 2; update videolavit"):
        TokenMemory(tmp_path / "memory")


def test_a_question_looks_at_motion_alone_where_it_follows_its_keyframe(knowing):
    answer = knowing.answer("what moves?", video=STILL_THEN_ANOTHER, max_clips=8)
    [video] = answer.turns[-1].media
    assert [clip.keyframe is not None for clip in video.clips] == [True, False, False, True, False]
    fewer = knowing.answer("what moves?", video=STILL_THEN_ANOTHER, max_clips=3)
    [video] = fewer.turns[-1].media
    assert [clip.keyframe is not None for clip in video.clips] == [True, True, True]


def test_the_model_chooses_between_a_keyframe_and_motion_alone(knowing):
    """Whatever it chooses, clips can be told apart again, and none but the first must have a keyframe."""
    seen = set()
    for seed in range(6):
        video = knowing.video("a red ball", clips=4, seed=seed)
        assert video.tokens[0].keyframe is not None
        assert len(video.frames) == 24 + 3 * 23
        read = ids_as_tokens(video.ids, VOCABULARY)
        assert kept(read) == kept(video.tokens)
        assert [one.motion.tolist() for one in read] == [one.motion.tolist() for one in video.tokens]
        seen |= set(kept(video.tokens))
    assert seen == {True, False}


def test_samples_of_a_batch_choose_for_themselves(knowing):
    prompts = ["a red ball", "a green square moves right", "a red ball moves left"]
    together = knowing.video(prompts, clips=3, seed=[0, 1, 2])
    alone = [knowing.video(prompt, clips=3, seed=seed) for seed, prompt in enumerate(prompts)]
    assert [kept(one.tokens) for one in together] == [kept(one.tokens) for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one.ids, other.ids)
        first = np.abs(one.frames[:24].astype(int) - other.frames[:24])
        assert first.max() <= 2  # a batch rounds otherwise, and later clips begin where this one ends
    drafts = knowing.video(prompts[0], clips=2, candidates=3)
    assert len(drafts.frames) == 24 + 23


def test_a_keyframe_is_shared_by_no_more_clips_than_are_trained_on(knowing):
    generator = TokenGenerator(knowing, Progress())
    most = generator.grammar.clips_per_keyframe
    optional = [block.optional for block in generator.grammar.video(2 * most) if block.modality is Modality.KEYFRAME]
    assert 1 < most <= knowing.settings.video_processor.adaptive.clips_per_keyframe
    assert optional == ([False] + [True] * (most - 1)) * 2
    assert not any(block.optional for block in TokenGenerator(small_model(), Progress()).grammar.video(5))


def test_a_window_begins_with_a_keyframe():
    keyframe = [VOCABULARY.image_start, 302, VOCABULARY.image_end]
    motion = [VOCABULARY.motion_start, 330, 330, 330, VOCABULARY.motion_end]
    clips = [[*keyframe, *motion], motion, [*keyframe, *motion], motion, motion]
    ids = torch.tensor([5, 5, *keyframe, 5, *(one for clip in clips for one in clip)])
    prompt = 6
    assert len(window(ids, len(ids), 5, VOCABULARY)) == len(ids)
    for room in range(len(ids)):
        left = window(ids, room, 5, VOCABULARY)[prompt:].tolist()
        assert left == [*clips[2], *clips[3], *clips[4]]


def test_parts_say_nothing_of_motion_alone_by_default():
    assert not ModelComponents(vocabulary=VOCABULARY).settings.motion_only_clips
