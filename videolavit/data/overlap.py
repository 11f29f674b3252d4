"""Parts of a drawing that lie inside an image."""

from __future__ import annotations

__all__ = ["overlap"]


def overlap(first: int, size: int, within: int) -> tuple[slice, slice]:
    """Place of `size` pixels from `first` on in a row of `within` pixels, and those of them that are in it; or none."""
    start = min(max(first, 0), within)
    stop = max(min(first + size, within), start)
    return slice(start, stop), slice(start - first, stop - first)
