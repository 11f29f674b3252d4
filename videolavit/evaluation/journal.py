"""Outcomes of single samples, kept in a file as they come: a run that was killed goes on where it was.

One line of JSON for each sample, written in one piece behind the others. Lines of another model, or of other settings,
may stand in the same file; they are kept and not counted. Feature vectors lie beside it, one file for each sample.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.errors import OutputError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import cut_off, half_line

__all__ = ["Journal", "Stored", "load_arrays", "outcome_from_json", "outcome_to_json", "save_arrays"]

_BEGINNING = '{"task": '
"""Of every line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Result of one sample."""

    outcome: Outcome | None
    """None for a sample that could not be used."""
    seconds: float
    """Seconds that it took, on average over its batch."""


class Journal:
    """Outcomes by task and number of the sample, in memory and, if there is a path, in a file.

    Raises:
        OutputError: the file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path | None, identities: Mapping[str, str], arrays: Path | None = None) -> None:
        """Read what is there.

        Args:
            path: of the file.
            identities: for each task what model and settings it is done with.
            arrays: folder for feature vectors.
        """
        self._path, self._identities, self._arrays = path, identities, arrays
        self._found: dict[str, dict[int, Stored]] = {task: {} for task in identities}
        if path is not None and path.exists():
            self._read(path)

    def of(self, task: str) -> dict[int, Stored]:
        """Everything there is of a task, by number of the sample."""
        return self._found[task]

    def add(self, task: str, numbers: Sequence[int], outcomes: Sequence[Outcome | None], seconds: float) -> None:
        """Keep what a batch gave, which took `seconds`."""
        each = round(seconds / len(numbers), 4)
        for number, outcome in zip(numbers, outcomes, strict=True):
            if outcome is not None and outcome.arrays and self._arrays is not None:
                save_arrays(self._arrays, task, number, outcome.arrays)
                outcome = replace(outcome, arrays=load_arrays(self._arrays, task, number))
            self._found[task][number] = Stored(outcome=outcome, seconds=each)
        if self._path is not None:
            self._append(self._path, task, numbers)

    def put(self, task: str, number: int, outcome: Outcome | None, seconds: float | None = None) -> None:
        """Take an outcome from elsewhere, without writing it; one in the place of another keeps its seconds."""
        if seconds is None:
            before = self._found[task].get(number)
            seconds = before.seconds if before else 0.0
        self._found[task][number] = Stored(outcome=outcome, seconds=seconds)

    def _append(self, path: Path, task: str, numbers: Sequence[int]) -> None:
        lines = [
            {"task": task, "number": number, "identity": self._identities[task], "seconds": stored.seconds}
            | outcome_to_json(stored.outcome)
            for number in numbers
            for stored in [self._found[task][number]]
        ]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            raise OutputError(f"{path}: results cannot be written: {error}") from error

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise OutputError(f"{path}: results cannot be read: {error}") from error
        half = half_line(text, _BEGINNING)
        for number, line in enumerate(text.removesuffix(half).splitlines(), start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise OutputError(
                    f"{path}, line {number}: is no result of an evaluation ({error}); choose another file"
                ) from error
        if half:  # killed in the middle of a line: that sample is measured again
            cut_off(path, half)

    def _take(self, values: dict[str, Any]) -> None:
        task, number = values["task"], values["number"]
        if self._identities.get(task) != values["identity"]:
            return
        outcome = outcome_from_json(values)
        if outcome is not None and values.get("arrays"):
            if self._arrays is None or not array_file(self._arrays, task, number).is_file():
                return  # killed between the two files, or the folder was moved: the sample is measured again
            outcome = outcome_from_json(values, load_arrays(self._arrays, task, number))
        self._found[task][number] = Stored(outcome=outcome, seconds=values["seconds"])


def outcome_to_json(outcome: Outcome | None) -> dict[str, Any]:
    """Keys of a line; what is empty is left out."""
    if outcome is None:
        return {"result": None}
    line: dict[str, Any] = {"id": outcome.id, "result": dict(outcome.values)}
    optional = {"group": outcome.group, "said": dict(outcome.said), "failure": outcome.failure}
    optional["arrays"] = sorted(outcome.arrays)
    return line | {name: value for name, value in optional.items() if value}


def outcome_from_json(line: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> Outcome | None:
    """An outcome of a line that `outcome_to_json` made."""
    if line["result"] is None:
        return None
    return Outcome(
        id=line.get("id", ""),
        values=line["result"],
        group=line.get("group", ""),
        said=line.get("said", {}),
        failure=line.get("failure", ""),
        arrays=arrays or {},
    )


def array_file(folder: Path, task: str, number: int) -> Path:
    """Place of the feature vectors of one sample."""
    return folder / task.replace("/", "_") / f"{number:08d}.npz"


def save_arrays(folder: Path, task: str, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the feature vectors of one sample, whole or not at all."""
    path = array_file(folder, task, number)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez(beside, allow_pickle=False, **dict(arrays))
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: feature vectors cannot be written: {error}") from error


def load_arrays(folder: Path, task: str, number: int) -> Mapping[str, np.ndarray]:
    """Feature vectors of one sample, which stay in their file until they are asked for.

    Raises:
        OutputError: there are none, or the file is damaged.
    """
    return _StoredArrays(array_file(folder, task, number))


class _StoredArrays(Mapping[str, np.ndarray]):
    """Arrays of a file by name, read at each access, so that any number of samples takes no memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: tuple[str, ...] = self._read(lambda found: tuple(found.files))

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._read(lambda found: found[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _read(self, take: Callable[[Any], Any]) -> Any:
        try:
            with np.load(self._path, allow_pickle=False) as found:
                return take(found)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise OutputError(
                f"{self._path}: feature vectors cannot be read: {error}; delete it and start again"
            ) from error
