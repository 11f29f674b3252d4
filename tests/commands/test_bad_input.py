"""What people hand to a real model by mistake: one clear message, no result, nothing half written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from checkpoints.small_release import write_playable_release
from PIL import Image, PngImagePlugin

from videolavit import cli
from videolavit.video.io.write import write_video

FRAME = np.zeros((16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint, and files that are not what they seem."""
    folder = tmp_path_factory.mktemp("bad")
    write_playable_release(folder / "checkpoint")
    Image.new("RGB", (1, 1), "red").save(folder / "one.png")
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")
    (folder / "text.png").write_text("words")
    (folder / "text.mp4").write_text("words" * 1000)
    (folder / "empty.mp4").touch()
    write_video([FRAME] * 2, folder / "short.mp4")
    write_video((FRAME for _ in range(1080)), folder / "hours.mp4", fps=0.1)
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["image", ""], "empty"),
        (["image", " \n"], "empty"),
        (["image", "long " * 5000], "context has room"),
        (["video", ""], "empty"),
        (["image", "a", "--guidance-scale", "nan"], "got --guidance-scale nan, expected a number of at least 0"),
        (["image", "a", "--top-k", "-5"], "got --top-k -5, expected 0 (all) or more"),
        (["image", "a", "--device", "meta"], "--device meta: holds shapes and no numbers"),
        (
            ["image", "--like", "checkpoint"],
            "checkpoint: is a folder, expected an image or a video",
        ),
        (["image", "a", "--height", "33", "--width", "32"], "multiples of 8"),
        (["image", "a", "--height", "32"], "--height needs --width beside it"),
        (["image", "a", "--height", "20000", "--width", "20000"], "--height 20000, expected 1 to 4096"),
        (["image", "a", "--candidates", "100000000"], "--candidates 100000000, expected at most 1000"),
        (["video", "a", "--clips", "100000000"], "--clips 100000000, expected at most 10000"),
        (["edit", "short.mp4", "--freeze-at", "0", "--freeze-for", "1e7"], "--freeze-for 1e+07, expected more than 0"),
        (["image", "a", "--keyframe-num-inference-steps", "0"], "expected 1 to 1000"),
        (["video", "a", "--clips", "0"], "--clips 0, expected at least 1"),
        (["image", "a", "--candidates", "0"], "candidates"),
        (["animate", "huge.png"], "huge.png: has 20000 x 20000 pixels"),
        (["animate", "text.png"], "text.png: is not an image"),
        (["animate", "short.mp4"], "short.mp4: is not an image but a video, from which `videolavit continue` goes on"),
        (["animate", "gone.png"], "gone.png: no such file"),
        (["animate", "checkpoint"], "checkpoint: "),
        (["continue", "text.mp4"], "text.mp4: cannot be read as a video"),
        (["continue", "one.png"], "one.png: is a still image, not a video; `videolavit animate` brings it to life"),
        (["reconstruct", "empty.mp4"], "empty.mp4: "),
        (["reconstruct", "hours.mp4"], "raise --max-clips"),
        (["edit", "hours.mp4", "--reverse"], "raise --max-clips"),
        (["edit", "short.mp4", "--motion-of", "one.png"], "give something that moves"),
    ],
    ids=lambda value: " ".join(value)[:40].strip() if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_message_and_leaves_nothing(arguments, words, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    output = "out.mp4" if "--freeze-for" in arguments else "out.png"
    model = [] if "--freeze-for" in arguments else ["--model", "checkpoint"]
    assert cli.main([*arguments, "-o", output, *model]) in (1, 2)
    told = capsys.readouterr()
    [message] = told.err.strip().splitlines()
    assert message.startswith("videolavit: error: ")
    assert words in message
    assert told.out == ""
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--temperature", "nan"], "got --temperature nan, expected a number above 0"),
        (["--temperature", "inf"], "got --temperature inf, expected a number above 0"),
        (["--temperature", "-1"], "got --temperature -1, expected a number above 0"),
        (["--top-p", "2"], "got --top-p 2, expected more than 0 and at most 1"),
        (["--top-k", "-5"], "got --top-k -5, expected 0 (all) or more"),
    ],
    ids=" ".join,
)
def test_sampling_out_of_range_is_told_in_words_of_the_command_line(arguments, words, capsys):
    assert cli.main(["answer", "Why is it?", *arguments]) == 2
    assert capsys.readouterr().err == f"videolavit: error: {words}\n"


