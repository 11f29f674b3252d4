"""Prepared folders as a whole: checked file by file, counted, and put together.

A folder holds shards of prepared videos (*.tar), token shards (*.tokens.json) or both.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from videolavit.data.made_of import SourceNote, claim
from videolavit.data.shards import ShardReader
from videolavit.data.tokens import TokenReader, TokenShard
from videolavit.errors import ConfigError, MediaError, OutputError
from videolavit.jobs.partial_files import partial_path

__all__ = ["check_same_tokenizers", "folder_stats", "merge_folders", "verify_folder"]


def verify_folder(folder: Path) -> Iterator[tuple[str, str]]:
    """Name of each shard and what is wrong with it, "" where nothing is; every byte is read.

    Raises:
        MediaError: the folder holds no shards.
    """
    for path in _shards(folder):
        try:
            if path.suffix == ".tar":
                if path.with_suffix(".index.json").is_file() and path.stat().st_size:
                    ShardReader(path).check()
                else:
                    raise MediaError(f"{path}: is empty, or its index is missing; prepare it again")
            else:
                TokenShard(path).check()
        except (MediaError, OSError) as error:
            yield path.name, str(error)
        else:
            yield path.name, ""


def folder_stats(folder: Path) -> dict[str, int]:
    """Numbers of shards, videos, ids and words of each kind, bytes on disk, and of source files that were left out.

    Raises:
        MediaError: the folder holds no shards, or one is damaged.
    """
    totals: Counter[str] = Counter()
    for path in _shards(folder):
        if path.suffix == ".tar":
            totals.update(shards=1, videos=len(ShardReader(path)))
        else:
            totals.update(
                token_shards=1, **{f"token_{name}": number for name, number in TokenShard(path).sums().items()}
            )
        totals["left_out"] += len(SourceNote(path).problems)
    totals["bytes"] = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return dict(totals)


def merge_folders(folders: Sequence[Path], target: Path) -> int:
    """Token shards of several folders in one, as links to the same files where the disk has them, else as copies.

    Shards are called `FOLDER-SHARD`; those that are there already are kept, so that a folder can be merged again after
    it has grown. Returns the number of videos.

    Raises:
        ConfigError: the folders are of different tokenizers, or two have one name.
        MediaError: a folder holds no token shards, or a damaged one.
        OutputError: the target cannot be written.
    """
    readers = [TokenReader(folder) for folder in folders]
    check_same_tokenizers(readers)
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise ConfigError(f"folders need different names, got {', '.join(names)}; rename one")
    first = readers[0]
    claim(target, "merged.made_by.txt", repr((first.vocabulary, first.feature_width, sorted(first.tokenizers.items()))))
    for name, reader in zip(names, readers, strict=True):
        for shard in reader.shards:
            for file in shard.files:
                _link(file, target / f"{name}-{file.name}")
    return len(TokenReader(target))


def check_same_tokenizers(readers: Sequence[TokenReader]) -> None:
    """Compare tokenizers by their digests, and vocabularies where older folders have none.

    Raises:
        ConfigError: ids of one folder would mean something else in another.
    """
    first = readers[0]
    for reader in readers[1:]:
        kinds = [(one.vocabulary, one.feature_width) for one in (first, reader)]
        digests = [one.tokenizers for one in (first, reader) if one.tokenizers]
        if kinds[0] != kinds[1] or (len(digests) == 2 and digests[0] != digests[1]):
            different = (
                sorted(name for name in digests[0] if digests[0][name] != digests[-1].get(name)) if digests else []
            )
            raise ConfigError(
                f"{first.folder} and {reader.folder} were made by different tokenizers"
                f"{' (' + ', '.join(different) + ')' if different else ''}; prepare one of them again with the other's"
            )


def _shards(folder: Path) -> list[Path]:
    found = [*sorted(folder.glob("*.tar")), *sorted(folder.glob("*.tokens.json"))]
    if not found:
        raise MediaError(f"{folder}: holds no shards (*.tar, *.tokens.json); make some with `prepare`")
    return found


def _link(source: Path, target: Path) -> None:
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    partial = partial_path(target)
    try:
        try:
            os.link(source, partial)
        except OSError:  # another disk, or one without links
            shutil.copyfile(source, partial)
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error}; is there space?") from error
    finally:
        partial.unlink(missing_ok=True)
