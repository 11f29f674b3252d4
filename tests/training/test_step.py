"""One loss, however a batch is cut into parts and processes; options that change memory and speed alone."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training.uneven import stage_of

from videolavit.training.loop import train

COMMAND = Path(__file__).parent / "uneven.py"


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder):
    return [entry["loss"] for entry in entries(folder) if "loss" in entry]


def torchrun(processes, folder, parts):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(COMMAND.parent.parent), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    done = subprocess.run([*command, COMMAND, folder, str(parts)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def test_parts_of_a_batch_give_the_loss_of_the_whole(tmp_path):
    for parts in (1, 2, 4):
        train(stage_of(parts), tmp_path / str(parts), quiet=True)
    whole = losses(tmp_path / "1")
    assert len(whole) == 12
    assert whole[-1] < 0.9 * whole[0]
    for parts in (2, 4):
        assert losses(tmp_path / str(parts)) == pytest.approx(whole, rel=1e-5)


@pytest.mark.slow
def test_processes_give_the_loss_of_one(tmp_path):
    train(stage_of(1), tmp_path / "one", quiet=True)
    for processes, parts in ((2, 2), (4, 1)):
        folder = tmp_path / f"{processes}"
        torchrun(processes, folder, parts)
        assert losses(folder) == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
        assert all(entry["tokens_per_second"] > 0 for entry in entries(folder) if "loss" in entry)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    train(stage_of(1), tmp_path / "one", quiet=True)
    folder = tmp_path / "changing"
    train(stage_of(1, checkpoint_every=4, keep_checkpoints=3), folder, quiet=True)
    for step in (8, 12):
        for path in sorted((folder / "checkpoints" / f"step-{step:08d}").iterdir()):
            path.unlink()
        (folder / "checkpoints" / f"step-{step:08d}").rmdir()
    (folder / "log.jsonl").unlink()
    torchrun(3, folder, 1)
    assert losses(folder) == pytest.approx(losses(tmp_path / "one")[4:], rel=1e-5)


def test_blocks_that_compute_their_activations_again_learn_the_same(tmp_path):
    train(stage_of(1), tmp_path / "kept", quiet=True)
    train(stage_of(1, recompute_activations=True), tmp_path / "again", quiet=True)
    one, other = (torch.load(tmp_path / name / "export" / "weights.pt") for name in ("kept", "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_log_tells_speed_memory_and_time_left(tmp_path):
    train(stage_of(1), tmp_path, quiet=True)
    last = entries(tmp_path)[-1]
    assert last["tokens_per_second"] > last["samples_per_second"] > 0
    assert 0.01 < last["memory_gib"] < 1000
    assert last["hours_left"] == 0
    assert entries(tmp_path)[0]["hours_left"] > 0


def test_a_run_with_another_number_of_parts_goes_on_with_a_warning(tmp_path, caplog):
    train(stage_of(1), tmp_path, quiet=True)
    with caplog.at_level(logging.WARNING):
        train(stage_of(2), tmp_path, quiet=True)
    assert "training.accumulate: 1 -> 2" in caplog.text
