"""The best of several drafts, found by asking the model whether it sees what the prompt says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pipeline.small_model import VOCABULARY, image, small_model

from videolavit.errors import ConfigError, PromptError
from videolavit.language.conversation import Turn, conversation
from videolavit.language.prompts import ClipInput, ImageInput, VideoInput
from videolavit.pipeline import ranking
from videolavit.pipeline.encoding import seen_images
from videolavit.pipeline.ranking import matching_scores
from videolavit.settings import ModelSettings

PROMPT = "a red ball moves left."
QUESTION = "do you see: {prompt}?"


@pytest.fixture
def asking(model, monkeypatch):
    """The small model with a question, and everything that it was asked about."""
    monkeypatch.setattr(model, "settings", replace(model.settings, matching_question=QUESTION))
    return model


@pytest.fixture
def asked(monkeypatch):
    """Questions about drafts as they are asked; the last draft is always found best."""
    seen: list[tuple[list[list[ClipInput]], str]] = []

    def last_is_best(_, drafts, question):
        seen.append(([list(draft) for draft in drafts], question))
        return torch.arange(len(drafts), dtype=torch.float32)

    monkeypatch.setattr(ranking, "matching_scores", last_is_best)
    return seen


def keyframe(*codes: int) -> ImageInput:
    return ImageInput(ids=VOCABULARY.visual_ids(torch.tensor(codes)))


def test_scores_are_the_log_odds_of_yes_at_the_answer(model):
    language = model.language_model
    motion = VOCABULARY.motion_ids(torch.arange(2))
    drafts = [[ClipInput(keyframe=keyframe(*codes), motion_ids=motion)] for codes in ((3,), (1, 2, 9), (7, 7))]
    scores = matching_scores(language, drafts, "do you see: a ball?")
    for draft, score in zip(drafts, scores.tolist(), strict=True):
        read = {}
        for answer in ("yes", "no"):
            turn = Turn(question="do you see: a ball?", media=(VideoInput(clips=tuple(draft)),), answer=answer)
            read[answer] = conversation([turn], VOCABULARY, language.text_tokenizer, template=language.chat).ids
        yes, no = read["yes"], read["no"]
        place = int((yes[: min(len(yes), len(no))] != no[: min(len(yes), len(no))]).nonzero()[0])
        with torch.no_grad():
            logits = language.causal_lm(yes[None]).logits[0, place - 1]
        assert score == pytest.approx(float(logits[yes[place]] - logits[no[place]]), abs=1e-4)
    assert len({round(score, 4) for score in scores.tolist()}) == 3


def test_a_single_keyframe_is_asked_about_as_an_image_and_old_clips_give_way(model, monkeypatch):
    shown = []
    told = ranking.conversation

    def listening(turns, *arguments, **options):
        shown.append(turns[0].media[0])
        return told(turns, *arguments, **options)

    monkeypatch.setattr(ranking, "conversation", listening)
    matching_scores(model.language_model, [[ClipInput(keyframe=keyframe(3))]], "do you see?")
    assert all(isinstance(media, ImageInput) for media in shown)
    shown.clear()
    long = [ClipInput(keyframe=keyframe(3), motion_ids=VOCABULARY.motion_ids(torch.arange(8)))] * 12
    scores = matching_scores(model.language_model, [long, long[:1]], "do you see?")
    assert torch.isfinite(scores).all()
    assert min(len(media.clips) for media in shown if isinstance(media, VideoInput)) == 1
    with pytest.raises(PromptError, match="leave no room for a clip"):
        matching_scores(model.language_model, [long], "do you see " * 60)


def test_keyframe_and_motion_are_chosen_one_after_the_other(asking, asked):
    video = asking.generate_video(PROMPT, candidates=3, seed=4)
    (keyframes, question), (motions, again) = asked
    assert question == again == "do you see: a red ball moves left?"
    assert [len(draft) for draft in keyframes + motions] == [1] * 6
    assert all(draft[0].motion_ids is None for draft in keyframes)
    chosen = keyframes[-1][0].keyframe
    assert all(draft[0].keyframe is chosen for draft in motions), "motion is drafted for the keyframe that was chosen"
    [clip] = video.tokens
    assert torch.equal(motions[-1][0].motion_ids, VOCABULARY.motion_ids(clip.motion))
    # What was judged is the image that is shown.
    drawn = asking.generate_video(PROMPT, candidates=3, seed=4, num_inference_steps=0).frames[0]
    how = asking.visual_tokenizer, [drawn], VOCABULARY, "discrete", "likeliest", 0
    assert torch.equal(chosen.ids, seen_images(*how)[0].ids)


def test_drafts_of_motion_are_asked_about_with_the_image_that_is_given(asking, asked):
    given = image()
    asking.generate_video(PROMPT, image=given, candidates=2)
    [(motions, _)] = asked
    [first, second] = motions
    assert first[0].keyframe is second[0].keyframe
    assert first[0].motion_ids is not None


def test_later_clips_are_asked_about_with_the_ones_before(asking, asked):
    video = asking.generate_video(PROMPT, candidates=2, clips=2)
    assert [[len(draft) for draft in drafts] for drafts, _ in asked] == [[1, 1], [1, 1], [2, 2], [2, 2]]
    drafts = asked[-1][0]
    for clip, tokens in zip(drafts[-1], video.tokens, strict=True):
        assert torch.equal(clip.motion_ids, VOCABULARY.motion_ids(tokens.motion))


def test_a_keyframe_that_may_be_left_out_is_chosen_with_its_motion(asked):
    knowing = small_model(motion_only_clips=True)
    knowing.settings = replace(knowing.settings, matching_question=QUESTION)
    knowing.generate_video(PROMPT, candidates=2, clips=3)
    for drafts, _ in asked[2:]:  # behind the first keyframe and its motion
        assert all(draft[-1].motion_ids is not None for draft in drafts)
    assert [len(drafts[0]) for drafts, _ in asked] == [1, 1, 2, 3]


def test_each_of_a_batch_gets_the_drafts_that_it_gets_alone(asking):
    prompts, seeds = ["a red ball moves left", "a green square"], [3, 8]
    together = asking.generate_video(prompts, seed=seeds, candidates=3, clips=2)
    for prompt, seed, found in zip(prompts, seeds, together, strict=True):
        alone = asking.generate_video(prompt, seed=seed, candidates=3, clips=2)
        assert torch.equal(found.ids, alone.ids)
        assert np.abs(found.frames[:24].astype(int) - alone.frames[:24]).max() <= 2


def test_keyframes_leave_room_for_motion_where_the_context_ends(asking, asked):
    words = "a red ball moves left " * 5
    video = asking.generate_video(words, candidates=2, clips=2)
    assert len(video.tokens) == 2
    assert all(clip.motion is not None for clip in video.tokens)


def test_a_question_has_a_place_for_the_prompt():
    with pytest.raises(ConfigError, match=r"expected \{prompt\} in it"):
        ModelSettings(matching_question="do you see it?")
