"""Shards on a Ray cluster of this machine: the same bytes, bounded retries, and every failure told."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CODE = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from shard_work import Letters
from videolavit.jobs.shard_jobs import JobOptions, run_jobs
folder = Path(sys.argv[1])
jobs = [Letters(path=folder / f"{name}.txt", deadly=name == "poison") for name in ["a", "b", "poison", "c", "d", "e"]]
print(json.dumps([asdict(outcome) for outcome in run_jobs(jobs, JobOptions(workers=2, engine="ray"))]))
"""


@pytest.mark.slow
def test_ray_makes_the_same_and_names_what_kills_its_actors(tmp_path):
    pytest.importorskip("ray")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for launch in range(2):
        run = subprocess.run(
            [sys.executable, "-c", CODE, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=280
        )
        assert run.returncode == 0, run.stderr[-3000:]
        outcomes = json.loads(run.stdout.splitlines()[-1])
        assert [outcome["state"] for outcome in outcomes] == (
            ["made", "made", "failed", "made", "made", "made"] if launch == 0 else ["failed"]
        )
    assert {name: (tmp_path / f"{name}.txt").read_text() for name in "abcde"} == {name: name for name in "abcde"}
    assert 3 <= len((tmp_path / "poison.begun").read_text()) <= 5
    assert not (tmp_path / "poison.txt").exists()
