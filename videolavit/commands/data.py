"""Look after prepared data.

  videolavit data verify FOLDER ...        read every byte, and name what is damaged
  videolavit data stats FOLDER ...         count videos, ids, words and bytes
  videolavit data merge FOLDER ... -o NEW  token shards of several folders in one, as links where the disk has them

`verify` exits with 1 if a shard is damaged. `merge` refuses folders of different tokenizers, by their digests, and may
be run again after a folder has grown.

examples:
  videolavit data verify data/tokens
  videolavit data stats data/train data/tokens --json
  videolavit data merge data/tokens_a data/tokens_b -o data/tokens
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, arg, subcommand

from videolavit.commands._shared.console import print_json, printable, tell_written
from videolavit.errors import ConfigError

__all__ = ["Config", "run"]

Folders = Annotated[tuple[Path, ...], Positional]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verify:
    """Read every byte of every shard, and name what is damaged."""

    folders: Folders
    """Folders of shards, token shards or both."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Numbers of shards, videos, ids and words, and bytes on disk."""

    folders: Folders
    """Folders of shards, token shards or both."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Token shards of several folders in one."""

    folders: Folders
    """Folders of token shards of the same tokenizers."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for them all."""


Task = (
    Annotated[Verify, subcommand("verify")]
    | Annotated[Stats, subcommand("stats")]
    | Annotated[Merge, subcommand("merge")]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit data`."""

    task: Annotated[Task, OmitArgPrefixes, OmitSubcommandPrefixes]


def run(config: Config) -> int:
    """Do the task, report, and return the exit code."""
    if not config.task.folders:
        raise ConfigError("name at least one folder of shards; videolavit data --help shows examples")
    match config.task:
        case Verify() as task:
            return _verify(task)
        case Stats() as task:
            return _stats(task)
        case Merge() as task:
            return _merge(task)


def _verify(task: Verify) -> int:
    from videolavit.data.folder_report import verify_folder

    damaged: list[dict[str, str]] = []
    checked = 0
    for folder in task.folders:
        for name, problem in verify_folder(folder):
            checked += 1
            if problem:
                damaged.append({"folder": str(folder), "shard": name, "problem": problem})
    if task.json:
        print_json({"checked": checked, "damaged": damaged})
    else:
        for found in damaged:
            print(printable(f"damaged: {found['problem']}"))
        print(f"{checked} shards checked, {len(damaged)} damaged")
    return 1 if damaged else 0


def _stats(task: Stats) -> int:
    from videolavit.data.folder_report import folder_stats

    found = {str(folder): folder_stats(folder) for folder in task.folders}
    if task.json:
        print_json(found)
        return 0
    for folder, numbers in found.items():
        print(printable(f"{folder}:"))
        for name, number in numbers.items():
            print(f"  {name.replace('_', ' '):22} {number:>15,}")
    return 0


def _merge(task: Merge) -> int:
    from videolavit.data.folder_report import merge_folders

    tell_written(f"{task.output}: {merge_folders(task.folders, task.output)} videos")
    return 0
