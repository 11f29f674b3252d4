"""Prepared videos in tar files (WebDataset's naming), with an index for random access.

A *record* is one video of one or more clips as every training stage needs it: keyframes and motion as the front end
gave them, the frames themselves, and what is said about them. Files of record 7: `00000007.json`, `.keyframes.png`
(all keyframes below one another), `.motion.npz` and `.frames.mp4`. Beside `name.tar` stands `name.index.json` with the
place, size and CRC-32 of every file, so that any record is one read away, training can resume anywhere, and damage is
found when it is read.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float16, UInt8
from PIL import Image

from videolavit.clip import MotionField
from videolavit.data.frame_store import decode_mp4, encode_mp4
from videolavit.errors import MediaError, OutputError
from videolavit.jobs.partial_files import partial_path

__all__ = ["Record", "ShardReader", "num_records", "write_shard"]


class _Place(NamedTuple):
    """Of one file in a shard."""

    offset: int
    size: int
    crc: int | None = None
    """CRC-32 of the content; None in shards of old."""


_WORDS = frozenset({"height", "captions", "image_captions", "questions", "about_image", "source"})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Record:
    """One prepared video."""

    keyframes: UInt8[np.ndarray, "clips height width 3"]
    motion: Float16[np.ndarray, "clips 2 ticks rows cols"]
    """Pixels per frame of an image of `motion_size`, as in `MotionField`."""
    motion_size: tuple[int, int]
    """(height, width) of the image in which motion was measured; may be larger than the keyframes."""
    frames: UInt8[np.ndarray, "frames height width 3"]
    """All clips one after another, the keyframes' ticks included."""
    captions: tuple[str, ...] = ()
    """Of the whole video."""
    image_captions: tuple[str, ...] = ()
    """Of the first frame."""
    questions: tuple[tuple[str, str, str], ...] = ()
    """(question, answer, topic); the topic only sorts results."""
    about_image: tuple[bool, ...] = ()
    """For each question, whether the first frame alone answers it."""
    source: dict[str, Any] = field(default_factory=dict)
    """Origin: a path, or the seed of a rendered scene."""
    motion_only: tuple[int, ...] = ()
    """Clips that go on from the one before by motion alone where ids are made; their keyframes are there all the same,
    for what is trained on single clips."""

    @property
    def num_clips(self) -> int:
        return len(self.keyframes)

    def motion_of(self, clip: int) -> MotionField:
        """Motion field of a clip."""
        height, width = self.motion_size
        return MotionField(values=self.motion[clip].astype(np.float32), height=height, width=width)


def write_shard(records: Iterable[Record], path: Path) -> int:
    """Write records into a tar file and its index; both appear only when complete. Returns the number of records.

    Raises:
        OutputError: the folder does not exist or cannot be written.
    """
    index_path, index = path.with_suffix(".index.json"), []
    partial, partial_index = partial_path(path), partial_path(index_path)
    try:
        with tarfile.open(partial, "w") as tar:
            for number, record in enumerate(records):
                index.append(_add(tar, f"{number:08d}", record))
        partial_index.write_text(json.dumps(index))
        os.replace(partial_index, index_path)
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error}; does the folder exist, and is there space?") from error
    finally:
        partial.unlink(missing_ok=True)
        partial_index.unlink(missing_ok=True)
    return len(index)


def num_records(path: Path) -> int:
    """Number of records in one shard; 0 where there is none."""
    return len(_read_index(path)) if path.is_file() else 0


