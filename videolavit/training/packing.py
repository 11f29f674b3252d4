"""Many sequences in few rows: packed one behind the other, each computed as if it were alone.

A position attends to those before it in its own sequence only, and every sequence counts its positions from 0. So the
loss of packed sequences is that of separate ones (tests/training/test_packing.py), and little is spent on padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from videolavit.errors import ConfigError
from videolavit.training.sequences import TrainingSequence

__all__ = ["attention_mask", "pack", "pack_steps", "rows_of"]

_PADDING = -1


def pack(sequences: Sequence[TrainingSequence], row_length: int, feature_width: int = 0) -> dict[str, Tensor]:
    """A batch of rows.

    Returns:
        ids: (rows, columns); where features or padding stand, 0.
        targets: (rows, columns), what each id is learnt as; see `sequences.Target`.
        segments: (rows, columns), a number for each sequence of a row, -1 where nothing stands.
        positions: (rows, columns), counted from 0 in each sequence.
        feature_places: (n,) places of features in the flattened rows, and `features`, (n, feature_width).

    Raises:
        ConfigError: a sequence is longer than a row, or there is none.
    """
    rows = rows_of([len(sequence) for sequence in sequences], row_length)
    columns = max(sum(len(sequences[i]) for i in row) for row in rows)
    return _laid_out(sequences, rows, columns, feature_width)


def pack_steps(
    sequences: Sequence[TrainingSequence], steps: int, *, rows: int, row_length: int, feature_width: int = 0
) -> list[dict[str, Tensor]]:
    """Batches of the same shape for several steps: sequences of all of them in `rows` rows for each.

    Rows are dealt to the steps in turn, so that each gets long and short sequences. Where there are too many, the
    emptiest are left out; where there are too few, rows stay empty. `left_out` and `filled`, of each batch, are the
    shares of the positions that found no row, and of those in rows that are no padding.

    Raises:
        ConfigError: a sequence is longer than a row, or there is none.
    """
    members = rows_of([len(sequence) for sequence in sequences], row_length)
    positions = [sum(len(sequences[i]) for i in row) for row in members]
    fullest = sorted(range(len(members)), key=lambda row: (-positions[row], row))[: rows * steps]
    kept = sum(positions[row] for row in fullest)
    batches = []
    for step in range(steps):
        own = [members[row] for row in fullest[step::steps]]
        batch = _laid_out(sequences, own + [[]] * (rows - len(own)), row_length, feature_width)
        batch["left_out"] = torch.tensor(1 - kept / sum(positions))
        batch["filled"] = (batch["segments"] != _PADDING).float().mean()
        batches.append(batch)
    return batches


def _laid_out(
    sequences: Sequence[TrainingSequence], rows: Sequence[Sequence[int]], columns: int, feature_width: int
) -> dict[str, Tensor]:
    """The sequences with the numbers in `rows`, one behind the other in each."""
    shape = len(rows), columns
    batch = {name: torch.zeros(shape, dtype=torch.long) for name in ("ids", "targets", "positions")}
    batch["segments"] = torch.full(shape, _PADDING)
    places, features = [torch.empty(0, dtype=torch.long)], [torch.empty(0, feature_width)]
    for row, members in enumerate(rows):
        start = 0
        for segment, member in enumerate(members):
            sequence = sequences[member]
            here = slice(start, start + len(sequence))
            batch["ids"][row, here] = sequence.ids
            batch["targets"][row, here] = sequence.targets
            batch["positions"][row, here] = torch.arange(len(sequence))
            batch["segments"][row, here] = segment
            places += [place + row * columns + start for place in sequence.feature_places]
            features += [part.float() for part in sequence.parts if part.is_floating_point()]
            start = here.stop
    return batch | {"feature_places": torch.cat(places), "features": torch.cat(features)}


def rows_of(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Assignment of sequences to rows: the longest first, each where it leaves the least room.

    Raises:
        ConfigError: a sequence is longer than a row, or there is none.
    """
    if not lengths or max(lengths) > row_length:
        raise ConfigError(f"got sequences of up to {max(lengths, default=0)} positions, a row has {row_length}")
    rows: list[list[int]] = []
    room: list[int] = []
    for member in sorted(range(len(lengths)), key=lambda member: (-lengths[member], member)):
        fitting = [row for row in range(len(rows)) if room[row] >= lengths[member]]
        row = min(fitting, key=lambda row: room[row], default=len(rows))
        if row == len(rows):
            rows.append([])
            room.append(row_length)
        rows[row].append(member)
        room[row] -= lengths[member]
    return rows


def attention_mask(segments: Int[Tensor, "rows columns"]) -> Bool[Tensor, "rows 1 columns columns"]:
    """True where a position (third axis) sees another (fourth): in its own sequence, and not after it."""
    same = segments[:, :, None] == segments[:, None, :]
    return same.tril()[:, None]
