"""Sources of videos: a path, bytes or a file object, opened in Python so that libav never interprets a name.

libav reads names such as `concat:`, `http://` or `%03d.png` as instructions. It is therefore handed an object that can
read and seek and has no name at all.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from videolavit.errors import MediaError
from videolavit.video.io.limits import Limits
from videolavit.video.io.mp4_tables import count_index_entries
from videolavit.video.io.png_chunks import count_unpacked_bytes

__all__ = ["ByteSource", "NamelessFile", "Source", "can_read_again", "describe", "is_file", "is_url", "local_path"]


@runtime_checkable
class ByteSource(Protocol):
    """A binary file object: `read` suffices, `seek` and `tell` allow more formats."""

    def read(self, size: int = -1, /) -> bytes: ...


Source = str | os.PathLike | bytes | bytearray | memoryview | ByteSource

_FEW_ENTRIES = 100_000
"""Take no memory worth mentioning, whatever the size of the file."""
_MOST_UNPACKED = 16 * 2**20
"""Of the texts and the colour profile of a PNG; real profiles have up to 4 MB."""
_SEARCHED_BYTES = 64 * 2**20
_URL = re.compile(r"(?!file:)[a-zA-Z][a-zA-Z0-9+.-]+:/|data:[\w/+.-]*[;,]")
"""With one slash where the name went through `Path`. One letter and a colon is a drive."""
_FILE_URL = re.compile(r"file:/+")


class NamelessFile:
    """Read-only view of a source for libav. Closes what it opened itself, and nothing that the caller opened."""

    def __init__(self, source: Source, limits: Limits) -> None:
        """Raises `MediaError` when the source cannot be opened or is empty, `LimitError` when it is too large."""
        self.name = describe(source)
        self._limits = limits
        self._file, self._owned = _open(source, self.name)
        self._bytes_read = 0
        self._failure: BaseException | None = None
        self.can_seek = _can_seek(self._file)
        try:
            self._check_size()
        except BaseException:
            self.close()
            raise

    def view(self) -> _View:
        """Input for libav; a new one starts at the beginning."""
        if self.can_seek:
            self._file.seek(0)
        return _View(self)

    def close(self) -> None:
        """Close the file if this object opened it."""
        if self._owned:
            self._file.close()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; empty at the end, and from the first failure on."""
        if self._failure is not None:
            return b""
        try:
            return self._read(size)
        except BaseException as error:  # PyAV loses some, Ctrl-C among them, so `check` raises it later
            self._failure = error
            return b""

    def seek(self, offset: int, whence: int) -> int:
        """New position from the start; negative if that fails."""
        try:
            self._file.seek(offset, whence)
            return self._file.tell()
        except Exception:  # damaged files make libav ask for places before the start
            return -1
        except BaseException as error:
            self._failure = error
            return -1

    def tell(self) -> int:
        """Position from the start."""
        return self._file.tell()

    def head(self, size: int) -> bytes:
        """The first bytes of a file that can seek."""
        self._file.seek(0)
        return self._file.read(size)

    def whole(self, read: Callable[[Any, str, Limits], bytes], limits: Limits) -> bytes:
        """Result of `read(file, name, limits)` on the file object."""
        return read(self._file, self.name, limits)

    def holds_after(self, position: int, signature: re.Pattern[bytes]) -> int | None:
        """The place of the first match within some megabytes behind a position, None where there is none."""
        if not self.can_seek:
            return None
        before = self._file.tell()
        try:
            self._file.seek(position)
            found = signature.search(self._file.read(_SEARCHED_BYTES))
            return None if found is None else position + found.start()
        except (OSError, ValueError):
            return None
        finally:
            self._file.seek(before)

    def check(self) -> None:
        """Raise what ended reading early, if anything did: libav was only told that the file ends.

        Raises:
            MediaError: the source could not be read.
            LimitError: a pipe gave more than `max_bytes`.
        """
        if isinstance(self._failure, Exception) and not isinstance(self._failure, MediaError):
            raise self._unreadable(self._failure) from self._failure
        if self._failure is not None:
            raise self._failure

    def _read(self, size: int) -> bytes:
        # A pipe should hand over what it has: `read` would wait for all of `size`.
        read_some = self._file.read if self.can_seek else getattr(self._file, "read1", self._file.read)
        data = read_some(size)
        if not isinstance(data, bytes) or len(data) > size:
            found = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
            raise MediaError(
                f"{self.name}: read({size}) returned {found}, expected bytes, at most {size}; open it in binary mode"
            )
        if not self.can_seek:
            self._bytes_read += len(data)
            self._limits.check_bytes(self._bytes_read, self.name)
        return data

    def _unreadable(self, error: Exception) -> MediaError:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        return MediaError(f"{self.name}: cannot be read ({reason}); check the disk or connection it comes from")

    def _check_size(self) -> None:
        if not self.can_seek:
            return
        try:
            self._file.seek(0, os.SEEK_END)
            size = self._file.tell()
            num_entries = count_index_entries(self._file, size)
            num_unpacked = count_unpacked_bytes(self._file, size, _MOST_UNPACKED)
        except Exception as error:
            raise self._unreadable(error) from error
        if size == 0:
            raise MediaError(f"{self.name}: is empty (0 bytes), expected a video; was it downloaded completely?")
        self._limits.check_bytes(size, self.name)
        if num_entries > max(size, _FEW_ENTRIES):
            raise MediaError(
                f"{self.name}: its tables declare {num_entries} samples, more than its {size} bytes can hold; "
                "try a fresh copy"
            )
        self._limits.check_index(num_entries, self.name)
        if num_unpacked > _MOST_UNPACKED:
            raise MediaError(
                f"{self.name}: its texts or colour profile unpack to more than {_MOST_UNPACKED} bytes, perhaps made to "
                "exhaust memory; save the image without them"
            )


