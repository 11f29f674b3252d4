"""Models that answer without looking: one that knows the truth, one that says nothing, one that guesses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from videolavit.evaluation.media import middle_frame
from videolavit.evaluation.metrics.choices import LETTERS
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark


class KnowingModel:
    """Knows the questions of a benchmark and answers each rightly."""

    def __init__(self, benchmark: QuestionBenchmark) -> None:
        self.questions = benchmark.questions
        self.asked = 0

    def missing(self, parts: Sequence[str]) -> list[str]:
        return []

    def identity(self, parts: Sequence[str]) -> str:
        return type(self).__name__

    def answer(self, questions, *, images, videos, max_new_tokens):
        self.asked += len(questions)
        return [self.answer_one(prompt, *media) for prompt, *media in zip(questions, images, videos, strict=True)]

    def option_losses(self, question, options, *, image=None, video=None):
        asked = [one for one in self.questions if one.prompts == (question,) and self.is_about(one, image, video)]
        [found] = {one.truth for one in asked}
        return [0.1 if letter == found else 2.0 for letter, _ in zip(LETTERS, options, strict=False)]

    def answer_one(self, prompt, image, video):
        found = [one for one in self.questions if prompt in one.prompts and self.is_about(one, image, video)]
        answers = {right_answer(one, prompt) for one in found}
        assert len(answers) == 1, f"{prompt!r} has the answers {answers}"
        return answers.pop()

    def is_about(self, question, image, video):
        if isinstance(image, np.ndarray):
            return question.video is not None and np.array_equal(
                image, middle_frame(question.video, question.facts["segment"])
            )
        return (question.image, question.video) == (image, video)


class SilentModel(KnowingModel):
    def answer_one(self, prompt, image, video):
        return ""

    def option_losses(self, question, options, *, image=None, video=None):
        return [1.0] * len(options)


class GuessingModel(KnowingModel):
    """Takes any letter, or any word that is an answer to some question."""

    def __init__(self, benchmark: QuestionBenchmark, seed: int = 0) -> None:
        super().__init__(benchmark)
        self.random = np.random.default_rng(seed)

    def answer_one(self, prompt, image, video):
        options = [line[0] for line in prompt.splitlines() if line[1:3] == ". "]
        words = options or [right_answer(one, one.prompts[0]) for one in self.questions]
        return words[int(self.random.integers(len(words)))]

    def option_losses(self, question, options, *, image=None, video=None):
        return self.random.random(len(options)).tolist()


def right_answer(question: Question, prompt: str) -> str:
    if question.options:
        text = question.options[LETTERS.index(question.truth)]
        return next(line[0] for line in prompt.splitlines() if line[1:] == f". {text}")
    if isinstance(question.truth, list):
        return Counter(question.truth).most_common(1)[0][0]
    return question.truth.split("<OR>")[0].replace("<AND>", " ")
