"""Batches as a function of the step: exact resume needs to remember one number.

Training data is a `Samples`: an endless, indexable sequence. Sample `draw` of a run is the same whoever asks for it, so
the order depends neither on the number of loading processes nor on where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch.utils.data import DataLoader, Dataset

from videolavit.errors import ConfigError, VideoLaVITError
from videolavit.training.permutation import permuted

__all__ = ["Mixture", "Samples", "Shuffled", "batches", "check_batch"]


@runtime_checkable
class Samples(Protocol):
    """An endless sequence of training samples; equal numbers give equal samples."""

    def __getitem__(self, draw: int, /) -> Any: ...


LISTED_ITEMS = 2**16
"""Up to so many items the order of an epoch is drawn as a list; of more, each place is computed when asked for."""


class Shuffled:
    """A finite data set, endlessly: every epoch shows each item once, in an order of its own.

    Memory and time do not grow with the data set. Items are `dataset[index, draw]`: the second number seeds
    augmentation, so that no two epochs see the same.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        if len(dataset) == 0:
            raise ConfigError(f"{dataset!r} has no items to train on; check its path and its filters")
        self._dataset, self._seed = dataset, seed
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, draw: int) -> Any:
        epoch, position = divmod(draw, len(self._dataset))
        return self._dataset[self._item(epoch, position), draw]

    def _item(self, epoch: int, position: int) -> int:
        if len(self._dataset) > LISTED_ITEMS:
            return permuted(position, len(self._dataset), key=(self._seed, epoch))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._dataset))
        return int(self._order[position])


class Mixture:
    """Several `Samples`, interleaved by whole-numbered shares: (2, 1) takes two of the first for one of the second."""

    def __init__(self, parts: Sequence[tuple[int, Samples]]) -> None:
        if not parts or any(share < 1 for share, _ in parts):
            raise ConfigError(f"got shares {[share for share, _ in parts]}, expected whole numbers of at least 1")
        self._parts = [samples for _, samples in parts]
        self._shares = shares = np.array([share for share, _ in parts])
        # Spread evenly over a round, so that every batch holds about the same mixture.
        places = np.concatenate([(np.arange(share) + 0.5) / share for share in shares])
        self._round = np.repeat(np.arange(len(shares)), shares)[np.argsort(places, kind="stable")]

    def __getitem__(self, draw: int) -> Any:
        part = self._round[draw % len(self._round)]
        return self._parts[part][self.taken(draw)[part]]

    def taken(self, draws: int) -> list[int]:
        """Numbers of samples from each part among the first `draws`."""
        turns, place = divmod(draws, len(self._round))
        counts = turns * self._shares + np.bincount(self._round[:place], minlength=len(self._shares))
        return counts.tolist()

    def seen(self, draws: int) -> dict[str, float]:
        """Numbers about what the first `draws` samples have shown of the data, as the parts tell it."""
        told: dict[str, float] = {}
        for part, count in zip(self._parts, self.taken(draws), strict=True):
            seen = getattr(part, "seen", None)
            told |= {} if seen is None else seen(count)
        return told


def batches(
    samples: Samples,
    collate: Callable[[list[Any]], Any],
    *,
    batch_size: int,
    parts: int,
    first_step: int,
    num_steps: int,
    rank: int = 0,
    num_processes: int = 1,
    workers: int = 0,
    together: int = 1,
) -> Iterator[Any]:
    """Collated parts of batches from `first_step` to before `num_steps`; `parts` of them for each step.

    A batch is cut into runs of draws, one for each part of each process, whose lengths differ by one at most.

    Where `together` is more than 1, the samples of that many steps (0 to `together` - 1, and so on) are collated as
    one, and `collate` returns a batch for each of these steps. So they may be dealt anew among the steps, and are still
    the same wherever a run begins.

    Raises:
        ConfigError: a batch has fewer samples than parts.
    """
    check_batch(batch_size, parts, num_processes)
    first, last = first_step // together, -(-num_steps // together)
    own = range(rank * parts, (rank + 1) * parts)
    draws: Any = _Draws(batch_size * together, own, num_processes * parts, first, last)  # any sized iterable will do
    loader = DataLoader(_Indexed(samples), batch_sampler=draws, collate_fn=_Collated(collate), num_workers=workers)
    loaded = _without_errors(loader)
    return loaded if together == 1 else _one_by_one(loaded, parts, first_step, num_steps, together)


def check_batch(batch_size: int, parts: int, num_processes: int) -> None:
    """Refuse a batch with fewer samples than parts.

    Raises:
        ConfigError: it is one.
    """
    if batch_size < num_processes * parts:
        raise ConfigError(
            f"a batch of {batch_size} cannot be cut into {parts} parts for each of {num_processes} processes; "
            f"make it at least {num_processes * parts}, better a multiple of that"
        )


def _one_by_one(
    loader: Iterator[list[Any]], parts: int, first_step: int, num_steps: int, together: int
) -> Iterator[Any]:
    """The parts of single steps, of parts that each hold several steps."""
    whole: list[list[Any]] = []
    for step in range(first_step - first_step % together, num_steps):
        if step % together == 0:
            whole = [next(loader) for _ in range(parts)]
        if step >= first_step:
            yield from (part[step % together] for part in whole)


@dataclass(frozen=True, slots=True)
class _Draws:
    """Numbers of the samples of each part, computed when asked for."""

    batch_size: int
    own: range
    """Parts of this process, counted over all processes."""
    num_parts: int
    first_step: int
    num_steps: int

    def __len__(self) -> int:
        return (self.num_steps - self.first_step) * len(self.own)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first_step, self.num_steps):
            for part in self.own:
                ends = [self.batch_size * number // self.num_parts for number in (part, part + 1)]
                yield list(range(step * self.batch_size + ends[0], step * self.batch_size + ends[1]))


class _Indexed(Dataset):
    """Methods that DataLoader asks of a map-style data set."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, draw: int) -> Any:
        """A sample, or the error that tells why there is none: raised in another process it would come as a trace."""
        try:
            return self._samples[draw]
        except VideoLaVITError as error:
            return error


class _Collated:
    """Batches of samples, or the first of their errors."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        return next((one for one in samples if isinstance(one, VideoLaVITError)), None) or self._collate(samples)


def _without_errors(parts: Iterable[Any]) -> Iterator[Any]:
    """Parts as they come, up to an error, which is raised."""
    for part in parts:
        if isinstance(part, VideoLaVITError):
            raise part
        yield part
