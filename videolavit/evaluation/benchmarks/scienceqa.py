"""ScienceQA-IMG: multiple choice from school books, those test problems that have an image (2 017 of 4 241)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.choice_prompts import CHOICE, choice_prompt
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.metrics.choices import LETTERS, scienceqa_letter
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark

__all__ = ["ScienceQa"]

_SOURCE = "scienceqa.github.io (CC BY-NC-SA)"


class ScienceQa(QuestionBenchmark):
    """ScienceQA-IMG, test split; see the text of this module."""

    name = "scienceqa"
    about = "multiple choice from school books, problems with an image"
    prompt = f"Context: {{hint}}\n{CHOICE}"
    scorer = "a letter by LLaVA-1.5's rule"
    files = (
        DataFile(name="problems.json", holds="21 208 problems of all splits", source=_SOURCE),
        DataFile(name="pid_splits.json", holds="4 241 numbers of test problems", source=_SOURCE),
        DataFile(name="images", holds="images/test/NUMBER/image.png", source=_SOURCE),
    )
    official_count = 2_017

    def read(self, data: Path) -> list[Question]:
        problems, splits, images = (found_file(data, file, self.name) for file in self.files)
        assert problems is not None
        assert splits is not None
        assert images is not None
        known = read_json(problems)
        chosen = field_of(read_json(splits), "test", splits, "top")
        if missing := [number for number in chosen if number not in known]:
            raise ConfigError(
                f"{splits}: problem {missing[0]} (of {len(missing)}) is not in {problems.name}; "
                "both must be of one release"
            )
        return [self._question(one, known[one], problems, images) for one in chosen if known[one].get("image")]

    def _question(self, number: str, entry: Mapping[str, Any], path: Path, images: Path) -> Question:
        choices = tuple(field_of(entry, "choices", path, number))
        hint = entry.get("hint", "")
        return Question(
            id=number,
            prompts=(choice_prompt(entry["question"], choices, before=f"Context: {hint}" if hint else ""),),
            image=images / "test" / number / field_of(entry, "image", path, number),
            truth=LETTERS[field_of(entry, "answer", path, number)],
            facts={"subject": entry.get("subject", "")},
            options=choices,
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        letter = scienceqa_letter(answers[0], len(question.options))
        right = letter == question.truth
        subject = {f"accuracy, {question.facts['subject']}": right} if question.facts["subject"] else {}
        return {"accuracy": right, **subject, "unreadable": letter is None}
