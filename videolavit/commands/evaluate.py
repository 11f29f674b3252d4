"""Measure how well a model does what it should, with 95 % intervals.

`shapes` is the world of moving shapes (docs/shapes.md), rendered from seeds that training never
draws, with a judge that reads pixels. Tasks need only their own parts: what a model in the making
cannot do yet is named and left out. Every result is kept in a file as it comes. The same command
goes on where it was stopped, and results of other models may stand in the same file.

tasks:
  motion_tokenizer  autoencoder  visual_tokenizer  ids_per_second  redrawn_keyframes
  video_detokenizer  picture_questions  video_questions  order  motion_ids  text_to_image
  text_to_video  text_to_video_unseen  image_to_video  borders
and, of the world with two objects, growth and photographic grounds:
  extended_visual_tokenizer  extended_redrawn_keyframes  extended_video_questions
  extended_text_to_video
and, with --videos FOLDER: real_videos

examples:
  videolavit evaluate shapes
  videolavit evaluate shapes --samples 20 --tasks motion_tokenizer ids_per_second
  videolavit evaluate shapes --model runs/tiny/model --workers 2 --markdown docs/results.md
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands.console import print_json, progress_bar
from videolavit.commands.model_options import ModelOptions, open_model
from videolavit.commands.outputs import check_target
from videolavit.commands.parallel import for_each
from videolavit.errors import ConfigError, OutputError
from videolavit.video.write import complete_or_absent

if TYPE_CHECKING:
    from videolavit.evaluation.model_subject import ModelSubject
    from videolavit.evaluation.report import Report
    from videolavit.evaluation.run import Chunk, Evaluation, Measured, Plan

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit evaluate`."""

    world: Annotated[Literal["shapes"], Positional]
    """What to evaluate in."""
    tasks: Annotated[tuple[str, ...], arg(metavar="TASK ...")] = ()
    """Which tasks; all of them if none is named."""
    samples: int = 500
    """Of each task."""
    seed: int = 0
    """Another one gives other scenes, and other draws of the model."""
    videos: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Real videos, for one more task."""
    results: Annotated[Path, arg(metavar="FILE")] = Path("runs/evaluation.jsonl")
    """Where results are kept as they come, and found again."""
    workers: int = 1
    """Processes that work side by side, each with a model of its own, on one core each if there are several."""
    minutes: float | None = None
    """Stop measuring after so long, and report what is there; 0 measures nothing anew."""
    markdown: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write a page with everything that was measured, too."""
    note: Annotated[str, arg(metavar="TEXT")] = ""
    """A line for that page, on how the model was trained: hardware and hours."""
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What one process does at a time."""

    model: ModelOptions
    plan: Plan
    chunk: Chunk


def run(config: Config) -> int:
    """Measure, report, and return the exit code: 1 if a task that was named could not be done."""
    if config.workers < 1:
        raise ConfigError(f"got --workers {config.workers}, expected at least 1")
    if config.minutes is not None and config.minutes < 0:
        raise ConfigError(f"got --minutes {config.minutes}, expected at least 0")
    if config.markdown is not None:
        check_target(config.markdown, extensions=(".md",))
    from videolavit.evaluation.run import Evaluation, Plan

    plan = Plan(tasks=config.tasks or None, samples=config.samples, seed=config.seed, videos=config.videos)
    evaluation = Evaluation(_subject(config.model), plan, config.results)
    _measure_all(config, evaluation)
    _report(config, evaluation.report())
    return 1 if config.tasks and evaluation.skipped else 0


def _measure_all(config: Config, evaluation: Evaluation) -> None:
    end = math.inf if config.minutes is None else time.monotonic() + 60 * config.minutes
    todo = evaluation.pending() if config.minutes != 0 else []
    with (
        closing(_measured(config, evaluation.plan, todo)) as results,
        progress_bar(round(sum(chunk.cost for chunk in todo)), "", quiet=config.json) as bar,
    ):
        bar.bar_format = "{desc}: {percentage:3.0f} %|{bar}| {remaining} left"
        for measured in results:
            evaluation.add(measured)
            bar.set_description(measured.chunk.task, refresh=False)
            bar.update(measured.chunk.cost)
            if time.monotonic() > end:
                break


def _measured(config: Config, plan: Plan, chunks: Sequence[Chunk]) -> Generator[Measured, None, None]:
    jobs = [_Job(model=config.model, plan=plan, chunk=chunk) for chunk in chunks]
    for measured in for_each(_measure, jobs, workers=config.workers, died=_died):
        if isinstance(measured, _Job):
            raise OutputError(
                f"the process that measured {measured.chunk.task} was killed, for memory perhaps; "
                "the same command goes on from here, with fewer --workers if need be"
            )
        yield measured


def _measure(job: _Job) -> Measured | _Job:
    from videolavit.evaluation.run import measure

    return measure(_subject(job.model), job.plan, job.chunk)


def _died(job: _Job) -> Measured | _Job:
    return job


@cache
def _subject(options: ModelOptions) -> ModelSubject:
    """The model, opened once in each process."""
    from videolavit.evaluation.model_subject import ModelSubject

    return ModelSubject(open_model(options))


def _report(config: Config, report: Report) -> None:
    if config.markdown is not None:
        from videolavit.evaluation.page import results_page

        facts = {"command": f"`{_command(config)}`", "training": config.note or "not said (--note)"}
        with complete_or_absent(config.markdown) as page:
            page.write_text(results_page(report, facts), encoding="utf-8")
    if config.json:
        print_json(report.as_json())
    else:
        print(report.table())


def _command(config: Config) -> str:
    """What measures the same again; how many processes did it, and where results were kept, changes nothing."""
    words = ["videolavit", "evaluate", config.world, "--samples", str(config.samples), "--seed", str(config.seed)]
    words += ["--tasks", *config.tasks] if config.tasks else []
    words += ["--model", config.model.model] if config.model.model else []
    words += ["--videos", str(config.videos)] if config.videos else []
    return shlex.join(words)
