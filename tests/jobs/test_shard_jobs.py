"""Shards are made once, by whoever comes first, and what kills its process is found and left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shard_work import Letters

from videolavit.errors import ConfigError
from videolavit.jobs.claims import Attempts, ClaimWatch, claimed
from videolavit.jobs.partial_files import create_once, partial_path, remove_abandoned, this_process
from videolavit.jobs.shard_jobs import ALONE, JobError, JobOptions, Part, raise_failures, run_jobs

NO_PROCESS = 2**22 + 1  # above the highest number that Linux gives


def letters(folder, **changes):
    return [Letters(path=folder / f"{name}.txt", **changes) for name in "abcde"]


def states(outcomes):
    return [outcome.state for outcome in outcomes]


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".begun")


def test_what_is_missing_is_made_and_nothing_else_is_left(tmp_path):
    (tmp_path / "b.txt").write_text("was here")
    assert states(run_jobs(letters(tmp_path), ALONE)) == ["made"] * 4
    assert names(tmp_path) == ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"]
    assert (tmp_path / "b.txt").read_text() == "was here"
    assert run_jobs(letters(tmp_path), ALONE) == []


def test_parts_are_disjoint_and_together_all(tmp_path):
    for index in range(3):
        run_jobs(letters(tmp_path), JobOptions(part=Part.parse(f"{index}/3")))
        assert len(names(tmp_path)) == (2, 4, 5)[index]
    assert all(job.times_begun == 1 for job in letters(tmp_path))
    for wrong in ("3/3", "1", "a/b", "-1/3", ""):
        with pytest.raises(ConfigError, match="I from 0 to N-1"):
            Part.parse(wrong)


def test_a_claim_is_held_by_one_and_taken_over_from_the_dead(tmp_path):
    path = tmp_path / "a"
    with claimed(path) as first, claimed(path) as second:
        assert (first, second) == (True, False)
        assert not ClaimWatch().is_free(path)
    assert ClaimWatch().is_free(path)
    host = this_process().rpartition("-")[0]
    for note in (
        {"by": f"{host}-{NO_PROCESS}", "began": ""},
        {"by": this_process(), "began": "another process of this number"},
    ):
        (tmp_path / ".a.claim").write_text(json.dumps(note))
        with claimed(path) as mine:
            assert mine
    assert list(tmp_path.iterdir()) == []


def test_a_claim_of_another_machine_is_free_when_nobody_touches_it(tmp_path):
    claim = tmp_path / ".a.claim"
    claim.write_text(json.dumps({"by": "elsewhere-1", "began": ""}))
    patient, hasty = ClaimWatch(), ClaimWatch(stale_seconds=0.0)
    assert not patient.is_free(tmp_path / "a")
    assert not hasty.is_free(tmp_path / "a")  # seen for the first time
    os.utime(claim, ns=(1, 1))
    assert not hasty.is_free(tmp_path / "a")  # touched since
    assert not patient.is_free(tmp_path / "a")
    assert hasty.is_free(tmp_path / "a")
    assert not claim.exists()


def test_work_that_kills_its_process_is_named_and_not_tried_for_ever(tmp_path):
    jobs = [*letters(tmp_path), Letters(path=tmp_path / "poison.txt", deadly=True)]
    outcomes = run_jobs(jobs, JobOptions(workers=2))
    assert states(outcomes) == ["made"] * 5 + ["failed"]
    assert "killed its process" in outcomes[-1].reason
    begun = jobs[-1].times_begun
    assert 3 <= begun <= 4
    with pytest.raises(JobError, match=r"1 of 6 shards could not be made.*poison\.txt"):
        raise_failures(outcomes)
    [again] = run_jobs(jobs, JobOptions(workers=2))
    assert "not tried again" in again.reason
    assert jobs[-1].times_begun == begun
    cured = [Letters(path=jobs[-1].path)]
    assert states(run_jobs(cured, ALONE)) == ["failed"]
    assert states(run_jobs(cured, JobOptions(retry_failed=True))) == ["made"]


def test_attempts_of_launches_that_were_killed_do_not_condemn_a_shard(tmp_path):
    attempts = Attempts(tmp_path / "a.txt")
    for launch in range(10):
        attempts.begin(str(launch))
    assert states(run_jobs(letters(tmp_path)[:1], ALONE)) == ["made"]
    assert attempts.counts("3") == (0, 0)


def test_two_launches_share_a_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from shard_work import Letters\n"
        "from videolavit.jobs.shard_jobs import *\n"
        "if __name__ == '__main__':\n"
        "    jobs = [Letters(path=Path(sys.argv[1]) / f'{n}.txt', seconds=0.1) for n in range(20)]\n"
        "    print(sorted(outcome.state for outcome in run_jobs(jobs, ALONE)).count('made'))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    launches = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    made = [int(launch.communicate(timeout=120)[0]) for launch in launches]
    assert sum(made) == 20
    assert [(tmp_path / f"{n}.txt").read_text() for n in range(20)] == [str(n) for n in range(20)]
    assert all((tmp_path / f"{n}.begun").read_text() == "x" for n in range(20))
    assert len(list(tmp_path.iterdir())) == 40


def test_a_killed_launch_leaves_nothing_that_stops_the_next(tmp_path):
    code = (
        "import sys; from pathlib import Path; from shard_work import Letters\n"
        "from videolavit.jobs.shard_jobs import *\n"
        "run_jobs([Letters(path=Path(sys.argv[1]) / 'a.txt', seconds=600)], ALONE)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    launch = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)
    deadline = time.monotonic() + 120
    while not (tmp_path / "a.begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    launch.send_signal(signal.SIGKILL)
    launch.wait()
    half = tmp_path / f".a.txt.{this_process().rpartition('-')[0]}-{NO_PROCESS}.partial"
    half.write_text("ha")
    assert {".a.txt.claim", ".a.txt.attempts"} <= set(names(tmp_path))
    assert states(run_jobs(letters(tmp_path)[:1], ALONE)) == ["made"]
    assert names(tmp_path) == ["a.txt"]


def test_a_note_is_written_by_one_of_several(tmp_path):
    assert create_once(tmp_path / "note", "mine") == "mine"
    assert create_once(tmp_path / "note", "yours") == "mine"
    assert names(tmp_path) == ["note"]
    own = partial_path(tmp_path / "note")
    own.write_text("of a process that lives")
    remove_abandoned(tmp_path / "note")
    assert own.exists()
    assert own.parent == tmp_path
    assert Path(own).name.startswith(".note.")
