"""Memory that a PNG file makes libav unpack beside its image: texts and colour profiles (ISO/IEC 15948, section 11.3).

Both are compressed and not limited by the size of the image, so that some hundred kilobytes may become gigabytes.
"""

from __future__ import annotations

import struct
import zlib

from videolavit.video.io.mp4_tables import ReadableFile

__all__ = ["count_unpacked_bytes"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PACKED = (b"zTXt", b"iCCP")
"""libav leaves `iTXt` alone."""


def count_unpacked_bytes(file: ReadableFile, size: int, most: int) -> int:
    """Bytes of texts and profiles, counted up to somewhat above `most`; 0 where it is no PNG.

    Args:
        file: can be sought in; its position changes.
        size: of the file in bytes.
        most: where counting may end.
    """
    file.seek(0)
    if file.read(8) != _SIGNATURE:
        return 0
    total, position = 0, 8
    while position + 12 <= size and total <= most:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        if kind in _PACKED:
            total += _unpacked(file.read(min(length, size)), most + 1)
        position += 12 + length
    return total


def _unpacked(content: bytes, most: int) -> int:
    """Of a chunk: a name, a zero, a byte for the method, and what is packed."""
    packed = content[content.find(b"\0") + 2 :]
    try:
        return len(zlib.decompressobj().decompress(packed, most))
    except zlib.error:
        return 0
