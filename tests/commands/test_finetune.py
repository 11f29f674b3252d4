"""Your own videos to a model of your own, through the command line; and what makes no sense."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from video.media import moving_images, synthetic_video

from videolavit import cli
from videolavit.data.tokens import TokenReader
from videolavit.errors import CheckpointError, ConfigError
from videolavit.training import finetune


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    synthetic_video(moving_images(60, 64, 64, (1, 0)), tmp_path / "a.mp4", fps=12)
    synthetic_video(255 - moving_images(60, 64, 64, (0, 1), seed=3), tmp_path / "b.mp4", fps=12)
    Path("clips.csv").write_text(
        "path,caption,question,answer\na.mp4,peppers roll,What rolls?,peppers\nb.mp4,a cook waits,Who waits?,a cook\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["finetune", "clips.csv"], 2, "missing -o MODEL"),
        (["finetune", "gone.csv", "-o", "mine"], 1, "gone.csv"),
        (["finetune", "silent.csv", "-o", "mine"], 2, "nothing is said"),
        (["finetune", "clips.csv", "-o", "mine", "--steps", "0"], 2, "got --steps 0, expected at least 1"),
        (["finetune", "clips.csv", "-o", "mine", "--old-videos", "-1"], 2, "got --old-videos -1, expected at least 0"),
        (["finetune", "clips.csv", "-o", "mine", "--learning-rate", "3"], 2, "--learning-rate"),
        (["finetune", "clips.csv", "-o", "mine", "--from-model", "gone"], 1, "gone"),
        (["assemble", "-o", "mine"], 2, "nothing to put together"),
        (["assemble", "-o", "mine", "--language-model", "gone"], 1, "gone"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_told_on_one_line(arguments, code, words, folder, capsys):
    Path("silent.csv").write_text("path,caption\na.mp4,\n")
    assert cli.main(arguments) == code
    shown = capsys.readouterr()
    [message] = shown.err.strip().splitlines()
    assert words in message
    assert shown.out == ""
    assert not Path("mine").exists()


def test_what_was_made_of_another_list_is_not_gone_on_with(tmp_path):
    from videolavit.training.finetune import _check_folders

    model, work = tmp_path / "mine", tmp_path / "mine.work"
    for _ in range(2):
        _check_folders(model, work, "two videos")
    with pytest.raises(ConfigError, match=r"mine\.work: was made of another list or from another model; remove it"):
        _check_folders(model, work, "three videos")
    model.mkdir()
    _check_folders(model, work, "two videos")
    (model / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="exists already"):
        _check_folders(model, work, "two videos")
    assert (model / "config.json").read_text() == "{}"


def test_a_run_of_other_samples_is_set_aside_and_kept(tmp_path):
    from videolavit.training.finetune import _set_aside_run_of_others

    run = tmp_path / "run"
    for digest, expected in (("a", ["run"]), ("a", ["run"]), ("b", ["run", "run-before-1"])):
        _set_aside_run_of_others(run, digest)
        run.mkdir(exist_ok=True)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == expected
    _set_aside_run_of_others(run, "c")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["run-before-1", "run-before-2"]


@pytest.mark.slow
def test_a_video_that_was_mended_is_learnt_and_a_run_goes_on_from_anywhere(folder, capsys, monkeypatch):
    trained = []

    def train(stage, run, *, quiet):
        trained.append([len(TokenReader(Path(one.rpartition("=")[0]))) for one in stage.data])
        return Path(stage.start_from)

    monkeypatch.setattr(finetune, "train", train)
    Path("b.mp4").rename("later.mp4")
    arguments = ["-o", "mine", "--old-videos", "0", "--steps", "1"]
    assert cli.main(["finetune", "clips.csv", *arguments]) == 1
    assert "b.mp4" in capsys.readouterr().err
    Path("later.mp4").rename("b.mp4")
    shutil.rmtree("mine")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert cli.main(["finetune", "../clips.csv", "-o", "../mine", *arguments[2:]]) == 0
    first, second = trained
    assert all(now > before for before, now in zip(first, second, strict=True)), "pieces, and whole videos"


@pytest.mark.slow
def test_a_model_answers_what_it_was_taught(folder, capsys):
    from videolavit import VideoLaVIT

    arguments = [
        "finetune",
        "clips.csv",
        "-o",
        "mine",
        "--steps",
        "40",
        "--batch-size",
        "8",
        "--old-videos",
        "4",
        "--json",
    ]
    assert cli.main([*arguments, "--learning-rate", "1e-3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"peppers", "roll", "cook", "waits"} <= set(report["new_words"])
    model = VideoLaVIT.from_pretrained("mine")
    assert model.answer("What rolls?", video="a.mp4").text == "peppers"
    assert model.answer("Who waits?", video="b.mp4").text == "a cook"
    assert cli.main(["assemble", "-o", "again", "--base", "tiny", "--language-model", "mine.work/run/export"]) == 0
    assert VideoLaVIT.from_pretrained("again").answer("Who waits?", video="b.mp4").text == "a cook"
