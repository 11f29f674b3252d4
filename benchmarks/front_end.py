"""The front end against a stand-in for the released path, over a folder of real clips.

    python benchmarks/front_end.py            # medians of 5, a few minutes
    python benchmarks/front_end.py --quick    # one run each
    python benchmarks/front_end.py --cpu      # processor time in place of wall time, for a busy machine

The stand-in does what the release does, with the same settings: the ffmpeg program re-encodes the video to a temporary
file (MPEG-4, 8 Mbit/s, 6 fps, no B-frames), which is then decoded fully; every frame becomes RGB and a dense float64
image of its vectors, each written over its block, which is normalised and pooled 16 x 16. It keeps the dense
images until all I-frames are known, as clips are chosen then; the lean stand-in pools each image at once. Which of
the two the release resembles more is not known, so both are shown. Everything runs on one thread. The floor is
decoding the source alone.

Clips are those of 240p and more in the folder VIDEOLAVIT_VIDEOS, or ../shared/videos beside the checkout.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from videolavit.clip import MOTION_STD, TOKENIZER_GAIN
from videolavit.errors import MediaError
from videolavit.video import decompose, open_video, probe

SLICES = 16
LEAST_SIDE = 240
PROCESSES = 2


def main() -> None:
    arguments = parse()
    be_quiet_on_one_thread()  # one clip is damaged, and would say so in every run
    paths = clips_of_240p(arguments.folder)
    runs = 1 if arguments.quick else arguments.runs
    describe_machine(runs, len(paths))
    ways = {"floor": decode_alone, "ours": ours, "ours, source vectors": ours_direct}
    if shutil.which("ffmpeg"):
        ways |= {"stand-in": stand_in, "lean stand-in": lean_stand_in}
    else:
        print("\nMISSING: no ffmpeg program, so no stand-in to compare with (Debian: apt-get install ffmpeg)")
    clock = cpu_seconds if arguments.cpu else time.perf_counter
    seconds = {way: {path: median_seconds(run, path, runs, clock) for path in paths} for way, run in ways.items()}
    print_per_clip(paths, seconds)
    if "stand-in" in ways:
        print_two_processes(paths, runs, arguments.rounds)
        print_memory(paths)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).parent.parent.parent / "shared" / "videos"
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("VIDEOLAVIT_VIDEOS", beside)))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often each clip is taken in the run of two processes"
    )
    parser.add_argument("--quick", action="store_true", help="one run of each")
    parser.add_argument(
        "--cpu", action="store_true", help="processor time of the first table, programs called included"
    )
    return parser.parse_args()


def clips_of_240p(folder: Path) -> list[Path]:
    """Videos whose shorter side is at least 240 pixels and that last at least a second."""
    if not folder.is_dir():
        sys.exit(f"MISSING: no folder {folder}; set VIDEOLAVIT_VIDEOS to a folder of clips")
    found = []
    for path in sorted(folder.iterdir()):
        try:
            info = probe(path)
        except MediaError:
            continue
        if min(info.width, info.height) >= LEAST_SIDE and (info.duration_seconds or 0) >= 1:
            found.append(path)
    return found or sys.exit(f"MISSING: no clip of {LEAST_SIDE}p and a second or more in {folder}")


def ours(path: Path) -> None:
    decompose(path, slices=SLICES)


def ours_direct(path: Path) -> None:
    decompose(path, motion="source")


def decode_alone(path: Path) -> None:
    """Every frame of the source, on one thread, and nothing else."""
    with open_video(path) as video:
        for _ in video.frames():
            pass


def stand_in(path: Path, *, lean: bool = False) -> None:
    """The released path: through a file, all frames in RGB, vectors in dense float64 images."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        command = ["ffmpeg", "-v", "error", "-y", "-nostdin", "-threads", "1", "-i", str(path)]
        command += ["-an", "-threads", "1", "-filter_threads", "1", "-c:v", "mpeg4", "-slices", str(SLICES), "-bf", "0"]
        command += ["-b:v", "8M", "-g", "12", "-vf", "fps=6", file.name]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        images, grids = read_densely(file.name, lean=lean)
    assert len(images) == len(grids)


def lean_stand_in(path: Path) -> None:
    stand_in(path, lean=True)


