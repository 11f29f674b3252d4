"""VQAv2: open questions about photographs of COCO, scored against ten human answers.

`val` has answers. Papers report test-dev, whose answers only the server knows (EvalAI challenge 830): the variant
`test-dev` writes the file for it. Prompt and limits are those of LLaVA-1.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.metrics.vqa import normalize_evalai, vqa_accuracy
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark

__all__ = ["SHORT_ANSWER", "VqaV2"]

SHORT_ANSWER = "{question}\nAnswer the question using a single word or phrase."

_SOURCE = "visualqa.org, Download"
_VAL = (
    DataFile(name="v2_OpenEnded_mscoco_val2014_questions.json", holds="214 354 questions", source=_SOURCE),
    DataFile(name="v2_mscoco_val2014_annotations.json", holds="ten answers to each of 214 354", source=_SOURCE),
    DataFile(name="val2014", holds="40 504 photographs, 6 GB", source="cocodataset.org, 2014 Val images"),
)
_TEST_DEV = (
    DataFile(name="v2_OpenEnded_mscoco_test-dev2015_questions.json", holds="107 394 questions", source=_SOURCE),
    DataFile(name="test2015", holds="81 434 photographs, 12 GB", source="cocodataset.org, 2015 Test images"),
)


class VqaV2(QuestionBenchmark):
    """VQAv2; see the text of this module."""

    name = "vqav2"
    about = "open questions about photographs, against ten human answers"
    prompt = SHORT_ANSWER
    scorer = "VQA accuracy by the official script; that of EvalAI beside it"
    files = _VAL
    variants = ("val", "test-dev")
    official_count = 214_354

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        if self.variant == "test-dev":
            self.files, self.official_count = _TEST_DEV, 107_394  # pyright: ignore[reportAttributeAccessIssue]

    def read(self, data: Path) -> list[Question]:
        asked, *_ = (found_file(data, file, self.name) for file in self.files)
        images = found_file(data, self.files[-1], self.name)
        assert asked is not None
        assert images is not None
        answers = self._answers(data)
        entries = field_of(read_json(asked), "questions", asked, "top")
        prefix = "COCO_val2014" if self.variant == "val" else "COCO_test2015"
        return [self._question(entry, asked, answers, images, prefix) for entry in entries]

    def _answers(self, data: Path) -> dict[int, Mapping[str, Any]] | None:
        if self.variant != "val":
            return None
        path = found_file(data, self.files[1], self.name)
        assert path is not None
        entries = field_of(read_json(path), "annotations", path, "top")
        return {field_of(entry, "question_id", path, place): entry for place, entry in enumerate(entries)}

    def _question(
        self, entry: Mapping[str, Any], path: Path, answers: Mapping[int, Any] | None, images: Path, prefix: str
    ) -> Question:
        number, image = field_of(entry, "question_id", path, entry), field_of(entry, "image_id", path, entry)
        known = {} if answers is None else answers.get(number)
        if known is None:
            raise ConfigError(
                f"{path}: question {number} has no answers in {self.files[1].name}; both files must be of one split"
            )
        return Question(
            id=str(number),
            prompts=(self.prompt.format(question=field_of(entry, "question", path, number)),),
            image=images / f"{prefix}_{image:012d}.jpg",
            group=str(image),
            truth=[answer["answer"] for answer in known["answers"]] if known else None,
            facts={"answer_type": known["answer_type"]} if known else {},
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        if question.truth is None:
            return {}
        kind = question.facts["answer_type"]
        official = vqa_accuracy(answers[0], question.truth)
        return {
            "accuracy": official,
            "accuracy, evalai": vqa_accuracy(answers[0], question.truth, scorer="evalai"),
            f"accuracy, {kind}": official,
        }

    def submission(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """For EvalAI: answers after its processor, as LLaVA sends them."""
        return [{"question_id": int(one.id), "answer": normalize_evalai(one.said["answer"])} for one in outcomes]
