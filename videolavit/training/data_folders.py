"""Several folders of token shards as one set of training data, mixed by whole-numbered shares: `--data A=3 B=1`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from videolavit.data.folder_report import check_same_tokenizers
from videolavit.data.tokens import TokenReader
from videolavit.errors import ConfigError

__all__ = ["TokenFolder", "folders_and_shares", "named_folders", "open_folders"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenFolder:
    """One of the folders that are mixed."""

    name: str
    """Last part of its path, or the whole path where two folders end alike; names it in the log."""
    share: int
    reader: TokenReader


def folders_and_shares(data: str | Sequence[str]) -> list[tuple[str, int]]:
    """Folders with their shares, of texts such as `FOLDER` (a share of 1) and `FOLDER=3`.

    Raises:
        ConfigError: there is none, one comes twice, or a share is 0.
    """
    texts = [data] if isinstance(data, str) else list(data)
    found = []
    for text in texts:
        folder, equals, share = text.rpartition("=")
        is_share = bool(equals and folder and share.isascii() and share.isdecimal())
        found.append((folder, int(share)) if is_share else (text, 1))
    if not found or any(share < 1 for _, share in found):
        raise ConfigError(f"got data {' '.join(texts) or 'of no folder'}, expected FOLDER or FOLDER=SHARE, from 1 up")
    twice = [str(folder) for folder, count in Counter(Path(folder) for folder, _ in found).items() if count > 1]
    if twice:
        raise ConfigError(f"{twice[0]} is named twice; name it once, with the sum of its shares")
    return found


def named_folders(data: str | Sequence[str]) -> list[tuple[str, str, int]]:
    """(name, folder, share) of each: the name is the last part of the path, or all of it where two end alike.

    Raises:
        ConfigError: as in `folders_and_shares`.
    """
    found = folders_and_shares(data)
    ends = Counter(Path(folder).name for folder, _ in found)
    return [(Path(folder).name if ends[Path(folder).name] == 1 else folder, folder, share) for folder, share in found]


def open_folders(data: str | Sequence[str]) -> list[TokenFolder]:
    """Readers of all folders, whose ids mean the same.

    Raises:
        ConfigError: folders were made by different tokenizers, or are not named as `folders_and_shares` wants.
        MediaError: a folder holds no token shards.
    """
    named = named_folders(data)
    readers = [TokenReader(folder) for _, folder, _ in named]
    check_same_tokenizers(readers)
    return [
        TokenFolder(name=name, share=share, reader=reader)
        for (name, _, share), reader in zip(named, readers, strict=True)
    ]
