"""The camera's own motion, fitted to a motion field: shift, zoom and turn that most of the image agrees with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

__all__ = ["CameraStep", "fit_camera", "textured_cells"]

_ROUNDS = 8
_LEAST_CELLS = 6
_PLAIN = 3.0
"""Spread of brightness, in levels of 255, below which block matching finds nothing to hold on to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraStep:
    """Movement of the content from one frame to the next by the camera alone."""

    x: float | int = 0.0
    """Pixels to the right."""
    y: float | int = 0.0
    """Pixels down."""
    zoom: float | int = 0.0
    """Growth: 0.01 makes everything a hundredth larger, about the middle."""
    turn: float | int = 0.0
    """Radians, clockwise on a screen."""

    def field(self, rows: int, cols: int, cell: float | int) -> Float[np.ndarray, "2 rows cols"]:
        """The motion field that this step alone would make, in pixels, for cells of `cell` pixels."""
        x, y = _middles(rows, cols, cell)
        return np.stack([self.x + self.zoom * x - self.turn * y, self.y + self.turn * x + self.zoom * y])


def fit_camera(
    motion: Float[np.ndarray, "2 rows cols"],
    *,
    cell: float | int = 16,
    known: Bool[np.ndarray, "rows cols"] | None = None,
) -> CameraStep:
    """The step that most cells agree with, by least squares in which outliers lose their weight (Geman-McClure).

    Args:
        motion: pixels that each cell's content has moved by.
        cell: pixels per side of a cell.
        known: cells to believe; without enough of them the camera stands still.
    """
    rows, cols = motion.shape[1:]
    known = np.ones((rows, cols), bool) if known is None else known
    if known.sum() < _LEAST_CELLS:
        return CameraStep()
    x, y = (values[known] for values in _middles(rows, cols, cell))
    moved = motion[:, known].astype(np.float64)
    one, nothing = np.ones_like(x), np.zeros_like(x)
    # dx = shift_x + zoom * x - turn * y;  dy = shift_y + zoom * y + turn * x
    design = np.stack([np.stack([one, nothing, x, -y], -1), np.stack([nothing, one, y, x], -1)])
    solution = np.array([np.median(moved[0]), np.median(moved[1]), 0.0, 0.0])
    for scale in np.geomspace(4.0, 0.5, _ROUNDS):
        error = moved - design @ solution
        weight = 1 / (1 + (error**2).sum(0) / scale**2) ** 2
        weighted = design * weight[:, None]
        normal = np.einsum("kni,knj->ij", weighted, design) + np.diag([1e-6, 1e-6, 1e-3 * cell**2, 1e-3 * cell**2])
        solution = np.linalg.solve(normal, np.einsum("kni,kn->i", weighted, moved))
    return CameraStep(x=float(solution[0]), y=float(solution[1]), zoom=float(solution[2]), turn=float(solution[3]))


def textured_cells(luma: UInt8[np.ndarray, "height width"], cell: int) -> Bool[np.ndarray, "rows cols"]:
    """Cells in which there is something to follow; on plain ground motion search returns zero, whatever moves."""
    height, width = luma.shape
    rows, cols = -(-height // cell), -(-width // cell)
    padded = np.pad(luma, ((0, rows * cell - height), (0, cols * cell - width)), mode="edge").astype(np.float32)
    blocks = padded.reshape(rows, cell, cols, cell)
    return blocks.std(axis=(1, 3)) > _PLAIN


def _middles(rows: int, cols: int, cell: float | int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the cells' middles in pixels from the middle of the grid, x and y."""
    y, x = np.mgrid[:rows, :cols].astype(np.float64)
    return (x - (cols - 1) / 2) * cell, (y - (rows - 1) / 2) * cell
