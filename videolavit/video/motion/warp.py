"""Motion compensation: a keyframe and its motion field become frames, without a network (paper, section 3.1).

The classical codec without its residual: every frame is the frame before it, moved. It is the instant preview of a
clip and the baseline that every learned detokenizer has to beat.

Arithmetic is that of a codec, in integers: vectors are rounded to sixteenths of a pixel, images to eight bits after
every frame, so the result is the same on every machine and zero motion is exactly the identity. What lies outside
the image is its nearest edge pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from videolavit.clip import Clip, MotionField
from videolavit.errors import ShapeError

__all__ = ["Blend", "warp"]

Blend = Literal["overlapped", "blocks", "smooth"]

_SUBPIXELS = 16
_CODEC_BLOCKS = (16, 8, 4)
_WINDOWS_AT_ONCE = 256
"""Blocks moved in one go: enough to hide NumPy's overhead, few enough to stay in the processor's cache."""


def warp(
    keyframe: UInt8[np.ndarray, "height width 3"],
    motion: MotionField | Clip,
    *,
    blend: Blend = "overlapped",
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Frames of a clip by motion compensation; the first one is the keyframe itself.

    Frame t at x is frame t - 1 at x - v, with v the motion of frame t. Grid and image may have any size; vectors are
    scaled from the image they were measured on to the keyframe. Motion of frame 0 is not used. Frame 12 of a
    reference clip carries the mean of its neighbours, as it is usually an I-frame without vectors; it is used like
    any other frame, since things rarely stop for a sixth of a second.

    Args:
        keyframe: RGB.
        motion: what moves where, or a clip that holds it.
        blend: how the vector of a block meets its neighbours'. `overlapped`: every pixel is a mean of what the four
            nearest blocks predict, weighted by their nearness. `blocks`: each block moves as one, as in the codec.
            `smooth`: vectors are interpolated between block centres. The default scores highest on real clips
            (docs/motion.md).

    Raises:
        ShapeError: the keyframe is not (height, width, 3) uint8, or `blend` is unknown.
    """
    field = motion.motion if isinstance(motion, Clip) else motion
    _check(keyframe, blend)
    height, width = keyframe.shape[:2]
    block, vectors = _vectors_per_block(field, height, width, blend)
    move = _move_overlapped if blend == "overlapped" else _move_blocks
    frames = np.empty((field.num_frames, height, width, 3), np.uint8)
    frames[:1] = keyframe
    for t in range(1, field.num_frames):
        if vectors[:, t].any():
            move(frames[t - 1], vectors[:, t], block, frames[t])
        else:
            frames[t] = frames[t - 1]
    return frames


def _check(keyframe: np.ndarray, blend: str) -> None:
    if keyframe.dtype != np.uint8 or keyframe.ndim != 3 or keyframe.shape[2] != 3 or keyframe.size == 0:
        raise ShapeError(f"got a keyframe {keyframe.shape} {keyframe.dtype}, expected (height, width, 3) uint8")
    if blend not in ("overlapped", "blocks", "smooth"):
        raise ShapeError(f"got blend {blend!r}, expected 'overlapped', 'blocks' or 'smooth'")


