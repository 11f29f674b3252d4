"""Damaged videos for tests, and a process that reads them: `python damage.py FOLDER FIRST LAST`.

A seed says all about a variant: which of the small videos it comes from and what happens to its bytes. The process
reads variant after variant and prints one JSON line before and one after each, so that whoever started it knows which
one it hung or died on.
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

NAMES = ("h264.mp4", "mpeg4.avi", "vp9.webm", "hevc.mkv")
MAX_SECONDS = 600
"""Damaged times may claim more; then they are refused, and the test does not take hours."""


def damaged(originals: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """Name of the original and the bytes of the variant with this seed."""
    noise = random.Random(seed)
    name = NAMES[seed % len(NAMES)]
    data = bytearray(originals[name])
    for _ in range(noise.choice((1, 1, 1, 2, 3, 5))):
        kind = noise.choice(
            (_flip, _flip, _cut, _splice, _zero, _repeat, _swap, _remove, _scramble, _extreme, _extreme)
        )
        kind(data, noise, originals)
    return name, bytes(data)


def _position(data: bytearray, noise: random.Random) -> int:
    """Anywhere, but half of the time near one of the ends, where the headers are."""
    if not data:
        return 0
    near = min(len(data), 1500)
    ends = noise.randrange(near), len(data) - 1 - noise.randrange(near)
    return noise.choice((noise.randrange(len(data)), noise.randrange(len(data)), *ends))


def _block(data: bytearray, noise: random.Random) -> slice:
    start = _position(data, noise)
    return slice(start, start + noise.choice((1, 4, 16, 64, 256, 1024, 4096)))


def _flip(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    for _ in range(noise.choice((1, 2, 8, 32, 128))):
        if data:
            data[_position(data, noise)] ^= 1 << noise.randrange(8)


def _cut(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    del data[_position(data, noise) :]


def _splice(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    other = bytearray(originals[noise.choice(NAMES)])
    data[_block(data, noise)] = other[_block(other, noise)]


def _zero(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    block = _block(data, noise)
    data[block] = bytes(len(data[block]))


def _repeat(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    block = _block(data, noise)
    data[block] = data[block] * noise.choice((2, 3, 10))


def _swap(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    one, other = sorted((_block(data, noise), _block(data, noise)), key=lambda block: block.start)
    if one.stop <= other.start:
        data[one], data[other] = data[other], data[one]


def _remove(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    del data[_block(data, noise)]


def _scramble(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    block = _block(data, noise)
    data[block] = noise.randbytes(len(data[block]))


def _extreme(data: bytearray, noise: random.Random, originals: dict[str, bytes]) -> None:
    start = _position(data, noise)
    value = noise.choice((b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\x40\0"))
    data[start : start + 4] = (value * 4)[:4]


class OnlyRead:
    """A pipe."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def read_thoroughly(data: bytes) -> str:
    """Probe and take apart, both ways; what came of it in words.

    Raises whatever the package raises that is no `VideoLaVITError`.
    """
    from videolavit.errors import VideoLaVITError
    from videolavit.video import Limits, decompose, probe

    limits = Limits(max_duration_seconds=MAX_SECONDS, max_width=2048, max_height=2048)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: probe(io.BytesIO(data), limits=limits, image_types=True),
        lambda: decompose(data, limits=limits, slices=1),
        lambda: decompose(data, limits=limits, motion="source", select="every 2", shots="difference"),
        lambda: decompose(OnlyRead(data), limits=limits, select="all", cell=8, fps=10, threads=2),
    )
    results = []
    for attempt in attempts:
        try:
            found = attempt()
        except VideoLaVITError as error:
            results.append(type(error).__name__)
            continue
        if isinstance(found, list):
            assert found
            assert all(np.isfinite(clip.motion.values).all() for clip in found)
            results.append(f"{len(found)} clips")
        else:
            results.append("probed")
    return ", ".join(results)


def peak_megabytes() -> int:
    """Of this process alone: `ru_maxrss` would begin at that of the process that started it."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


def main(folder: Path, first: int, last: int) -> None:
    """Read the variants with the seeds from `first` to before `last`."""
    originals = {name: (folder / name).read_bytes() for name in NAMES}
    for seed in range(first, last):
        print(json.dumps({"begin": seed}), flush=True)
        name, data = damaged(originals, seed)
        before = len(os.listdir("/proc/self/fd"))
        try:
            result, fault = read_thoroughly(data), None
        except Exception:
            result, fault = "fault", traceback.format_exc()
        leaked = len(os.listdir("/proc/self/fd")) - before
        peak = peak_megabytes()
        print(
            json.dumps(
                {"end": seed, "name": name, "result": result, "fault": fault, "leaked": leaked, "peak_megabytes": peak}
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
