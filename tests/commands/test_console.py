"""A progress bar where a person watches, and nowhere else."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

PROGRAM = """
from videolavit.commands._shared.console import progress_bar
with progress_bar(10, "video", quiet={quiet}) as bar:
    bar.update(10)
"""


def on_a_terminal(program: str) -> str:
    """What a program writes to stderr where that is a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    return written.decode()


def test_a_terminal_shows_a_bar():
    assert "video" in on_a_terminal(PROGRAM.format(quiet=False))


STAGES = """
import time
from videolavit.commands._shared.console import StageBars, until_words
with StageBars(quiet={quiet}) as bars:
    for stage, total in (("keyframe", 4), ("frames", 0)):
        for done in range(5):
            time.sleep(0.12)
            {bars}(stage, done, total)
"""


def test_stages_show_their_names_how_far_they_are_and_the_time_left():
    shown = on_a_terminal(STAGES.format(quiet=False, bars="bars"))
    keyframe, _, frames = shown.partition("frames")
    assert "keyframe:  50%" in keyframe
    assert re.search(r"2/4 \[00:0\d<00:0\d", keyframe), "time taken and time left"
    assert "%" not in frames, "nobody knows how many there are"
    assert on_a_terminal(STAGES.format(quiet=True, bars="bars")) == ""


def test_the_writing_of_an_answer_needs_no_bar():
    program = STAGES.replace('"frames"', '"generate"').format(quiet=False, bars="until_words(bars)")
    shown = on_a_terminal(program)
    assert "keyframe" in shown
    assert "generate" not in shown


def test_quiet_shows_none():
    assert on_a_terminal(PROGRAM.format(quiet=True)) == ""


def test_what_is_no_terminal_shows_none():
    answer = subprocess.run([sys.executable, "-c", PROGRAM.format(quiet=False)], capture_output=True, check=True)
    assert answer.stderr == b""


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1_500_000, "1.5 MB"), (7_340_000_000, "7.3 GB")]
)
def test_sizes_are_readable(num_bytes, text):
    from videolavit.commands._shared.console import readable_size

    assert readable_size(num_bytes) == text
