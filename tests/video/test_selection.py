from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videolavit.errors import ConfigError
from videolavit.video import Selection, select_clips

KEYFRAMES = st.lists(st.integers(1, 30), min_size=0, max_size=40).map(
    lambda steps: [sum(steps[:i]) for i in range(len(steps) + 1)]
)
RULES = st.sampled_from(["reference", "timeline", "all", "every 1", "every 3", "uniform 1", "uniform 5"])


@given(keyframes=KEYFRAMES, rule=RULES, max_clips=st.integers(1, 20))
def test_every_rule_picks_keyframes_in_order_and_at_least_one(keyframes: list[int], rule: str, max_clips: int):
    starts = select_clips(keyframes, keyframes[-1] + 1, select=rule, max_clips=max_clips)
    assert starts
    assert starts == sorted(set(starts))
    assert set(starts) <= set(keyframes)


@given(keyframes=KEYFRAMES, max_clips=st.integers(1, 20))
def test_the_reference_rule_keeps_to_its_maximum(keyframes: list[int], max_clips: int):
    assert len(select_clips(keyframes, keyframes[-1] + 1, max_clips=max_clips)) <= max_clips


def test_rules_do_what_they_say():
    keyframes = [0, 12, 24, 36, 48, 60]
    assert select_clips(keyframes, 72, select="all") == keyframes
    assert select_clips(keyframes, 72, select="every 2") == [0, 24, 48]
    assert select_clips(keyframes, 72, select="uniform 3") == [0, 24, 60]
    assert select_clips(keyframes, 72, select="uniform 9") == keyframes


def test_the_reference_rule_asks_for_room_before_a_cut():
    keyframes = [0, 12, 24, 36, 48]
    assert select_clips(keyframes, 72) == [12, 36]
    assert select_clips(keyframes, 72, shot_ends=[36, 36, 36, 72, 72]) == [0, 12, 36][1::2]


@pytest.mark.parametrize("text", ["every 2", "every:2", "every-2"])
def test_rules_are_read_from_text_and_written_as_text(text: str):
    assert Selection.parse(text) == Selection(rule="every", count=2)
    assert str(Selection.parse(text)) == "every 2"


@pytest.mark.parametrize("text", ["", "some", "every", "every 0", "every x", "uniform -1", "all 2", "every  2"])
def test_what_is_no_rule_is_refused_by_name(text: str):
    with pytest.raises(ConfigError, match="uniform-N"):
        Selection.parse(text)
