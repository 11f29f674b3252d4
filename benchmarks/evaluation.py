"""Questions per second through the runner of evaluations, against a bare loop over `model.answer`.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --processes 2     # side by side, each with its share of the videos

Both answer the same questions on the same rendered videos with the shipped model, in turns, so that what else the
machine does hits both alike. The bare loop asks all questions on one video in one call, which is what a user would do.
Of several processes it tells what the machine gives: cores may share their arithmetic units.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from videolavit import VideoLaVIT
from videolavit.data.shapes import questions, render, sample_scene
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.pipeline_adapter import PipelineAdapter
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark
from videolavit.evaluation.runner import run_all

VIDEOS, ROUNDS, FIRST_SEED = 6, 5, 900_500_000
WAYS = ("bare loop", "runner")


class Rendered(QuestionBenchmark):
    """Questions on rendered videos."""

    name = "rendered"
    about = "questions on rendered videos"
    prompt = "{question}"
    files = ()
    max_new_tokens = 32

    def read(self, data: Path) -> list[Question]:
        found = []
        for number in range(VIDEOS):
            scene = sample_scene(FIRST_SEED + VIDEOS * self.options.seed + number)
            frames = render(scene)
            for place, one in enumerate(questions(scene, number)):
                text = f"{number}/{place}"
                found.append(Question(id=text, prompts=(one.text,), video=frames, group=str(number), truth=one.answer))
        return found

    def score(self, question: Question, answers: list[str]) -> dict[str, bool]:
        return {"accuracy": answers[0].strip().lower().removesuffix(".") == question.truth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1)
    processes = parser.parse_args().processes
    side_by_side(processes) if processes > 1 else one_process()


def one_process() -> None:
    model = VideoLaVIT.from_pretrained()
    benchmark = Rendered(BenchmarkOptions(data=Path(tempfile.gettempdir())))
    asked = benchmark.questions
    bare(model, asked[:4])  # loads the parts
    rounds, adapter = [], PipelineAdapter(model)
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "outcomes.jsonl"
            seconds = [timed(model, partial(bare, model, asked))]
            seconds.append(timed(model, partial(run_all, adapter, [benchmark], path=path)))
        rounds.append(seconds)
        print(f"round {number}: bare {len(asked) / seconds[0]:.1f}, runner {len(asked) / seconds[1]:.1f} questions/s")
    ratio = statistics.median(one / other for one, other in rounds)
    print(f"runner over bare loop, median of {ROUNDS}: {ratio:.3f} ({len(asked)} questions on {VIDEOS} videos)")


def side_by_side(processes: int) -> None:
    """Times faster than one process, each of them on one thread and with its model loaded before."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    rates: dict[tuple[str, int], list[float]] = {(way, n): [] for way in WAYS for n in (1, processes)}
    for _ in range(ROUNDS):
        for way, count in rates:
            barrier, results = context.Barrier(count), context.SimpleQueue()
            workers = [context.Process(target=worker, args=(way, n, barrier, results)) for n in range(count)]
            for one in workers:
                one.start()
            told = [results.get() for _ in workers]
            for one in workers:
                one.join()
            rates[way, count].append(sum(asked for asked, _ in told) / max(seconds for _, seconds in told))
    for way in WAYS:
        alone, together = (statistics.median(rates[way, n]) for n in (1, processes))
        times = statistics.median(b / a for a, b in zip(rates[way, 1], rates[way, processes], strict=True))
        print(f"{way}: 1 process {alone:.1f}, {processes} processes {together:.1f} questions/s, {times:.2f} times")


def worker(way: str, number: int, barrier: Any, results: Any) -> None:
    """One process: questions on its own videos, after all have loaded their models."""
    model = VideoLaVIT.from_pretrained()
    benchmark = Rendered(BenchmarkOptions(data=Path(tempfile.gettempdir()), seed=number))
    bare(model, benchmark.questions[:4])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.jsonl"
        run = partial(run_all, PipelineAdapter(model), [benchmark], path=path)
        barrier.wait()
        seconds = timed(model, run if way == "runner" else partial(bare, model, benchmark.questions))
    results.put((len(benchmark.questions), seconds))


def bare(model: VideoLaVIT, asked: list[Question]) -> None:
    for group in dict.fromkeys(one.group for one in asked):
        about = [one for one in asked if one.group == group]
        model.answer([one.prompts[0] for one in about], video=about[0].video, max_new_tokens=32)


def timed(model: VideoLaVIT, work: Callable[[], object]) -> float:
    model.memory.forget()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
