"""Benchmarks that ask questions about images or videos: everything but what one of them has of its own.

A benchmark of questions reads its official files into `Question`s (`read`) and scores an answer (`score`). Asking
in batches, failures, settings for the record and bootstrapped means are the same for all and stand here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import BenchmarkOptions, Outcome, Target
from videolavit.evaluation.files import DataFile, file_sha256, found_file, of_official_form
from videolavit.evaluation.needs import QUESTIONS
from videolavit.evaluation.statistics import Bootstrap, Estimate

__all__ = ["Question", "QuestionBenchmark"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Question:
    """One question of a benchmark, as the model is asked it."""

    id: str
    prompts: tuple[str, ...]
    """Usually one; circular evaluation asks one for each order of the options."""
    image: Path | bytes | None = None
    video: Path | None = None
    group: str = ""
    """Image or video, by name."""
    truth: Any = None
    """As `score` needs it; JSON."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Category and the like, for the record; JSON."""
    options: tuple[str, ...] = ()


class QuestionBenchmark(ABC):
    """Base class of benchmarks of questions; see the text of this module."""

    name: ClassVar[str]
    about: ClassVar[str]
    prompt: ClassVar[str]
    """Template with `{question}` and whatever else `read` fills in."""
    files: ClassVar[tuple[DataFile, ...]]
    """Official files that it reads."""
    official_count: ClassVar[int | None] = None
    """Questions of the official split."""
    variants: ClassVar[tuple[str, ...]] = ()
    """Ways in which it can be done; the first is the default."""
    revision: ClassVar[int] = 2
    """To be counted up when it measures something else than before."""
    scorer: str = ""
    """Rule by which an answer is scored, for records."""
    max_new_tokens: ClassVar[int] = 128
    needs: tuple[str, ...] = QUESTIONS
    targets: Mapping[str, Target] = {}
    batch_size: int = 32
    cost: float = 1.0
    plain: ClassVar[tuple[str, ...]] = ()
    """Measures that are no shares, though their values may lie between 0 and 1."""
    judged: ClassVar[str] = ""
    """Protocol of the judge that may grade answers, by name (`judges`); empty for none."""

    def __init__(self, options: BenchmarkOptions) -> None:
        """Take options; nothing is read yet.

        Raises:
            ConfigError: the variant does not exist.
        """
        self.options = options
        chosen = options.variant or (self.variants[0] if self.variants else "")
        if chosen and chosen not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise ConfigError(f"{self.name}: got the variant {chosen!r}; known are {known}")
        self.variant = chosen

    @abstractmethod
    def read(self, data: Path) -> list[Question]:
        """All questions of the official files in a folder.

        Raises:
            ConfigError: a file is damaged or belongs to another split.
        """

    @abstractmethod
    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        """Values by name of the measure, from one answer for each prompt."""

    def check(self) -> None:
        """Raise ConfigError if a file is missing, naming it and where its authors offer it."""
        data = self._data()
        for file in self.files:
            found_file(data, file, self.name)
        _ = self.questions

    def count(self) -> int:
        return len(self.questions)

    def sample(self, number: int) -> Question:
        return self.questions[number]

    @cached_property
    def questions(self) -> list[Question]:
        """Questions that are asked: all, or the first `limit`.

        Raises:
            ConfigError: there is none, two have the same id, or a file is not of the official form.
        """
        with of_official_form(self._data(), self.name):
            questions = self.read(self._data())
        if not questions:
            raise ConfigError(f"{self.name}: found no questions in {self._data()}")
        twice = [id_ for id_, times in Counter(question.id for question in questions).items() if times > 1]
        if twice:
            raise ConfigError(
                f"{self.name}: {len(twice)} ids stand for several questions, {twice[0]!r} the first; "
                "unpack the official files again"
            )
        return questions[: self.options.limit]

    def settings(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "revision": self.revision,
            "variant": self.variant,
            "data": self._hashes,
            "prompt": self.prompt,
            "scorer": self.scorer,
            "decoding": {"max_new_tokens": self.max_new_tokens, "greedy": True},
            "limit": self.options.limit,
            "seed": self.options.seed,
            "official_count": self.official_count,
        }

    def measure(self, model: Any, samples: Sequence[Question]) -> list[Outcome]:
        answers = iter(self.ask(model, samples))
        return [self._outcome(one, [next(answers) for _ in one.prompts]) for one in samples]

    def ask(self, model: Any, samples: Sequence[Question]) -> list[str]:
        """Answers to all prompts of all samples, in order."""
        asked = [(prompt, one) for one in samples for prompt in one.prompts]
        return model.answer(
            [prompt for prompt, _ in asked],
            images=[one.image for _, one in asked],
            videos=[one.video for _, one in asked],
            max_new_tokens=self.max_new_tokens,
        )

    def failed(self, sample: Question, reason: str) -> Outcome:
        """Counted as an empty answer."""
        return self._outcome(sample, [""] * len(sample.prompts), reason)

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        """Mean of each measure, all in all and by category where there are any."""
        return means(outcomes, plain=self.plain)

    def submission(self, outcomes: Sequence[Outcome]) -> Any:
        """JSON values or text that the official server takes, or None where there is no server."""
        return None

    def _outcome(self, question: Question, answers: Sequence[str], failure: str = "") -> Outcome:
        one = len(answers) == 1
        said = {
            "prompt": question.prompts[0] if one else list(question.prompts),
            "answer": answers[0] if one else list(answers),
            "truth": question.truth,
        }
        return Outcome(
            id=question.id,
            group=question.group or question.id,
            values=self.score(question, answers),
            said=said | dict(question.facts),
            failure=failure,
        )

    @cached_property
    def _hashes(self) -> dict[str, str]:
        data = self._data()
        found = {file.name: found_file(data, file, self.name) for file in self.files}
        return {name: file_sha256(path) for name, path in found.items() if path is not None and path.is_file()}

    def _data(self) -> Path:
        if self.options.data is None:
            raise ConfigError(f"{self.name}: needs the folder of its official files; pass --data FOLDER")
        if not self.options.data.is_dir():
            raise ConfigError(f"{self.options.data}: no such folder of data")
        return self.options.data


def means(outcomes: Sequence[Outcome], *, plain: Sequence[str] = ()) -> dict[str, Estimate]:
    """Bootstrapped mean of each measure that a sample has one value of; lists count element by element."""
    bootstrap = Bootstrap([outcome.group for outcome in outcomes])
    found = {}
    for name in dict.fromkeys(name for outcome in outcomes for name in outcome.values):
        values = [np.atleast_1d(np.asarray(one.values.get(name, []), dtype=np.float64)) for one in outcomes]
        parts, counts = [float(each.sum()) for each in values], [float(each.size) for each in values]
        is_share = name not in plain and all(0 <= value <= 1 for each in values for value in each)
        value, drawn = bootstrap.ratio(parts, counts)
        found[name] = bootstrap.estimate(value, drawn, count=int(sum(counts)), is_share=is_share)
    return found
