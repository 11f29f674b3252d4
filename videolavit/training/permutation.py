"""A shuffled order without a list: the n-th number of a keyed permutation, in constant memory.

A Feistel network of four rounds permutes the numbers of an even count of bits. Numbers that it sends out of range are
sent on until they fall inside (cycle walking), which keeps it a permutation of exactly `count` numbers.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

__all__ = ["permuted"]

_ROUNDS = 4
_MASK = 2**64 - 1


def permuted(index: int, count: int, *, key: tuple[int, ...]) -> int:
    """The number at a place of the order that `key` stands for; both lie in 0 .. `count` - 1."""
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    rounds = _round_keys(key)
    while True:
        index = _feistel(index, half, rounds)
        if index < count:
            return index


def _feistel(value: int, half: int, round_keys: tuple[int, ...]) -> int:
    """Permute the numbers of 2 * `half` bits."""
    mask = (1 << half) - 1
    left, right = value >> half, value & mask
    for round_key in round_keys:
        left, right = right, left ^ (_mixed(right ^ round_key) & mask)
    return left << half | right


def _mixed(value: int) -> int:
    """Bits of a 64-bit number, stirred (the finalizer of SplitMix64)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


@lru_cache(maxsize=64)
def _round_keys(key: tuple[int, ...]) -> tuple[int, ...]:
    digest = blake2b(repr(key).encode(), digest_size=8 * _ROUNDS).digest()
    return tuple(int.from_bytes(digest[8 * number : 8 * number + 8]) for number in range(_ROUNDS))
