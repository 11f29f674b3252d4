"""Two machines for everything but the disk: two network namespaces, each with its own agent of torchrun."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

TOY = Path(__file__).parent / "toy.py"
SCRIPT = Path(__file__).parent / "two_machines.sh"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(TOY.parent.parent), os.environ.get("PYTHONPATH", "")]),
    "OMP_NUM_THREADS": "1",
    "PYTHON": sys.executable,
}


def has_namespaces():
    if not all(shutil.which(name) for name in ("unshare", "nsenter", "ip")):
        return False
    joined = "ip link add va type veth peer name vb"
    done = subprocess.run(["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", joined], capture_output=True)
    return done.returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not has_namespaces(), reason="network namespaces cannot be made here"),
]


def start(folder, pids, *options, steps=40):
    command = ["unshare", "--map-root-user", "--net", "--mount", "--kill-child", "bash", SCRIPT, pids, *options]
    return subprocess.Popen(
        [*command, "--", TOY, folder, str(steps)],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def weights(folder):
    return load_file(folder / "export" / "weights.safetensors")


def steps_of_two(folder):
    """Steps of the newest checkpoint that two processes have written; 0 if there is none."""
    newest = max((folder / "checkpoints").glob("step-*/run.json"), default=None)
    try:
        note = json.loads(newest.read_text()) if newest is not None else {"step": 0, "options": {}}
    except FileNotFoundError:  # removed meanwhile
        return 0
    return note["step"] if note["options"].get("processes") == "2" else 0


def test_two_machines_make_the_bits_of_two_processes(tmp_path):
    process = start(tmp_path / "machines", tmp_path / "pids", "--nnodes=2")
    _, told = process.communicate(timeout=280)
    assert process.returncode == 0, told[-3000:]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", TOY]
    subprocess.run([*command, tmp_path / "one"], env=ENVIRONMENT, check=True, capture_output=True)
    one, other = weights(tmp_path / "one"), weights(tmp_path / "machines")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_goes_on_when_one_of_two_machines_is_lost(tmp_path):
    folder, pids, steps = tmp_path / "machines", tmp_path / "pids", 1500
    process = start(folder, pids, "--nnodes=1:2", "--max-restarts=3", steps=steps)
    deadline = time.monotonic() + 280
    while steps_of_two(folder) < 28 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    second = int(pids.read_text().split()[1])
    before = steps_of_two(folder)
    for child in children(second):
        os.kill(child, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    _, told = process.communicate(timeout=280)
    assert process.returncode == 0, told[-3000:]
    assert 28 <= before < steps
    assert "going on with changed options (processes: 2 -> 1)" in told
    assert (folder / "export" / "weights.safetensors").exists()


def children(pid):
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
