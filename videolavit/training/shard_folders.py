"""Several folders of prepared videos as one set of training data: `--data A=3 B=1` of stages that read frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from videolavit.data.shards import ShardReader
from videolavit.errors import ConfigError, MediaError
from videolavit.training.batches import Mixture, Samples, Shuffled
from videolavit.training.data_folders import named_folders

__all__ = ["FolderSamples", "ReadsShards", "ShardFolder", "check_size", "open_shard_folders"]

Reader = TypeVar("Reader")

_FOLDER_SEEDS = 1_000
"""Between the seeds of folders, so that folders of one size are not shuffled alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFolder(Generic[Reader]):
    """One of the folders that are mixed."""

    name: str
    """Last part of its path, or the whole path where two folders end alike; names it in the log."""
    share: int
    reader: Reader


class FolderSamples:
    """Endless samples of several folders by their shares, each folder shuffled for itself.

    Args:
        folders: with what reads them.
        items: the finite data set that a reader makes; its length is an epoch.
        seed: of the order.
    """

    def __init__(self, folders: Sequence[ShardFolder[Reader]], items: Callable[[Reader], Any], seed: int) -> None:
        made = [items(folder.reader) for folder in folders]
        self._names, self._lengths = [folder.name for folder in folders], [len(one) for one in made]
        shuffled = [Shuffled(one, seed + _FOLDER_SEEDS * number) for number, one in enumerate(made)]
        self._mixture = Mixture([(folder.share, one) for folder, one in zip(folders, shuffled, strict=True)])

    def __getitem__(self, draw: int) -> Any:
        return self._mixture[draw]

    def seen(self, draws: int) -> dict[str, float]:
        """Of each folder, samples among the first `draws`, and epochs: those samples over the folder's items."""
        counts = list(zip(self._names, self._mixture.taken(draws), self._lengths, strict=True))
        samples = {f"samples/{name}": float(count) for name, count, _ in counts}
        return samples | {f"epochs/{name}": count / length for name, count, length in counts}


class ReadsShards:
    """Mixin for stages that read prepared videos, from one folder or from several."""

    data: str | tuple[str, ...]
    one_size: ClassVar[bool] = False
    """True if all videos of a batch must have the same height and width."""

    @cached_property
    def folders(self) -> list[ShardFolder[ShardReader]]:
        """The folders of prepared videos, with their shares."""
        found = open_shard_folders(self.data)
        if self.one_size:
            _check_one_size(found)
        return found

    @cached_property
    def _drawn(self) -> Samples:
        return self.samples()

    @abstractmethod
    def samples(self) -> Samples:
        """Training data."""

    def seen(self, samples: int) -> dict[str, float]:
        """Samples and epochs of each folder of prepared videos."""
        seen = getattr(self._drawn, "seen", None)
        return {} if seen is None else seen(samples)


def open_shard_folders(data: str | Sequence[str]) -> list[ShardFolder[ShardReader]]:
    """Readers of all folders.

    Raises:
        ConfigError: folders are not named as `folders_and_shares` wants.
        MediaError: a folder holds no shards, or no video in them.
    """
    found = [
        ShardFolder(name=name, share=share, reader=ShardReader(folder)) for name, folder, share in named_folders(data)
    ]
    for folder in found:
        if not len(folder.reader):
            raise MediaError(f"{folder.reader.folder}: its shards hold no video; prepare some that can be read")
    return found


def check_size(folders: Sequence[ShardFolder[ShardReader]], height: int, width: int, options: str) -> None:
    """Refuse videos of another size than a stage mixes them with, before a batch of them fails.

    Raises:
        ConfigError: a folder's first video is larger or smaller; `options` are those that name the size.
    """
    for folder in folders:
        found = folder.reader.keyframes(0).shape[1:3]
        if found != (height, width):
            raise ConfigError(
                f"got videos of {found[1]} x {found[0]} in {folder.name}, expected {width} x {height}; prepare them at "
                f"that size, or change {options}"
            )


def _check_one_size(folders: Sequence[ShardFolder[ShardReader]]) -> None:
    """Refuse folders whose first videos have several sizes, before a batch of them fails."""
    if len(folders) == 1:
        return
    sizes = {folder.name: folder.reader.keyframes(0).shape[1:3] for folder in folders}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{width} x {height} in {name}" for name, (height, width) in sizes.items())
        raise ConfigError(f"got videos of {told}, expected one size; prepare one of them again")
