"""Clips in one safetensors file, written clip by clip, so that hours of video need no more memory than seconds.

    motion           (n, 2, frames, rows, cols) float32, tokenizer units: what the motion tokenizer reads
    motion_pixels    (n, 2, frames, rows, cols) float32, pixels per frame on the grid of the codec's blocks
    keyframes        (n, height, width, 3) uint8, RGB
    clip_starts      (n,) int64, ticks of 1 / fps seconds
    num_real_frames  (n,) int64, frames that the video has; motion is zero from there on

The file's metadata holds `fps` and `source`. Any reader of safetensors opens it; `load_clips` makes `Clip`s of it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import SafetensorError, safe_open

from videolavit.clip import Clip, MotionField
from videolavit.errors import MediaError, OutputError, ShapeError
from videolavit.video.io.write import complete_or_absent

__all__ = ["ClipFileWriter", "load_clips"]

TYPE_NAMES = {"int64": "I64", "float32": "F32", "uint8": "U8"}
"""safetensors' names, in the order in which the arrays lie in the file: the largest items first keeps all aligned."""


class ClipFileWriter:
    """Writes clips of one video to `path`, which appears when the `with` block ends well, and not at all otherwise.

        with ClipFileWriter("clips.safetensors") as writer:
            for clip in iter_clips("video.mp4"):
                writer.add(clip)

    `rows` and `cols` are the grid of the motion tokenizer.
    """

    def __init__(self, path: str | Path, *, rows: int = 20, cols: int = 36) -> None:
        self.path = Path(path)
        self.grid = (rows, cols)
        self.num_clips = 0
        self._columns: dict[str, _Column] = {}
        self._metadata: dict[str, str] = {}

    def __enter__(self) -> ClipFileWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            for column in self._columns.values():
                column.spool.close()

    def add(self, clip: Clip) -> None:
        """Append one clip.

        Raises:
            ShapeError: its images or motion differ in size from those before.
            OutputError: the folder is not there, or full.
        """
        # Names of files need not be text; what is not must be spelt out for JSON.
        source = clip.source.encode("utf-8", "backslashreplace").decode()
        self._metadata = {"fps": str(clip.fps), "source": source}
        self._append("clip_starts", np.array(clip.start, dtype=np.int64))
        self._append("num_real_frames", np.array(clip.num_real_frames, dtype=np.int64))
        self._append("motion", clip.motion.for_tokenizer(*self.grid))
        self._append("motion_pixels", clip.motion.values)
        self._append("keyframes", clip.keyframe)
        self.num_clips += 1

    def _append(self, name: str, row: np.ndarray) -> None:
        if name not in self._columns:
            with self._explained():
                spool = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115 - closed by __exit__
            self._columns[name] = _Column(spool, row)
        column = self._columns[name]
        if row.shape != column.shape:
            raise ShapeError(
                f"clip {self.num_clips} has {name} of shape {row.shape}, the clips before it {column.shape}; "
                "one file holds clips of one size"
            )
        with self._explained():
            column.spool.write(np.ascontiguousarray(row).tobytes())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the disk with the name that was given, and not that of a spool."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def _finish(self) -> None:
        if self.num_clips == 0:
            raise MediaError(f"there is no clip to write to {self.path}")
        columns = sorted(self._columns.items(), key=lambda item: list(TYPE_NAMES).index(item[1].dtype))
        with complete_or_absent(self.path) as partial, partial.open("wb") as file:
            file.write(_header(dict(columns), self.num_clips, self._metadata))
            for _, column in columns:
                column.spool.seek(0)
                shutil.copyfileobj(column.spool, file, 1 << 20)


class _Column:
    """Rows of one array, on disk until their number is known."""

    def __init__(self, spool: IO[bytes], row: np.ndarray) -> None:
        self.spool = spool
        self.shape, self.dtype = row.shape, str(row.dtype)
        self.row_bytes = prod(row.shape) * row.dtype.itemsize


def _header(columns: dict[str, _Column], num_rows: int, metadata: dict[str, str]) -> bytes:
    """Length and JSON as the safetensors format wants them, padded so that the arrays start at a multiple of 8."""
    entries: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, column in columns.items():
        start, end = end, end + num_rows * column.row_bytes
        entries[name] = {
            "dtype": TYPE_NAMES[column.dtype],
            "shape": [num_rows, *column.shape],
            "data_offsets": [start, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def load_clips(path: str | Path) -> Iterator[Clip]:
    """The clips of a file that `ClipFileWriter` wrote, one at a time, with their motion in pixels.

    Raises:
        MediaError: the file is missing, damaged, or holds something else.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            starts, lengths = file.get_tensor("clip_starts"), file.get_tensor("num_real_frames")
            keyframes, motion = file.get_slice("keyframes"), file.get_slice("motion_pixels")
            fps, source = Fraction(metadata["fps"]), metadata["source"]
            for index, (start, length) in enumerate(zip(starts, lengths, strict=True)):
                keyframe = keyframes[index]
                field = MotionField(values=motion[index], height=keyframe.shape[0], width=keyframe.shape[1])
                yield Clip(
                    keyframe=keyframe,
                    motion=field,
                    start=int(start),
                    fps=fps,
                    num_real_frames=int(length),
                    source=source,
                )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise MediaError(f"{path} is not a file of clips as `videolavit decompose` writes them: {error}") from error
