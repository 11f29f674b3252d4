"""MMBench: multiple choice in 20 abilities, asked once for each rotation of the options.

A question is right only if all rotations are (`circular`, which costs 10 to 20 points against `single`). A letter is
read by MMBench's rule; its authors send what the rule cannot read to a language model and then guess at random. Here an
unreadable answer is wrong and counted. For the test split the record's submission goes to the authors' server.

The rotations are made here, whether the file has rows for them or not. Where it has, as those of the first release do,
the server wants an answer to each of these rows: the submission holds that of the pass with the same options.
"""

from __future__ import annotations

import base64
import binascii
import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.choice_prompts import CHOICE, choice_prompt
from videolavit.evaluation.files import DataFile, file_sha256
from videolavit.evaluation.metrics.choices import LETTERS, mmbench_letter, rotations
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark

__all__ = ["MmBench"]

_SOURCE = "the MMBench repository of open-compass"
_REPEATED = 1_000_000
"""Rows of the first release from this index on are rotations of others."""
_TEST_COUNT = 1_784
"""Questions of the test split, whose file has no answers."""
_LARGEST_CELL = 2**27
"""Characters of an image in base64."""


class MmBench(QuestionBenchmark):
    """MMBench; see the text of this module."""

    name = "mmbench"
    about = "multiple choice in 20 abilities, options rotated"
    prompt = f"{{hint}}\n{CHOICE}"
    scorer = "MMBench's rule without a language model"
    files = (DataFile(name="*.tsv", holds="1 164 questions of dev or 1 784 of test with their images", source=_SOURCE),)
    variants = ("circular", "single")
    official_count = 1_164

    def check(self) -> None:
        self._table()
        _ = self.questions

    def read(self, data: Path) -> list[Question]:
        path = self._table()
        passes: dict[int, list[dict[str, str]]] = defaultdict(list)
        for row in _rows(path):
            passes[int(row["index"]) % _REPEATED].append(row)
        rows = [row for every in passes.values() for row in every if int(row["index"]) < _REPEATED]
        by_index = {row["index"]: row for row in rows}
        return [self._question(row, passes[int(row["index"])], by_index, path) for row in rows]

    def settings(self) -> dict[str, Any]:
        count = self.official_count if any(one.truth for one in self.questions) else _TEST_COUNT
        return {**super().settings(), "file": self._table().name, "official_count": count}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        path = self._table()
        return {path.name: file_sha256(path)}

    def _table(self) -> Path:
        data = self._data()
        found = sorted(data.glob("*.tsv")) + sorted(data.glob("*/*.tsv"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise ConfigError(
                f"{self.name}: expected one TSV file in {data} (such as mmbench_dev_20230712.tsv), found {names}; "
                f"its authors offer them in {_SOURCE}"
            )
        return found[0]

    def _question(
        self,
        row: Mapping[str, str],
        passes: Sequence[Mapping[str, str]],
        by_index: Mapping[str, Mapping[str, str]],
        path: Path,
    ) -> Question:
        options = _options(row)
        orders = rotations(options) if self.variant == "circular" else rotations(options)[:1]
        hint, truth = row.get("hint", ""), row.get("answer") or None
        if truth is not None and truth not in list(LETTERS[: len(options)]):
            raise ConfigError(
                f"{path}: question {row['index']} has the answer {truth!r}, expected the letter of one of its "
                f"{len(options)} options"
            )
        return Question(
            id=row["index"],
            prompts=tuple(choice_prompt(row["question"], [text for text, _ in order], before=hint) for order in orders),
            image=_image(row, by_index, path),
            truth=truth,
            facts={"category": row.get("category", ""), "rows": _rows_of_passes(passes, orders)},
            options=tuple(options),
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        if question.truth is None:
            return {}
        orders = rotations(question.options)[: len(answers)]
        letters = [
            mmbench_letter(answer, dict(zip(LETTERS, [text for text, _ in order], strict=False)))
            for answer, order in zip(answers, orders, strict=True)
        ]
        wanted = LETTERS.index(question.truth)
        hits = [
            letter is not None and order[LETTERS.index(letter)][1] == wanted
            for letter, order in zip(letters, orders, strict=True)
        ]
        category = {f"accuracy, {question.facts['category']}": all(hits)} if question.facts["category"] else {}
        return {
            "accuracy": all(hits),
            "accuracy, first pass": hits[0],
            "unreadable": [letter is None for letter in letters],
            **category,
        }

    def submission(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """An answer for each row of the file whose options were asked; the server takes them as a spreadsheet."""
        return [
            {"index": index, "prediction": _answers(one)[place]}
            for one in outcomes
            for index, place in one.said.get("rows", [[int(one.id), 0]])
        ]


def _rows(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(_LARGEST_CELL)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except csv.Error as error:
        raise ConfigError(f"{path}: is no table with tabs between its columns ({error}); download it again") from error
    wanted = {"index", "question", "A", "B", "image"}
    if not rows or wanted - set(rows[0]):
        raise ConfigError(
            f"{path}: expected columns {', '.join(sorted(wanted))}, found {', '.join(rows[0] if rows else [])}"
        )
    if cut := [row["index"] for row in rows if None in row.values()]:
        raise ConfigError(f"{path}: the row of question {cut[0]} ends too early; download the file again")
    if strange := [row["index"] for row in rows if not row["index"].isdecimal()]:
        raise ConfigError(f"{path}: got the index {strange[0][:40]!r}, expected whole numbers; download the file again")
    return rows


def _image(row: Mapping[str, str], by_index: Mapping[str, Mapping[str, str]], path: Path) -> bytes:
    """Bytes of an image file; a number in place of an image names the row that has it."""
    cell = row["image"]
    if cell in by_index and len(cell) < 16:
        cell = by_index[cell]["image"]
    try:
        return base64.b64decode(cell, validate=True)
    except binascii.Error as error:
        raise ConfigError(f"{path}: the image of question {row['index']} is no base64: {error}") from error


def _options(row: Mapping[str, str]) -> list[str]:
    return [row[letter] for letter in "ABCD" if row.get(letter)]


def _rows_of_passes(rows: Sequence[Mapping[str, str]], orders: Sequence[Sequence[tuple[str, int]]]) -> list[list[int]]:
    """Index of each row that shows a question, and the number of the pass with its options in the same order."""
    asked = [[text for text, _ in order] for order in orders]
    return [[int(row["index"]), asked.index(_options(row))] for row in rows if _options(row) in asked]


def _answers(outcome: Outcome) -> Sequence[str]:
    said = outcome.said["answer"]
    return [said] if isinstance(said, str) else said
