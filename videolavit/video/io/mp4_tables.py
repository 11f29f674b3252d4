"""Memory that an MP4 or MOV file makes libav use: counted from its tables before libav sees them (ISO/IEC 14496-12).

libav makes a record of 24 to 70 bytes for every sample that the tables declare. A few bytes can declare thousands of
millions: samples that are all of one size, runs in fragments, edits that repeat the track. Files of other formats
cannot grow like that, and pipes are read as they come: neither is looked at here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

__all__ = ["count_index_entries"]

_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx", b"uuid")
_CONTAINERS = (
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"udta", b"meta"),
    *(b"dinf", b"tref", b"wave", b"sinf", b"schi", b"clip"),
)
_SOUND_BLOCK = 128
"""Samples, at least, in a block of sound."""
_MOST_BOXES = 2_000_000
_DEEPEST = 16
_LONGEST_COMPRESSED = 64 * 2**20


@runtime_checkable
class ReadableFile(Protocol):
    """The part of a binary file object that is needed."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> Any: ...


Box = tuple[bytes, int, int]
"""Its type, and where its content begins and ends."""


def count_index_entries(file: ReadableFile, size: int) -> int:
    """Upper bound of the samples that libav will list for this file; 0 where it is no MP4 or MOV.

    Args:
        file: can be sought in; its position changes.
        size: of the file in bytes.
    """
    file.seek(4)
    if file.read(4) not in _FIRST_BOXES:
        return 0
    return _count(file, size)


@dataclass(slots=True)
class _Track:
    samples: int = 0
    edits: int = 1
    is_sound: bool = False
    has_unit_times: bool = True

    @property
    def entries(self) -> int:
        # Of sound that is not compressed, libav lists blocks of samples.
        listed = self.samples // _SOUND_BLOCK if self.is_sound and self.has_unit_times else self.samples
        return listed * self.edits


def _count(file: ReadableFile, size: int) -> int:
    """Samples of all tracks, each track's times its edits, and of all fragments."""
    total, track = 0, _Track()
    for number, (kind, start, end) in enumerate(_boxes(file, 0, size)):
        if number == _MOST_BOXES:
            return total + track.entries + size // 8  # No sane file; each of the rest may hold one more.
        if kind == b"trak":
            total, track = total + track.entries, _Track()
        elif kind == b"hdlr":
            track.is_sound = _bytes(file, start + 8, 4) == b"soun"
        elif kind == b"stts":
            track.has_unit_times &= _numbers(file, start + 4, 3)[::2] == (1, 1)
        elif kind == b"stsz":
            track.samples += _numbers(file, start + 8, 1)[0]
        elif kind == b"elst":
            track.edits = max(track.edits, *_numbers(file, start + 4, 1))
        elif kind == b"trun":
            total += _numbers(file, start + 4, 1)[0]
        elif kind == b"cmov":
            total += _count_compressed(_bytes(file, start, min(end - start, _LONGEST_COMPRESSED)))
    return total + track.entries


def _count_compressed(content: bytes) -> int:
    """Of a movie header that old QuickTime files hold compressed."""
    begin = content.find(b"cmvd")
    try:
        header = zlib.decompressobj().decompress(content[begin + 8 :], _LONGEST_COMPRESSED) if begin >= 0 else b""
    except zlib.error:
        return 0
    return _count(io.BytesIO(header), len(header))


def _boxes(file: ReadableFile, start: int, end: int, depth: int = 0) -> Iterator[Box]:
    """Every box of a part of the file, those inside others after these."""
    while start + 8 <= end:
        length, kind = struct.unpack(">I4s", _bytes(file, start, 8))
        begin = start + 8
        if length == 1:
            length, begin = int.from_bytes(_bytes(file, begin, 8), "big"), begin + 8
        stop = end if length == 0 else min(start + length, end)
        if stop < begin:
            return
        yield kind, begin, stop
        if kind in _CONTAINERS and depth < _DEEPEST:
            # `meta` may have four bytes of version before its boxes.
            skipped = 4 if kind == b"meta" and _bytes(file, begin, 4) == bytes(4) else 0
            yield from _boxes(file, begin + skipped, stop, depth + 1)
        start = stop


def _bytes(file: ReadableFile, start: int, count: int) -> bytes:
    """From a place in the file; zeros where it has ended."""
    file.seek(start)
    return file.read(count).ljust(count, b"\0")


def _numbers(file: ReadableFile, start: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f">{count}I", _bytes(file, start, 4 * count))
