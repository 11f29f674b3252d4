"""Names of files among words: taken out of them, and told apart from words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from videolavit.commands._shared.media_arguments import find_media
from videolavit.errors import MediaError
from videolavit.video.io.write import write_video

IMAGES = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (0, 255)])


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "with space.png", "it's.png"):
        Image.fromarray(IMAGES[0]).save(name)
    Path("red").touch()
    Path("notes.txt").touch()
    write_video(IMAGES, "v.mp4")
    write_video(IMAGES, "moves.gif")


@pytest.mark.parametrize(
    ("line", "text", "images", "videos"),
    [
        ("a.png", "", ["a.png"], []),
        ("a.png What is it?", "What is it?", ["a.png"], []),
        ("What is it? a.png", "What is it?", ["a.png"], []),
        ("What is in a.png?", "What is in the image?", ["a.png"], []),
        ("Does the v.mp4 show a.png, too?", "Does the video show the image, too?", ["a.png"], ["v.mp4"]),
        ("v.mp4 moves.gif Which is longer?", "Which is longer?", [], ["v.mp4", "moves.gif"]),
        ("'with space.png' Why?", "Why?", ["with space.png"], []),
        (r"with\ space.png Why?", "Why?", ["with space.png"], []),
        ('Why "with space.png"?', "Why the image?", ["with space.png"], []),
        ("it's.png What's that?", "What's that?", ["it's.png"], []),
        ("./a.png Why?", "Why?", ["a.png"], []),
        ("What's 'this' and it's colour?", "What's 'this' and it's colour?", [], []),
        ("a. png e.g. v .mp4?", "a. png e.g. v .mp4?", [], []),
        ("  ", "", [], []),
        ("What is red in notes.txt?", "What is red in notes.txt?", [], []),
        ("x" * 5000 + "\0 / ~ ~nobody/a", "x" * 5000 + "\0 / ~ ~nobody/a", [], []),
    ],
)
def test_files_are_taken_out_of_a_sentence(line, text, images, videos):
    shown = find_media(line)
    assert (shown.text, list(shown.images), list(shown.videos)) == (text, images, videos)


@pytest.mark.parametrize("line", ["What is in gone.png?", "'gone away.mp4' Why?", "GONE.JPG"])
def test_a_file_that_is_not_there_is_told(line):
    with pytest.raises(MediaError, match=r"(?i)gone.*no such file"):
        find_media(line)