def read_densely(path: str, *, lean: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """All images, and the pooled motion of all frames."""
    images, motion = [], []
    with av.open(path) as container:
        decoder = container.streams.video[0].codec_context
        decoder.thread_count, decoder.options = 1, {"flags2": "+export_mvs"}
        for frame in container.decode(video=0):
            images.append(frame.reformat(format="rgb24", threads=1).to_ndarray())
            motion.append(pooled(dense_motion(frame)) if lean else dense_motion(frame))
    return images, np.stack(motion if lean else [pooled(dense) for dense in motion])


def dense_motion(frame: av.VideoFrame) -> np.ndarray:
    """(2, height, width) float64 in tokenizer units: each vector written over the block that it moves."""
    dense = np.zeros((2, frame.height, frame.width))
    vectors = frame.side_data.get("MOTION_VECTORS")
    if vectors is not None:
        records = vectors.to_ndarray()
        motion = -np.stack([records["motion_x"], records["motion_y"]]) / records["motion_scale"]
        corners = zip((records["dst_y"] - 8).tolist(), (records["dst_x"] - 8).tolist(), strict=True)
        for index, (top, left) in enumerate(corners):
            dense[:, top : top + 16, left : left + 16] = motion[:, index, None, None]
    size, std = np.array([frame.width, frame.height]), np.array(MOTION_STD)
    return dense / rearrange(size, "xy -> xy 1 1") / rearrange(std, "xy -> xy 1 1") * TOKENIZER_GAIN


def pooled(dense: np.ndarray) -> np.ndarray:
    return F.max_pool2d(torch.from_numpy(dense.astype(np.float32)), 16, ceil_mode=True).numpy()


def median_seconds(
    run: Callable[[Path], None], path: Path, runs: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Infinite where this way cannot read the clip."""
    try:
        run(path)  # Files and libraries are warm for all ways alike.
    except MediaError:
        return math.inf
    times = []
    for _ in range(runs):
        start = clock()
        run(path)
        times.append(clock() - start)
    return statistics.median(times)


def cpu_seconds() -> float:
    """Processor time of this process and of the programs that it has called."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


OURS = ("ours", "ours, source vectors")
STAND_INS = ("stand-in", "lean stand-in")


def print_per_clip(paths: list[Path], seconds: dict[str, dict[Path, float]]) -> None:
    pairs = [(way, other) for other in STAND_INS if other in seconds for way in OURS]
    print(f"\n| clip | {' | '.join(f'{way}, ms' for way in seconds)} | of the floor |", end="")
    print("".join(f" {way} / {other} |" for way, other in pairs))
    print("| --- |" + " --- |" * (len(seconds) + 1 + len(pairs)))
    for path in paths:
        print_row(path.name, {way: seconds[way][path] for way in seconds}, pairs)
    readable = [path for path in paths if all(math.isfinite(seconds[way][path]) for way in seconds)]
    together = {way: sum(seconds[way][path] for path in readable) for way in seconds}
    print_row(f"{len(readable)} that all can read", together, pairs)
    shares = [seconds["floor"][path] / seconds["ours"][path] for path in paths]
    print(f"\nmedian share of the floor {statistics.median(shares):.0%}")
    for way, other in pairs:
        factors = [seconds[other][path] / seconds[way][path] for path in readable]
        print(f"{way} against the {other}: median {statistics.median(factors):.1f}x, least {min(factors):.1f}x")


def print_row(name: str, seconds: dict[str, float], pairs: list[tuple[str, str]]) -> None:
    cells = [f"{1000 * value:.0f}" if math.isfinite(value) else "cannot" for value in seconds.values()]
    cells.append(f"{seconds['floor'] / seconds['ours']:.0%}")
    cells += [f"{seconds[other] / seconds[way]:.1f}x" for way, other in pairs]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_two_processes(paths: list[Path], runs: int, rounds: int) -> None:
    """Throughput with one process per core; the stand-in's ffmpeg takes its turn within each."""
    work = paths * rounds
    print(f"\n{len(work)} videos, wall time, medians of {runs}:")
    ways = (ours, try_ours_direct, stand_in, lean_stand_in)
    seconds = {}
    for count in (1, PROCESSES):
        with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=be_quiet_on_one_thread) as pool:
            seconds |= {(run.__name__, count): pooled_seconds(pool, run, work, runs) for run in ways}
    for name in ("ours", "try_ours_direct"):
        for other in ("stand_in", "lean_stand_in"):
            mine = seconds[name, PROCESSES]
            factors = [f"{seconds[other, count] / mine:.1f}x that of {count}" for count in (1, PROCESSES)]
            print(f"  {name}, {PROCESSES} processes, {mine:.2f} s: {' and '.join(factors)} with {other}")


def try_ours_direct(path: Path) -> None:
    """Source vectors, re-encoded where the codec has none."""
    try:
        ours_direct(path)
    except MediaError:
        ours(path)


def pooled_seconds(pool: ProcessPoolExecutor, run: Callable[[Path], None], work: list[Path], runs: int) -> float:
    list(pool.map(run, work))
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        list(pool.map(run, work))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def print_memory(paths: list[Path]) -> None:
    """Peak memory above that of a process that has imported everything and done a small video, at 720p."""
    large = [path for path in paths if min(probe(path).width, probe(path).height) >= 720]
    if not large:
        print("\nMISSING: no clip of 720p, so no memory figures")
        return
    path = max(large, key=lambda candidate: probe(candidate).duration_seconds or 0)
    ways = (ours, ours_direct, stand_in, lean_stand_in)
    peaks = {run.__name__: in_fresh_process(peak_mebibytes, run, path) for run in ways}
    print(f"\nPeak memory above the start, {path.name}; ffmpeg's own memory is not counted:")
    for name, peak in peaks.items():
        shares = [f"{peaks[other] / peak:.1f} times less than {other}" for other in ("stand_in", "lean_stand_in")]
        print(f"  {name}: {peak:.0f} MiB, {', '.join(shares)}")


def in_fresh_process(function: Callable[..., float], *arguments: object) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_mebibytes(run: Callable[[Path], None], path: Path) -> float:
    be_quiet_on_one_thread()
    decompose([np.zeros((16, 16, 3), np.uint8)] * 2)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = memory_mebibytes("VmRSS")
    run(path)
    return memory_mebibytes("VmHWM") - before


def memory_mebibytes(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def be_quiet_on_one_thread() -> None:
    logging.disable()
    torch.set_num_threads(1)


def describe_machine(runs: int, num_clips: int) -> None:
    print(f"command: python {' '.join(sys.argv)}")
    libraries = ", ".join(f"{name[3:]} {'.'.join(map(str, version))}" for name, version in av.library_versions.items())
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, PyAV {av.__version__}")
    print(f"libraries: {libraries}")
    if ffmpeg := shutil.which("ffmpeg"):
        version = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout
        print(f"stand-in: {version.splitlines()[0]}")
    print(f"{num_clips} clips, {SLICES} slices, medians of {runs}, one thread")


if __name__ == "__main__":
    main()
