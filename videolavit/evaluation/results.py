"""Results of single samples, kept in a file as they come: a run that was killed goes on where it was.

One line of JSON for each sample. Lines of another model, or of other scenes, may stand in the same file; they are kept
and not counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videolavit.errors import OutputError
from videolavit.evaluation.tasks import Result

__all__ = ["Results", "StoredResult"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResult:
    """What one sample gave."""

    result: Result | None
    """None for a sample that could not be used."""
    seconds: float
    """That it took, on average over its batch."""


class Results:
    """Results by task and number of the sample, in memory and, if there is a path, in a file.

    Raises:
        OutputError: the file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path | None, identities: dict[str, str]) -> None:
        self._path, self._identities = path, identities
        self._found: dict[str, dict[int, StoredResult]] = {task: {} for task in identities}
        if path is not None and path.exists():
            self._read(path)

    def of(self, task: str) -> dict[int, StoredResult]:
        """Everything there is of a task, by number of the sample."""
        return self._found[task]

    def add(self, task: str, numbers: Sequence[int], results: Sequence[Result | None], seconds: float) -> None:
        """Keep what a batch gave, which took `seconds`."""
        each = round(seconds / len(numbers), 4)
        for number, result in zip(numbers, results, strict=True):
            self._found[task][number] = StoredResult(result=result, seconds=each)
        if self._path is not None:
            self._append(self._path, task, numbers)

    def _append(self, path: Path, task: str, numbers: Sequence[int]) -> None:
        lines = [
            {"task": task, "number": number, "identity": self._identities[task], "seconds": stored.seconds}
            | {"result": stored.result}
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
        if text and not text.endswith("\n"):  # killed in the middle of a line: that sample is measured again
            text = text[: text.rfind("\n") + 1]
            path.write_text(text, encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise OutputError(
                    f"{path}, line {number}: is no result of an evaluation ({error}); choose another file"
                ) from error

    def _take(self, values: dict[str, Any]) -> None:
        task = values["task"]
        if self._identities.get(task) == values["identity"]:
            stored = StoredResult(result=values["result"], seconds=values["seconds"])
            self._found[task][values["number"]] = stored
