"""A video with arrows of its motion over it, as a model's front end sees it, at its own size and with its sound."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from videolavit.clip import MotionField
from videolavit.video.editing.film_edit import Film, FilmProgress, Upright, film_sound, save_frames
from videolavit.video.editing.frame_reader import FrameReader
from videolavit.video.editing.tick_motion import TICK_OPTIONS, TickMotion, tick_motion
from videolavit.video.editing.timing import Piece, Timing
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import open_video
from videolavit.video.io.pixels import rgb_array, rgb_frame, to_yuv420p
from videolavit.video.io.sources import Source
from videolavit.video.motion.camera_fit import fit_camera
from videolavit.video.visualize import arrow_layer

__all__ = ["motion_overlay"]


def motion_overlay(
    source: Source,
    path: str | os.PathLike[str],
    *,
    without_camera: bool = False,
    limits: Limits | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: FilmProgress | None = None,
) -> Film:
    """Write a video with arrows that say where each part of it goes; colour tells the direction as in `color_wheel`.

    Args:
        source: a path, the bytes of a file, or a file object that can seek.
        path: `.mp4` and `.webm` with sound, `.gif`, `.webp` without.
        without_camera: take the camera's own motion out, so that arrows show what moves by itself.
        limits: what to refuse.
        metadata: written into the file.
        progress: see `FilmProgress`.

    Raises:
        MediaError: there is no such file, it is not a video, or it comes from a pipe.
        OutputError: the result cannot be written.
    """
    with (
        open_video(source, limits=limits) as video,
        closing(tick_motion(source, limits=limits)) as ticks,
        film_sound(source, path, limits) as track,
    ):
        reader = FrameReader(video)
        timing = Timing(parts=(Piece(start=0.0, end=reader.seconds),))
        [count] = timing.num_frames(reader.rate)
        frames = _drawn(reader, count, _Layers(ticks, without_camera=without_camera), progress)
        return save_frames(frames, path, fps=reader.rate, video=video, sound=track(timing), metadata=metadata)


def _drawn(reader: FrameReader, count: int, layers: _Layers, progress: FilmProgress | None) -> Iterator[VideoFrame]:
    upright = Upright()
    for index, timed in enumerate(reader.shown(Piece(start=0.0, end=reader.seconds), count, reader.rate)):
        image = rgb_array(upright(timed.frame))
        shown = layers.over(image, index / float(reader.rate))
        yield to_yuv420p(rgb_frame(shown), image.shape[1], image.shape[0])
        if progress is not None:
            progress("draw", index + 1, count)


class _Layers:
    """Arrows of the tick that a moment belongs to, drawn once for all frames of the tick."""

    def __init__(self, ticks: Iterator[TickMotion], *, without_camera: bool) -> None:
        self._ticks = ticks
        self._without_camera = without_camera
        self._tick = -1
        self._color = self._opacity = np.zeros((1, 1, 1), np.float32)

    def over(self, image: np.ndarray, seconds: float | int) -> np.ndarray:
        """The image with the arrows of the motion that leads on from it."""
        wanted = math.floor(seconds * float(TICK_OPTIONS.rate) + 1e-6) + 1
        tick: TickMotion | None = None
        while self._tick < wanted and (following := next(self._ticks, None)) is not None:
            tick, self._tick = following, following.tick
        if tick is not None:
            layer = arrow_layer(self._field(tick), *image.shape[:2]).astype(np.float32)
            self._opacity = layer[..., 3:] / 255
            self._color = layer[..., :3] * self._opacity
        return (image * (1 - self._opacity) + self._color + 0.5).astype(np.uint8)

    def _field(self, tick: TickMotion) -> MotionField:
        field = tick.field
        if self._without_camera:
            cell = TICK_OPTIONS.cell
            camera = fit_camera(field, cell=cell, known=tick.textured)
            field = (field - camera.field(*field.shape[1:], cell)) * tick.textured
        return MotionField(values=field[:, None].astype(np.float32), height=tick.height, width=tick.width)
