"""Seconds of every step of the main tasks, of loading a model, until the first preview, and of a repeated question.

    python benchmarks/pipeline.py                            # the model that comes with the package
    python benchmarks/pipeline.py --model FOLDER_OR_HUB_ID
    python benchmarks/pipeline.py --quick                    # one run

The video that is read is a rendered one of the world of shapes. Each task runs once before it is measured. Drawing
options are the model's own. Steps are what results call them: "encode" is taking a video apart and tokenizing it,
"generate" is sampling ids, "keyframe" and "frames" are diffusion and decoding.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from videolavit import VideoLaVIT
from videolavit.data.shapes import render, sample_scene
from videolavit.video import Frames

PROMPT = "a red circle moves right"
QUESTIONS = ("What colour is the object?", "Where does it move?")
LOADING = """
import time
started = time.perf_counter()
from videolavit import VideoLaVIT
imported = time.perf_counter()
model = VideoLaVIT.from_pretrained({model})
opened = time.perf_counter()
for name in ("language_model", "visual_tokenizer", "motion_tokenizer", "keyframe_detokenizer", "video_detokenizer"):
    getattr(model, name)
print(imported - started, opened - imported, time.perf_counter() - opened)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="default: the one that comes with the package")
    parser.add_argument("--quick", action="store_true", help="one run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quantize", choices=["int8", "int4", "nf4"], help="of the language model")
    parser.add_argument("--compile", action="store_true", help="the steps of the UNets")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runs = 1 if arguments.quick else arguments.runs
    print(f"command: python {' '.join(sys.argv)}")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{arguments.threads} thread(s), medians of {runs}\n")
    print_loading(arguments.model, arguments.threads, runs)
    model = VideoLaVIT.from_pretrained(arguments.model, quantize=arguments.quantize, compile=arguments.compile)
    video = shown_video()
    print_tasks(model, video, runs)
    print_preview(model, runs)
    print_questions(model, video, runs)


def shown_video() -> Frames:
    """One clip of the world of shapes."""
    return Frames(images=render(sample_scene(0)), fps=6.0)


def print_loading(model: str | None, threads: int, runs: int) -> None:
    """Each run is a process of its own; files are in the system's cache, and weights are read in part later."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", LOADING.format(model=repr(model))]
    measured = []
    for _ in range(runs):
        output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        measured.append([float(number) for number in output.split()])
    imported, opened, loaded = (statistics.median(column) for column in zip(*measured, strict=True))
    print("| loading | seconds |\n| --- | --- |")
    print(f"| import | {imported:.2f} |\n| open the model | {opened:.2f} |\n| all parts | {loaded:.2f} |\n")


def print_tasks(model: VideoLaVIT, video: Frames, runs: int) -> None:
    image = next(iter(video.images))
    tasks: dict[str, Callable[[], Any]] = {
        "text to video": lambda: model.video(PROMPT),
        "image to video": lambda: model.video(PROMPT, image=image),
        "answer about a video": lambda: answer_anew(model, video),
        "reconstruct": lambda: model.reconstruct(video),
    }
    print("| task | step | seconds | share |\n| --- | --- | --- | --- |")
    for name, task in tasks.items():
        task()
        timings = [timed(task) for _ in range(runs)]
        total = statistics.median(timing["total"] for timing in timings)
        print(f"| {name} | total | {total:.3f} | |")
        for step in timings[0]:
            if step != "total":
                seconds = statistics.median(timing[step] for timing in timings)
                print(f"| | {step} | {seconds:.3f} | {seconds / total:.0%} |", flush=True)
    print()


def timed(task: Callable[[], Any]) -> Mapping[str, float]:
    """Seconds in all, of each step, and of what is in none of them."""
    started = time.perf_counter()
    result = task()
    total = time.perf_counter() - started
    return {"total": total, **result.timings, "the rest": total - sum(result.timings.values())}


def answer_anew(model: VideoLaVIT, video: Frames, question: str = QUESTIONS[0]) -> Any:
    model.memory.forget()
    return model.answer(question, video=video)


def print_preview(model: VideoLaVIT, runs: int) -> None:
    """From the last motion id to the frames of motion compensation."""
    measured = [preview_seconds(model, seed) for seed in range(runs)]
    print(f"First preview after the motion ids exist: {statistics.median(measured):.3f} s (aim: under 1 s)\n")


def preview_seconds(model: VideoLaVIT, seed: int) -> float:
    at: dict[str, float] = {}

    def note_progress(stage: str, done: int, total: int) -> None:
        if stage == "generate" and "preview" not in at:
            at["written"] = time.perf_counter()

    def note_preview(*_: Any) -> None:
        at.setdefault("preview", time.perf_counter())

    model.video(PROMPT, seed=seed, progress=note_progress, preview=note_preview)
    return at["preview"] - at["written"]


def print_questions(model: VideoLaVIT, video: Frames, runs: int) -> None:
    """The first question about a video takes it apart; later ones find what was seen."""
    ways = {
        "first question": lambda: answer_anew(model, video),
        "the same again": lambda: model.answer(QUESTIONS[0], video=video),
        "another one": lambda: model.answer(QUESTIONS[1], video=video),
    }
    rows = [{name: timed(way) for name, way in ways.items()} for _ in range(runs)]
    print("| question about one video | seconds | times faster | ids written |\n| --- | --- | --- | --- |")
    first = statistics.median(row["first question"]["total"] for row in rows)
    for name, way in ways.items():
        seconds = statistics.median(row[name]["total"] for row in rows)
        print(f"| {name} | {seconds:.3f} | {first / seconds:.1f} | {way().num_ids} |")


if __name__ == "__main__":
    main()
