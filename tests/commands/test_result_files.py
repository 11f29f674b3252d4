"""Names of results, numbered results, files that are not replaced, and seeds that are told."""

from __future__ import annotations

import io
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jaxtyping
import numpy as np
import pytest
from commands.fake_model import NOISE, TOKENS
from PIL import Image

from videolavit import cli
from videolavit.commands._shared.console import be_quiet
from videolavit.errors import ConfigError, OutputError
from videolavit.video import probe, read_metadata, write_video


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_result_without_a_name_is_named_after_its_prompt_and_never_twice(model, folder, capsys):
    assert cli.main(["video", "A red circle, moving!"]) == 0
    assert cli.main(["video", "A red circle, moving!"]) == 0
    assert cli.main(["image", "../x"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "a-red-circle-moving-2.mp4",
        "a-red-circle-moving.mp4",
        "x.png",
    ]


def test_a_file_that_exists_is_replaced_only_when_asked(model, folder, capsys):
    Path("a.mp4").write_bytes(b"mine")
    assert cli.main(["video", "x", "-o", "a.mp4"]) == 2
    assert "a.mp4 exists; name another file with -o, or replace it with -f" in capsys.readouterr().err
    assert Path("a.mp4").read_bytes() == b"mine"
    assert model.calls == []
    assert cli.main(["video", "x", "-o", "a.mp4", "-f"]) == 0
    assert read_metadata("a.mp4")["task"] == "video"


def test_several_results_have_numbers_and_seeds_that_follow_one_another(model, folder, capsys):
    assert cli.main(["image", "x", "-o", "a.jpg", "--num-outputs", "3", "--seed", "5", "--json"]) == 0
    outputs = json.loads(capsys.readouterr().out)["outputs"]
    assert [one["output"] for one in outputs] == ["a-1.jpg", "a-2.jpg", "a-3.jpg"]
    assert [options["seed"] for _, _, options in model.calls] == [5, 6, 7]


@pytest.mark.parametrize("seed", [2**31 - 1, 3_000_000_000, -3])
def test_a_seed_that_somebody_chose_is_taken_as_it_is(seed, model, folder):
    assert cli.main(["image", "x", "-o", "a.png", "--num-outputs", "2", "--seed", str(seed)]) == 0
    assert [options["seed"] for _, _, options in model.calls] == [seed, seed + 1]


def test_prompts_come_from_a_file_into_a_folder(model, folder, capsys):
    Path("prompts.txt").write_text("a ball\n\na cube\n")
    Path("out").mkdir()
    assert cli.main(["video", "--prompts", "prompts.txt", "-o", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a-ball.mp4", "a-cube.mp4"]
    assert [args for _, args, _ in model.calls] == [("a ball",), ("a cube",)]


@pytest.mark.parametrize("text", [b"a ball\na cube\n", b"\xef\xbb\xbfa ball\r\n\r\n  a cube"])
@pytest.mark.parametrize("name", ["prompts.txt", "-"])
def test_prompts_may_be_written_by_any_editor_and_come_from_stdin(text, name, model, folder, monkeypatch):
    Path("prompts.txt").write_bytes(text)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    assert cli.main(["image", "--prompts", name, "-o", "out"]) == 0
    assert [args for _, args, _ in model.calls] == [("a ball",), ("a cube",)]


def test_prompts_without_an_end_are_not_read_to_their_end(model, folder, capsys):
    assert cli.main(["image", "--prompts", "/dev/zero", "-o", "out"]) == 1
    assert "/dev/zero: has more than 1048576 letters" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.fixture
def loud():
    """What --quiet changes, put back for other tests."""
    yield
    be_quiet(False)
    logging.getLogger().setLevel(logging.WARNING)


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_a_quiet_command_says_nothing_of_what_it_wrote(option, model, folder, loud, capsys):
    write_video(NOISE[:3], "v.mp4")
    assert cli.main(["tokenize", "v.mp4", "-o", "tokens.txt", option]) == 0
    assert cli.main(["continue", "v.mp4", "-o", "a.mp4", "--whole", option]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert Path("tokens.txt").is_file()
    assert Path("a.mp4").is_file()
    assert cli.main(["tokenize", "v.mp4", option]) == 0
    assert capsys.readouterr().out == "K 5 6 | M 7 8\n"
    assert cli.main(["prepare", "text-tokenizer", "gone", "-o", "words", option]) == 1
    assert "gone" in capsys.readouterr().err


def test_tokens_go_to_stdout_by_its_name_too(model, folder, capsys):
    write_video(NOISE[:3], "v.mp4")
    assert cli.main(["tokenize", "v.mp4", "-o", "-"]) == 0
    assert capsys.readouterr().out == "K 5 6 | M 7 8\n"
    assert [path.name for path in folder.iterdir()] == ["v.mp4"]


def test_one_preview_is_no_preview_of_several(model, folder, capsys):
    assert cli.main(["video", "a ball", "--num-outputs", "2", "--preview", "p.gif", "-o", "videos"]) == 2
    assert "--preview is one file, and 2 videos are made" in capsys.readouterr().err
    assert model.calls == []


def test_a_folder_for_several_results_is_made(model, folder, capsys):
    Path("prompts.txt").write_text("a ball\na cube\n")
    assert cli.main(["video", "--prompts", "prompts.txt", "-o", "videos"]) == 0
    assert sorted(path.name for path in Path("videos").iterdir()) == ["a-ball.mp4", "a-cube.mp4"]
    Path("prompts.txt").write_text("a star\n")
    assert cli.main(["video", "--prompts", "prompts.txt", "-o", "videos"]) == 0
    assert cli.main(["video", "--prompts", "prompts.txt", "-o", "others"]) == 0
    assert Path("videos/a-star.mp4").is_file()
    assert Path("others/a-star.mp4").is_file()
    assert cli.main(["image", "a moon", "-o", "others"]) == 1, "of one result a folder is no name"
    Path("file").write_bytes(b"mine")
    assert cli.main(["video", "--prompts", "prompts.txt", "-o", "file"]) == 1
    assert "file: cannot be made a folder for the results" in capsys.readouterr().err
    assert Path("file").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "prompts.txt: no such file; relative paths start at"),
        (b"\xff\xfe\xfa", "is no text"),
        (b" \n", "has no prompt"),
        (b"a ball\n" * 150_000, "has more than 1048576 letters"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(text, words, model, folder, capsys):
    if text is not None:
        Path("prompts.txt").write_bytes(text)
    for option in ("--prompts", "--story"):
        assert cli.main(["video", option, "prompts.txt", "-o", "a.mp4"]) == 1
        [message] = capsys.readouterr().err.splitlines()
        assert words in message
    assert model.calls == []


def test_a_seed_that_nobody_chose_is_a_new_one_each_time(model, folder, capsys):
    for _ in range(3):
        assert cli.main(["video", "x"]) == 0
    seeds = {options["seed"] for _, _, options in model.calls}
    assert len(seeds) == 3
    assert ", seed 7" in capsys.readouterr().out  # as the metadata of the result say


def test_bytes_go_to_stdout(model, folder, monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    assert cli.main(["image", "x", "-o", "-"]) == 0
    image = np.asarray(Image.open(io.BytesIO(stdout.buffer.getvalue())))
    assert np.array_equal(image, NOISE[0])
    assert list(folder.iterdir()) == []


def test_frames_per_second_are_those_of_the_file(model, folder, capsys):
    assert cli.main(["video", "x", "-o", "a.webm", "--fps", "12"]) == 0
    info = probe("a.webm")
    assert (info.codec, info.frame_rate, info.duration_seconds) == ("vp9", 12, 2.0)


def test_options_of_tokens_change_what_they_name(model, folder):
    from videolavit.commands._shared.generation_options import TokenOptions
    from videolavit.language.sampling_options import Sampling

    own = Sampling()
    assert TokenOptions().changes(own) == {}
    changed = TokenOptions(guidance_scale=2.0).changes(own)["sampling"]
    assert (changed.keyframe.guidance, changed.motion.guidance, changed.motion.greedy) == (2.0, 2.0, True)
    changed = TokenOptions(temperature=0.5, top_k=3).changes(own)["sampling"]
    assert (changed.motion.temperature, changed.motion.top_k, changed.motion.greedy) == (0.5, 3, False)
    assert TokenOptions(temperature=0.0).changes(own)["sampling"].keyframe.greedy
    with pytest.raises(ConfigError):
        TokenOptions(top_p=2.0).changes(own)


def test_one_question_that_cannot_be_answered_does_not_stop_the_others(model, folder, monkeypatch, capsys):
    from videolavit.errors import PromptError

    def answer(questions, **options):
        if "quoi" in questions:
            raise PromptError("knows none of the words")
        return [model._answer(question) for question in questions]

    monkeypatch.setattr(model, "answer", answer)
    assert cli.main(["answer", "why is it", "quoi", "how"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "why is it\n  WHY IS IT!\nhow\n  HOW!\n"
    assert "failed: 'quoi': knows none of the words" in shown.err


def test_what_a_small_model_cannot_know_is_told(folder):
    from videolavit.pipeline.small_world import doubts

    Image.fromarray(NOISE[0]).save("photo.png")
    write_video(NOISE, "ours.mp4", metadata={"made_by": "videolavit 1"})
    small = SimpleNamespace(init_kwargs={"known_words": [f"word{number}" for number in range(60)]})
    assert [doubt.split(",")[0] for doubt in doubts(small, [], has_history=False)] == ["nothing is shown"]
    assert [doubt.split(":")[0] for doubt in doubts(small, ["ours.mp4", "photo.png"], has_history=False)] == [
        "photo.png"
    ]
    assert not list(doubts(small, [], has_history=True))
    assert not list(doubts(small, ["ours.mp4"], has_history=False))
    assert not list(doubts(SimpleNamespace(init_kwargs={}), [], has_history=False))


def test_results_show_themselves(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    import torch

    from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo

    image = GeneratedImage(pixels=NOISE[0], tokens=TOKENS, ids=torch.arange(3))
    video = GeneratedVideo(frames=NOISE, fps=6.0, tokens=(TOKENS,), ids=torch.arange(3))
    assert np.array_equal(np.asarray(image.pil), np.asarray(image))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image._repr_png_()))), image.pixels)
    assert np.asarray(video).shape == NOISE.shape
    assert len(video.pil) == len(NOISE)
    assert 'src="data:video/mp4;base64,' in video._repr_html_()
    assert video._repr_html_().endswith("<br>24 frames of 64 x 64 at 6 per second")
    assert replace(video, frames=NOISE[:1])._repr_html_().endswith("<br>1 frame of 64 x 64 at 6 per second")
    assert replace(video, frames=NOISE[:0])._repr_html_() == repr(replace(video, frames=NOISE[:0]))
    assert replace(video, frames=NOISE[:1, :, :32])._repr_html_().endswith("<br>1 frame of 32 x 64 at 6 per second")
    target = io.BytesIO()
    assert video.save(target, format="gif") is None
    assert target.getvalue().startswith(b"GIF89a")
    wrong: Any
    for wrong in (io.StringIO(), None, 3):
        with pytest.raises(OutputError, match="expected a path, or a file open for bytes"):
            image.save(wrong)
    for wrong in ("12", None, float("nan"), 0):
        with pytest.raises(OutputError, match=r"got fps .*, expected a number from 0\.01 to 1000"):
            video.save(io.BytesIO(), fps=wrong)
    video.save(target := io.BytesIO(), fps=np.float32(12))
    assert probe(target.getvalue()).frame_rate == 12
