"""GQA: questions made from scene graphs of photographs, one right word or phrase each.

Scored as LLaVA-1.5 does it: exact equality after lower-casing and dropping a final full stop. The official script also
gives binary, open and consistency, which are here too; its validity, plausibility and distribution need files that are
not part of version 1.2, and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.benchmarks.vqav2 import SHORT_ANSWER
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark, means
from videolavit.evaluation.statistics import Bootstrap, Estimate

__all__ = ["Gqa"]

_SOURCE = "the GQA page of Stanford (cs.stanford.edu/people/dorarad/gqa)"


class Gqa(QuestionBenchmark):
    """GQA, balanced test-dev; see the text of this module."""

    name = "gqa"
    about = "questions from scene graphs of photographs"
    prompt = SHORT_ANSWER
    files = (
        DataFile(name="testdev_balanced_questions.json", holds="12 578 questions", source=_SOURCE),
        DataFile(name="images", holds="photographs, 20 GB for all splits", source=_SOURCE),
    )
    official_count = 12_578

    def read(self, data: Path) -> list[Question]:
        path, images = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert images is not None
        return [self._question(number, entry, path, images) for number, entry in read_json(path).items()]

    def _question(self, number: str, entry: Mapping[str, Any], path: Path, images: Path) -> Question:
        image = field_of(entry, "imageId", path, number)
        structure = entry.get("types", {}).get("structural", "")
        return Question(
            id=number,
            prompts=(self.prompt.format(question=field_of(entry, "question", path, number)),),
            image=images / f"{image}.jpg",
            group=str(image),
            truth=field_of(entry, "answer", path, number),
            facts={"structure": structure, "entailed": [one for one in entry.get("entailed", []) if one != number]},
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        right = answers[0].strip().removesuffix(".").lower() == question.truth.lower()
        kind = "open" if question.facts["structure"] == "query" else "binary"
        return {"accuracy": right, f"accuracy, {kind}": right}

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        found = means(outcomes)
        right = {one.id: bool(one.values["accuracy"]) for one in outcomes}
        told = [(one, _entailed(one, right)) for one in outcomes if right[one.id]]
        checked = [(one, entailed) for one, entailed in told if entailed]
        if checked:
            shares = [sum(entailed) / len(entailed) for _, entailed in checked]
            found["consistency"] = Bootstrap([one.group for one, _ in checked]).mean(shares)
        return found


def _entailed(outcome: Outcome, right: Mapping[str, bool]) -> list[bool]:
    """Of the questions that a right answer entails, as far as they were asked: right or not."""
    return [right[number] for number in outcome.said.get("entailed", []) if number in right]
