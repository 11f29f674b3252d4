"""Which clips are looked at: all, the last ones, a budget, or those that fit the question."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from videolavit.errors import ConfigError
from videolavit.memory.context import Chosen, ContextOptions, choose_clips
from videolavit.memory.description_scores import description_scores
from videolavit.memory.token_memory import RememberedClip, TokenMemory
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=12, num_visual_codes=24, num_motion_codes=16)
KEYFRAME, CLIP = 5 + 2, 5 + 2 + 4 + 2
"""Positions of a keyframe and of a whole clip in these tests."""


def memory_of(folder: Path, texts: Sequence[str], codes: Sequence[int] | None = None) -> TokenMemory:
    """A clip for each text; `codes` say which keyframes are alike, -1 that there is none."""
    memory = TokenMemory.create(folder, VOCABULARY)
    for number, text in enumerate(texts):
        code = number if codes is None else codes[number]
        visual = VOCABULARY.visual_range.start + (torch.arange(code, code + 5) if code >= 0 else torch.arange(0))
        motion = torch.full((4,), VOCABULARY.motion_range.start)
        times = {"start_seconds": float(number), "end_seconds": number + 1.0}
        memory.append(RememberedClip(visual_ids=visual, motion_ids=motion, descriptions=(text,), **times), sync=False)
    return memory


def numbers(chosen: Sequence[Chosen]) -> list[int]:
    return [one.number for one in chosen]


@pytest.fixture
def ten(tmp_path: Path) -> TokenMemory:
    texts = ["a red circle moves left"] * 10
    texts[3], texts[7] = "a blue star moves up", "a red star moves left"
    return memory_of(tmp_path / "memory", texts)


@pytest.mark.parametrize(
    ("room", "expected"),
    [(10 * CLIP, list(range(10))), (10 * CLIP - 1, [*range(9)]), (3 * CLIP, [0, 3, 6]), (CLIP, [0])],
)
def test_the_whole_video_as_far_as_there_is_room(ten: TokenMemory, room: int, expected: list[int]):
    assert numbers(choose_clips(ten, "?", ContextOptions(context="whole"), room=room)) == expected


@pytest.mark.parametrize(
    ("most", "room", "expected"), [(3, 1000, [7, 8, 9]), (20, 1000, [*range(10)]), (5, 2 * CLIP, [8, 9])]
)
def test_a_window_is_the_last_clips(ten: TokenMemory, most: int, room: int, expected: list[int]):
    options = ContextOptions(context="window", max_clips=most)
    assert numbers(choose_clips(ten, "?", options, room=room)) == expected


def test_retrieval_finds_what_is_rare_in_order_of_time(ten: TokenMemory):
    options = ContextOptions(context="retrieval", max_clips=2)
    chosen = choose_clips(ten, "Which way does the star move?", options, room=1000)
    assert numbers(chosen) == [3, 7]
    assert numbers(choose_clips(ten, "the blue one?", ContextOptions(max_clips=5), room=1000)) == [3]
    assert all(one.with_motion and one.score is not None and one.score > 0 for one in chosen)


def test_words_that_every_clip_has_say_nothing(ten: TokenMemory):
    assert np.abs(description_scores(ten, "a moves")).max() < 1e-9
    assert np.abs(description_scores(ten, "what then?")).max() == 0


def test_how_often_a_clip_was_described_so_counts(tmp_path: Path):
    memory = memory_of(tmp_path / "memory", ["a circle"] * 4)
    with memory:
        ends = {"start_seconds": 9.0, "end_seconds": 10.0}
        sure = ("a star", "a star", "a circle")
        ids = {"visual_ids": torch.tensor([18]), "motion_ids": torch.tensor([45])}
        memory.append(RememberedClip(**ids, descriptions=sure, **ends))
        memory.append(
            RememberedClip(**ids, descriptions=("a star", "a circle", "a circle"), start_seconds=10.0, end_seconds=11.0)
        )
    scores = description_scores(memory, "the star")
    assert scores.argmax() == 4
    assert scores[4] == pytest.approx(2 * scores[5])


def test_a_scorer_of_the_users_own_takes_the_place_of_words(ten: TokenMemory):
    def likes_the_fifth(memory: TokenMemory, question: str) -> np.ndarray:
        return np.array([number == 5 for number in range(len(memory))], float)

    chosen = choose_clips(ten, "star", ContextOptions(max_clips=1), room=1000, scorer=likes_the_fifth)
    assert chosen == [Chosen(number=5, score=1.0)]


def test_a_budget_drops_old_motion_then_what_shows_little_that_is_new(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    codes = [0, 0, 7, 8, 14, 14, 1, 2]  # 1 and 5 repeat the keyframe before, 3 and 7 most of it
    memory = memory_of(tmp_path / "memory", ["x"] * 8, codes)
    options = ContextOptions(context="budget", max_clips=2)

    def looked_at(room: int) -> list[str]:
        chosen = choose_clips(memory, "?", options, room=room)
        return [f"{one.number}{'' if one.with_motion else 's'}" for one in chosen]

    assert looked_at(8 * CLIP) == ["0", "1", "2", "3", "4", "5", "6", "7"]
    assert looked_at(8 * CLIP - 1) == ["0s", "1", "2", "3", "4", "5", "6", "7"]
    assert looked_at(6 * KEYFRAME + 2 * CLIP) == ["0s", "1s", "2s", "3s", "4s", "5s", "6", "7"]
    with caplog.at_level(logging.INFO):
        assert looked_at(4 * KEYFRAME + 2 * CLIP) == ["0s", "2s", "3s", "4s", "6", "7"]
    assert "of 8 clips 2 are left out and 4 are looked at without their motion" in caplog.text
    assert looked_at(KEYFRAME + 2 * CLIP) == ["0s", "6", "7"]
    assert looked_at(KEYFRAME + CLIP) == ["0s", "7"]
    assert looked_at(CLIP) == ["7"]


@pytest.mark.parametrize("context", ["whole", "window", "budget", "retrieval"])
def test_what_is_chosen_fits_and_stands_in_order(ten: TokenMemory, context: str):
    keyframes, motion = ten.lengths()
    for room in range(CLIP, 11 * CLIP, 5):
        chosen = choose_clips(ten, "star", ContextOptions(context=context), room=room)  # type: ignore[arg-type]
        assert numbers(chosen) == sorted(set(numbers(chosen)))
        used = sum(keyframes[one.number] + motion[one.number] * one.with_motion for one in chosen)
        assert 0 < used <= room


@pytest.mark.parametrize("context", ["whole", "window", "budget", "retrieval"])
def test_where_nothing_fits_the_error_says_so(ten: TokenMemory, context: str):
    with pytest.raises(ConfigError, match="room for 3 ids"):
        choose_clips(ten, "star", ContextOptions(context=context), room=3)  # type: ignore[arg-type]


def test_impossible_options_are_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    with pytest.raises(ConfigError, match="max_clips=0"):
        ContextOptions(max_clips=0)
    for wrong in ("4", 2.5, True):
        with pytest.raises(ConfigError, match=r"max_clips=.*expected a whole number"):
            ContextOptions(max_clips=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no clip yet"):
        choose_clips(memory_of(tmp_path / "memory", []), "?", ContextOptions(), room=100)


def test_motion_alone_is_never_looked_at_without_its_keyframe(tmp_path: Path):
    texts = ["a red circle moves left"] * 8
    texts[4] = "a blue star moves up"
    memory = memory_of(tmp_path / "memory", texts, [0, -1, 2, -1, -1, 5, 6, -1])
    motion = CLIP - KEYFRAME
    assert memory.lengths()[0].tolist() == [KEYFRAME, 0, KEYFRAME, 0, 0, KEYFRAME, KEYFRAME, 0]

    def looked_at(context: str, room: int, most: int = 1) -> list[str]:
        options = ContextOptions(context=context, max_clips=most)  # type: ignore[arg-type]
        chosen = choose_clips(memory, "the star", options, room=room)
        return [f"{one.number}{'' if one.with_motion else 's'}" for one in chosen]

    assert looked_at("retrieval", 1000) == ["2", "3", "4"]
    with pytest.raises(ConfigError, match="room for"):
        looked_at("retrieval", KEYFRAME + 3 * motion - 1)
    assert looked_at("window", 1000) == ["6", "7"]
    assert looked_at("whole", KEYFRAME + motion) == ["0"]
    everything = 4 * KEYFRAME + 8 * motion
    assert looked_at("budget", everything) == [str(number) for number in range(8)]
    assert looked_at("budget", everything - 1) == ["0s", "2", "3", "4", "5", "6", "7"]
    assert looked_at("budget", everything - 2 * motion - 1) == ["0s", "2s", "5", "6", "7"]
    assert looked_at("budget", 2 * KEYFRAME + 2 * motion) == ["0s", "6", "7"]
    assert looked_at("budget", KEYFRAME + 2 * motion) == ["6", "7"]
