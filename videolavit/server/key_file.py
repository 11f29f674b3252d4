"""Files of keys that clients of a server need."""

from __future__ import annotations

from pathlib import Path

from videolavit.errors import ConfigError

__all__ = ["read_keys"]


def read_keys(path: Path) -> tuple[str, ...]:
    """Keys of a file, one a line; lines that begin with # are comments.

    Raises:
        ConfigError: there is none, or one is too short or has other than ASCII characters; or it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark of the encoding
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a text of keys, in UTF-8, one a line: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys or any(len(key) < 16 or not key.isascii() or " " in key for key in keys):
        raise ConfigError(f"{path}: expected keys of at least 16 ASCII characters, one a line, without spaces")
    return keys
