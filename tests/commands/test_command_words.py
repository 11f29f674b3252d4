"""Messages of the library, as commands say them."""

from __future__ import annotations

import pytest

from videolavit.commands._shared.command_words import in_command_words, speak_for, told

OPTIONS = ["--max-clips", "--image", "--keyframe", "--dtype", "--height", "--width", "--motion"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("got max_clips=0, expected at least 1", "got --max-clips 0, expected at least 1"),
        (
            "got height=100 and width=90; try height=96, width=96",
            "got --height 100 and --width 90; try --height 96, --width 96",
        ),
        (
            "got more than one of image=, keyframe= and after=, expected one",
            "got more than one of --image, --keyframe and after, expected one",
        ),
        ("a.png: is not an image; pass a video as video=", "a.png: is not an image"),
        (
            "a.mp4: is a still image, not a video; pass it as image=",
            "a.mp4: is a still image, not a video; pass it as --image",
        ),
        (
            "more than max_clips=64 allows; raise max_clips (in a command: --max-clips)",
            "more than --max-clips 64 allows; raise --max-clips",
        ),
        (
            "9000 pixels, more than max_width=8191 allows; raise max_width (in a command: --max-width) if you trust it",
            "9000 pixels, more than max_width=8191 allows",
        ),
        ("not finite; try dtype=torch.float32 (in a command: --dtype float32)", "not finite; try --dtype float32"),
        ("no vectors; take motion='reencode'", "no vectors; take --motion reencode"),
        ("/a=b/c.mp4: no such file", "/a=b/c.mp4: no such file"),
        ("nothing to say", "nothing to say"),
    ],
)
def test_arguments_become_options_and_advice_that_cannot_be_followed_is_left_out(message, expected):
    assert in_command_words(message, OPTIONS) == expected


def test_without_a_command_messages_stay_as_they_are():
    try:
        speak_for([])
        assert told("got max_clips=0") == "got max_clips=0"
        speak_for(OPTIONS)
        assert told("got max_clips=0") == "got --max-clips 0"
    finally:
        speak_for([])
