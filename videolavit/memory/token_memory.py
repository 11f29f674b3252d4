"""A video as the model read it, kept in files: ids, times, and words to find a moment again.

A folder holds

    memory.json     vocabulary, sizes and the model that reads; written first
    ids.bin         `[IMG] v.. [/IMG] [MOV] m.. [/MOV]` of each clip, 2 bytes an id (4 for large vocabularies)
    features.bin    float16, what a model with continuous visual input reads in place of the visual ids
    words.bin       descriptions of each clip, as JSON
    keyframes.bin   small JPEG images of the keyframes, to be shown to people and to image-text encoders
    clips.bin       a record of 64 bytes for each clip: where it ends in the others, its time, a checksum
    sources.json    names and sizes of the files that were read, so that reading goes on in the right one

The `.bin` files are only appended to, and a clip counts from when its record is whole, so a process that is killed
loses at most the clip that it was writing. The records are a memory map and clips are read one by one, so that memory
does not grow with the video. A clip whose keyframe says nothing new has motion alone: `[MOV] m.. [/MOV]`.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from videolavit.config import from_dict, whole_number
from videolavit.errors import ConfigError, MediaError, OutputError
from videolavit.language.prompts import ClipInput, ImageInput, Moment
from videolavit.video.io.sources import local_path
from videolavit.vocabulary import Vocabulary

__all__ = ["RememberedClip", "TokenMemory"]

_ABOUT = "memory.json"
_VERSION = 2
_RECORD = np.dtype(
    [
        ("ids", "<i8"),
        ("features", "<i8"),
        ("words", "<i8"),
        ("keyframes", "<i8"),
        ("num_visual", "<i8"),
        ("start", "<f8"),
        ("end", "<f8"),
        ("checksum", "<i8"),
    ]
)
"""Ends in the other files, number of visual ids, seconds, and the CRC-32 of what the clip has in the other files."""
_FILES = ("ids", "features", "words", "keyframes")
"""The other files, without `.bin`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RememberedClip:
    """One clip of a memory."""

    visual_ids: Int[Tensor, "n"]
    """None at all where the clip goes on from the one before without a keyframe."""
    motion_ids: Int[Tensor, "m"]
    start_seconds: float
    end_seconds: float
    features: Float[Tensor, "n width"] | None = None
    """In place of the visual ids, for a model that reads features."""
    descriptions: tuple[str, ...] = ()
    """Words of the model about this clip alone."""
    jpeg: bytes = b""
    """A small image of the keyframe; may be left out."""

    def as_input(self, *, with_motion: bool = True, moment: Moment | None = None) -> ClipInput:
        """The clip as a part of a prompt."""
        motion = self.motion_ids if with_motion else None
        return ClipInput(keyframe=self.keyframe(), motion_ids=motion, moment=moment)

    def keyframe(self) -> ImageInput | None:
        """Its keyframe as a part of a prompt."""
        if not len(self.visual_ids):
            return None
        return ImageInput(ids=self.visual_ids) if self.features is None else ImageInput(features=self.features)


