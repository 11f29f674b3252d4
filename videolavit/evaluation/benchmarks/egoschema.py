"""EgoSchema: multiple choice with five options on three-minute first-person videos; 500 answers are public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.choice_prompts import CHOICE, choice_prompt
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.metrics.choices import LETTERS, mmbench_letter
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark

__all__ = ["EgoSchema"]

_SOURCE = "the EgoSchema repository of egoschema"
_NUM_OPTIONS = 5


class EgoSchema(QuestionBenchmark):
    """EgoSchema; `subset` asks the 500 questions whose answers are public, `full` all for the server."""

    name = "egoschema"
    about = "multiple choice on three-minute first-person videos, five options"
    prompt = CHOICE
    scorer = "MMBench's rule without a language model"
    variants = ("subset", "full")
    files = (
        DataFile(name="questions.json", holds="5 063 questions", source=_SOURCE),
        DataFile(name="subset_answers.json", holds="500 answers", source=_SOURCE),
        DataFile(name="videos", holds="5 031 videos, NAME.mp4", source=_SOURCE),
    )

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.official_count = 500 if self.variant == "subset" else 5_063  # pyright: ignore[reportAttributeAccessIssue]

    def read(self, data: Path) -> list[Question]:
        path, answers, videos = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert answers is not None
        assert videos is not None
        known, entries = read_json(answers), read_json(path)
        asked = {field_of(entry, "q_uid", path, place) for place, entry in enumerate(entries)}
        if strange := sorted(set(known) - asked):
            raise ConfigError(f"{answers}: {strange[0]} (of {len(strange)}) is no question of {path.name}")
        if self.variant == "subset":
            entries = [entry for entry in entries if entry["q_uid"] in known]
        return [self._question(entry, path, known, videos) for entry in entries]

    def _question(self, entry: Mapping[str, Any], path: Path, known: Mapping[str, int], videos: Path) -> Question:
        name = entry["q_uid"]
        options = tuple(field_of(entry, f"option {number}", path, name) for number in range(_NUM_OPTIONS))
        return Question(
            id=name,
            prompts=(choice_prompt(entry["question"], options),),
            video=videos / f"{name}.mp4",
            truth=LETTERS[known[name]] if name in known else None,
            options=options,
        )

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        letter = mmbench_letter(answers[0], dict(zip(LETTERS, question.options, strict=False)))
        values: dict[str, Any] = {"unreadable": letter is None, "chosen": LETTERS.index(letter) if letter else -1}
        return values if question.truth is None else values | {"accuracy": letter == question.truth}

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        return {name: found for name, found in super().summary(outcomes).items() if name != "chosen"}

    def submission(self, outcomes: Sequence[Outcome]) -> dict[str, int]:
        """For the server: the number of the chosen option; an unreadable answer counts as the first."""
        return {one.id: max(0, one.values["chosen"]) for one in outcomes}