class _View:
    """The methods that PyAV looks for, without the `name` that libav would read a format or protocol from.

    Several views of a file that can seek may be read in turns, such as those of its images and of its sound: each goes
    on where it was.
    """

    def __init__(self, file: NamelessFile) -> None:
        self._file, self._position = file, 0

    def read(self, size: int) -> bytes:
        if not self._file.can_seek:
            return self._file.read(size)
        if self._file.seek(self._position, os.SEEK_SET) < 0:
            return b""
        data = self._file.read(size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = self._position + offset, os.SEEK_SET
        found = self._file.seek(offset, whence)
        self._position = found if found >= 0 else self._position
        return found

    def tell(self) -> int:
        return self._position if self._file.can_seek else self._file.tell()

    def seekable(self) -> bool:
        return self._file.can_seek


def is_file(source: object) -> bool:
    """True if this is a path, the bytes of a file, or a file object, rather than a sequence of images."""
    return isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(source, "read")


def can_read_again(source: Any) -> bool:
    """True if the same source can be opened a second time: not a pipe, and not a generator of images."""
    if isinstance(source, str | os.PathLike):
        return os.path.isfile(local_path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return True
    return source.can_repeat if hasattr(source, "can_repeat") else _can_seek(source)


def is_url(source: object) -> bool:
    """True if this is the address of something on a network, or holds its data, in place of a path."""
    return isinstance(source, str | os.PathLike) and bool(_URL.match(os.fsdecode(source)))


def local_path(source: str | os.PathLike) -> str:
    """The path of a file or folder on this machine, with `file://` taken off and a home folder `~` filled in.

    The only place that decides what a name is: images, videos, lists, tokens and models all ask here.

    Raises:
        MediaError: it is the address of something on a network; or it has a character that no path may have.
    """
    name = os.fsdecode(source)
    if "\0" in name:
        raise MediaError(f"{name!r}: has a null character, which no path may have")
    if is_url(name) and not os.path.exists(name):
        raise MediaError(f"{describe(name)}: is a URL, expected a file; download it first, nothing here uses a network")
    if (match := _FILE_URL.match(name)) and not os.path.exists(name):
        from urllib.parse import unquote

        return "/" + unquote(name[match.end() :]).removeprefix("localhost/")
    return os.path.expanduser(name) if name.startswith("~") and not os.path.exists(name) else name


def describe(source: object) -> str:
    """A source in words, for messages and metadata."""
    if isinstance(source, str | os.PathLike):
        name = os.fsdecode(source)
        if not _URL.match(name):
            return name
        # `Path` takes one of two slashes away, and the data of an image may be long.
        return f"{name[:40]}..." if name.startswith("data:") else re.sub(r":/+", "://", name, count=1)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else f"<{type(source).__name__}>"


def _open(source: Source, name: str) -> tuple[Any, bool]:
    """The file object and whether it is ours to close."""
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), name), True
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), True
    if isinstance(source, io.TextIOBase):
        raise MediaError(f"{name}: is open as text; open it in binary mode, open(path, 'rb')")
    if not callable(getattr(source, "read", None)):
        raise MediaError(f"got {type(source).__name__}, expected a path, bytes or a binary file object")
    if getattr(source, "closed", False):
        raise MediaError(f"{name}: the file object is closed; keep it open while the video is read")
    return source, False  # type: ignore[return-value]


def _open_path(path: str | bytes, name: str) -> Any:
    try:
        return open(local_path(os.fsdecode(path)), "rb")
    except MediaError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, IsADirectoryError):
            raise MediaError(
                f"{name!r}: is a folder, expected a video file; name the files in it one by one"
            ) from error
        if isinstance(error, FileNotFoundError):
            shown = name or repr(name)
            raise MediaError(f"{shown}: no such file; relative paths start at {os.getcwd()!r}") from error
        raise MediaError(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error


def _can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    has_methods = callable(getattr(file, "seek", None)) and callable(getattr(file, "tell", None))
    return has_methods and (seekable is None or bool(seekable()))
