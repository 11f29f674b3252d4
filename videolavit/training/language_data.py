"""Training data of the language model: kinds of samples, the share of each, and the part of a video that each takes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.data.tokens import TokenizedVideo, TokenReader
from videolavit.errors import ConfigError
from videolavit.training.batches import Mixture, Samples, Shuffled
from videolavit.training.sequences import SequenceMaker, Target, TrainingSequence

__all__ = ["Shares", "language_samples"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Shares of the kinds of samples, as whole numbers; every batch holds about the same mixture."""

    draw_image: int = 0
    """Caption, then the first keyframe."""
    draw_video: int = 0
    """Caption, then all clips."""
    describe_image: int = 0
    """First keyframe, then caption."""
    describe_video: int = 0
    answer_image: int = 0
    """Questions that the first keyframe answers, about that alone."""
    answer_video: int = 0
    """Any question, about all clips."""
    words: int = 0
    """Plain text."""

    def __post_init__(self) -> None:
        values = [getattr(self, part.name) for part in fields(self)]
        if min(values) < 0 or not any(values):
            raise ConfigError(f"shares must not be negative, and not all 0; got {self}")

    @property
    def learnt(self) -> tuple[Target, ...]:
        """The kinds of ids that such a mixture holds."""
        holds = {
            Target.CAPTION: self.draw_image + self.draw_video + self.describe_image + self.describe_video,
            Target.KEYFRAME: self.draw_image + self.draw_video,
            Target.MOTION: self.draw_video,
            Target.ANSWER: self.answer_image + self.answer_video,
            Target.WORDS: self.words,
        }
        return tuple(target for target, share in holds.items() if share)


def language_samples(
    shares: Shares,
    reader: TokenReader,
    maker: SequenceMaker,
    *,
    prompt_dropout: float,
    described_as_ids: float,
    texts: str,
    seed: int,
) -> Samples:
    """Samples are lists of sequences: a video without its prompt comes apart into several.

    Raises:
        ConfigError: there is nothing of a kind that is asked for.
    """
    parts: list[tuple[int, Samples]] = []
    for number, (kind, words) in enumerate(_WORDS_OF.items()):
        if share := getattr(shares, kind):
            videos = _Videos(reader, maker, kind, words, prompt_dropout, described_as_ids)
            parts.append((share, Shuffled(videos, seed + number)))
    if shares.words:
        parts.append((shares.words, Shuffled(_Lines(texts, maker), seed + len(_WORDS_OF))))
    return Mixture(parts)


_WORDS_OF = {
    "draw_image": "image_captions",
    "draw_video": "captions",
    "describe_image": "image_captions",
    "describe_video": "captions",
    "answer_image": "image_questions",
    "answer_video": "questions",
}
"""Texts that each kind of sample needs."""


class _Videos:
    """Videos with words of one kind, as sequences of one kind."""

    def __init__(
        self,
        reader: TokenReader,
        maker: SequenceMaker,
        kind: str,
        words: str,
        prompt_dropout: float,
        described_as_ids: float,
    ) -> None:
        self._reader, self._maker, self._words = reader, maker, words
        self._prompt_dropout, self._described_as_ids = prompt_dropout, described_as_ids
        self._task, self._subject = kind.split("_")
        self._numbers = reader.with_words(words)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"videos with {self._words} in {self._reader}"

    def __getitem__(self, key: tuple[int, int]) -> list[TrainingSequence]:
        index, draw = key
        random = np.random.default_rng([7, draw])
        video = self._reader[int(self._numbers[index])]
        words: Any = getattr(video, self._words)
        return self._sequences(video, words[int(random.integers(len(words)))], float(random.random()))

    def _sequences(self, video: TokenizedVideo, words: Any, chance: float) -> list[TrainingSequence]:
        motion = self._subject == "video"
        if self._task == "answer":
            question, answer, _ = words
            return [self._maker.answering(video, question, answer, motion=motion)]
        if self._task == "describe":
            return [self._maker.describing(video, words, motion=motion, as_ids=chance < self._described_as_ids)]
        if chance >= self._prompt_dropout:
            return [self._maker.drawing(words, video, motion=motion)]
        return self._maker.unprompted(video, motion=motion)


class _Lines:
    """Lines of a text file, one passage each, read through a memory map."""

    def __init__(self, path: str, maker: SequenceMaker) -> None:
        if not Path(path).is_file():
            raise ConfigError(f"plain text is asked for, and {path!r} is no file; name one with a passage per line")
        self._path, self._maker = Path(path), maker
        breaks = np.flatnonzero(self._bytes == ord("\n"))
        ends = np.append(breaks, len(self._bytes))
        starts = np.append(0, breaks + 1)
        self._lines = np.stack([starts, ends], axis=1)[ends > starts]

    def __len__(self) -> int:
        return len(self._lines)

    def __repr__(self) -> str:
        return f"lines of {self._path}"

    def __getitem__(self, key: tuple[int, int]) -> list[TrainingSequence]:
        start, end = self._lines[key[0]].tolist()
        return [self._maker.words(self._bytes[start:end].tobytes().decode(errors="replace").strip())]

    @cached_property
    def _bytes(self) -> np.ndarray:
        if not self._path.stat().st_size:
            return np.empty(0, dtype=np.uint8)
        return np.memmap(self._path, dtype=np.uint8, mode="r")
