"""A language model in several processes: how it starts, how it is spread, and how its checkpoints are written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training.small_language import make_shards
from training.spread import spread_stage

from videolavit.training.loop import train

COMMAND = Path(__file__).parent / "spread.py"
PYTHONPATH = os.pathsep.join([str(COMMAND.parent.parent), os.environ.get("PYTHONPATH", "")])

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    make_shards(folder)
    return folder


@pytest.fixture(scope="module")
def alone(shards):
    train(spread_stage(shards), shards / "alone", quiet=True)
    return shards / "alone"


def spread(processes, folder, shards, **options):
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    arguments = [COMMAND, folder, shards, json.dumps(options)]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder):
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry["loss"] for entry in entries if "loss" in entry]


def weights(folder):
    return load_file(folder / "export" / "language_model.safetensors")


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_processes_that_receive_their_shards_start_with_the_same_bits(shards, alone, tmp_path):
    spread(2, tmp_path / "received", shards)
    spread(2, tmp_path / "built", shards, whole_everywhere=True)
    assert_same_bits(weights(tmp_path / "received"), weights(tmp_path / "built"))
    assert losses(tmp_path / "received") == losses(tmp_path / "built")
    assert losses(tmp_path / "received") == pytest.approx(losses(alone), rel=1e-5)


def test_processes_receive_the_weights_that_a_stage_starts_from(shards, alone, tmp_path):
    spread(2, tmp_path / "received", shards, start_from=str(alone / "export"), steps=2)
    train(spread_stage(shards, start_from=str(alone / "export"), steps=2), tmp_path / "alone", quiet=True)
    assert losses(tmp_path / "received") == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)


def test_groups_that_each_hold_all_weights_learn_the_same(shards, alone, tmp_path):
    spread(4, tmp_path / "groups", shards, replicate=2)
    assert losses(tmp_path / "groups") == pytest.approx(losses(alone), rel=1e-5)
    shutil.rmtree(tmp_path / "groups" / "checkpoints" / "step-00000006")
    (tmp_path / "groups" / "log.jsonl").unlink()
    spread(2, tmp_path / "groups", shards)  # what groups wrote, two processes without groups read
    assert losses(tmp_path / "groups") == pytest.approx(losses(alone)[3:], rel=1e-5)


def test_checkpoints_in_the_background_resume_with_the_same_bits(shards, tmp_path):
    spread(2, tmp_path / "whole", shards)
    spread(2, tmp_path / "background", shards, background_checkpoints=True)
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "background"))
    shutil.rmtree(tmp_path / "background" / "checkpoints" / "step-00000006")
    shutil.rmtree(tmp_path / "background" / "export")
    spread(2, tmp_path / "background", shards, background_checkpoints=True)
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "background"))
