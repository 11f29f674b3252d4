"""MM-Vet: 218 open questions that join abilities, graded by a language model from 0 to 1.

The published numbers come from gpt-4-0613, which is switched off: any judge gives numbers of its own. Beside it stands
containment, which needs none: all parts of a truth joined by <AND> in the answer, or one of those joined by <OR>; and
exact match with one of these. Grades and containment are also told for each ability, of all questions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.judges.grading import SCORE
from videolavit.evaluation.metrics.vqa import normalize
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark, means
from videolavit.evaluation.statistics import Estimate

__all__ = ["MmVet"]

_SOURCE = "the MM-Vet repository of yuweihao (CC BY-NC)"


class MmVet(QuestionBenchmark):
    """MM-Vet; see the text of this module."""

    name = "mmvet"
    about = "open questions that join abilities, graded 0 to 1"
    prompt = "{question}"
    scorer = "containment and exact match after the VQA normaliser"
    files = (
        DataFile(name="mm-vet.json", holds="218 questions", source=_SOURCE),
        DataFile(name="images", holds="200 images", source=_SOURCE),
    )
    official_count = 218
    max_new_tokens = 1024
    judged = "mm-vet"

    def read(self, data: Path) -> list[Question]:
        path, images = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert images is not None
        return [self._question(number, entry, path, images) for number, entry in read_json(path).items()]

    def _question(self, number: str, entry: Mapping[str, Any], path: Path, images: Path) -> Question:
        image = field_of(entry, "imagename", path, number)
        return Question(
            id=number,
            prompts=(self.prompt.format(question=field_of(entry, "question", path, number)),),
            image=images / image,
            group=image,
            truth=field_of(entry, "answer", path, number),
            facts={"capabilities": list(entry.get("capability", []))},
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        exact = matches_truth(answers[0], question.truth)
        return {"containment": contains_truth(answers[0], question.truth), "exact match": exact}

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        found = means(outcomes)
        for ability in sorted({name for one in outcomes for name in one.said.get("capabilities", [])}):
            own = means([one for one in outcomes if ability in one.said.get("capabilities", [])])
            found |= {f"{name}, {ability}": own[name] for name in (SCORE, "containment") if name in own}
        return found

    def submission(self, outcomes: Sequence[Outcome]) -> dict[str, str]:
        """For the online grader of its authors."""
        return {one.id: one.said["answer"] for one in outcomes}


def contains_truth(answer: str, truth: str) -> bool:
    """True if an answer contains, in whole words, a truth with its <AND> and <OR> marks, both normalised as for VQA."""
    said = f" {normalize(answer)} "
    return any(all(part and f" {part} " in said for part in way) for way in _ways(truth))


def matches_truth(answer: str, truth: str) -> bool:
    """True if an answer is one of the truths that <OR> joins, the parts that <AND> joins in their order."""
    said = normalize(answer)
    return bool(said) and any(said == " ".join(way) for way in _ways(truth))


def _ways(truth: str) -> list[list[str]]:
    """Normalised parts of each truth that is enough by itself."""
    return [[normalize(part) for part in way.split("<AND>")] for way in truth.split("<OR>")]
