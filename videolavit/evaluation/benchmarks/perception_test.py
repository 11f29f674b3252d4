"""Perception Test, multiple choice with three options on videos; the test split is graded by its server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.choice_prompts import CHOICE, choice_prompt
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.metrics.choices import LETTERS, mmbench_letter
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark

__all__ = ["PerceptionTest"]

_SOURCE = "the perception_test repository of google-deepmind"


class PerceptionTest(QuestionBenchmark):
    """Perception Test, multiple-choice questions; see the text of this module."""

    name = "perception_test"
    about = "multiple choice on videos of filmed scripts, three options"
    prompt = CHOICE
    scorer = "MMBench's rule without a language model"
    variants = ("valid", "test")

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        questions = f"mc_question_{self.variant}.json"
        self.files = (  # pyright: ignore[reportAttributeAccessIssue]
            DataFile(name=questions, holds="questions by video", source=_SOURCE),
            DataFile(name="videos", holds="videos of the split", source=_SOURCE),
        )

    def read(self, data: Path) -> list[Question]:
        path, videos = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert videos is not None
        return [
            self._question(video, entry, path, videos)
            for video, found in read_json(path).items()
            for entry in field_of(found, "mc_question", path, video)
        ]

    def _question(self, video: str, entry: Mapping[str, Any], path: Path, videos: Path) -> Question:
        options = tuple(field_of(entry, "options", path, video))
        answer = entry.get("answer_id")
        return Question(
            id=f"{video}/{field_of(entry, 'id', path, video)}",
            prompts=(choice_prompt(entry["question"], options),),
            video=videos / f"{video}.mp4",
            group=video,
            truth=None if answer is None or answer < 0 else LETTERS[answer],
            facts={"area": entry.get("area", "")},
            options=options,
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        letter = mmbench_letter(answers[0], dict(zip(LETTERS, question.options, strict=False)))
        values: dict[str, Any] = {"unreadable": letter is None, "chosen": LETTERS.index(letter) if letter else -1}
        if question.truth is not None:
            values |= {"accuracy": letter == question.truth}
            if question.facts["area"]:
                values |= {f"accuracy, {question.facts['area']}": letter == question.truth}
        return values

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        return {name: found for name, found in super().summary(outcomes).items() if name != "chosen"}

    def submission(self, outcomes: Sequence[Outcome]) -> dict[str, list[dict[str, Any]]]:
        """For the server: the number of the chosen option by video; an unreadable answer counts as the first."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in outcomes:
            video, _, number = one.id.rpartition("/")
            found[video].append(
                {"id": int(number), "answer_id": max(0, one.values["chosen"]), "answer": one.said["answer"]}
            )
        return dict(found)
