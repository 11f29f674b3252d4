"""Learned compensation goes into a model, stays in what is made of that model, and its settings come with a preset."""

import json
from pathlib import Path

import pytest

from videolavit import cli
from videolavit.checkpoints.artifacts import open_artifact, write_artifact
from videolavit.tiny.learned_compensation import LearnedCompensation, LearnedCompensationConfig
from videolavit.training.model_folder import exports_of


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assembled")
    write_artifact(folder / "export", {"video_compensation": LearnedCompensation(LearnedCompensationConfig())})
    arguments = ["--video-compensation", str(folder / "export"), "--preset", "things"]
    assert cli.main(["assemble", "-o", str(folder / "model"), *arguments]) == 0
    return folder


def test_compensation_that_was_learnt_is_part_of_the_model(assembled):
    model = open_artifact(assembled / "model")
    assert "video_compensation" in model.held()
    assert model.settings.frames.num_inference_steps == 0
    assert open_artifact("tiny").settings.frames.num_inference_steps > 0


def test_a_model_made_of_it_has_it_too(assembled, capsys):
    capsys.readouterr()
    arguments = ["--base", str(assembled / "model"), "--autoencoder", "tiny", "--json"]
    assert cli.main(["assemble", "-o", str(assembled / "again"), *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parts"]["video_compensation"] == str(assembled / "model")
    model = open_artifact(assembled / "again")
    assert "video_compensation" in model.held()
    assert model.settings.frames.num_inference_steps == 0


def test_all_parts_of_a_model_are_those_that_it_has(assembled):
    kept = exports_of(assembled / "model")
    assert (kept.language_model, kept.video_compensation) == (assembled / "model", assembled / "model")
    assert (exports_of("tiny").language_model, exports_of("tiny").video_compensation) == ("tiny", "")


def test_a_base_without_it_needs_none(tmp_path, capsys):
    assert cli.main(["assemble", "-o", str(tmp_path / "plain"), "--autoencoder", "tiny", "--json"]) == 0
    assert "video_compensation" not in json.loads(capsys.readouterr().out)["parts"]
    assert "video_compensation" not in open_artifact(Path(tmp_path / "plain")).held()