class TokenMemory:
    """The clips of one video, by number; open for reading, or with `append=True` for adding to it as well."""

    def __init__(self, folder: str | os.PathLike[str], *, append: bool = False) -> None:
        """Open a memory that exists; `create` makes one.

        Raises:
            MediaError: there is none, or it is damaged.
            OutputError: another process appends to it.
        """
        self.folder = Path(local_path(folder))
        about = _read_about(self.folder)
        try:
            self.vocabulary: Vocabulary = from_dict(Vocabulary, about["vocabulary"])
            self.feature_width: int = whole_number("feature_width", about["feature_width"], at_least=0)
        except (ConfigError, KeyError, TypeError) as error:
            raise MediaError(f"{self.folder}: {_ABOUT} is damaged ({error!r}); read the video again") from error
        self.made_by: dict[str, Any] = _made_by(about)
        """Package and model, by the names that results have in their metadata; empty where nobody noted them."""
        self._id_type = np.dtype("<u2" if self.vocabulary.size <= 2**16 else "<u4")
        self._lock: Any = None
        self._records = np.zeros(0, _RECORD)
        if append:
            self._begin_to_append()
        self.refresh()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        vocabulary: Vocabulary,
        *,
        feature_width: int = 0,
        made_by: Mapping[str, Any] | None = None,
    ) -> TokenMemory:
        """An empty memory, open for appending.

        Args:
            folder: for its files; made if it does not exist.
            vocabulary: of the model.
            feature_width: 0 where the model reads visual ids.
            made_by: the model by its name and hash, to be told; plain values.

        Raises:
            OutputError: the folder holds a memory already, or cannot be written.
        """
        folder = Path(local_path(folder))
        if (folder / _ABOUT).exists():
            raise OutputError(f"{folder}: holds a memory already; open it with append=True, or take another folder")
        about = {"version": _VERSION, "vocabulary": asdict(vocabulary), "feature_width": feature_width}
        about["made_by"] = dict(made_by or {})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in (*_FILES, "clips"):
                (folder / f"{name}.bin").write_bytes(b"")
            unfinished = folder / f".{_ABOUT}.{os.getpid()}"
            unfinished.write_text(json.dumps(about, indent=2) + "\n")
            unfinished.replace(folder / _ABOUT)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be written: {error}; is there space, and may it be written?"
            ) from error
        return cls(folder, append=True)

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"TokenMemory({str(self.folder)!r}, {len(self)} clips, {self.seconds:.0f} s)"

    def __iter__(self) -> Iterator[RememberedClip]:
        return (self[number] for number in range(len(self)))

    def __enter__(self) -> TokenMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        """End of the last clip."""
        return float(self._records["end"][-1]) if len(self) else 0.0

    @property
    def motion_only(self) -> bool:
        """True if some clips have motion alone."""
        return bool((np.asarray(self._records["num_visual"]) == 0).any())

    def lengths(self) -> tuple[Int[np.ndarray, " clips"], Int[np.ndarray, " clips"]]:
        """Positions that keyframe and motion of each clip take in a prompt, special tokens included."""
        visual = np.asarray(self._records["num_visual"])
        keyframes = np.where(visual > 0, visual + 2, 0)
        return keyframes, np.diff(self._records["ids"], prepend=0) - keyframes

    def __getitem__(self, number: int) -> RememberedClip:
        """Read one clip.

        Raises:
            IndexError: there are fewer clips.
            MediaError: the bytes are not those that were written.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"clip {number} of {len(self)}")
        record = self._records[number]
        parts = self._bytes(number)
        if zlib.crc32(b"".join(parts.values())) != record["checksum"]:
            raise MediaError(f"{self.folder}: clip {number} is damaged; read the video again")
        ids, features, words, jpeg = parts.values()
        numbers = torch.from_numpy(np.frombuffer(ids, self._id_type).astype(np.int64))
        count = int(record["num_visual"])
        motion_start = count + 3 if count else 1
        rows = np.frombuffer(features, "<f2").reshape(-1, self.feature_width or 1).astype(np.float32)
        return RememberedClip(
            visual_ids=numbers[1 : 1 + count] if count else numbers[:0],
            motion_ids=numbers[motion_start:-1],
            start_seconds=float(record["start"]),
            end_seconds=float(record["end"]),
            features=torch.from_numpy(rows) if self.feature_width else None,
            descriptions=tuple(json.loads(words)),
            jpeg=jpeg,
        )

    def visual_ids(self, number: int) -> Shaped[np.ndarray, " n"]:
        """The visual ids of one clip, read alone and unchecked."""
        start = self._start(number, "ids")
        count, size = int(self._records["num_visual"][number]), self._id_type.itemsize
        data = _slice(self.folder / "ids.bin", (start + 1) * size, (start + 1 + count) * size)
        return np.frombuffer(data, self._id_type)

    def jpeg(self, number: int) -> bytes:
        """The small image of one clip's keyframe, read alone and unchecked; empty where there is none."""
        return self._part(number, "keyframes")

    def descriptions(self) -> list[tuple[str, ...]]:
        """Descriptions of all clips.

        Raises:
            MediaError: they are damaged.
        """
        ends = self._records["words"].tolist()
        text = _slice(self.folder / "words.bin", 0, ends[-1]) if ends else b""
        starts = [0, *ends[:-1]]
        try:
            return [tuple(json.loads(text[start:end])) for start, end in zip(starts, ends, strict=True)]
        except (ValueError, TypeError) as error:
            raise MediaError(f"{self.folder}: words.bin is damaged: {error}; read the video again") from error

    def append(self, clip: RememberedClip, *, sync: bool = True) -> None:
        """Add a clip behind the last one; with `sync` it is safe on the disk when this returns.

        Raises:
            OutputError: the memory is not open for appending, or cannot be written.
            MediaError: the clip has features where the memory has none or the reverse, or begins before the last ends.
        """
        if self._lock is None:
            raise OutputError(f"{self.folder}: is open for reading only; open it with append=True")
        width = 0 if clip.features is None else clip.features.shape[1]
        if width != self.feature_width or clip.start_seconds < self.seconds - 1e-6:
            raise MediaError(
                f"got a clip with features of width {width} from second {clip.start_seconds:.2f} on, expected width "
                f"{self.feature_width} and second {self.seconds:.2f} or later"
            )
        parts = self._as_bytes(clip)
        last = self._records[-1] if len(self) else np.zeros((), _RECORD)
        record = np.array(
            (
                *(int(last[name]) + len(data) // self._unit(name) for name, data in parts.items()),
                len(clip.visual_ids),
                clip.start_seconds,
                clip.end_seconds,
                zlib.crc32(b"".join(parts.values())),
            ),
            _RECORD,
        )
        try:
            for name, data in parts.items():
                _append(self.folder / f"{name}.bin", data, sync)
            _append(self.folder / "clips.bin", record.tobytes(), sync)
        except OSError as error:
            with suppress(OSError):  # the next clip must not stand behind a part of this one
                self._forget_what_is_not_whole()
            raise OutputError(f"{self.folder}: cannot be written: {error}; is there space?") from error
        self.refresh()

    def refresh(self) -> None:
        """See the clips that another process has appended.

        Raises:
            MediaError: the file of their records is gone.
        """
        path = self.folder / "clips.bin"
        try:
            whole = path.stat().st_size // _RECORD.itemsize
        except OSError as error:
            raise MediaError(f"{path}: cannot be read: {error.strerror}; read the video again") from error
        self._records = np.memmap(path, _RECORD, "r", shape=(whole,)) if whole else np.zeros(0, _RECORD)

    def close(self) -> None:
        """End appending."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _begin_to_append(self) -> None:
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise OutputError(f"{self.folder}: another process appends to it; wait until it is done") from error
        self._forget_what_is_not_whole()

    def _forget_what_is_not_whole(self) -> None:
        """Cut off what a killed process left behind the last whole clip."""
        self.refresh()
        while len(self) and not self._is_whole(len(self) - 1):
            self._records = self._records[:-1]
        last = self._records[-1] if len(self) else np.zeros((), _RECORD)
        sizes = {name: int(last[name]) * self._unit(name) for name in _FILES}
        for name, size in {**sizes, "clips": len(self) * _RECORD.itemsize}.items():
            os.truncate(self.folder / f"{name}.bin", size)

    def _is_whole(self, number: int) -> bool:
        return zlib.crc32(b"".join(self._bytes(number).values())) == int(self._records["checksum"][number])

    def _unit(self, name: str) -> int:
        """Bytes of what a file holds: ids, rows of features, or bytes."""
        return {"ids": self._id_type.itemsize, "features": 2 * self.feature_width or 1}.get(name, 1)

    def _start(self, number: int, name: str) -> int:
        return int(self._records[name][number - 1]) if number else 0

    def _bytes(self, number: int) -> dict[str, bytes]:
        return {name: self._part(number, name) for name in _FILES}

    def _part(self, number: int, name: str) -> bytes:
        start, end, unit = self._start(number, name), int(self._records[name][number]), self._unit(name)
        return _slice(self.folder / f"{name}.bin", start * unit, end * unit)

    def _as_bytes(self, clip: RememberedClip) -> Mapping[str, bytes]:
        """Bytes that the clip adds to each of the files."""
        vocabulary = self.vocabulary
        ids = [vocabulary.image_start, *clip.visual_ids.tolist(), vocabulary.image_end] if len(clip.visual_ids) else []
        ids += [vocabulary.motion_start, *clip.motion_ids.tolist(), vocabulary.motion_end]
        features = b"" if clip.features is None else clip.features.detach().cpu().numpy().astype("<f2").tobytes()
        words = json.dumps(list(clip.descriptions)).encode()
        data = np.array(ids, self._id_type).tobytes()
        return {"ids": data, "features": features, "words": words, "keyframes": clip.jpeg}


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / _ABOUT).read_text())
    except FileNotFoundError as error:
        raise MediaError(f"{folder}: holds no memory of a video (no {_ABOUT}); read a video into it first") from error
    except (OSError, ValueError) as error:
        raise MediaError(f"{folder}: {_ABOUT} cannot be read: {error}; read the video again") from error
    version = about.get("version") if isinstance(about, dict) else None
    if isinstance(version, int) and version > _VERSION:
        raise MediaError(
            f"{folder}: has version {version} of the format, this package reads up to {_VERSION}; update videolavit"
        )
    if version != _VERSION:
        raise MediaError(f"{folder}: is a memory of another version of this package; read the video again")
    return about


def _made_by(about: Mapping[str, Any]) -> dict[str, Any]:
    noted = about.get("made_by")
    return noted if isinstance(noted, dict) else {}


def _slice(path: Path, start: int, end: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}; read the video again") from error


def _append(path: Path, data: bytes, sync: bool) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())
