"""Text that people wrote, in whatever encoding it says it is in, line by line.

Lines end at line feeds and carriage returns alone: other characters that Unicode calls line separators stand within
sentences, and JSON does not escape them.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from videolavit.errors import MediaError

__all__ = ["check_text", "read_text", "split_lines"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as that of UTF-16 does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16 or UTF-32, with a byte order mark or without.

    Raises:
        MediaError: it cannot be read, or is in another encoding; the message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\n|\r", data[: error.start])) + 1
        raise MediaError(
            f"{path}, line {line}: is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8, for instance "
            "with iconv -f WINDOWS-1252 -t UTF-8"
        ) from error
    if "\0" in text:
        line = len(split_lines(text[: text.index("\0")]))
        raise MediaError(f"{path}, line {line}: has a null character, so it is no text; save the file as UTF-8")
    return text


def split_lines(text: str) -> list[str]:
    """Lines without their ends; what follows the last end is a line too, though it be empty."""
    return re.split(r"\r\n|\n|\r", text)


def check_text(text: object) -> str:
    """A text as it is.

    Raises:
        ValueError: it is no text, or has half a surrogate pair, which no file can hold.
    """
    if not isinstance(text, str):
        raise ValueError(f"captions, questions and answers must be texts, got {type(text).__name__}")
    if re.search(r"[\ud800-\udfff]", text):
        raise ValueError("a text has half a surrogate pair (an escape such as \\ud83d alone)")
    return text


def _encoding(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    # UTF-16 without a mark: every other byte of Latin letters, digits and punctuation is zero.
    head = data[:1000]
    if len(head) >= 4 and len(data) % 2 == 0:
        if head[1::2].count(0) > 0.4 * len(head[1::2]) and not head[::2].count(0):
            return "utf-16-le"
        if head[::2].count(0) > 0.4 * len(head[::2]) and not head[1::2].count(0):
            return "utf-16-be"
    return "utf-8"
