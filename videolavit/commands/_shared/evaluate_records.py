"""Subcommands of `videolavit evaluate`: list, merge, compare, table, agreement, export, submission."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.console import is_quiet, print_json, tell_written
from videolavit.commands._shared.model_options import ModelOptions
from videolavit.errors import ConfigError

if TYPE_CHECKING:
    from videolavit.evaluation.record import Record

__all__ = ["CONFIGS", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListConfig:
    """Options of `videolavit evaluate list`."""

    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeConfig:
    """Options of `videolavit evaluate merge`."""

    records: Annotated[tuple[Path, ...], Positional, arg(metavar="RECORD ...")]
    """Records of all parts of one run."""
    output: Annotated[Path, arg(metavar="RECORD.jsonl", aliases=("-o",))]
    """File of the whole record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareConfig:
    """Options of `videolavit evaluate compare`."""

    first: Annotated[Path, Positional]
    """Record of one model."""
    second: Annotated[Path, Positional]
    """Record of another one, of the same benchmark."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableConfig:
    """Options of `videolavit evaluate table`."""

    records: Annotated[tuple[Path, ...], Positional, arg(metavar="RECORD ...")]
    """Records of any benchmarks and models."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementConfig:
    """Options of `videolavit evaluate agreement`."""

    known: Annotated[Path, Positional]
    """JSON lines with question, truth, answer and right (true or false), or the reply of another judge."""
    judge: Annotated[str, arg(metavar="FOLDER|ADDRESS")]
    """Language model that is measured: a folder of transformers, or an OpenAI-compatible address."""
    judge_model: Annotated[str, arg(metavar="NAME")] = ""
    """Name of the model at that address."""
    judge_device: Annotated[str, arg(metavar="auto|cpu|cuda|cuda:1|...")] = "auto"
    """Device of a judge in a folder; auto is a GPU that CUDA or ROCm knows, else the CPU."""
    protocol: str = "video-qa"
    """Protocol of the judge: video-qa or mm-vet."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """Options of `videolavit evaluate export`."""

    suite: Annotated[Literal["vbench", "evalcrafter"], Positional]
    """Whose names and folders."""
    prompts: Annotated[Path, arg(metavar="FILE")]
    """VBench_full_info.json, or prompt700.txt."""
    output: Annotated[Path, arg(metavar="FOLDER", aliases=("-o",))]
    """Gets videos/ and seeds.json; videos that are there are kept."""
    dimensions: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ()
    """Only these dimensions of VBench."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Only the first videos."""
    seed: int = 0
    """Of the first video; each further one has the next."""
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionConfig:
    """Options of `videolavit evaluate submission`."""

    record: Annotated[Path, Positional]
    """Whole record of a benchmark that a server grades."""
    output: Annotated[Path, arg(metavar="FILE.json", aliases=("-o",))]
    """Gets the document that the server takes."""


CONFIGS: dict[str, Any] = {
    "list": ListConfig,
    "merge": MergeConfig,
    "compare": CompareConfig,
    "table": TableConfig,
    "agreement": AgreementConfig,
    "export": ExportConfig,
    "submission": SubmissionConfig,
}
"""Options by name of the subcommand."""


def run(config: Any) -> int:
    """Do what a subcommand says; returns the exit code."""
    actions = {ListConfig: _list, MergeConfig: _merge, CompareConfig: _compare, TableConfig: _table}
    actions |= {AgreementConfig: _agreement, ExportConfig: _export, SubmissionConfig: _submission}
    actions[type(config)](config)
    return 0


def _list(config: ListConfig) -> None:
    from videolavit.evaluation.benchmarks import describe_benchmarks

    found = describe_benchmarks()
    if config.json:
        print_json(found)
        return
    for one in found:
        print(f"{one['name']:16} {one['about']}")
        for file in one["files"]:
            print(f"{'':16}   {file['name']}: {file['holds']}; {file['source']}")


