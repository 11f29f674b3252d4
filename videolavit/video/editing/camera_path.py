"""The way of a camera through a video, and what steadies it: shake out, pans kept.

Motion comes from the vectors of an encoder, at the video's own rate; `fit_camera` reads the camera's part out of each
field; the steps add up to a path; each frame moves by what the smooth path differs from the real one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from jaxtyping import Bool, Float
from PIL import Image

from videolavit.video.editing.frame_reader import FrameReader, TimedFrame
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.pixels import plane_samples, to_yuv420p
from videolavit.video.motion.camera_fit import CameraStep, fit_camera, textured_cells
from videolavit.video.motion.reencode import Reencoding, reencode
from videolavit.video.motion.shots import CutDetector

__all__ = ["Steadying", "moved_image", "steadying"]

_LARGEST_SIDE = 640
"""Motion is searched in images made as small as this: fine enough for the camera, which hundreds of cells agree on."""
_CELL = 16
_ENCODER = Reencoding(slices=1, gop=600, bit_rate=4_000_000)
_SMOOTH_SECONDS = 0.6
"""Spread of the Gaussian that the path is smoothed with."""
_MARGIN = 0.06
"""Share of each side that may be cut off."""
_MOST_TURN = 0.03
_MOST_ZOOM = 0.03


@dataclass(frozen=True, kw_only=True, slots=True)
class Steadying:
    """Moves of the frames of a video."""

    seconds: Float[np.ndarray, " frames"]
    """Times at which they are shown."""
    moves: Float[np.ndarray, "frames 4"]
    """Shift to the right and down as a share of the width, growth (a logarithm), turn in radians."""

    def at(self, seconds: float | int) -> np.ndarray:
        """The move of the frame that is shown at a moment."""
        index = int(np.searchsorted(self.seconds, seconds + 1e-6)) - 1
        return self.moves[max(index, 0)]


def steadying(reader: FrameReader, progress: Callable[[int], None] | None = None) -> Steadying:
    """Read a video once and find how its frames have to move for a steady camera.

    Args:
        reader: of the video.
        progress: called with the number of frames read so far.
    """
    seconds: list[float] = []
    steps: list[tuple[float, float, float, float]] = []
    cuts: list[int] = []
    for frame_seconds, step, is_cut, width in _steps(reader):
        if is_cut and steps:
            cuts.append(len(steps))
        seconds.append(frame_seconds)
        steps.append((step.x / width, step.y / width, math.log1p(max(step.zoom, -0.5)), step.turn))
        if progress is not None:
            progress(len(steps))
    moves = steady_moves(np.array(steps), cuts, sigma=_SMOOTH_SECONDS * float(reader.rate))
    return Steadying(seconds=np.array(seconds), moves=moves)


def steady_moves(
    steps: Float[np.ndarray, "frames 4"], cuts: list[int], *, sigma: float | int
) -> Float[np.ndarray, "frames 4"]:
    """Differences of the smooth path from the real one, within the margins; each shot has a path of its own.

    Args:
        steps: from each frame to the next, as `Steadying.moves`; of the first of a shot, nothing is known.
        cuts: frames before which a cut lies.
        sigma: spread of the smoothing in frames.
    """
    moves = np.zeros_like(steps)
    for start, end in zip([0, *cuts], [*cuts, len(steps)], strict=True):
        own = steps[start:end].copy()
        own[0] = 0
        path = np.cumsum(own, 0)
        moves[start:end] = _within_margins(_smoothed(path, sigma) - path)
    return moves


def _smoothed(path: np.ndarray, sigma: float | int) -> np.ndarray:
    """Gaussian means; beyond its ends the path goes on as it came, mirrored through its last point."""
    reach = max(1, math.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    before = 2 * path[0] - path[_mirrored(np.arange(reach, 0, -1), len(path))]
    after = 2 * path[-1] - path[_mirrored(len(path) - 1 - np.arange(1, reach + 1), len(path))]
    longer = np.concatenate([before, path, after])
    return np.stack([np.convolve(values, kernel, mode="valid") for values in longer.T], -1)


def _mirrored(index: np.ndarray, count: int) -> np.ndarray:
    return index.clip(0, count - 1)


def _within_margins(moves: np.ndarray) -> np.ndarray:
    limited = moves.copy()
    limited[:, 2] = limited[:, 2].clip(-_MOST_ZOOM, _MOST_ZOOM)
    limited[:, 3] = limited[:, 3].clip(-_MOST_TURN, _MOST_TURN)
    room = (_MARGIN - np.abs(limited[:, 2]) / 2 - np.abs(limited[:, 3]) / 2).clip(0)[:, None]
    limited[:, :2] = limited[:, :2].clip(-room, room)
    return limited


def moved_image(frame: VideoFrame, move: np.ndarray) -> VideoFrame:
    """A yuv420p frame moved as `Steadying` says, enlarged so far that no border shows."""
    result = VideoFrame(frame.width, frame.height, "yuv420p")
    for source, target in zip(frame.planes, result.planes, strict=True):
        plane_samples(target)[:] = _moved_plane(plane_samples(source), move)
    return result


def _moved_plane(plane: np.ndarray, move: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    shift_x, shift_y, growth, turn = move
    scale = math.exp(growth) / (1 - 2 * _MARGIN)
    cosine, sine = math.cos(turn) / scale, math.sin(turn) / scale
    # Pillow asks for each pixel of the result where it comes from: the way back, about the middle.
    middle_x, middle_y = width / 2, height / 2
    from_x, from_y = middle_x + shift_x * width, middle_y + shift_y * width
    matrix = (
        *(cosine, sine, middle_x - cosine * from_x - sine * from_y),
        *(-sine, cosine, middle_y + sine * from_x - cosine * from_y),
    )
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))


def _steps(reader: FrameReader) -> Iterator[tuple[float, CameraStep, bool, int]]:
    """Time of every frame, the camera's step that leads to it, whether a cut lies before it, width of the search."""
    waiting: deque[tuple[float, Bool[np.ndarray, "rows cols"]]] = deque()

    def small() -> Iterator[VideoFrame]:
        for timed, image in _small_images(reader):
            waiting.append((timed.seconds, textured_cells(plane_samples(image.planes[0]), _CELL)))
            yield image

    last = CameraStep()
    rate = _even_rate(reader.rate)
    for coded in reencode(small(), _ENCODER, fps=rate, name=reader.name, cell=_CELL, cuts=CutDetector()):
        frame_seconds, known = waiting.popleft()
        if coded.starts_shot:
            last = CameraStep()
        elif not coded.is_keyframe:  # an I-frame hides one step, so the camera goes on as before
            last = fit_camera(coded.motion, cell=_CELL, known=known)
        yield frame_seconds, last, coded.starts_shot, coded.width


def _even_rate(rate: Fraction) -> Fraction:
    """A rate near the given one that every encoder takes; times of frames are not made of it."""
    return rate.limit_denominator(1001) if rate.denominator > 1001 or rate.numerator > 60_000 else rate


def _small_images(reader: FrameReader) -> Iterator[tuple[TimedFrame, VideoFrame]]:
    size, orientation = (0, 0), Orientation()
    for timed in reader.forwards():
        frame = timed.frame
        if not size[0]:
            shrink = min(1.0, _LARGEST_SIDE / max(frame.width, frame.height))
            size = (max(16, round(frame.width * shrink) // 2 * 2), max(16, round(frame.height * shrink) // 2 * 2))
            orientation = Orientation.of(frame)
        reduced = frame.reformat(*size, format="yuv420p", interpolation=Interpolation.AREA, threads=1)
        yield timed, orientation.apply(to_yuv420p(reduced, *size))
