"""SEED-Bench: multiple choice in 12 dimensions, nine on images and three on videos.

`letter` asks for a letter, as LLaVA-1.5 does it, and shows the middle frame of a video. `loss` is the official way: the
option to which the language model gives the lowest loss wins, and no letter is needed. Totals count each question once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.choice_prompts import CHOICE, choice_prompt
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.media import middle_frame
from videolavit.evaluation.metrics.choices import LETTERS, first_letter
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark

__all__ = ["SeedBench"]

_SOURCE = "the SEED-Bench repository of AILab-CVC (JSON of 30 November 2023 or later; older ones give other numbers)"


class SeedBench(QuestionBenchmark):
    """SEED-Bench-1; see the text of this module."""

    name = "seed"
    about = "multiple choice in 12 dimensions, images and videos"
    prompt = CHOICE
    files = (
        DataFile(name="SEED-Bench.json", holds="19 242 questions", source=_SOURCE),
        DataFile(name="SEED-Bench-image", holds="images of dimensions 1 to 9, 1.7 GB", source=_SOURCE),
        DataFile(name="SEED-Bench-video", holds="videos of dimensions 10 to 12, 23 GB", source=_SOURCE, optional=True),
    )
    variants = ("letter", "loss")
    official_count = 19_242

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.scorer = "equality with a letter as LLaVA-1.5 does it" if self.variant == "letter" else "lowest loss"

    def read(self, data: Path) -> list[Question]:
        path, images, videos = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert images is not None
        entries = field_of(read_json(path), "questions", path, "top")
        if videos is None and any(entry["data_type"] == "video" for entry in entries):
            entries = [entry for entry in entries if entry["data_type"] == "image"]
        return [self._question(entry, path, images, videos or images) for entry in entries]

    def _question(self, entry: Mapping[str, Any], path: Path, images: Path, videos: Path) -> Question:
        options = tuple(field_of(entry, f"choice_{letter}", path, entry["question_id"]) for letter in "abcd")
        is_video = entry["data_type"] == "video"
        if entry["answer"] not in LETTERS[: len(options)]:
            raise ConfigError(
                f"{path}: question {entry['question_id']} has the answer {entry['answer']!r}, expected A to D"
            )
        asked = choice_prompt(entry["question"], options) if self.variant == "letter" else entry["question"]
        return Question(
            id=str(entry["question_id"]),
            prompts=(asked,),
            image=None if is_video else images / entry["data_id"],
            video=videos / entry["data_id"] if is_video else None,
            group=entry["data_id"],
            truth=entry["answer"],
            facts={"dimension": entry["question_type_id"], "kind": entry["data_type"]}
            | ({"segment": entry["segment"]} if entry.get("segment") else {}),
            options=options,
        )

    def ask(self, model: Any, samples: Sequence[Question]) -> list[str]:
        shown = [
            one.image if one.video is None else middle_frame(one.video, one.facts.get("segment")) for one in samples
        ]
        prompts = [one.prompts[0] for one in samples]
        if self.variant == "letter":
            nothing = [None] * len(samples)
            return model.answer(prompts, images=shown, videos=nothing, max_new_tokens=self.max_new_tokens)
        losses = [
            model.option_losses(prompt, one.options, image=image)
            for prompt, one, image in zip(prompts, samples, shown, strict=True)
        ]
        return [LETTERS[min(range(len(each)), key=each.__getitem__)] for each in losses]

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        letter = first_letter(answers[0], len(question.options))
        right = letter == question.truth
        return {
            "accuracy": right,
            f"accuracy, {question.facts['kind']}": right,
            f"accuracy, dimension {question.facts['dimension']}": right,
            "unreadable": letter is None,
        }

    def submission(self, outcomes: Sequence[Outcome]) -> str:
        """Lines of JSON for the leaderboard of its authors."""
        lines = [{"question_id": one.id, "prediction": one.said["answer"]} for one in outcomes]
        return "".join(f"{json.dumps(line)}\n" for line in lines)
