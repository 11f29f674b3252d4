"""What a run makes of damaged checkpoints, full disks, changed options and numbers that are not finite."""

import errno
import json
import os
import re
import shutil
from dataclasses import replace

import pytest
import torch
from training.test_loop import assert_same_bits, log, weights
from training.toy import ToyStage

from videolavit.checkpoints.checksums import CHECKSUMS_FILE, check_folder
from videolavit.errors import CheckpointError, OutputError, TrainingError
from videolavit.training import checkpoint as checkpoints
from videolavit.training.loop import train


def short(steps=14, **changes):
    stage = ToyStage()
    return replace(stage, training=replace(stage.training, steps=steps, **changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(short(), folder, quiet=True)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A run with checkpoints of steps 7 and 14, whose end is forgotten."""
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "export")
    return tmp_path / "run"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, remove, empty])
@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", "run.json"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(run, finished, damage, name, caplog):
    newest = run / "checkpoints" / "step-00000014"
    if name == "run.json" and damage is flip:
        damage = cut  # a flipped letter of a step or option is told apart below
    damage(newest / name)
    train(short(), run, quiet=True)
    assert re.search(r"step-00000014: is damaged.*trying the one before", caplog.text)
    assert_same_bits(weights(run), weights(finished))
    assert (run / "checkpoints" / "step-00000014.damaged").is_dir()
    assert newest.is_dir()


def test_without_a_whole_checkpoint_there_is_one_message(run):
    for path in (run / "checkpoints").glob("*/*.distcp"):
        cut(path)
    with pytest.raises(CheckpointError, match=r"step-00000014: is damaged.*step-00000007: is damaged.*start anew"):
        train(short(), run, quiet=True)


def test_damage_without_checksums_is_found_when_it_is_read(run, finished):
    for path in (run / "checkpoints").glob("*/run.json"):
        note = json.loads(path.read_text())
        del note["files"]
        path.write_text(json.dumps(note))
    cut(run / "checkpoints" / "step-00000014" / "__0_0.distcp")
    train(short(), run, quiet=True)
    assert_same_bits(weights(run), weights(finished))


def test_a_full_disk_leaves_the_checkpoint_before_and_one_message(run, finished, monkeypatch):
    shutil.rmtree(run / "checkpoints" / "step-00000014")
    real = os.replace

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "replace", full)
    with pytest.raises(OutputError, match=r"step-00000014: cannot be written.*No space left.*intact"):
        train(short(), run, quiet=True)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000007"]
    monkeypatch.setattr(checkpoints.os, "replace", real)
    train(short(), run, quiet=True)
    assert_same_bits(weights(run), weights(finished))


def test_what_torch_raises_while_saving_is_one_message(tmp_path, monkeypatch):
    def save(*arguments, **options):
        raise checkpoints.CheckpointException("write", {0: (OSError(28, "No space left on device"), None)})

    monkeypatch.setattr(checkpoints.dcp, "save", save)
    with pytest.raises(OutputError, match=r"step-00000007: cannot be written: OSError.*No space left on device"):
        train(short(), tmp_path, quiet=True)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_an_export_that_fails_leaves_nothing_half_written(tmp_path):
    class Failing(ToyStage):
        def export(self, module, folder):
            (folder / "config.json").write_text("{}")
            raise OSError(28, "No space left on device")

    stage = Failing(training=short().training)
    with pytest.raises(OutputError, match="export: cannot be written"):
        train(stage, tmp_path, quiet=True)
    assert not (tmp_path / "export").exists()
    assert not list(tmp_path.glob(".export*"))


def test_an_export_has_checksums_that_find_damage(run):
    train(short(), run, quiet=True)
    check_folder(run / "export")
    flip(run / "export" / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: is damaged"):
        check_folder(run / "export")
    (run / "export" / CHECKSUMS_FILE).write_text("{")
    with pytest.raises(CheckpointError, match=r"checksums\.json: cannot be read"):
        check_folder(run / "export")


def test_changed_options_are_shown_as_a_difference(run):
    stage = short(batch_size=4)
    with pytest.raises(CheckpointError) as caught:
        train(replace(stage, width=64), run, quiet=True)
    message = str(caught.value)
    assert "training.batch_size: 8 -> 4, width: 32 -> 64" in message
    assert "betas" not in message
    assert len(message) < 400


def test_what_is_advised_after_a_loss_that_is_no_number_can_be_done(tmp_path, caplog):
    with pytest.raises(TrainingError, match=r"step-00000007, is intact.*lower --training\.learning-rate"):
        train(replace(short(), nan_at=9), tmp_path, quiet=True)
    train(replace(short(learning_rate=1e-3, precision="float32"), nan_at=9 + 100), tmp_path / "other", quiet=True)
    shutil.rmtree(tmp_path / "other" / "export")
    shutil.rmtree(tmp_path / "other" / "checkpoints" / "step-00000014")
    train(replace(short(learning_rate=1e-4, precision="bf16"), nan_at=9 + 100), tmp_path / "other", quiet=True)
    assert "training.learning_rate: 0.001 -> 0.0001, training.precision: 'float32' -> 'bf16'" in caplog.text
    assert (tmp_path / "other" / "export").is_dir()


def test_the_advice_fits_the_run(tmp_path):
    with pytest.raises(TrainingError, match=r"no checkpoint yet: start again with a lower --training\.learning-rate$"):
        train(replace(short(precision="float32"), nan_at=3), tmp_path, quiet=True)


def test_weights_that_are_not_finite_are_never_a_checkpoint(tmp_path):
    built = []

    class Exploding(ToyStage):
        def build(self):
            built.append(super().build())
            return built[-1]

        def check(self, metrics, step):
            if step == 14:
                with torch.no_grad():
                    built[0].layers[0].weight.fill_(float("inf"))
            return

    with pytest.raises(TrainingError, match=r"step 14: the weights of layers\.0\.weight are not finite.*step-00000007"):
        train(Exploding(training=short().training), tmp_path, quiet=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000007"]
    assert "error" in log(tmp_path)[-1]