class ShardReader:
    """All records of all shards in a folder, or of one shard by its path, by number; `reader[i]` reads one record.

    Raises:
        MediaError: the folder holds no shard, or a shard and its index do not fit.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._places: list[tuple[Path, dict[str, _Place]]] = []
        paths = [self.folder] if self.folder.suffix == ".tar" else sorted(self.folder.glob("*.tar"))
        for path in paths:
            self._places += [(path, places) for places in _read_index(path)]
        if not paths:
            raise MediaError(f"{self.folder}: holds no shards (*.tar with *.index.json); make some with `prepare`")

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"ShardReader({str(self.folder)!r}, {len(self)} records)"

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Record:
        return replace(self.without_frames(number), frames=self.frames(number))

    def check(self) -> None:
        """Read all files of all records.

        Raises:
            MediaError: a checksum is not the one it was written with.
        """
        for number, (_, places) in enumerate(self._places):
            for name in places:
                self._read(number, name)

    def shards(self) -> dict[Path, range]:
        """The files that the records lie in, and the numbers of those in each."""
        found: dict[Path, range] = {}
        for number, (path, _) in enumerate(self._places):
            found[path] = range(found[path].start if path in found else number, number + 1)
        return found

    def without_frames(self, number: int) -> Record:
        """A record whose frames are not decoded, which is most of the work of reading it; it has none."""
        words, keyframes = self.words(number), self.keyframes(number)
        with self._part(number, "motion.npz") as content, np.load(content, allow_pickle=False) as motion:
            fields, size = motion["motion"], tuple(motion["size"].tolist())
            if len(fields) != len(keyframes):
                raise ValueError(f"motion of {len(fields)} clips for {len(keyframes)} keyframes")
        with self._explained(number, "json"):
            return Record(
                keyframes=keyframes,
                motion=fields,
                motion_size=size,
                frames=np.empty((0, *keyframes.shape[1:]), dtype=np.uint8),
                captions=tuple(words["captions"]),
                image_captions=tuple(words["image_captions"]),
                questions=tuple((text, answer, topic) for text, answer, topic in words["questions"]),
                about_image=tuple(words["about_image"]),
                source=words["source"],
                motion_only=tuple(words.get("motion_only", ())),
            )

    def words(self, number: int) -> dict[str, Any]:
        """Only what is said about a video."""
        with self._part(number, "json") as content:
            words = json.load(content)
            if missing := _WORDS - set(words):
                raise ValueError(f"lacks {', '.join(sorted(missing))}")
            return words

    def keyframes(self, number: int) -> UInt8[np.ndarray, "clips height width 3"]:
        """Only the keyframes."""
        height = self.words(number)["height"]
        with self._part(number, "keyframes.png") as content, Image.open(content, formats=["PNG"]) as stacked:
            return np.asarray(stacked.convert("RGB")).reshape(-1, height, stacked.width, 3)

    def motion(self, number: int) -> list[MotionField]:
        """Only the motion fields, one for each clip."""
        with self._part(number, "motion.npz") as content, np.load(content, allow_pickle=False) as stored:
            (height, width), values = stored["size"].tolist(), stored["motion"].astype(np.float32)
        return [MotionField(values=field, height=height, width=width) for field in values]

    def frames(self, number: int) -> UInt8[np.ndarray, "frames height width 3"]:
        """Only the frames."""
        with self._part(number, "frames.mp4") as content:
            return decode_mp4(content.getvalue())

    @contextmanager
    def _part(self, number: int, name: str) -> Iterator[io.BytesIO]:
        """One file of a record; what any library raises inside the block becomes one error that names the record."""
        with self._explained(number, name):
            yield io.BytesIO(self._read(number, name))

    @contextmanager
    def _explained(self, number: int, name: str) -> Iterator[None]:
        try:
            yield
        except MediaError:
            raise
        except Exception as error:  # Pillow, NumPy, zipfile, libav and json each have several of their own
            raise self._damaged(number, name, f"{type(error).__name__}: {error}") from error

    def _read(self, number: int, name: str) -> bytes:
        path, places = self._places[number]
        if name not in places:
            raise MediaError(f"{path}: record {number} has no {name}, it has {', '.join(places)}; prepare it again")
        place = places[name]
        with path.open("rb") as file:
            file.seek(place.offset)
            content = file.read(place.size)
        if place.crc is not None and zlib.crc32(content) != place.crc:
            raise self._damaged(number, name, "its checksum is not the one it was written with")
        return content

    def _damaged(self, number: int, name: str, reason: str) -> MediaError:
        path, _ = self._places[number]
        within = number - self.shards()[path].start
        return MediaError(
            f"{path}: record {within}, {name}, is damaged: {reason}; remove shard and index and prepare it again"
        )


def _add(tar: tarfile.TarFile, key: str, record: Record) -> dict[str, _Place]:
    clips, height, width, _ = record.keyframes.shape
    image, motion = io.BytesIO(), io.BytesIO()
    Image.fromarray(record.keyframes.reshape(clips * height, width, 3)).save(image, "PNG", compress_level=1)
    np.savez_compressed(motion, motion=record.motion, size=np.array(record.motion_size))
    words = {
        "height": height,
        "captions": record.captions,
        "image_captions": record.image_captions,
        "questions": record.questions,
        "about_image": record.about_image,
        "source": record.source,
        **({"motion_only": record.motion_only} if record.motion_only else {}),
    }
    members = {
        "json": json.dumps(words).encode(),
        "keyframes.png": image.getvalue(),
        "motion.npz": motion.getvalue(),
        "frames.mp4": encode_mp4(record.frames),
    }
    places = {}
    for name, content in members.items():
        header = tarfile.TarInfo(f"{key}.{name}")
        header.size = len(content)
        tar.addfile(header, io.BytesIO(content))
        padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        places[name] = _Place(tar.offset - padded, len(content), zlib.crc32(content))
    return places


def _read_index(path: Path) -> list[dict[str, _Place]]:
    index = path.with_suffix(".index.json")
    try:
        records = [{name: _Place(*map(int, place)) for name, place in files.items()} for files in _json_list(index)]
        end = max((place.offset + place.size for places in records for place in places.values()), default=0)
        if any(min(place.offset, place.size) < 0 for places in records for place in places.values()):
            raise ValueError("a place before the start of the shard")
        size = path.stat().st_size
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise MediaError(f"{index}: cannot be read: {error}; prepare the shard again") from error
    if end > size:
        raise MediaError(f"{path}: has {size} bytes, its index speaks of {end}; prepare it again")
    return records


def _json_list(path: Path) -> list[Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, list):
        raise ValueError(f"got a JSON {type(values).__name__}, expected a list")
    return values