def _merge(config: MergeConfig) -> None:
    from videolavit.evaluation.record import merge_records, read_record, summarising_benchmarks, write_record
    from videolavit.evaluation.table import scores_text

    merged = merge_records({path: read_record(path) for path in config.records}, summarising_benchmarks)
    write_record(config.output, merged)
    print(scores_text(merged))


def _compare(config: CompareConfig) -> None:
    from dataclasses import asdict

    from videolavit.evaluation.compare import compare, comparison_table
    from videolavit.evaluation.record import read_record

    differences = compare(read_record(config.first), read_record(config.second))
    if config.json:
        print_json([_finite(asdict(one)) for one in differences])
    else:
        print(comparison_table(differences))


def _table(config: TableConfig) -> None:
    from videolavit.evaluation.table import table_json, table_markdown

    records = _read_all(config.records)
    if config.json:
        print_json(table_json(records))
    else:
        print(table_markdown(records))


def _agreement(config: AgreementConfig) -> None:
    from dataclasses import asdict

    from videolavit.evaluation.judges import open_judge
    from videolavit.evaluation.judges.agreement import agreement, read_known
    from videolavit.evaluation.judges.protocols import find_protocol

    judge = open_judge(config.judge, model=config.judge_model, device=config.judge_device)
    if judge is None:
        raise ConfigError("got --judge none, expected a folder or an address")
    found = agreement(judge, find_protocol(config.protocol), read_known(config.known))
    if config.json:
        print_json(_finite(asdict(found)) | {"judge": judge.identity()})
    else:
        print(f"{found.n} verdicts, {found.malformed} malformed, {found.missing} missing")
        print(f"agreement {100 * found.agreement:.1f} %, kappa {found.kappa:.3f}, scores {found.score_correlation:.3f}")


def _export(config: ExportConfig) -> None:
    from videolavit.commands._shared.console import progress_bar
    from videolavit.commands._shared.model_options import open_model
    from videolavit.evaluation.export import SUITES, export_videos
    from videolavit.evaluation.pipeline_adapter import PipelineAdapter

    videos = SUITES[config.suite](config.prompts, dimensions=config.dimensions, seed=config.seed)[: config.limit]
    model = open_model(config.model)
    fps = model.settings.video_processor.fps
    with progress_bar(len(videos), "video", quiet=is_quiet()) as bar:
        for _ in export_videos(PipelineAdapter(model), videos, config.output, fps=fps):
            bar.update()
    tell_written(f"{len(videos)} videos in {config.output / 'videos'}, seeds in {config.output / 'seeds.json'}")


def _submission(config: SubmissionConfig) -> None:
    import json

    from videolavit.evaluation.record import read_record, summarising_benchmarks
    from videolavit.video.io.write import complete_or_absent

    record = read_record(config.record)
    if record.part.total != 1:
        raise ConfigError(f"{config.record}: is one part of {record.part.total}; merge them first")
    benchmarks = summarising_benchmarks(record.header)
    if len(benchmarks) != 1:
        raise ConfigError(f"{config.record}: holds {len(benchmarks)} tasks; no server grades {record.header['name']}")
    [benchmark] = benchmarks
    outcomes = [one for one in record.outcomes[benchmark.name].values() if one is not None]
    submission = getattr(benchmark, "submission", None)
    document = None if submission is None else submission(outcomes)
    if document is None:
        raise ConfigError(f"{config.record}: no server grades {benchmark.name}")
    with complete_or_absent(config.output) as path:
        path.write_text(document if isinstance(document, str) else json.dumps(document) + "\n", encoding="utf-8")
    tell_written(f"answers to {len(outcomes)} questions in {config.output}")


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON does not have, such as the ends of an interval of one group."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_all(paths: tuple[Path, ...]) -> dict[str, Record]:
    from videolavit.evaluation.record import read_record

    return {str(path): read_record(path) for path in paths}
