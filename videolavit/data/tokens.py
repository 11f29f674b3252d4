"""Token shards: prepared videos as ids of the unified vocabulary, which is what the language model's stages read.

A shard is four files and, with continuous visual input, a fifth:

    NAME.ids.bin        uint16, all videos one after another: `[IMG] v.. [/IMG] [MOV] m.. [/MOV]` for each clip
    NAME.features.bin   float16, the merged features of the same visual ids, before the projection to the language model
    NAME.words.jsonl    captions and questions of one video in a line, as text: they are tokenized when they are drawn
    NAME.index.npy      where each video ends in the others, and how much is said about it
    NAME.tokens.json    vocabulary and sizes; written last, so a shard that has it is whole

Ids are 16-bit, so a vocabulary holds at most 65 536 of them; the released one has 49 412. All files but the last are
read through memory maps, so opening a shard costs nothing and any video is one read away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from videolavit.config import from_dict
from videolavit.errors import ConfigError, MediaError, OutputError
from videolavit.vocabulary import Vocabulary

__all__ = ["MOST_IDS", "TokenReader", "TokenizedClip", "TokenizedVideo", "write_tokens"]

MOST_IDS = 2**16
"""Ids are stored in 16 bits."""

_FORMAT_VERSION = 1
_COLUMNS = ("ids", "features", "words", "captions", "image_captions", "questions", "image_questions")
"""Of the index: ends in ids, feature rows and bytes of words, then counts."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenizedClip:
    """One clip in the unified vocabulary, without marks."""

    visual_ids: Int[Tensor, "n"]
    motion_ids: Int[Tensor, "m"]
    features: Float[Tensor, "n width"] | None = None
    """What the visual ids were quantised from."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenizedVideo:
    """A video and what is said about it; the words are those of `Record`."""

    clips: tuple[TokenizedClip, ...]
    captions: tuple[str, ...] = ()
    image_captions: tuple[str, ...] = ()
    questions: tuple[tuple[str, str, str], ...] = ()
    about_image: tuple[bool, ...] = ()

    @property
    def image_questions(self) -> tuple[tuple[str, str, str], ...]:
        """Those that the first keyframe alone answers."""
        asked = zip(self.questions, self.about_image, strict=True)
        return tuple(question for question, about_image in asked if about_image)


def write_tokens(videos: Iterable[TokenizedVideo], path: Path, vocabulary: Vocabulary) -> int:
    """Write a shard whose files start with `path`; it is there whole or not at all. Returns the number of videos.

    Raises:
        ConfigError: the vocabulary has more ids than 16 bits tell apart.
        OutputError: the folder does not exist or cannot be written.
    """
    if vocabulary.size > MOST_IDS:
        raise ConfigError(f"the vocabulary has {vocabulary.size} ids, token shards hold at most {MOST_IDS}")
    # A name of its own for each process: two that write the same shard write the same bytes.
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    names = ["ids.bin", "features.bin", "words.jsonl", "index.npy"]
    try:
        with (
            _beside(partial, names[0]).open("wb") as ids,
            _beside(partial, names[1]).open("wb") as features,
            _beside(partial, names[2]).open("wb") as words,
        ):
            rows, width = [], 0
            for video in videos:
                ids.write(_ids(video, vocabulary).tobytes())
                for clip in video.clips:
                    if clip.features is not None:
                        width = clip.features.shape[1]
                        features.write(clip.features.detach().cpu().to(torch.float16).numpy().tobytes())
                words.write(_words(video))
                feature_rows = features.tell() // (2 * width) if width else 0
                rows.append([ids.tell() // 2, feature_rows, words.tell(), *_counts(video)])
        np.save(_beside(partial, names[3]), np.array(rows, dtype=np.int64).reshape(-1, len(_COLUMNS)))
        about = {"version": _FORMAT_VERSION, "vocabulary": asdict(vocabulary), "feature_width": width}
        _beside(partial, "tokens.json").write_text(json.dumps(about, indent=2) + "\n")
        for name in [*names, "tokens.json"]:
            os.replace(_beside(partial, name), _beside(path, name))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error}; does the folder exist, and is there space?") from error
    finally:
        for name in [*names, "tokens.json"]:
            _beside(partial, name).unlink(missing_ok=True)
    return len(rows)


class TokenReader:
    """All videos of all token shards in a folder, by number.

    Raises:
        MediaError: the folder holds no token shard, or one is damaged.
        ConfigError: its shards belong to different vocabularies.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._shards = [_Shard(path) for path in sorted(self.folder.glob("*.tokens.json"))]
        if not self._shards:
            raise MediaError(f"{self.folder}: holds no token shards (*.tokens.json); make some with `prepare tokens`")
        kinds = {(shard.vocabulary, shard.feature_width) for shard in self._shards if len(shard)}
        if len(kinds) > 1:
            raise ConfigError(f"{self.folder}: its shards were made by different tokenizers: {kinds}; make them anew")
        self.vocabulary, self.feature_width = next(iter(kinds), (self._shards[0].vocabulary, 0))
        self._ends = np.cumsum([len(shard) for shard in self._shards])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        return f"TokenReader({str(self.folder)!r}, {len(self)} videos)"

    def __iter__(self) -> Iterator[TokenizedVideo]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> TokenizedVideo:
        if not 0 <= number < len(self):
            raise IndexError(f"video {number} of {len(self)}")
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return self._shards[shard].video(number - int(self._ends[shard - 1] if shard else 0))

    def with_words(self, kind: str) -> Int[np.ndarray, "n"]:
        """Numbers of the videos that have `captions`, `image_captions`, `questions` or `image_questions`."""
        counts = np.concatenate([shard.index[:, _COLUMNS.index(kind)] for shard in self._shards])
        return np.flatnonzero(counts)


