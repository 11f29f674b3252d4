"""Measure how well a model does what it should, with 95 % intervals.

videolavit evaluate NAME ...            run a benchmark; every outcome is kept as it comes, and the
                                        same command goes on where it was stopped
videolavit evaluate list                names of all benchmarks, and the files that they need
videolavit evaluate merge PARTS -o FILE one record of several --part runs
videolavit evaluate compare A B         two records, sample by sample
videolavit evaluate table RECORDS       records beside the published values
videolavit evaluate agreement VERDICTS  a judge against verdicts that are known
videolavit evaluate submission RECORD   the answers of a record as the server of a benchmark takes them
videolavit evaluate export SUITE        videos for an outside suite: vbench or evalcrafter

`shapes` is the world of moving shapes (docs/shapes.md), rendered from seeds that training never
draws, with a judge that reads pixels. Tasks need only their own parts: what a model in the making
cannot do yet is named and left out. The others read the official files of their authors, as they
are unpacked, from --data (docs/evaluation.md). `long` looks for one odd clip among 8 to 512 of them.

tasks of shapes:
  motion_tokenizer  autoencoder  visual_tokenizer  ids_per_second  reconstructed_keyframes
  video_detokenizer  image_questions  video_questions  order  motion_ids  text_to_image
  text_to_video  text_to_video_unseen  image_to_video  borders
and, of the world with two objects, growth and photographic grounds:
  extended_visual_tokenizer  extended_reconstructed_keyframes  extended_video_questions
  extended_text_to_video
and, with --data FOLDER of real videos: real_videos

examples:
  videolavit evaluate shapes
  videolavit evaluate shapes --limit 20 --tasks motion_tokenizer ids_per_second
  videolavit evaluate shapes --model runs/tiny/model --workers 2 --markdown docs/results.md
  videolavit evaluate gqa --data gqa -o gqa.jsonl
  videolavit evaluate gqa --data gqa --part 1/4 -o gqa-1.jsonl
"""

from __future__ import annotations

import math
import shlex
import shutil
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared import evaluate_records
from videolavit.commands._shared.console import is_quiet, print_json, progress_bar
from videolavit.commands._shared.few_remarks import few_remarks
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_target
from videolavit.errors import ConfigError, OutputError
from videolavit.evaluation.judges import open_judge
from videolavit.jobs.pool import for_each
from videolavit.video.io.write import complete_or_absent

if TYPE_CHECKING:
    from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions
    from videolavit.evaluation.evaluation_report import Report
    from videolavit.evaluation.judges.interface import Judge
    from videolavit.evaluation.pipeline_adapter import PipelineAdapter
    from videolavit.evaluation.runner import Chunk, Measured, Runner

