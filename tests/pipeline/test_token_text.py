"""Codes as text: they come back as they were, and whatever is wrong in a text is named with its line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import PromptError
from videolavit.pipeline.token_text import format_tokens, parse_tokens, read_note

CODES = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20).map(torch.tensor)


def layered(clip: ClipTokens) -> ClipTokens:
    """The clip with two further layers of motion."""
    return replace(clip, motion_layers=torch.stack([clip.motion, clip.motion.flip(0)]))


def test_further_layers_of_motion_are_lines_parts_of_their_own():
    [clip] = parse_tokens("K 1 | M 3 4 | R 5 6 | R 7 8 | show 6")
    assert clip.motion_layers.tolist() == [[5, 6], [7, 8]]
    text = format_tokens([clip])
    assert read_note(text) == {"token_format": 3}
    assert text.splitlines()[1] == "K 1 | M 3 4 | R 5 6 | R 7 8 | show 6"
    [moving] = parse_tokens(format_tokens([layered(FIRST_CLIP)]))
    assert moving.motion_layers.tolist() == [[3, 4, 5], [5, 4, 3]]


FIRST_CLIP = ClipTokens(keyframe=torch.tensor([1]), motion=torch.tensor([3, 4, 5]))
FRAMES = st.none() | st.integers(1, 1000)
FIRST = st.builds(ClipTokens, keyframe=CODES, motion=st.none() | CODES, num_frames=FRAMES)
LATER = FIRST | st.builds(ClipTokens, keyframe=st.none(), motion=CODES, num_frames=FRAMES)
CLIPS = st.tuples(FIRST, st.lists(LATER, max_size=4)).map(lambda clips: [clips[0], *clips[1]])


def as_lists(clip: ClipTokens) -> tuple[object, ...]:
    codes = (None if one is None else one.tolist() for one in (clip.keyframe, clip.motion))
    return (*codes, clip.num_frames)


@given(CLIPS, st.none() | st.dictionaries(st.text(), st.text() | st.integers()))
def test_what_is_written_is_read_again(clips, note):
    text = format_tokens(clips, note)
    assert list(map(as_lists, parse_tokens(text))) == list(map(as_lists, clips))
    motion_only = any(clip.keyframe is None for clip in clips)
    assert read_note(text) == (note or {}) | ({"token_format": 2} if motion_only else {})
    assert text.count("\n") == len(clips) + (note is not None or motion_only)


def test_a_text_may_be_written_by_hand():
    [clip, image] = parse_tokens("# two clips\n\n  K 1  2|M 3 3 |show 6  # the first\nK 5\r\n")
    assert as_lists(clip) == ([1, 2], [3, 3], 6)
    assert as_lists(image) == ([5], None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "without clips"),
        ("# only words", "without clips"),
        ("K 1\nX 3", "line 2: got 'X 3'; expected a line such as"),
        ("K 1\nshow 3", "line 2: got 'show 3'; expected a line such as"),
        ("M 3\nK 1", "the first clip has motion alone"),
        ("K 2 | R 3", "line 1: got 'R 3'"),
        ("K 2 | M 3 | R 3 4", "line 1: got R with 2 codes, expected 1 as of M"),
        ("K 2 | M 3 | R", "line 1: got R with 0 codes"),
        ("K 2\nM 3 | K 1", "line 2: got the keyframe behind the motion"),
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
