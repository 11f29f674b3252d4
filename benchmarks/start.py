"""Time from the start of a process to its end, beside `import torch`: what a user waits before and around the work.

Each is run `--runs` times in turns; the least time counts, in seconds of the clock and as a multiple of `import torch`.
Where transformers or diffusers are imported, most of the rest is theirs: a class of language models imports batching,
sharding, losses and torch._dynamo; a UNet imports every transformer of diffusers, peft and scipy.stats. Importing their
modules one by one does not avoid it: each of them imports the same again.

    python benchmarks/start.py --runs 3
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from videolavit.video.io.write import write_video

COMMANDS = {
    "videolavit --help": ["--help"],
    "info": ["info", "video.mp4"],
    "decompose, 10 s": ["decompose", "video.mp4", "-o", "clips-{run}"],
    "train --help": ["train", "pretraining", "--help"],
    "tokenize, image": ["tokenize", "image.png", "-o", "tokens-{run}.txt"],
    "answer": ["answer", "What colour is it?", "--image", "image.png"],
    "image": ["image", "a red circle", "-o", "image-{run}.png", "--seed", "0"],
    "video, 1 clip": ["video", "a red circle moves right", "-o", "video-{run}.mp4", "--seed", "0"],
}
IMPORTS = ("import torch", "import diffusers", "import transformers", "from videolavit import VideoLaVIT")


def seconds(command: list[str], folder: str) -> float:
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def measure(runs: int, folder: str) -> dict[str, float]:
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    image = np.stack([np.tile(ramp, (128, 1)), np.tile(ramp[:, None], (1, 128)), np.full((128, 128), 90, np.uint8)], 2)
    write_video([np.roll(image, 2 * frame, axis=1) for frame in range(60)], Path(folder) / "video.mp4", fps=6)
    videolavit = [sys.executable, "-m", "videolavit"]
    subprocess.run(
        [*videolavit, "image", "a red circle", "-o", "image.png", "--seed", "0", "-q"], cwd=folder, check=True
    )
    least: dict[str, float] = {}
    for run in range(runs):
        work = {program: [sys.executable, "-c", program] for program in IMPORTS}
        for name, arguments in COMMANDS.items():
            work[name] = [*videolavit, *(argument.format(run=run) for argument in arguments)]
        for name, command in work.items():
            least[name] = min(least.get(name, float("inf")), seconds(command, folder))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        least = measure(arguments.runs, folder)
    print(f"{'process':38}{'seconds':>9}{'x import torch':>16}    ({os.cpu_count()} cores)")
    for name, value in least.items():
        print(f"{name:38}{value:9.2f}{value / least['import torch']:16.2f}")


if __name__ == "__main__":
    main()
