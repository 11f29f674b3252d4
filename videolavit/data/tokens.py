"""Token shards: prepared videos as ids of the unified vocabulary, which is what the language model's stages read.

A shard is four files and, with continuous visual input, a fifth:

    NAME.ids.bin        uint16 or uint32, one video after another: `[IMG] v.. [/IMG] [MOV] m.. [/MOV]` for each clip,
                        `[MOV] m.. [/MOV]` for one that goes on from the clip before by motion alone
    NAME.features.bin   float16, the merged features of the same visual ids, before the projection to the language model
    NAME.words.jsonl    captions and questions of one video in a line, as text: they are tokenized when they are drawn
    NAME.index.npy      where each video ends in the others, and how much is said about it
    NAME.tokens.json    vocabulary, width of the ids, checksums, what it was made by and of; written last, so a shard
                        that has it is whole

Ids take 16 bits where the vocabulary has at most 65 536 of them (the released one has 49 412), else 32. All files but
the last are read through memory maps, so opening a shard costs nothing and any video is one read away.

Shards in which every clip has a keyframe are of version 1, which earlier versions of the package read as well; those
with clips of motion alone are of version 2.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Int, UInt32
from torch import Tensor

from videolavit.config import from_dict
from videolavit.errors import ConfigError, MediaError, OutputError
from videolavit.jobs.partial_files import partial_path
from videolavit.vocabulary import Vocabulary

__all__ = ["TokenReader", "TokenShard", "TokenizedClip", "TokenizedVideo", "TokensMadeBy", "id_bits", "write_tokens"]

_VERSIONS = (1, 2)
"""Those that can be read: 2 has clips of motion alone."""
_PARTS = ("ids.bin", "features.bin", "words.jsonl", "index.npy")
_COLUMNS = ("ids", "features", "words", "captions", "image_captions", "questions", "image_questions")
"""Of the index: ends in ids, feature rows and bytes of words, then counts."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenizedClip:
    """One clip in the unified vocabulary, without special tokens."""

    visual_ids: Int[Tensor, "n"]
    """None at all where the clip goes on from the one before by motion alone."""
    motion_ids: Int[Tensor, "m"]
    features: Float[Tensor, "n width"] | None = None
    """Features that the visual ids were quantised from."""

    @property
    def has_keyframe(self) -> bool:
        return bool(len(self.visual_ids))


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


@dataclass(frozen=True, kw_only=True, slots=True)
class TokensMadeBy:
    """Provenance of a token shard."""

    tokenizers: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the weights of `visual` and `motion` and of the vocabulary of `text`; empty if unknown."""
    made_of: str = ""
    """Digest of the prepared videos."""


def id_bits(vocabulary: Vocabulary) -> int:
    """Width of the ids of a vocabulary in token shards: 16 or 32."""
    return 16 if vocabulary.size <= 2**16 else 32


def write_tokens(
    videos: Iterable[TokenizedVideo], path: Path, vocabulary: Vocabulary, made_by: TokensMadeBy = TokensMadeBy()
) -> int:
    """Write a shard whose files start with `path`; it is there whole or not at all. Returns the number of videos.

    Raises:
        OutputError: the folder does not exist or cannot be written.
    """
    names = [*_PARTS, "tokens.json"]
    partial = {name: partial_path(_beside(path, name)) for name in names}
    try:
        with (
            partial["ids.bin"].open("wb") as ids,
            partial["features.bin"].open("wb") as features,
            partial["words.jsonl"].open("wb") as words,
        ):
            streams = _Checked(ids), _Checked(features), _Checked(words)
            index, width, motion_only = _write_videos(videos, vocabulary, *streams)
        with partial["index.npy"].open("wb") as file:
            np.save(file, index)
        checksums = [stream.crc for stream in streams] + [zlib.crc32(partial["index.npy"].read_bytes())]
        about = {
            "version": 2 if motion_only else 1,
            "vocabulary": asdict(vocabulary),
            "id_bits": id_bits(vocabulary),
            "feature_width": width,
            "crc32": dict(zip(_PARTS, checksums, strict=True)),
            "tokenizers": dict(made_by.tokenizers),
            "made_of": made_by.made_of,
        }
        partial["tokens.json"].write_text(json.dumps(about, indent=2) + "\n")
        for name in names:
            os.replace(partial[name], _beside(path, name))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error}; does the folder exist, and is there space?") from error
    finally:
        for file in partial.values():
            file.unlink(missing_ok=True)
    return len(index)


def _write_videos(
    videos: Iterable[TokenizedVideo], vocabulary: Vocabulary, ids: _Checked, features: _Checked, words: _Checked
) -> tuple[Int[np.ndarray, "videos columns"], int, bool]:
    """Write videos one after another; returns the index, the width of the features or 0, and whether some clips have
    motion alone.

    Raises:
        MediaError: the first clip of a video has no keyframe.
    """
    rows, width, size, motion_only = [], 0, id_bits(vocabulary) // 8, False
    for number, video in enumerate(videos):
        if video.clips and not video.clips[0].has_keyframe:
            raise MediaError(
                f"video {number} begins with a clip of motion alone, expected a keyframe; prepare it again"
            )
        motion_only = motion_only or not all(clip.has_keyframe for clip in video.clips)
        ids.write(_ids(video, vocabulary).tobytes())
        for clip in video.clips:
            if clip.features is not None:
                width = clip.features.shape[1]
                features.write(clip.features.detach().cpu().to(torch.float16).numpy().tobytes())
        words.write(_words(video))
        feature_rows = features.size // (2 * width) if width else 0
        rows.append([ids.size // size, feature_rows, words.size, *_counts(video)])
    return np.array(rows, dtype=np.int64).reshape(-1, len(_COLUMNS)), width, motion_only


class _Checked:
    """A file that is written, with size and CRC-32 of what it holds."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size, self.crc = 0, 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.size, self.crc = self.size + len(content), zlib.crc32(content, self.crc)