STRANGE = [
    {"candidates": "abc"},
    {"candidates": True},
    {"clips": 1e400},
    {"options": [1]},
    {"options": {"patch_selection": [1]}},
    {"options": {"generator": "x"}},
    {"options": {"seed": [1]}},
    {"options": {"sampling": 3}},
    {"prompt": [1]},
    {"prompt": None},
]


@pytest.mark.parametrize("note", [[1], *({"prompt": "a", "task": "video"} | one for one in STRANGE)], ids=str)
def test_strange_notes_of_files_are_told_in_a_line(note, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", json.dumps(note))
    Image.new("RGB", (8, 8)).save("strange.png", pnginfo=text)
    assert cli.main(["video", "--like", "strange.png", "-o", "out.mp4", "--model", "checkpoint"]) in (1, 2)
    [message] = capsys.readouterr().err.splitlines()
    assert message.startswith("videolavit: error: ")
    Path("strange.png").unlink()


@pytest.mark.parametrize("note", [{"options": [1]}, {"options": {}, "redrawn": 5}, [1]], ids=str)
def test_strange_notes_of_tokens_are_told_in_a_line(note, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(f"# videolavit {json.dumps(note)}\nK 1 | M 2\n")
    line = ["redraw", "short.mp4", "1", "a", "--tokens", str(tokens), "-o", "out.mp4", "--model", "checkpoint"]
    assert cli.main(line) == 2
    [message] = capsys.readouterr().err.splitlines()
    assert message.startswith("videolavit: error: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("K 1 2 | M 3", "tokens.txt: line 2: 1 code behind M, this model needs "),
        ("K 1 99999 | M 3", "tokens.txt: line 2: "),
        ("K 99999 | {M}", "tokens.txt: line 2: the code 99999 behind K, those of this model are 0 to "),
        ("K 1 | {M} 99999", "tokens.txt: line 2: "),
    ],
)
def test_tokens_that_do_not_fit_are_told_with_their_file_and_line(line, words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["tokenize", str(folder / "short.mp4"), "--model", str(folder / "checkpoint")]) == 0
    motion = capsys.readouterr().out.splitlines()[-1].split(" | ")[1].strip()
    motion = motion.rsplit(" ", 1)[0] if "{M} " in line else motion
    Path("tokens.txt").write_text(f"# a note\n{line.replace('{M}', motion)}\n")
    for command in (["detokenize"], ["edit", "--reverse"]):
        assert cli.main([*command, "tokens.txt", "-o", "out.mp4", "--model", str(folder / "checkpoint")]) == 1
        [message] = capsys.readouterr().err.splitlines()
        assert words in message
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (["--video", "text.mp4"], "text.mp4: cannot be read as a video"),
        (["--video", "one.png"], "one.png: is a still image"),
        (["--image", "short.mp4"], "short.mp4: is not an image"),
        (["--image", "huge.png"], "huge.png: has 20000 x 20000 pixels"),
        (["--video", "gone.mp4"], "gone.mp4"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_question_about_what_cannot_be_read_is_told(media, words, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert cli.main(["answer", "Why?", *media, "--model", "checkpoint"]) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""


def test_an_image_of_one_pixel_is_an_image(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert cli.main(["tokenize", "one.png", "--model", "checkpoint"]) == 0
    assert capsys.readouterr().out.startswith("K ")
    assert cli.main(["answer", "Why?", "--image", "one.png", "--max-new-tokens", "2", "--model", "checkpoint"]) == 0


def test_a_model_that_is_not_there_is_told(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert cli.main(["image", "a", "-o", "out.png", "--model", "./nowhere"]) == 1
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert not Path("out.png").exists()
