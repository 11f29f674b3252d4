"""Prepared shards are the same bytes whoever makes them, however often that is killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from hashlib import sha256

import pytest

NUM_SHARDS = 8


def launch(folder, *more):
    shapes = ["shapes", "-o", str(folder), "--num-videos", str(2 * NUM_SHARDS), "--videos-per-shard", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "videolavit", "prepare", *shapes, *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(*launches, seconds=280):
    for process in launches:
        _, told = process.communicate(timeout=seconds)
        assert process.returncode == 0, told


def digests(folder):
    """Of every file that is left, hidden ones included."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    finished(launch(folder))
    found = digests(folder)
    assert len(found) == 2 * NUM_SHARDS + 1
    return found


@pytest.mark.slow
def test_four_parts_make_what_one_launch_makes(expected, tmp_path):
    finished(*(launch(tmp_path, "--part", f"{index}/4") for index in range(4)))
    assert digests(tmp_path) == expected


@pytest.mark.slow
def test_two_racing_launches_make_what_one_makes(expected, tmp_path):
    finished(launch(tmp_path), launch(tmp_path, "--workers", "2"))
    assert digests(tmp_path) == expected


@pytest.mark.slow
def test_launches_that_are_killed_ten_times_end_the_same(expected, tmp_path):
    chance, killed = random.Random(0), 0
    for _ in range(10):
        process = launch(tmp_path)
        try:
            process.wait(timeout=chance.uniform(0.3, 3))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
        time.sleep(0.05)
    finished(launch(tmp_path))
    assert killed >= 1
    assert digests(tmp_path) == expected


# Ray's actors begin as this file says: the first that writes the third shard dies in the middle of it.
DYING_ACTOR = """
import os, sys

if any("default_worker" in argument for argument in sys.orig_argv):
    import videolavit.data.shards as shards

    real = shards.write_shard

    def write_shard(records, path):
        def dying():
            for number, record in enumerate(records):
                if path.name == "{name}" and number == 1 and not os.path.exists("{marker}"):
                    open("{marker}", "w").close()
                    os._exit(9)
                yield record
        return real(dying(), path)

    shards.write_shard = write_shard
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_with_an_actor_that_is_killed_makes_what_one_launch_makes(expected, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    name = sorted(name for name in expected if name.endswith(".tar"))[2]
    site, marker = tmp_path / "site", tmp_path / "died"
    site.mkdir()
    (site / "sitecustomize.py").write_text(DYING_ACTOR.format(name=name, marker=marker))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, sys.path)]))
    finished(launch(tmp_path / "out", "--engine", "ray", "--workers", "2"), seconds=580)
    assert marker.exists(), "an actor died"
    assert digests(tmp_path / "out") == expected