class TokenReader:
    """All videos of all token shards in a folder, by number.

    Raises:
        MediaError: the folder holds no token shard, or one is damaged.
        ConfigError: its shards belong to different vocabularies or tokenizers.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.shards = [TokenShard(path) for path in sorted(self.folder.glob("*.tokens.json"))]
        if not self.shards:
            raise MediaError(f"{self.folder}: holds no token shards (*.tokens.json); make some with `prepare tokens`")
        filled = [shard for shard in self.shards if len(shard)] or self.shards[:1]
        kinds = {(shard.vocabulary, shard.feature_width) for shard in filled}
        digests = {tuple(sorted(shard.tokenizers.items())) for shard in filled if shard.tokenizers}
        if len(kinds) > 1 or len(digests) > 1:
            different = kinds if len(kinds) > 1 else digests
            raise ConfigError(
                f"{self.folder}: its shards were made by different tokenizers: {different}; make them anew"
            )
        self.vocabulary, self.feature_width = next(iter(kinds))
        self.tokenizers: dict[str, str] = dict(next(iter(digests), ()))
        """Digests by name, empty in folders of old."""
        self.motion_only = any(shard.motion_only for shard in filled)
        """True if some clips have motion alone."""
        self._ends = np.cumsum([len(shard) for shard in self.shards])

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
        return self.shards[shard].video(number - int(self._ends[shard - 1] if shard else 0))

    def with_words(self, kind: str) -> UInt32[np.ndarray, "n"]:
        """Numbers of the videos that have `captions`, `image_captions`, `questions` or `image_questions`."""
        found, before = [], 0
        for shard in self.shards:
            # In 4 bytes, one shard after another: the columns of all shards would be the largest thing here.
            found.append(np.flatnonzero(shard.counts(kind)).astype(np.uint32) + np.uint32(before))
            before += len(shard)
        return np.concatenate(found)


class TokenShard:
    """The videos of one token shard, by number.

    Raises:
        MediaError: it is damaged.
    """

    def __init__(self, about: Path) -> None:
        self.path = about.with_name(about.name.removesuffix(".tokens.json"))
        try:
            values = json.loads(about.read_text())
            _check_version(about, values["version"])
            self.motion_only = values["version"] > 1
            """True if some clips have motion alone."""
            self.vocabulary = from_dict(Vocabulary, values["vocabulary"], where=str(about))
            self.feature_width = int(values["feature_width"])
            self.id_bits = int(values.get("id_bits", 16))
            if self.id_bits not in (16, 32):
                raise ValueError(f"id_bits {self.id_bits}, expected 16 or 32")
            self.tokenizers, self.made_of = dict(values.get("tokenizers", {})), str(values.get("made_of", ""))
            self._checksums = dict(values.get("crc32", {}))
            self._num_videos = len(self.index)
            sizes = [_beside(self.path, name).stat().st_size for name in _PARTS[:3]]
        except MediaError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MediaError(f"{about}: cannot be read: {error}; make the token shard again") from error
        scales = (self.id_bits // 8, 2 * self.feature_width, 1)
        wanted = [int(end) * scale for end, scale in zip(self._bounds(len(self))[:3], scales, strict=True)]
        if sizes != wanted:
            raise MediaError(f"{about}: files have {sizes} bytes, the index speaks of {wanted}; make the shard again")

    def __len__(self) -> int:
        return self._num_videos

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

    def check(self) -> None:
        """Read all of it.

        Raises:
            MediaError: a checksum is not the one it was written with, or an id is outside the vocabulary.
        """
        for name, checksum in self._checksums.items():
            if _crc_of(_beside(self.path, name)) != checksum:
                raise MediaError(
                    f"{_beside(self.path, name)}: is damaged: its checksum is not the one it was written with"
                )
        if len(self) and (highest := int(self._ids.max())) >= self.vocabulary.size:
            raise MediaError(f"{self.path}: holds id {highest}, the vocabulary ends before {self.vocabulary.size}")
        for number in range(len(self)):
            try:
                self.video(number)
            except (ValueError, KeyError, TypeError) as error:
                raise MediaError(f"{self.path}: video {number} cannot be read: {error}") from error

    def sums(self) -> dict[str, int]:
        """Numbers of videos and ids, and of each kind of words."""
        totals = np.asarray(self.index[:, 3:], dtype=np.int64).sum(0).tolist()
        ids = int(self._bounds(len(self))[0])
        return {"videos": len(self), "ids": ids, **dict(zip(_COLUMNS[3:], totals, strict=True))}

    def counts(self, kind: str) -> Int[np.ndarray, "videos"]:
        """Words of one kind for each video, read without leaving the whole index in memory."""
        return np.load(_beside(self.path, "index.npy"))[:, _COLUMNS.index(kind)].copy()

    @property
    def files(self) -> list[Path]:
        """All files of the shard; the one that makes it whole comes last."""
        return [_beside(self.path, name) for name in (*_PARTS, "tokens.json")]

    def _bounds(self, number: int) -> np.ndarray:
        """Start of video `number`, and end of the one before it."""
        return self.index[number - 1] if number else np.zeros(len(_COLUMNS), dtype=np.int64)

    @cached_property
    def index(self) -> np.ndarray:
        """Ends in the other files and counts of words, a row for each video."""
        return np.load(_beside(self.path, "index.npy"), mmap_mode="r")

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.memmap(_beside(self.path, "ids.bin"), dtype=f"<u{self.id_bits // 8}", mode="r")

    @cached_property
    def _features(self) -> np.ndarray:
        features = np.memmap(_beside(self.path, "features.bin"), dtype="<f2", mode="r")
        return features.reshape(-1, self.feature_width)

    @cached_property
    def _words(self) -> np.ndarray:
        return np.memmap(_beside(self.path, "words.jsonl"), dtype=np.uint8, mode="r")


def _check_version(about: Path, version: Any) -> None:
    """Refuse a shard of a version that this package does not know."""
    if isinstance(version, int) and version > max(_VERSIONS):
        raise MediaError(
            f"{about}: has version {version} of the format, this package reads up to {max(_VERSIONS)}; "
            "update videolavit"
        )
    if version not in _VERSIONS:
        raise ValueError(f"version {version}, expected one of {_VERSIONS}")


def _crc_of(path: Path) -> int:
    crc = 0
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                crc = zlib.crc32(block, crc)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error}") from error
    return crc


def _beside(path: Path, extension: str) -> Path:
    return path.with_name(f"{path.name}.{extension}")


def _ids(video: TokenizedVideo, vocabulary: Vocabulary) -> np.ndarray:
    """The row of ids of a video, special tokens included."""
    row: list[int] = []
    for clip in video.clips:
        if clip.has_keyframe:
            row += [vocabulary.image_start, *clip.visual_ids.tolist(), vocabulary.image_end]
        row += [vocabulary.motion_start, *clip.motion_ids.tolist(), vocabulary.motion_end]
    return np.array(row, dtype=f"<u{id_bits(vocabulary) // 8}")


def _words(video: TokenizedVideo) -> bytes:
    words: dict[str, Any] = {
        name: getattr(video, name) for name in ("captions", "image_captions", "questions", "about_image")
    }
    return json.dumps(words, ensure_ascii=False).encode() + b"\n"


def _counts(video: TokenizedVideo) -> list[int]:
    return [len(getattr(video, name)) for name in _COLUMNS[3:]]


def _clips(row: Tensor, features: Tensor | None, vocabulary: Vocabulary) -> tuple[TokenizedClip, ...]:
    special_tokens = (vocabulary.image_start, vocabulary.image_end, vocabulary.motion_start, vocabulary.motion_end)
    starts, ends, motion_starts, motion_ends = ((row == one).nonzero()[:, 0].tolist() for one in special_tokens)
    # A clip has a keyframe where one ends right before its motion begins.
    keyframes = {end + 1: (start, end) for start, end in zip(starts, ends, strict=True)}
    clips, first = [], 0
    for motion_start, motion_end in zip(motion_starts, motion_ends, strict=True):
        start, end = keyframes.get(motion_start, (motion_start - 1, motion_start))
        visual = row[start + 1 : end]
        seen = None if features is None else features[first : first + len(visual)]
        clips.append(TokenizedClip(visual_ids=visual, motion_ids=row[motion_start + 1 : motion_end], features=seen))
        first += len(visual)
    return tuple(clips)
