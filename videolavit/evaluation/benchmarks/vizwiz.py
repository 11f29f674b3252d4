"""VizWiz: questions that blind people asked about their own photographs, many of which cannot be answered.

The formula is that of VQA, with answers always normalised. `val` has answers; papers report `test`, whose answers only
the server knows (EvalAI challenge 2185): that variant writes the file for it. `unanswerable, F1` counts who says
"unanswerable" as a detector of such questions; the server's own is of scores that a model of words does not give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.metrics.vqa import normalize_evalai, vqa_accuracy
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark, means
from videolavit.evaluation.statistics import Bootstrap, Estimate

__all__ = ["VizWiz"]

_SOURCE = "vizwiz.org, Visual Question Answering"
_COUNTS = {"val": 4_319, "test": 8_000}


class VizWiz(QuestionBenchmark):
    """VizWiz-VQA; see the text of this module."""

    name = "vizwiz"
    about = "questions of blind people about their photographs"
    prompt = (
        "{question}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n"
        "Answer the question using a single word or phrase."
    )
    variants = ("val", "test")
    scorer = "VQA accuracy by EvalAI, answers always normalised"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        split = self.variant
        self.official_count = _COUNTS[split]  # pyright: ignore[reportAttributeAccessIssue]
        self.files = (  # pyright: ignore[reportAttributeAccessIssue]
            DataFile(name=f"{split}.json", holds=f"{_COUNTS[split]} questions (Annotations.zip)", source=_SOURCE),
            DataFile(name=split, holds="photographs", source=_SOURCE),
        )

    def read(self, data: Path) -> list[Question]:
        path, images = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert images is not None
        return [self._question(entry, path, place, images) for place, entry in enumerate(read_json(path))]

    def _question(self, entry: Mapping[str, Any], path: Path, place: int, images: Path) -> Question:
        image = field_of(entry, "image", path, place)
        return Question(
            id=image,
            prompts=(self.prompt.format(question=field_of(entry, "question", path, place)),),
            image=images / image,
            truth=[one["answer"] for one in entry["answers"]] if "answers" in entry else None,
            facts={"answerable": entry["answerable"]} if "answerable" in entry else {},
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        if question.truth is None:
            return {}
        accuracy = vqa_accuracy(answers[0], question.truth, scorer="evalai")
        kind = "answerable" if question.facts.get("answerable") else "unanswerable"
        return {"accuracy": accuracy, f"accuracy, {kind}": accuracy}

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        found = means(outcomes)
        told = [one for one in outcomes if "answerable" in one.said]
        pairs = [(_says_unanswerable(one), not one.said["answerable"]) for one in told]
        if any(said or so for said, so in pairs):
            both = [2.0 * (said and so) for said, so in pairs]
            either = [float(said) + float(so) for said, so in pairs]
            draws = Bootstrap([one.group for one in told])
            found["unanswerable, F1"] = draws.estimate(*draws.ratio(both, either), count=len(told), is_share=True)
        return found

    def submission(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """For EvalAI: answers after its processor."""
        return [{"image": one.id, "answer": normalize_evalai(one.said["answer"])} for one in outcomes]


def _says_unanswerable(outcome: Outcome) -> bool:
    return normalize_evalai(outcome.said["answer"]) == "unanswerable"