class _Shard:
    def __init__(self, about: Path) -> None:
        self._path = about.with_name(about.name.removesuffix(".tokens.json"))
        try:
            values = json.loads(about.read_text())
            if values["version"] != _FORMAT_VERSION:
                raise ValueError(f"version {values['version']}, expected {_FORMAT_VERSION}")
            self.vocabulary = from_dict(Vocabulary, values["vocabulary"], where=str(about))
            self.feature_width = int(values["feature_width"])
            self.index: np.ndarray = np.load(_beside(self._path, "index.npy"))
            sizes = [_beside(self._path, name).stat().st_size for name in ("ids.bin", "features.bin", "words.jsonl")]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MediaError(f"{about}: cannot be read: {error}; make the token shard again") from error
        scales = (2, 2 * self.feature_width, 1)
        wanted = [int(end) * scale for end, scale in zip(self._bounds(len(self))[:3], scales, strict=True)]
        if sizes != wanted:
            raise MediaError(f"{about}: files have {sizes} bytes, the index speaks of {wanted}; make the shard again")

    def __len__(self) -> int:
        return len(self.index)

    def video(self, number: int) -> TokenizedVideo:
        before, end = self._bounds(number), self._bounds(number + 1)
        row = torch.from_numpy(np.array(self._ids[before[0] : end[0]], dtype=np.int64))
        features = None
        if self.feature_width:
            features = torch.from_numpy(np.array(self._features[before[1] : end[1]]))
        words = json.loads(self._words[before[2] : end[2]].tobytes())
        return TokenizedVideo(
            clips=_clips(row, features, self.vocabulary),
            captions=tuple(words["captions"]),
            image_captions=tuple(words["image_captions"]),
            questions=tuple((question, answer, topic) for question, answer, topic in words["questions"]),
            about_image=tuple(words["about_image"]),
        )

    def _bounds(self, number: int) -> np.ndarray:
        """Where video `number` starts, and where the one before it ends."""
        return self.index[number - 1] if number else np.zeros(len(_COLUMNS), dtype=np.int64)

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.memmap(_beside(self._path, "ids.bin"), dtype="<u2", mode="r")

    @cached_property
    def _features(self) -> np.ndarray:
        features = np.memmap(_beside(self._path, "features.bin"), dtype="<f2", mode="r")
        return features.reshape(-1, self.feature_width)

    @cached_property
    def _words(self) -> np.ndarray:
        return np.memmap(_beside(self._path, "words.jsonl"), dtype=np.uint8, mode="r")


def _beside(path: Path, extension: str) -> Path:
    return path.with_name(f"{path.name}.{extension}")


def _ids(video: TokenizedVideo, vocabulary: Vocabulary) -> np.ndarray:
    """The row of ids of a video, marks included."""
    row: list[int] = []
    for clip in video.clips:
        row += [vocabulary.image_start, *clip.visual_ids.tolist(), vocabulary.image_end]
        row += [vocabulary.motion_start, *clip.motion_ids.tolist(), vocabulary.motion_end]
    return np.array(row, dtype="<u2")


def _words(video: TokenizedVideo) -> bytes:
    words: dict[str, Any] = {
        name: getattr(video, name) for name in ("captions", "image_captions", "questions", "about_image")
    }
    return json.dumps(words, ensure_ascii=False).encode() + b"\n"


def _counts(video: TokenizedVideo) -> list[int]:
    return [len(getattr(video, name)) for name in _COLUMNS[3:]]


def _clips(row: Tensor, features: Tensor | None, vocabulary: Vocabulary) -> tuple[TokenizedClip, ...]:
    marks = (vocabulary.image_start, vocabulary.image_end, vocabulary.motion_start, vocabulary.motion_end)
    starts, ends, motion_starts, motion_ends = ((row == mark).nonzero()[:, 0].tolist() for mark in marks)
    clips, first = [], 0
    for start, end, motion_start, motion_end in zip(starts, ends, motion_starts, motion_ends, strict=True):
        visual = row[start + 1 : end]
        seen = None if features is None else features[first : first + len(visual)]
        clips.append(TokenizedClip(visual_ids=visual, motion_ids=row[motion_start + 1 : motion_end], features=seen))
        first += len(visual)
    return tuple(clips)
