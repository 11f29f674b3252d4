"""Best of several by what is recognised in drafts: things that words name, and the draft that shows them best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from videolavit.pipeline.generation_states import own_candidates
from videolavit.pipeline.ranking import named_things, recognition

NAMES = ("dog, puppy", "flamingo, pink bird", "owl, bird", "bus, coach", "T-Rex, tyrannosaurus rex")
PROMPT = "a ball and a star move"


@pytest.mark.parametrize(
    ("words", "things"),
    [
        ("a puppy runs", [1]),
        ("A pink bird and a bird.", [2, 3]),
        ("two dogs chase a bus; the dog barks", [1, 4]),
        ("three buses", [4]),
        ("the t-rex, a Tyrannosaurus Rex", [5]),
        ("hotdogs and a business", []),
        ("", []),
    ],
)
def test_words_name_things(words, things):
    assert named_things(NAMES, words) == things


def test_a_model_that_knows_nothing_finds_nothing():
    assert named_things((), "a dog") == []


def test_each_thing_is_found_in_another_place():
    """Two drafts, two things seen in each, three kinds."""
    named = torch.tensor([[[-1.0, -2.0, -9.0], [-9.0, -1.5, -3.0]], [[-5.0, -0.5, -7.0], [-5.0, -0.4, -7.0]]])
    assert recognition(named, [1]).tolist() == pytest.approx([-1.5, -0.4])
    assert recognition(named, [1, 2]).tolist() == pytest.approx([-2.0 - 3.0, -0.4 - 7.0])
    assert recognition(named, [2, 1]).tolist() == pytest.approx([-2.0 - 3.0, -0.4 - 7.0])
    assert recognition(named, [1, 2, 1]).shape == (2,), "no more than can be seen"


@pytest.fixture
def seeing(model, monkeypatch):
    """A model that is surer of a ball the brighter an image is; the logarithms that it said."""
    said: list[float] = []

    def named(images):
        values = images.mean((1, 2, 3))
        said.extend(values.tolist())
        return torch.stack([-values, values], dim=1)[:, None].expand(-1, 2, -1)

    monkeypatch.setitem(model.__dict__, "known_things", ("ball, sphere",))
    monkeypatch.setitem(model.__dict__, "named", named)
    monkeypatch.setitem(model.__dict__, "repainted", None)
    return said


def test_the_draft_in_which_a_thing_is_recognised_best_is_kept(model, seeing):
    best = model.generate_image(PROMPT, seed=4, candidates=3)
    assert len(seeing) == 3
    drafts = [model.generate_image(PROMPT, seed=4).pixels.astype(float).mean() / 127.5 - 1]
    assert best.pixels.astype(float).mean() / 127.5 - 1 == pytest.approx(max(seeing), abs=0.01)
    assert drafts[0] == pytest.approx(seeing[0], abs=0.01), "the first draft is the usual one"
    video = model.generate_video(PROMPT, seed=4, candidates=3)
    assert torch.equal(video.tokens[0].keyframe, best.tokens.keyframe)


def test_a_model_takes_its_own_number_of_drafts_where_it_can_tell_which_is_best(model, seeing, monkeypatch):
    monkeypatch.setitem(model.__dict__, "settings", replace(model.settings, candidates=3))
    model.generate_image(PROMPT, seed=4)
    assert len(seeing) == 3
    model.generate_image("a star", seed=4)
    model.generate_image(PROMPT, seed=4, candidates=1)
    assert len(seeing) == 3
    assert own_candidates(model, PROMPT) == 3
    assert own_candidates(model, "a star") == own_candidates(model, "") == 1
    monkeypatch.setitem(model.__dict__, "known_things", ())
    assert own_candidates(model, "a star") == 3, "by likelihood"


def test_words_without_a_known_thing_are_ranked_by_likelihood(model, seeing, monkeypatch):
    from videolavit.pipeline import ranking

    monkeypatch.setattr(ranking, "caption_log_likelihoods", lambda m, clips, words: torch.tensor([0.0, 2.0, 1.0]))
    model.generate_image("a star", seed=4, candidates=3)
    assert seeing == []
    found = model.generate_image(["a star", PROMPT], seed=[4, 4], candidates=3)
    assert len(seeing) == 3, "of one sample of two"
    alone = model.generate_image(PROMPT, seed=4, candidates=3)
    assert np.array_equal(found[1].ids, alone.ids)
