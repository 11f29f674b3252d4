"""Stories and single clips of them on the command line: tokens beside the video, one clip anew, the others stay."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pipeline.small_model import small_model

from videolavit.cli import main
from videolavit.clip_tokens import ClipTokens
from videolavit.commands import redraw, video
from videolavit.commands._shared import story_file
from videolavit.pipeline.token_text import parse_tokens, read_note
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.write import read_metadata, write_video

PROMPTS = "a red ball moves left\na green square moves right\na red ball moves left\n"
QUICK = ["--num-inference-steps", "0", "--seed", "3"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = small_model()
    for module in (story_file, redraw, video):
        monkeypatch.setattr(module, "open_model", lambda options: model)
    monkeypatch.chdir(tmp_path)
    Path("story.txt").write_text(PROMPTS)
    told = ["video", "--story", "story.txt", "-o", "story.mp4", "--save-tokens", "tokens.txt", *QUICK]
    assert main(told) == 0
    return tmp_path


def codes(clip: ClipTokens) -> tuple[list[int], list[int]]:
    return clip.keyframe.tolist(), clip.motion.tolist()


def frames_of(file: str) -> np.ndarray:
    return np.stack(list(images_on_ticks(file)))


def test_one_clip_is_anew_and_all_others_stay(folder: Path, capsys: pytest.CaptureFixture[str]):
    before = parse_tokens(Path("tokens.txt").read_text())
    assert len(before) == 3
    arguments = ["story.mp4", "2", "a green square moves left", "--tokens", "tokens.txt", "-o", "new.mp4"]
    capsys.readouterr()
    assert main(["redraw", *arguments, "--save-tokens", "new.txt", *QUICK[:2], "--seed", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == "new.mp4"
    after = parse_tokens(Path("new.txt").read_text())
    assert read_note(Path("new.txt").read_text())["redrawn"] == [
        {"clip": 2, "prompt": "a green square moves left", "seed": 9}
    ]
    same = [codes(one) == codes(other) for one, other in zip(before, after, strict=True)]
    assert same == [True, False, True]
    old, new = frames_of("story.mp4"), frames_of("new.mp4")
    assert old.shape == new.shape == (24 + 23 + 23, 16, 16, 3)
    away = np.abs(old.astype(int) - new).mean((1, 2, 3))
    assert max(away[:24].max(), away[47:].max()) < 12, "but for the compression of the file"


def test_tokens_of_a_story_may_come_through_a_pipe(folder: Path, monkeypatch: pytest.MonkeyPatch):
    pipe = SimpleNamespace(buffer=io.BytesIO(Path("tokens.txt").read_bytes()))
    monkeypatch.setattr(sys, "stdin", pipe)
    assert main(["redraw", "story.mp4", "2", "a ball", "--tokens", "-", "-o", "new.mp4", *QUICK]) == 0
    assert read_metadata("new.mp4")["redrawn"][0]["clip"] == 2


def test_the_new_story_says_what_made_it(folder: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    told = ["story.mp4", "2", "a green square moves left", "--tokens", "tokens.txt", "-o", "new.mp4"]
    assert main(["redraw", *told, *QUICK[:2], "--seed", "9"]) == 0
    assert capsys.readouterr().out.endswith(", seed 9\n")
    note = read_metadata("new.mp4")
    assert (note["task"], note["prompts"], note["source"]) == ("story", PROMPTS.splitlines(), "story.mp4")
    assert note["redrawn"] == [{"clip": 2, "prompt": "a green square moves left", "seed": 9}]
    assert main(["info", "new.mp4"]) == 0
    shown = capsys.readouterr().out
    assert "clip 2, prompt a green square moves left, seed 9\n" in shown
    assert "a red ball moves left; a green square moves right; a red ball moves left\n" in shown


def test_saved_tokens_replace_nothing_unasked(folder: Path, capsys: pytest.CaptureFixture[str]):
    tokens = Path("tokens.txt").read_bytes()
    Path("mine.txt").write_bytes(b"mine")
    redrawn = ["redraw", "story.mp4", "2", "a ball", "--tokens", "tokens.txt", "-o", "new.mp4", *QUICK]
    assert main([*redrawn, "--save-tokens", "tokens.txt", "-f"]) == 2
    assert "tokens.txt is what the result is made from" in capsys.readouterr().err
    told = ["video", "--story", "story.txt", "-o", "again.mp4", *QUICK]
    for command in (redrawn, told):
        assert main([*command, "--save-tokens", "mine.txt"]) == 2
        assert "mine.txt exists; name another file with --save-tokens" in capsys.readouterr().err
    assert (Path("tokens.txt").read_bytes(), Path("mine.txt").read_bytes()) == (tokens, b"mine")
    assert not Path("new.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["story.mp4", "0", "a ball", "--tokens", "tokens.txt"], "got clip 0, expected one from 1 to 3"),
        (["story.mp4", "4", "a ball", "--tokens", "tokens.txt"], "got clip 4, expected one from 1 to 3"),
        (["story.mp4", "1", "a ball", "--tokens", "none.txt"], "none.txt: no such file"),
        (["story.mp4", "1", "a ball", "--tokens", "two.txt"], "expected a story as it was generated"),
        (["story.mp4", "1", "a ball", "--tokens", "bare.txt"], "the tokens in bare.txt say no size"),
        (["large.mp4", "1", "a ball", "--tokens", "tokens.txt"], "are of a story of 16 x 16 pixels"),
    ],
)
def test_what_is_no_clip_of_the_story_is_refused_in_one_line(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    lines = Path("tokens.txt").read_text().splitlines()
    Path("two.txt").write_text("\n".join(lines[:-1]))
    Path("bare.txt").write_text("\n".join(lines[1:]))
    write_video(np.zeros((3, 48, 64, 3), np.uint8), Path("large.mp4"), fps=6)
    assert main(["redraw", *arguments, "-o", "new.mp4", *QUICK]) in (1, 2)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("videolavit: ")]
    assert message in line
    assert not Path("new.mp4").exists()


def test_tokens_are_saved_for_stories_alone(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["video", "a red ball", "-o", "a.mp4", "--save-tokens", "a.txt", *QUICK]) == 2
    assert "--save-tokens goes with --story" in capsys.readouterr().err
