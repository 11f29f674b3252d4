"""Two thousand damaged variants of small videos: none hangs, crashes, leaks, or raises what is not explained.

A variant is named by its seed: `python tests/video/damage.py FOLDER SEED SEED+1` reads one alone.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from video import damage
from video.media import moving_images, synthetic_video

NUM_VARIANTS = 2000
NUM_QUICK_VARIANTS = 60
"""Read in every run of the tests."""
SECONDS_PER_VARIANT = 30
"""Most take a fiftieth of a second; the machine may be busy."""
PEAK_MEGABYTES = 400


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    images = moving_images(48, 48, 64)
    quiet = "log-level=none:pools=none:frame-threads=1"
    for name, codec, container, options in (
        ("h264.mp4", "libx264", "mp4", {"bf": "2", "g": "15"}),
        ("mpeg4.avi", "mpeg4", "avi", {"bf": "1", "g": "15"}),
        ("vp9.webm", "libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8"}),
        ("hevc.mkv", "libx265", "matroska", {"preset": "ultrafast", "x265-params": quiet}),
    ):
        synthetic_video(images, folder / name, fps=12, codec=codec, container=container, options=options)
    return folder


def read_in_another_process(folder: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """What became of each variant; a process that hangs or dies is replaced, and its variant counts as a fault."""
    while first < last:
        command = [sys.executable, damage.__file__, str(folder), str(first), str(last)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=forward, args=(process, lines), daemon=True).start()
        try:
            while first < last:
                line = lines.get(timeout=SECONDS_PER_VARIANT)
                if not line:
                    yield {"end": first, "fault": f"the process ended with {process.wait()}"}
                    break
                report = json.loads(line)
                if "end" in report:
                    yield report
                    first = report["end"] + 1
        except queue.Empty:
            yield {"end": first, "fault": f"it did not end within {SECONDS_PER_VARIANT} s"}
        finally:
            process.kill()
            process.wait()
        first += first < last  # go on after what went wrong


def forward(process: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
    """Lines as they come, and an empty one at the end."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
    lines.put("")


def check(reports: list[dict[str, Any]]) -> None:
    faults = [f"seed {report['end']}, {report.get('name')}: {report['fault']}" for report in reports if report["fault"]]
    assert not faults, "\n".join(faults)
    assert all(report["leaked"] == 0 for report in reports), "handles of files are left open"
    assert max(report["peak_megabytes"] for report in reports) < PEAK_MEGABYTES


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_damage_makes_it_hang_crash_leak_or_raise_anything_unexplained(originals: Path):
    reports = list(read_in_another_process(originals, 0, NUM_VARIANTS))
    assert [report["end"] for report in reports] == list(range(NUM_VARIANTS))
    check(reports)
    results = Counter((report["name"], "clips" in report["result"]) for report in reports)
    print(results)
    for name in damage.NAMES:
        assert results[name, True] > 50, "damage should leave some videos readable"
        assert results[name, False] > 50, "and others not"


def test_a_few_damaged_videos_do_no_harm(originals: Path):
    check(list(read_in_another_process(originals, NUM_VARIANTS, NUM_VARIANTS + NUM_QUICK_VARIANTS)))


def test_a_variant_depends_on_its_seed_alone(originals: Path):
    files = {name: (originals / name).read_bytes() for name in damage.NAMES}
    variants = [damage.damaged(files, seed) for seed in range(40)]
    assert variants == [damage.damaged(files, seed) for seed in range(40)]
    assert sum(data != files[name] for name, data in variants) > 35


@pytest.mark.parametrize(
    ("action", "words"), [("os.kill(os.getpid(), 11)", "ended with -11"), ("time.sleep(60)", "not end")]
)
def test_a_crash_and_a_hang_are_noticed(tmp_path: Path, monkeypatch, action: str, words: str):
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys, time\n"
        "for seed in range(int(sys.argv[2]), int(sys.argv[3])):\n"
        "    print(json.dumps({'begin': seed}), flush=True)\n"
        f"    if seed == 1: {action}\n"
        "    print(json.dumps({'end': seed, 'fault': None}), flush=True)\n"
    )
    monkeypatch.setattr(damage, "__file__", str(program))
    monkeypatch.setattr(sys.modules[__name__], "SECONDS_PER_VARIANT", 2)
    reports = list(read_in_another_process(tmp_path, 0, 3))
    assert [report["end"] for report in reports] == [0, 1, 2]
    assert words in reports[1]["fault"]
    assert not reports[0]["fault"]
    assert not reports[2]["fault"]
