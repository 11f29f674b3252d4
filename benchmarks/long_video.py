"""Seconds to an answer and memory, for videos of 8 to 512 clips that were read before.

    python benchmarks/long_video.py

Clips of the shapes world, read once and repeated; retrieval with the model of the package. The answer is the first one
after the memory is opened, so opening it counts.
"""

from __future__ import annotations

import dataclasses
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from videolavit.data.shapes import render, sample_scene
from videolavit.evaluation.benchmarks.long import NOTES
from videolavit.memory.token_memory import RememberedClip, TokenMemory
from videolavit.pipeline import VideoLaVIT
from videolavit.pipeline.remembering import remembered_clips
from videolavit.video.processor import whole_video_clips

LENGTHS = (8, 32, 128, 512)
RUNS = 5


def main() -> None:
    model = VideoLaVIT.from_pretrained()
    clips = [read_clip(model, seed) for seed in range(24)]
    ask(model, clips[:1])  # not counted: the first answer loads things
    print(f"command: python {' '.join(sys.argv)}; medians of {RUNS}")
    print("| clips | seconds to an answer | files, kB | peak memory so far, MB |\n| --- | --- | --- | --- |")
    for length in LENGTHS:
        seconds, size = zip(
            *(ask(model, [clips[i % len(clips)] for i in range(length)]) for _ in range(RUNS)), strict=True
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {length} | {statistics.median(seconds):.3f} | {size[0] / 1024:.0f} | {peak:.0f} |", flush=True)


def read_clip(model: VideoLaVIT, seed: int) -> RememberedClip:
    clips = whole_video_clips(render(sample_scene(seed)), model.settings.video_processor)
    return next(remembered_clips(model, [next(clips)], ask=NOTES))


def ask(model: VideoLaVIT, clips: list[RememberedClip]) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        width = clips[0].features.shape[1] if clips[0].features is not None else 0
        with TokenMemory.create(folder, model.vocabulary, feature_width=width) as memory:
            for number, clip in enumerate(clips):
                times = {"start_seconds": 4.0 * number, "end_seconds": 4.0 * number + 4}
                memory.append(dataclasses.replace(clip, **times), sync=False)
        started = time.perf_counter()
        model.answer("What colour is the star?", video=folder, max_new_tokens=8)
        seconds = time.perf_counter() - started
        return seconds, sum(path.stat().st_size for path in Path(folder).iterdir())


if __name__ == "__main__":
    main()
