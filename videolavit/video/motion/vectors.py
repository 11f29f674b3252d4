"""Motion vectors that libav's decoders export, laid on a grid of cells (reference sections 2.3 and 2.4)."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Bool, Float32

__all__ = ["block_grid", "exported_vectors", "grid_shape", "mean_motion", "motion_grid"]


def grid_shape(height: int, width: int, cell: int = 16) -> tuple[int, int]:
    """(rows, cols) of the cells that cover an image; the last ones may reach over its edge."""
    return -(-height // cell), -(-width // cell)


def exported_vectors(frame: VideoFrame) -> np.ndarray | None:
    """libav's `AVMotionVector` records of a decoded frame, or `None` where it has none (intra images)."""
    side_data = frame.side_data.get("MOTION_VECTORS")
    return None if side_data is None else side_data.to_ndarray()


def motion_grid(vectors: np.ndarray | None, rows: int, cols: int, cell: int = 16) -> Float32[np.ndarray, "2 rows cols"]:
    """Pixels that the content of each cell has moved by; 0 where no vector points, as in intra blocks.

    A cell takes the vector of the block that covers it, or the mean of all that lie in it, weighted by their area.

    Args:
        vectors: as `exported_vectors` returns them.
        rows: of the grid.
        cols: of the grid.
        cell: pixels per cell side.
    """
    return mean_motion(vectors, rows, cols, cell)[0]


def block_grid(vectors: np.ndarray | None, rows: int, cols: int) -> Float32[np.ndarray, "2 rows cols"]:
    """`motion_grid` of plain MPEG-4, several times faster: at most one vector per 16 x 16 cell, all alike in scale."""
    grid = np.zeros((2, rows * cols), np.float32)
    if vectors is not None and len(vectors):
        index = (vectors["dst_y"] // 16).astype(np.intp) * cols + vectors["dst_x"] // 16
        scale = np.float64(vectors["source"][0]) / vectors["motion_scale"][0]
        grid[0, index] = vectors["motion_x"] * scale
        grid[1, index] = vectors["motion_y"] * scale
    return grid.reshape(2, rows, cols)


def mean_motion(
    vectors: np.ndarray | None, rows: int, cols: int, cell: int
) -> tuple[Float32[np.ndarray, "2 rows cols"], Bool[np.ndarray, "rows cols"]]:
    """`motion_grid`, and which cells a vector says anything about. All vectors must point in one direction of time."""
    if vectors is None or not len(vectors):
        return np.zeros((2, rows, cols), np.float32), np.zeros((rows, cols), bool)
    row, col, area, motion_x, motion_y = _pieces(vectors, cell)
    if row.min() < 0 or col.min() < 0 or row.max() >= rows or col.max() >= cols:
        inside = (row >= 0) & (col >= 0) & (row < rows) & (col < cols)
        row, col, area, motion_x, motion_y = (values[inside] for values in (row, col, area, motion_x, motion_y))
    index = row.astype(np.intp) * cols + col
    covered = np.bincount(index, area, rows * cols)
    # `source` is negative for an image before: motion counts from there to here. For one after, from here to there.
    scale = vectors["source"][0] / vectors["motion_scale"][0] / np.maximum(covered, 1)
    motion = np.empty((2, rows * cols), np.float32)
    motion[0] = np.bincount(index, area * motion_x, rows * cols) * scale
    motion[1] = np.bincount(index, area * motion_y, rows * cols) * scale
    return motion.reshape(2, rows, cols), (covered > 0).reshape(rows, cols)


def _pieces(vectors: np.ndarray, cell: int) -> tuple[np.ndarray, ...]:
    """Row, column, area and stored motion (x, y) of every block, cut into as many pieces as cells that it covers.

    A block no larger than a cell is one piece, which counts for the cell that its centre lies in.
    """
    width, height = vectors["w"], vectors["h"]
    motion_x, motion_y = vectors["motion_x"], vectors["motion_y"]
    if width.max() <= cell and height.max() <= cell:
        area = np.multiply(width, height, dtype=np.float64)
        return vectors["dst_y"] // cell, vectors["dst_x"] // cell, area, motion_x, motion_y
    width, height = width.astype(np.int64), height.astype(np.int64)
    left, top = vectors["dst_x"] - width // 2, vectors["dst_y"] - height // 2
    across, down = np.maximum(width // cell, 1), np.maximum(height // cell, 1)
    number = across * down
    which = np.repeat(np.arange(len(vectors)), number)
    part = np.arange(len(which)) - np.repeat(np.cumsum(number) - number, number)
    part_down, part_across = np.divmod(part, across[which])
    row = (top[which] + (2 * part_down + 1) * height[which] // (2 * down[which])) // cell
    col = (left[which] + (2 * part_across + 1) * width[which] // (2 * across[which])) // cell
    return row, col, (width * height / number)[which], motion_x[which], motion_y[which]
