"""Hours of video in flat memory: a clip looped for two hours, taken apart in a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from video.media import moving_images, synthetic_video

pytestmark = pytest.mark.slow

HOURS = 2
TICKS = HOURS * 3600 * 6
LIMIT_MEGABYTES = 600
MARGIN_MEGABYTES = 30
"""What caches, fragments of the heap and the list of keyframes may add between a tenth of the video and its end."""

MEASURE = """
import json, resource, sys
from pathlib import Path
from videolavit.video import iter_clips

def resident():
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20

path, ticks, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
tenth = last = 0.0
seen = 0
def progress(tick):
    global tenth, last, seen
    seen = max(seen, tick)
    if tick == ticks // 10 and not tenth:
        tenth = resident()
    if tick % 500 == 0:
        last = resident()
num_clips = sum(1 for clip in iter_clips(path, progress=progress, **options))
status = Path("/proc/self/status").read_text()  # ru_maxrss would begin at that of the process that started this one
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"num_clips": num_clips, "ticks": seen, "tenth": tenth, "last": last, "peak": peak}))
"""


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory) -> Path:
    """4 s of video 1800 times over, its packets copied with later times; 36 MB or so."""
    path = tmp_path_factory.mktemp("long") / "two hours.mp4"
    data = synthetic_video(moving_images(48, 96, 128), fps=12, options={"g": "48", "bf": "2", "crf": "35"})
    with av.open(io.BytesIO(data)) as source, av.open(str(path), "w") as output:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        stream = output.add_stream_from_template(source.streams.video[0])
        time_base, length = packets[0].time_base, round(4 / packets[0].time_base)
        times = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(HOURS * 900):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.stream, packet.time_base = stream, time_base
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                output.mux(packet)
    with av.open(str(path)) as container:
        assert abs(Fraction(container.duration, 1_000_000) - HOURS * 3600) < 1
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"select": "all"},
        {"select": "every 3"},
        {"select": "reference"},
        {"select": "reference", "memory_bytes": 4_000_000},
        {"select": "every 3", "motion": "source"},
        {"select": "reference", "motion": "source"},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_two_hours_take_flat_memory(two_hours: Path, options: dict):
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(two_hours), str(TICKS), json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found = json.loads(measured.stdout)
    print(found)
    assert found["ticks"] == TICKS
    assert found["num_clips"] == {"all": 3600, "every 3": 1200, "reference": 16}[options["select"]]
    assert found["peak"] < LIMIT_MEGABYTES
    if options["select"] != "reference" or "memory_bytes" in options:
        assert found["last"] - found["tenth"] < MARGIN_MEGABYTES