def _vectors_per_block(
    motion: MotionField, height: int, width: int, blend: Blend
) -> tuple[int, Int[np.ndarray, "2 frames rows cols"]]:
    """Side of square blocks that tile the keyframe, and each block's motion in sixteenths of a pixel, (y, x).

    A grid measured on this very image keeps its blocks; any other is sampled at the centres of blocks of about the
    same size. Motion beyond the image's own size shows edge pixels anyway and is cut there.
    """
    scale = height / motion.height, width / motion.width
    vectors = np.nan_to_num(motion.values[::-1] * np.array(scale, np.float32).reshape(2, 1, 1, 1))
    cells = tuple(size * factor for size, factor in zip(_cell_size(motion), scale, strict=True))
    own_block = cells[0] == cells[1] and cells[0] in _CODEC_BLOCKS
    block = int(cells[0]) if own_block else int(2 ** np.clip(np.rint(np.log2(max(cells))), 2, 5))
    if blend == "smooth":
        block, own_block = 4, False
    if not own_block:
        vectors = _sample(vectors, -(-height // block), block / cells[0], axis=2)
        vectors = _sample(vectors, -(-width // block), block / cells[1], axis=3)
    limit = 2 * max(height, width)
    return block, np.rint(np.clip(vectors, -limit, limit) * _SUBPIXELS).astype(np.int32)


def _cell_size(motion: MotionField) -> tuple[float, float]:
    """Height and width of a cell in pixels of the image that the motion was measured on.

    The last row and column of a codec's grid may reach beyond the image; any other grid covers it evenly.
    """
    rows, cols = motion.grid
    for block in _CODEC_BLOCKS:
        if (rows, cols) == (-(-motion.height // block), -(-motion.width // block)):
            return float(block), float(block)
    return motion.height / rows, motion.width / cols


def _sample(values: Float[np.ndarray, "2 frames _ _"], count: int, step: float, axis: int) -> np.ndarray:
    """Linear interpolation along an axis at the centres of `count` intervals that are `step` old ones wide."""
    last = values.shape[axis] - 1
    position = np.clip((np.arange(count) + 0.5) * step - 0.5, 0, last)
    before = position.astype(np.int64)
    share = (position - before).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
    after = np.minimum(before + 1, last)
    return values.take(before, axis) * (1 - share) + values.take(after, axis) * share


def _move_blocks(before: np.ndarray, vectors: np.ndarray, block: int, after: np.ndarray) -> None:
    """Each block moves as one: `after` = `before` shifted by the block's vector."""
    rows, cols = vectors.shape[1:]
    moved = np.empty((rows, block, cols, 3 * block), np.uint16)
    for chosen, windows in _windows(before, vectors, block, size=block, origin=0):
        moved[chosen] = windows.transpose(0, 2, 1, 3)
    after[:] = moved.reshape(rows * block, cols * block, 3)[: after.shape[0], : after.shape[1]]


def _move_overlapped(before: np.ndarray, vectors: np.ndarray, block: int, after: np.ndarray) -> None:
    """Every block predicts twice its size, fading out towards its neighbours' centres; predictions add up to one."""
    rows, cols = vectors.shape[1:]
    fade_rows = _fade(rows, block)[:, None, :, None]
    fade_cols = np.repeat(_fade(cols, block), 3, axis=1)[:, None, :]
    total = np.full((rows + 1, block, cols + 1, 3 * block), 128, np.uint16)
    for chosen, windows in _windows(before, vectors, block, size=2 * block, origin=-(block // 2)):
        windows *= fade_rows[chosen]
        windows *= fade_cols
        windows = windows.transpose(0, 2, 1, 3)
        below = slice(chosen.start + 1, chosen.stop + 1)
        total[chosen, :, :-1] += windows[:, :block, :, : 3 * block]
        total[chosen, :, 1:] += windows[:, :block, :, 3 * block :]
        total[below, :, :-1] += windows[:, block:, :, : 3 * block]
        total[below, :, 1:] += windows[:, block:, :, 3 * block :]
    total >>= 8
    first = block // 2
    image = total.reshape((rows + 1) * block, (cols + 1) * block, 3)
    after[:] = image[first : first + after.shape[0], first : first + after.shape[1]]


def _fade(count: int, block: int) -> UInt8[np.ndarray, "count two_blocks"]:
    """Weights of each of `count` blocks in a row over twice its size, in sixteenths; the ends do not fade outwards."""
    from_middle = (np.arange(block) + 0.5) * 16 / block - 8
    rising = 8 + np.sign(from_middle) * np.floor(np.abs(from_middle) + 0.5)
    fade = np.tile(np.concatenate([rising, 16 - rising]), (count, 1))
    fade[0, :block] = fade[-1, block:] = 16
    return fade.astype(np.uint8)


def _windows(
    before: np.ndarray, vectors: np.ndarray, block: int, *, size: int, origin: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Squares of `size` pixels that a moved block shows: some rows of blocks at a time, (rows, cols, size, 3 * size).

    The square of block (0, 0) starts at pixel `origin` in both directions before it is moved.
    """
    rows, cols = vectors.shape[1:]
    pad = size + 1
    padded = np.pad(before, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    pixels = padded.reshape(padded.shape[0], -1)
    squares = np.lib.stride_tricks.sliding_window_view(pixels, (size + 1, 3 * (size + 1)))
    whole, fraction = np.divmod(-vectors, _SUBPIXELS)
    top = np.clip(whole[0] + np.arange(rows)[:, None] * block + origin + pad, 0, squares.shape[0] - 1)
    left = np.clip(whole[1] + np.arange(cols) * block + origin + pad, 0, padded.shape[1] - size - 1)
    share_y, share_x = fraction.astype(np.uint16)[..., None, None]
    step = max(1, _WINDOWS_AT_ONCE // cols)
    for start in range(0, rows, step):
        chosen = slice(start, min(start + step, rows))
        square = squares[top[chosen], 3 * left[chosen]]
        yield chosen, _between_pixels(square, share_y[chosen], share_x[chosen])


def _between_pixels(square: np.ndarray, share_y: np.ndarray, share_x: np.ndarray) -> np.ndarray:
    """Bilinear mean of each pixel with its lower and right neighbours; shares are in sixteenths, so 16 bits suffice."""
    across = square[..., :-3] * (_SUBPIXELS - share_x)
    across += square[..., 3:] * share_x
    result = across[..., :-1, :] * (_SUBPIXELS - share_y)
    result += across[..., 1:, :] * share_y
    result += 128
    result >>= 8
    return result
