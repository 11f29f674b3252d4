"""Questions per second through the runner of evaluations, against a bare loop over `model.answer`.

python benchmarks/evaluation.py

Both answer the same questions on the same rendered videos with the shipped model, in turns, so that what else the
machine does hits both alike. The bare loop asks all questions on one video in one call, which is what a user would do.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from videolavit import VideoLaVIT
from videolavit.data.shapes import questions, render, sample_scene
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.pipeline_adapter import PipelineAdapter
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark
from videolavit.evaluation.runner import run_all

VIDEOS, ROUNDS, FIRST_SEED = 6, 5, 900_500_000


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
            scene = sample_scene(FIRST_SEED + number)
            frames = render(scene)
            for place, one in enumerate(questions(scene, number)):
                text = f"{number}/{place}"
                found.append(Question(id=text, prompts=(one.text,), video=frames, group=str(number), truth=one.answer))
        return found

    def score(self, question: Question, answers: list[str]) -> dict[str, bool]:
        return {"accuracy": answers[0].strip().lower().removesuffix(".") == question.truth}


def main() -> None:
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
