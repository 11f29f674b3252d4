"""Subcommands of `videolavit evaluate` that need no model: list, merge, compare, table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from videolavit.commands._shared.console import print_json
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
    """Where the whole record is written."""


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
    protocol: str = "video-qa"
    """What the judge is asked: video-qa or mm-vet."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


CONFIGS: dict[str, Any] = {
    "list": ListConfig,
    "merge": MergeConfig,
    "compare": CompareConfig,
    "table": TableConfig,
    "agreement": AgreementConfig,
}
"""Options by name of the subcommand."""


def run(config: Any) -> int:
    """Do what a subcommand says; returns the exit code."""
    actions = {ListConfig: _list, MergeConfig: _merge, CompareConfig: _compare, TableConfig: _table}
    actions |= {AgreementConfig: _agreement}
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
        print_json([asdict(one) for one in differences])
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

    judge = open_judge(config.judge, model=config.judge_model)
    if judge is None:
        raise ConfigError("got --judge none, expected a folder or an address")
    found = agreement(judge, find_protocol(config.protocol), read_known(config.known))
    if config.json:
        print_json(asdict(found) | {"judge": judge.identity()})
    else:
        print(f"{found.n} verdicts, {found.malformed} malformed, {found.missing} missing")
        print(f"agreement {100 * found.agreement:.1f} %, kappa {found.kappa:.3f}, scores {found.score_correlation:.3f}")


def _read_all(paths: tuple[Path, ...]) -> dict[str, Record]:
    from videolavit.evaluation.record import read_record

    return {str(path): read_record(path) for path in paths}
