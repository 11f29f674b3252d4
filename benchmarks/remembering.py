"""Reading hours of real video into a memory: time, size on disk, and peak memory of the process, which must not grow.

    python benchmarks/remembering.py video.mp4 --minutes 120

The video is shown again and again, decoded anew each time, at 6 frames a second. Nothing is noted in words.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from videolavit.pipeline import VideoLaVIT
from videolavit.pipeline.remembering import read_video
from videolavit.video import Frames
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.pixels import resize_image

FPS = 6
ROWS = 12
"""Lines of the table."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--minutes", type=float, default=120.0)
    options = parser.parse_args()
    model, started = VideoLaVIT.from_pretrained(), time.perf_counter()
    clips = round(options.minutes * 60 / 4)
    print(f"command: python {' '.join(sys.argv)}")
    print("| minutes of video | seconds | memory on disk, MB | peak memory, MB |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        shown = itertools.islice(again_and_again(options.video), clips * 24)
        frames = Frames(images=shown, fps=float(FPS))
        for memory in read_video(model, frames, f"{folder}/memory", describe=False):
            if len(memory) and (len(memory) % max(clips // ROWS, 1) == 0 or len(memory) == 8):
                size = sum(path.stat().st_size for path in memory.folder.iterdir()) / 1e6
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
                seconds = time.perf_counter() - started
                print(f"| {memory.seconds / 60:.1f} | {seconds:.0f} | {size:.1f} | {peak:.0f} |", flush=True)


def again_and_again(video: str) -> Iterator[np.ndarray]:
    """Images of a video without end, all of the first one's size."""
    size = None
    while True:
        for image in images_on_ticks(video, fps=Fraction(FPS)):
            size = size or image.shape[:2]
            yield resize_image(image, *size)


if __name__ == "__main__":
    main()
