"""Checkpoints that are written while a run goes on."""

import json
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from training.toy import ToyStage

from videolavit.errors import OutputError, TrainingError
from videolavit.training.checkpoint import latest_checkpoint
from videolavit.training.checkpoint_writer import CheckpointWriter
from videolavit.training.loop import train


def stage_of(**options):
    stage = ToyStage()
    return replace(stage, training=replace(stage.training, **options))


def weights(folder):
    return load_file(folder / "export" / "weights.safetensors")


def files(folder):
    return {path.name: json.loads((path / "run.json").read_text())["files"] for path in folder.glob("step-*")}


def test_the_background_writes_the_same_checkpoints(tmp_path):
    train(stage_of(), tmp_path / "waiting", quiet=True)
    train(stage_of(background_checkpoints=True), tmp_path / "background", quiet=True)
    one, other = (files(tmp_path / name / "checkpoints") for name in ("waiting", "background"))
    assert list(one) == list(other)
    assert set(one) == {"step-00000035", "step-00000040"}
    for step in one:
        assert {name: size for name, size in one[step].items() if name.endswith(".distcp")} == {
            name: size for name, size in other[step].items() if name.endswith(".distcp")
        }


def test_a_state_in_the_background_is_that_of_its_step_though_the_run_goes_on(tmp_path, monkeypatch):
    publish = CheckpointWriter._publish

    def late(self, step, target):
        time.sleep(0.3)
        publish(self, step, target)

    monkeypatch.setattr(CheckpointWriter, "_publish", late)
    stop = [16]

    class Stopping(ToyStage):
        def check(self, metrics, step):
            if step in stop:
                raise KeyboardInterrupt

    train(stage_of(steps=21), tmp_path / "whole", quiet=True)
    options = stage_of(steps=21, background_checkpoints=True).training
    with pytest.raises(KeyboardInterrupt):
        train(Stopping(training=options), tmp_path / "stopped", quiet=True)
    assert latest_checkpoint(tmp_path / "stopped" / "checkpoints").name == "step-00000014"
    train(ToyStage(training=options), tmp_path / "stopped", quiet=True)
    whole, stopped = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_a_failure_in_the_background_ends_the_run_with_its_reason(tmp_path, monkeypatch):
    publish = CheckpointWriter._publish

    def full(self, step, target):
        if step > 10:
            raise OSError(28, "No space left on device")
        publish(self, step, target)

    monkeypatch.setattr(CheckpointWriter, "_publish", full)
    with pytest.raises(OutputError, match=r"step-00000014: cannot be written: .*No space left"):
        train(stage_of(background_checkpoints=True), tmp_path, quiet=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000007"]


def test_a_loss_that_is_no_number_waits_for_the_checkpoint_that_it_names(tmp_path):
    stage = replace(stage_of(background_checkpoints=True), nan_at=14)
    with pytest.raises(TrainingError, match="step-00000014, is intact"):
        train(stage, tmp_path, quiet=True)
    assert latest_checkpoint(tmp_path / "checkpoints").name == "step-00000014"
