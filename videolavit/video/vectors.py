"""Motion vectors that libav's decoders export, laid on a grid of cells (reference sections 2.3 and 2.4)."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Float32

__all__ = ["exported_vectors", "grid_shape", "motion_grid"]


def grid_shape(height: int, width: int, cell: int = 16) -> tuple[int, int]:
    """(rows, cols) of the cells that cover a picture; the last ones may reach over its edge."""
    return -(-height // cell), -(-width // cell)


def exported_vectors(frame: VideoFrame) -> np.ndarray | None:
    """libav's `AVMotionVector` records of a decoded frame, or `None` where it has none (intra pictures)."""
    side_data = frame.side_data.get("MOTION_VECTORS")
    return None if side_data is None else side_data.to_ndarray()


def motion_grid(vectors: np.ndarray | None, rows: int, cols: int, cell: int = 16) -> Float32[np.ndarray, "2 rows cols"]:
    """Pixels that the content of each cell has moved by; 0 where no vector points, as in intra blocks.

    Args:
        vectors: as `exported_vectors` returns them, at most one per cell.
        rows: of the grid.
        cols: of the grid.
        cell: pixels per cell side. A vector belongs to the cell that its block's centre lies in.
    """
    grid = np.zeros((2, rows, cols), dtype=np.float32)
    if vectors is None:
        return grid
    row, col = vectors["dst_y"] // cell, vectors["dst_x"] // cell
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    if not inside.all():
        vectors, row, col = vectors[inside], row[inside], col[inside]
    # `source` is -1 for the picture before: motion counts from there to here.
    scale = vectors["source"] / vectors["motion_scale"]
    grid[0, row, col] = vectors["motion_x"] * scale
    grid[1, row, col] = vectors["motion_y"] * scale
    return grid
