"""`videolavit train`: one stage from the command line."""

import os
import subprocess
import sys

import pytest
from command_line import one_message
from command_line import videolavit as run
from training.small_language import make_shards

from videolavit import cli
from videolavit.commands import train
from videolavit.training.language_parts import load_language
from videolavit.training.presets import PAPER, PRESETS, THINGS, TINY

SMALL = ["--model.width", "32", "--model.mlp-width", "32", "--model.layers", "1", "--model.heads", "2"]
SHORT = ["--training.steps", "3", "--training.warmup-steps", "1", "--training.batch-size", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    make_shards(folder, count=8)
    return folder


def arguments(folder, output):
    data = ["--data", str(folder / "tokens"), "--text-tokenizer", str(folder / "text"), "-o", str(output)]
    return ["train", "pretraining", "--preset", "tiny", *data, *SMALL, *SHORT, "--training.images-every", "0"]


@pytest.mark.slow
def test_a_stage_is_trained_and_trained_again_without_harm(folder, tmp_path):
    answer = run(*arguments(folder, tmp_path))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"pretraining: {tmp_path / 'export'}\n"
    assert load_language(tmp_path / "export").causal_lm.config.hidden_size == 32
    other = run(*arguments(folder, tmp_path), "--weights.motion", "2")
    assert other.returncode == 1
    assert "belongs to another run" in one_message(other)


def test_every_stage_is_named_in_the_help_and_in_its_presets():
    for name in THINGS:
        assert f"  {name} " in (train.__doc__ or ""), name
    assert list(PRESETS) == ["tiny", "things", "paper"]
    assert set(PAPER) <= set(TINY)
    assert all(stage.name == name for stages in PRESETS.values() for name, stage in stages.items())


def test_options_of_the_stage_win_over_the_preset():
    config = train.parse(["pretraining", "--shares.words", "3", "--texts", "a.txt", "--quiet"])
    stage = train._stage(config)
    assert (stage.shares.words, stage.texts, config.quiet) == (3, "a.txt", True)
    assert stage.shares.generate_video == TINY["pretraining"].shares.generate_video
    paper = train._stage(train.parse(["pretraining", "--preset", "paper"]))
    assert paper == PAPER["pretraining"]


def test_a_misspelt_stage_or_option_is_bad_usage(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "pretrainin"]) == 2
    assert "did you mean pretraining" in capsys.readouterr().err
    assert cli.main(["train", "condition_decoder", "--preset", "tiny"]) == 2
    assert "no stage 'condition_decoder'; add --preset things" in capsys.readouterr().err
    assert cli.main(["train", "pretraining", "--training.stepz", "3"]) == 2
    assert "stepz" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_missing_data_is_one_message(tmp_path, capsys):
    assert cli.main(["train", "pretraining", "--data", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "holds no token shards" in capsys.readouterr().err


@pytest.mark.slow
def test_help_of_a_stage_shows_its_options():
    answer = run("train", "instruction_tuning", "--help")
    assert answer.returncode == 0
    assert "--lora.rank" in answer.stdout
    assert "examples:" in answer.stdout


@pytest.mark.slow
def test_two_processes_under_torchrun_train_one_model(folder, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "videolavit"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [*command, *arguments(folder, tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert answer.stdout.count("pretraining: ") == 1
    assert load_language(tmp_path / "export").vocabulary.num_motion_codes == 16
