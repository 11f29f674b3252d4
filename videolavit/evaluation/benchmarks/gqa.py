"""GQA: questions made from scene graphs of photographs, one right word or phrase each.

Scored as LLaVA-1.5 does it: exact equality after lower-casing and dropping full stops at the end. The official script
also gives binary, open, consistency and distribution, which are here too; its validity and plausibility need a file of
choices that is not part of version 1.2, and are there where it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.benchmarks.vqav2 import SHORT_ANSWER
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark, means
from videolavit.evaluation.statistics import Bootstrap, Estimate

__all__ = ["Gqa", "distribution"]

_SOURCE = "the GQA page of Stanford (cs.stanford.edu/people/dorarad/gqa)"


_CHOICES = "testdev_choices.json"


class Gqa(QuestionBenchmark):
    """GQA, balanced test-dev; see the text of this module."""

    name = "gqa"
    about = "questions from scene graphs of photographs"
    prompt = SHORT_ANSWER
    scorer = "exact equality as LLaVA-1.5 does it"
    files = (
        DataFile(name="testdev_balanced_questions.json", holds="12 578 questions", source=_SOURCE),
        DataFile(name="images", holds="photographs, 20 GB for all splits", source=_SOURCE),
        DataFile(name=_CHOICES, holds="valid and plausible answers", source="GQA before version 1.2", optional=True),
    )
    official_count = 12_578

    def read(self, data: Path) -> list[Question]:
        path, images, choices = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert images is not None
        known = {} if choices is None else read_json(choices)
        entries = read_json(path).items()
        return [self._question(number, entry, path, images, known.get(number, {})) for number, entry in entries]

    def _question(
        self, number: str, entry: Mapping[str, Any], path: Path, images: Path, choices: Mapping[str, Any]
    ) -> Question:
        image = field_of(entry, "imageId", path, number)
        structure = entry.get("types", {}).get("structural", "")
        return Question(
            id=number,
            prompts=(self.prompt.format(question=field_of(entry, "question", path, number)),),
            image=images / f"{image}.jpg",
            group=str(image),
            truth=field_of(entry, "answer", path, number),
            facts={
                "structure": structure,
                "entailed": [one for one in entry.get("entailed", []) if one != number],
                "family": (entry.get("groups") or {}).get("global"),
                "choices": {kind: choices[kind] for kind in ("valid", "plausible") if kind in choices},
            },
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        said = _plain(answers[0])
        right = said == question.truth.lower()
        kind = "open" if question.facts["structure"] == "query" else "binary"
        names = {"valid": "validity", "plausible": "plausibility"}
        further = {names[name]: said in _lower(known) for name, known in question.facts["choices"].items()}
        return {"accuracy": right, f"accuracy, {kind}": right, **further}

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        found = means(outcomes)
        right = {one.id: bool(one.values["accuracy"]) for one in outcomes}
        told = [(one, _entailed(one, right)) for one in outcomes if right[one.id]]
        checked = [(one, entailed) for one, entailed in told if entailed]
        if checked:
            shares = [sum(entailed) / len(entailed) for _, entailed in checked]
            found["consistency"] = Bootstrap([one.group for one, _ in checked]).mean(shares)
        families = [one for one in outcomes if one.said.get("family")]
        if families:
            value = distribution([(one.said["family"], one.said["truth"], one.said["answer"]) for one in families])
            whole = {"low": -math.inf, "high": math.inf, "count": len(families)}
            found["distribution (less is better)"] = Estimate(value=value, is_share=False, **whole)
        return found


def distribution(answers: Sequence[tuple[str, str, str]]) -> float:
    """Chi-square distance of given answers from true ones within families of questions, weighted by their sizes.

    `answers` are (family, true answer, given answer). Answers that are true for no question of a family do not count,
    as in the official script.
    """
    families: dict[str, list[tuple[str, str]]] = {}
    for family, truth, said in answers:
        families.setdefault(family, []).append((truth.lower(), _plain(said)))
    total = 0.0
    for pairs in families.values():
        true, given = Counter(truth for truth, _ in pairs), Counter(said for _, said in pairs)
        total += len(pairs) * sum((given[answer] - count) ** 2 / count for answer, count in true.items())
    return total / len(answers)


def _plain(answer: str) -> str:
    return answer.strip().rstrip(".").lower()


def _lower(answers: Sequence[str]) -> list[str]:
    return [one.lower() for one in answers]


def _entailed(outcome: Outcome, right: Mapping[str, bool]) -> list[bool]:
    """Of the questions that a right answer entails, as far as they were asked: right or not."""
    return [right[number] for number in outcome.said.get("entailed", []) if number in right]
