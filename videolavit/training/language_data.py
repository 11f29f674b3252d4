"""Training data of the language model: kinds of samples, the share of each, and the part of a video that each takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.data.tokens import TokenizedVideo
from videolavit.errors import ConfigError
from videolavit.training.batches import Mixture, Samples, Shuffled
from videolavit.training.data_folders import TokenFolder
from videolavit.training.sequences import SequenceMaker, Target, TrainingSequence

__all__ = ["LanguageSamples", "Shares"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Shares of the kinds of samples, as whole numbers; every batch holds about the same mixture."""

    generate_image: int = 0
    """Caption, then the first keyframe."""
    generate_video: int = 0
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
            Target.CAPTION: self.generate_image + self.generate_video + self.describe_image + self.describe_video,
            Target.KEYFRAME: self.generate_image + self.generate_video,
            Target.MOTION: self.generate_video,
            Target.ANSWER: self.answer_image + self.answer_video,
            Target.WORDS: self.words,
        }
        return tuple(target for target, share in holds.items() if share)


class LanguageSamples:
    """Samples of every kind from every folder. A sample is a list of sequences: a video without its prompt comes
    apart into several.

    Kinds are mixed by their shares, and within each kind the folders that have it by theirs. So which folder sample
    `draw` comes from is known without any other sample.

    Raises:
        ConfigError: there is nothing of a kind that is asked for, or nothing in a folder of any kind.
    """

    def __init__(
        self,
        shares: Shares,
        folders: Sequence[TokenFolder],
        maker: SequenceMaker,
        *,
        prompt_dropout: float,
        described_as_ids: float,
        questions_together: int = 1,
        texts: str,
        seed: int,
    ) -> None:
        self._folders = folders
        self._kinds: list[_Kind] = []
        for number, (kind, words) in enumerate(_WORDS_OF.items()):
            if share := getattr(shares, kind):
                options = {
                    "prompt_dropout": prompt_dropout,
                    "described_as_ids": described_as_ids,
                    "questions_together": questions_together,
                }
                videos = [_Videos(folder, maker, kind, words, **options) for folder in folders]
                self._kinds.append(_Kind.mixed(share, videos, seed + number))
        used = {name for kind in self._kinds for name in kind.folders}
        if self._kinds and (unused := [folder.reader for folder in folders if folder.name not in used]):
            raise ConfigError(f"{unused[0]!r} has no words of the kinds that are asked for ({shares}); leave it out")
        parts: list[tuple[int, Samples]] = [(kind.share, kind.samples) for kind in self._kinds]
        if shares.words:
            parts.append((shares.words, Shuffled(_Lines(texts, maker), seed + len(_WORDS_OF))))
        self._mixture = Mixture(parts)

    def __getitem__(self, draw: int) -> list[TrainingSequence]:
        return self._mixture[draw]

    def seen(self, draws: int) -> dict[str, float]:
        """Of each folder, samples among the first `draws`, and epochs: those samples over the folder's videos."""
        seen = {folder.name: 0 for folder in self._folders}
        for kind, drawn in zip(self._kinds, self._mixture.taken(draws), strict=False):
            for name, count in zip(kind.folders, kind.samples.taken(drawn), strict=True):
                seen[name] += count
        epochs = {f"epochs/{folder.name}": seen[folder.name] / max(len(folder.reader), 1) for folder in self._folders}
        return {f"samples/{name}": float(count) for name, count in seen.items()} | epochs


@dataclass(frozen=True, slots=True)
class _Kind:
    """Samples of one kind from the folders that have it."""

    share: int
    folders: list[str]
    samples: Mixture

    @classmethod
    def mixed(cls, share: int, videos: Sequence[_Videos], seed: int) -> _Kind:
        """Mix what there is; where there is nothing, the first folder's samples say so."""
        filled = [number for number, one in enumerate(videos) if len(one)] or [0]
        parts = [(videos[n].folder.share, Shuffled(videos[n], seed + _FOLDER_SEEDS * n)) for n in filled]
        return cls(share, [videos[n].folder.name for n in filled], Mixture(parts))


_FOLDER_SEEDS = 1_000
"""Between the seeds of folders, so that folders of one size are not shuffled alike."""

_WORDS_OF = {
    "generate_image": "image_captions",
    "generate_video": "captions",
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
        folder: TokenFolder,
        maker: SequenceMaker,
        kind: str,
        words: str,
        *,
        prompt_dropout: float,
        described_as_ids: float,
        questions_together: int,
    ) -> None:
        self.folder, self._reader = folder, folder.reader
        self._maker, self._words = maker, words
        self._prompt_dropout, self._described_as_ids = prompt_dropout, described_as_ids
        self._questions_together = questions_together
        self._task, self._subject = kind.split("_")
        self._numbers = folder.reader.with_words(words)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"videos with {self._words} in {self._reader}"

    def __getitem__(self, key: tuple[int, int]) -> list[TrainingSequence]:
        index, draw = key
        random = np.random.default_rng([7, draw])
        video = self._reader[int(self._numbers[index])]
        words: Any = getattr(video, self._words)
        first = int(random.integers(len(words)))
        chance = float(random.random())
        if self._task != "answer":
            return self._sequences(video, words[first], chance)
        # The first is drawn as where questions stand alone; the others are any others, in any order.
        rest = random.permutation(np.delete(np.arange(len(words)), first))[: self._questions_together - 1]
        asked = [words[number][:2] for number in (first, *rest.tolist())]
        return [self._maker.answering(video, asked, motion=self._subject == "video")]

    def _sequences(self, video: TokenizedVideo, words: Any, chance: float) -> list[TrainingSequence]:
        motion = self._subject == "video"
        if self._task == "describe":
            return [self._maker.describing(video, words, motion=motion, as_ids=chance < self._described_as_ids)]
        if chance >= self._prompt_dropout:
            return [self._maker.generating(words, video, motion=motion)]
        return self._maker.unprompted(video, motion=motion)


_PIECE_BYTES = 2**24
"""Of a text that is searched for line breaks at once."""


class _Lines:
    """Lines of a text file, one passage each, read through a memory map."""

    def __init__(self, path: str, maker: SequenceMaker) -> None:
        if not Path(path).is_file():
            raise ConfigError(f"plain text is asked for, and {path!r} is no file; name one with a passage per line")
        self._path, self._maker = Path(path), maker
        # Piece by piece: what is compared takes as much memory as the piece.
        pieces = range(0, len(self._bytes), _PIECE_BYTES)
        found = [start + np.flatnonzero(self._bytes[start : start + _PIECE_BYTES] == ord("\n")) for start in pieces]
        breaks = np.concatenate([np.empty(0, np.int64), *found])
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