__all__ = ["Config", "parse", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit evaluate NAME`."""

    name: Annotated[str, Positional]
    """Benchmark; `videolavit evaluate list` names them."""
    data: Annotated[Path | None, arg(metavar="FOLDER", aliases=("--videos",))] = None
    """Official files of the benchmark; of shapes real videos, for one more task; of things the file of images."""
    limit: Annotated[int | None, arg(metavar="N", aliases=("--samples",))] = None
    """Only so many samples of each task; by default all, or 500 of a rendered world."""
    tasks: Annotated[tuple[str, ...], arg(metavar="TASK ...")] = ()
    """Tasks of a set; all of them if none is named."""
    part: Annotated[str, arg(metavar="I/N")] = "1/1"
    """Only this share of the samples, to be merged with the others."""
    variant: Annotated[str | None, arg(metavar="NAME")] = None
    """Way in which the benchmark is done, such as `single` of mmbench or `sgv16` of msrvtt."""
    networks: Annotated[tuple[str, ...], arg(metavar="NAME=FILE ...")] = ()
    """Feature networks, such as i3d=i3d_torchscript.pt."""
    features: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder for feature vectors of real videos and images, for the next model; by default none are kept."""
    seed: int = 0
    """Another one gives other scenes, captions, and other random numbers of the model."""
    judge: Annotated[str, arg(metavar="none|FOLDER|ADDRESS")] = "none"
    """Language model that grades answers: a folder of transformers, or an OpenAI-compatible address."""
    judge_model: Annotated[str, arg(metavar="NAME")] = ""
    """Name of the model at that address."""
    judge_device: Annotated[str, arg(metavar="auto|cpu|cuda|cuda:1|...")] = "auto"
    """Device of a judge in a folder; auto is a GPU that CUDA or ROCm knows, else the CPU."""
    verdicts: Annotated[Path | None, arg(metavar="FILE")] = None
    """File of verdicts that are kept and found again; by default beside the record."""
    output: Annotated[Path | None, arg(metavar="RECORD.jsonl", aliases=("-o",))] = None
    """File for the record when all is measured."""
    results: Annotated[Path | None, arg(metavar="FILE")] = None
    """File of outcomes that are kept as they come, and found again; by default beside the record, or without one
    runs/evaluation.jsonl, which is told."""
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
    """Work of one process at a time."""

    model: ModelOptions
    name: str
    options: BenchmarkOptions
    chunk: Chunk


def parse(arguments: Sequence[str]) -> object:
    """Options of a subcommand, or of a benchmark."""
    import tyro

    chosen = evaluate_records.CONFIGS.get(arguments[0]) if arguments else None
    markers = (tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalMetavarFromFieldName)
    words = list(arguments[1:] if chosen else arguments)
    program = "videolavit evaluate" + (f" {arguments[0]}" if chosen else "")
    return tyro.cli(chosen or Config, prog=program, description="", args=words, config=markers)


def run(config: Any) -> int:
    """Measure, report, and return the exit code: 1 if a task that was named could not be done."""
    if not isinstance(config, Config):
        return evaluate_records.run(config)
    _check(config)
    runner = _runner(config)
    judge = open_judge(config.judge, model=config.judge_model, device=config.judge_device)
    if config.output is None and config.results is None and not is_quiet():
        print(f"videolavit: outcomes are kept in {_results(config)}; -o or --results names a file", file=sys.stderr)
    is_complete = config.output is not None and config.output.exists() and not runner.pending()
    _measure_all(config, runner)
    if judge is not None or not is_complete:  # else the record stays as it is, with what a judge said
        _grade(config, runner, judge)
        _write_record(config, runner, judge)
    _report(config, runner)
    _remove_outcomes(config, runner)
    return 1 if runner.skipped and (config.tasks or not runner.benchmarks) else 0


def _check(config: Config) -> None:
    if config.workers < 1:
        raise ConfigError(f"got --workers {config.workers}, expected at least 1")
    if config.minutes is not None and config.minutes < 0:
        raise ConfigError(f"got --minutes {config.minutes}, expected at least 0")
    if config.limit is not None and config.limit < 1:
        raise ConfigError(f"got --limit {config.limit}, expected at least 1")
    if config.markdown is not None:
        check_target(config.markdown, extensions=(".md",))
    if config.output is not None:
        check_target(config.output, extensions=(".jsonl",))


def _runner(config: Config) -> Runner:
    from videolavit.evaluation.record import known_outcomes
    from videolavit.evaluation.runner import Part, Runner

    benchmarks = _chosen(config)
    runner = Runner(_adapter(config.model), benchmarks, path=_results(config), part=Part.parse(config.part))
    if not runner.benchmarks and len(runner.skipped) == 1 and not config.tasks:
        [reason] = runner.skipped.values()
        raise ConfigError(reason)
    if config.output is not None and config.output.exists():
        for found in known_outcomes(config.output, runner):
            runner.journal.put(*found)
    return runner


def _chosen(config: Config) -> list[Benchmark]:
    from videolavit.evaluation.tasks import choose_tasks

    benchmarks = _benchmarks(config.name, _options(config))
    needs_videos = "real_videos" in config.tasks and config.data is None
    return choose_tasks(benchmarks, config.tasks, hint="; real_videos needs a folder of videos" * needs_videos)


def _options(config: Config) -> BenchmarkOptions:
    from videolavit.evaluation.benchmark import BenchmarkOptions

    networks = dict(_named_file(text) for text in config.networks)
    return BenchmarkOptions(
        data=config.data,
        limit=config.limit,
        seed=config.seed,
        variant=config.variant,
        networks=tuple(sorted(networks.items())),
        device=config.model.device,
        features=config.features,
    )


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals or not Path(file).exists():
        raise ConfigError(f"got --networks {text}, expected NAME=FILE with a file or folder that exists")
    return name, Path(file)


def _results(config: Config) -> Path:
    """File of outcomes: the one that was named, one beside the record, or that of all evaluations without a record."""
    if config.results is not None:
        return config.results
    if config.output is not None:
        return config.output.with_name(f"{config.output.stem}.outcomes.jsonl")
    return Path("runs/evaluation.jsonl")


def _measure_all(config: Config, runner: Runner) -> None:
    end = math.inf if config.minutes is None else time.monotonic() + 60 * config.minutes
    todo = runner.pending() if config.minutes != 0 else []
    with (
        closing(_measured(config, todo)) as results,
        progress_bar(round(sum(chunk.cost for chunk in todo)), "", quiet=config.json) as bar,
    ):
        bar.bar_format = "{desc}: {percentage:3.0f} %|{bar}| {remaining} left"
        for measured in results:
            runner.add(measured)
            bar.set_description(measured.chunk.task, refresh=False)
            bar.update(measured.chunk.cost)
            if time.monotonic() > end:
                break


def _measured(config: Config, chunks: Sequence[Chunk]) -> Generator[Measured, None, None]:
    options = _options(config)
    jobs = [_Job(model=config.model, name=config.name, options=options, chunk=chunk) for chunk in chunks]
    for measured in for_each(_measure, jobs, workers=config.workers, died=_died):
        if isinstance(measured, _Job):
            raise OutputError(
                f"the process that measured {measured.chunk.task} was killed, for memory perhaps; "
                "the same command goes on from here, with fewer --workers if need be"
            )
        yield measured


def _measure(job: _Job) -> Measured | _Job:
    from videolavit.evaluation.runner import measure

    with few_remarks():
        return measure(_adapter(job.model), _benchmarks(job.name, job.options), job.chunk)


def _died(job: _Job) -> Measured | _Job:
    return job


@cache
def _adapter(options: ModelOptions) -> PipelineAdapter:
    """The model, opened once in each process."""
    from videolavit.evaluation.pipeline_adapter import PipelineAdapter

    return PipelineAdapter(open_model(options))


@cache
def _benchmarks(name: str, options: BenchmarkOptions) -> list[Benchmark]:
    """Benchmarks, read once in each process."""
    from videolavit.evaluation.benchmarks import make_benchmarks

    return make_benchmarks(name, options)


def _grade(config: Config, runner: Runner, judge: Judge | None) -> None:
    """Let the judge grade what is there, of benchmarks that are graded."""
    from videolavit.evaluation.judges.grading import Verdicts, grade, without_grades
    from videolavit.evaluation.judges.protocols import find_protocol

    for name, benchmark in runner.benchmarks.items():
        protocol = getattr(benchmark, "judged", "")
        if not protocol:
            continue
        outcomes = {number: without_grades(one) for number, one in runner.outcomes(name).items()}
        if judge is not None:
            verdicts = Verdicts(config.verdicts or _results(config).with_name(f"{_results(config).name}.verdicts"))
            with progress_bar(len(outcomes), "verdict", quiet=config.json, description="judge") as bar:
                outcomes = grade(outcomes, judge, find_protocol(protocol), verdicts, progress=bar.update)
        for number, outcome in outcomes.items():
            runner.journal.put(name, number, outcome)


def _write_record(config: Config, runner: Runner, judge: Judge | None) -> None:
    if config.output is None:
        return
    if left := sum(len(chunk.numbers) for chunk in runner.pending()):
        if not is_quiet():
            print(f"videolavit: no record yet: {left} samples are still to be measured", file=sys.stderr)
        return
    from videolavit.config import to_dict
    from videolavit.evaluation.judges.grading import judge_facts
    from videolavit.evaluation.judges.protocols import find_protocol
    from videolavit.evaluation.record import record_of, write_record

    protocols = {getattr(one, "judged", "") for one in runner.benchmarks.values()} - {""}
    facts = None if judge is None else judge_facts(judge, [find_protocol(name) for name in sorted(protocols)])
    settings = to_dict(_adapter(config.model).model.settings)
    record = record_of(runner, config.name, model=config.model.model or "shipped", settings=settings, judge=facts)
    write_record(config.output, record)


def _remove_outcomes(config: Config, runner: Runner) -> None:
    """Remove outcomes that the record holds, and their vectors beside it; a file named with --results stays."""
    from videolavit.evaluation.runner import features_folder

    if config.output is None or config.results is not None or runner.pending():
        return
    results = _results(config)
    results.unlink(missing_ok=True)
    vectors = features_folder(results)
    if vectors.name == f"{config.output.stem}.outcomes.features":
        shutil.rmtree(vectors, ignore_errors=True)


def _report(config: Config, runner: Runner) -> None:
    from videolavit.evaluation.evaluation_report import report

    found = report(runner, samples=_wanted(runner), seed=config.seed)
    if config.markdown is not None:
        _write_page(config, config.markdown, found)
    if config.json:
        print_json(found.as_json())
    else:
        print(found.table())


def _wanted(runner: Runner) -> int:
    """Samples of the largest task."""
    return max((benchmark.count() for benchmark in runner.benchmarks.values()), default=0)


def _write_page(config: Config, path: Path, found: Report) -> None:
    from videolavit.evaluation.page import results_page

    facts = {"command": f"`{_command(config)}`", "training": config.note or "not said (--note)"}
    with complete_or_absent(path) as page:
        page.write_text(results_page(found, facts, config.name), encoding="utf-8")


def _command(config: Config) -> str:
    """Command that measures the same again; the number of processes and the places of results change nothing."""
    words = ["videolavit", "evaluate", config.name]
    words += ["--limit", str(config.limit)] if config.limit is not None else []
    words += ["--seed", str(config.seed)]
    words += ["--tasks", *config.tasks] if config.tasks else []
    words += ["--model", config.model.model] if config.model.model else []
    words += ["--revision", config.model.revision] if config.model.revision else []
    words += ["--quantize", config.model.quantize] if config.model.quantize else []
    words += ["--data", str(config.data)] if config.data else []
    words += ["--variant", config.variant] if config.variant else []
    words += ["--networks", *config.networks] if config.networks else []
    return shlex.join(words)
