"""MME: yes-or-no questions, two about each image, in 14 subtasks (perception at most 2 000, cognition at most 800)."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.benchmarks.vqav2 import SHORT_ANSWER
from videolavit.evaluation.files import DataFile, file_sha256, found_file
from videolavit.evaluation.metrics.yes_no import COGNITION, PERCEPTION, yes_or_no
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark
from videolavit.evaluation.statistics import Bootstrap, Estimate

__all__ = ["Mme"]

_SUFFIX = "Please answer yes or no."
_IMAGES = (".jpg", ".png", ".jpeg")
_SOURCE = "the MME page of its authors, on request (BradyFU/Awesome-Multimodal-Large-Language-Models)"


class Mme(QuestionBenchmark):
    """MME; see the text of this module. MME's own suffix is replaced by the request for a short answer, as in LLaVA."""

    name = "mme"
    about = "yes-or-no questions on perception and cognition"
    prompt = SHORT_ANSWER
    scorer = "MME's script: the whole answer or its first four letters"
    files = tuple(
        DataFile(name=name, holds="images, and for each a text file of two questions", source=_SOURCE, optional=True)
        for name in (*PERCEPTION, *COGNITION)
    )
    official_count = 2_374

    def check(self) -> None:
        if not any(found_file(self._data(), file, self.name) for file in self.files):
            raise ConfigError(
                f"{self.name}: {self._data()} holds none of the folders {', '.join(PERCEPTION + COGNITION)}; "
                f"its authors offer them at {_SOURCE}"
            )
        super().check()

    def read(self, data: Path) -> list[Question]:
        folders = {file.name: found_file(data, file, self.name) for file in self.files}
        return [one for name, folder in folders.items() if folder is not None for one in self._subtask(name, folder)]

    def settings(self) -> dict[str, Any]:
        found = [file.name for file in self.files if found_file(self._data(), file, self.name)]
        return {**super().settings(), "subtasks": found, "questions": len(self.questions)}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """Of the questions and answers of each subtask, which stand in a file for each image."""
        folders = {file.name: found_file(self._data(), file, self.name) for file in self.files}
        return {name: _texts_sha256(folder) for name, folder in folders.items() if folder is not None}

    def _subtask(self, name: str, folder: Path) -> list[Question]:
        images = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _IMAGES}
        texts = sorted(folder.rglob("*.txt"))
        if missing := [path for path in texts if path.stem not in images]:
            raise ConfigError(f"{missing[0]}: has no image beside it; unpack {name} again")
        return [one for path in texts for one in self._pair(name, path, images[path.stem])]

    def _pair(self, name: str, path: Path, image: Path) -> list[Question]:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        rows = [line.split("\t") for line in lines]
        if len(rows) != 2 or any(len(row) != 2 or row[1].strip().lower() not in ("yes", "no") for row in rows):
            raise ConfigError(f"{path}: expected two lines, each a question, a tab, and Yes or No")
        return [
            Question(
                id=f"{name}/{path.stem}/{place}",
                prompts=(self.prompt.format(question=text.replace(_SUFFIX, "").strip()),),
                image=image,
                group=f"{name}/{path.stem}",
                truth=answer.strip().lower(),
                facts={"subtask": name},
            )
            for place, (text, answer) in enumerate(rows)
        ]

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        said = yes_or_no(answers[0])
        return {"accuracy": said == question.truth, "neither yes nor no": said is None}

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        """Sums of perception and cognition first, as far as their subtasks are there; then each subtask, and counts."""
        bootstrap, found = Bootstrap([one.group for one in outcomes]), {}
        scores = {name: _score(outcomes, name, bootstrap) for name in dict.fromkeys(map(_subtask_of, outcomes))}
        for name, members in (("perception", PERCEPTION), ("cognition", COGNITION)):
            parts = [scores[member] for member in members if member in scores]
            if parts:
                value, drawn = sum(one for one, _ in parts), np.sum([drawn for _, drawn in parts], axis=0)
                count = sum(_subtask_of(one) in members for one in outcomes)
                found[name] = bootstrap.estimate(value, drawn, count=count, is_share=False)
        for name, (value, drawn) in scores.items():
            count = sum(_subtask_of(one) == name for one in outcomes)
            found[name] = bootstrap.estimate(value, drawn, count=count, is_share=False)
        for name in ("accuracy", "neither yes nor no"):
            found[name] = bootstrap.mean([float(one.values[name]) for one in outcomes])
        return found


def _texts_sha256(folder: Path) -> str:
    """SHA-256 of the names and hashes of all text files of a folder."""
    lines = [f"{path.name} {file_sha256(path)}\n" for path in sorted(folder.rglob("*.txt"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _subtask_of(outcome: Outcome) -> str:
    return outcome.said["subtask"]


def _score(outcomes: Sequence[Outcome], subtask: str, bootstrap: Bootstrap) -> tuple[float, np.ndarray]:
    """acc + acc+ of one subtask: its value, and its value in each draw."""
    right: dict[str, list[bool]] = defaultdict(list)
    for one in outcomes:
        right[one.group].append(bool(one.values["accuracy"]))
    belongs = [float(_subtask_of(one) == subtask) for one in outcomes]
    single = [belongs[place] * float(one.values["accuracy"]) for place, one in enumerate(outcomes)]
    both = [belongs[place] * float(all(right[one.group])) for place, one in enumerate(outcomes)]
    accuracy, drawn = bootstrap.ratio(single, belongs)
    pairs, drawn_pairs = bootstrap.ratio(both, belongs)
    return 100 * (accuracy + pairs), 100 * np.nan_to_num(drawn + drawn_pairs)
