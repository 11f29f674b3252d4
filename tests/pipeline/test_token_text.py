"""Codes as text: they come back as they were, and whatever is wrong in a text is named with its line."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import PromptError
from videolavit.pipeline.token_text import format_tokens, parse_tokens, read_note

CODES = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20).map(torch.tensor)
CLIPS = st.builds(
    ClipTokens,
    keyframe=CODES,
    motion=st.none() | CODES,
    num_frames=st.none() | st.integers(1, 1000),
)


def as_lists(clip: ClipTokens) -> tuple[object, ...]:
    return clip.keyframe.tolist(), None if clip.motion is None else clip.motion.tolist(), clip.num_frames


@given(st.lists(CLIPS, min_size=1, max_size=5), st.none() | st.dictionaries(st.text(), st.text() | st.integers()))
def test_what_is_written_is_read_again(clips, note):
    text = format_tokens(clips, note)
    assert list(map(as_lists, parse_tokens(text))) == list(map(as_lists, clips))
    assert read_note(text) == (note or {})
    assert text.count("\n") == len(clips) + (note is not None)


def test_a_text_may_be_written_by_hand():
    [clip, image] = parse_tokens("# two clips\n\n  K 1  2|M 3 3 |show 6  # the first\nK 5\r\n")
    assert as_lists(clip) == ([1, 2], [3, 3], 6)
    assert as_lists(image) == ([5], None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "without clips"),
        ("# only words", "without clips"),
        ("K 1\nM 3", "line 2: got 'M 3'; expected a line such as"),
        ("K 1 | X 3", "line 1: got 'X 3'"),
        ("K 1 | K 3", "line 1: got 'K 3'"),
        ("K 1 |", "line 1: got 'K 1 |'"),
        ("K", "line 1: the keyframe has no codes"),
        ("K | M 3", "line 1: the keyframe has no codes"),
        ("K 3 | M", "line 1: got M without codes"),
        ("K 1 two", "line 1: got 'two' among the codes"),
        ("K -1", "line 1: got '-1' among the codes"),
        ("K 1.5", "line 1: got '1.5' among the codes"),
        ("K \u0663", "among the codes"),
        ("K 99999999999", "line 1: got '99999999999' among the codes"),
        ("K 2147483648", "among the codes"),
        ("\n\nK 1 | show", "line 3: got show"),
        ("K 1 | show 0", "1 to 1000"),
        ("K 1 | show 1001", "1 to 1000"),
        ("show 3 | K 1", "line 1: got 'show 3'"),
        ("k 1", "line 1: got 'k 1'"),
        ("K 1 " + "x" * 500, "among the codes"),
    ],
)
def test_a_wrong_line_is_named(text, message):
    with pytest.raises(PromptError) as caught:
        parse_tokens(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("text", ["K 1\n", "# videolavit {\nK 1", "# videolavit 3\nK 1", "# other {}\nK 1"])
def test_a_text_without_a_note_has_an_empty_one(text):
    assert read_note(text) == {}
    assert as_lists(parse_tokens(text)[0]) == ([1], None, None)
