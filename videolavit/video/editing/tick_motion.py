"""Motion of a whole video, tick by tick, without clips: for overlays and for search."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32

from videolavit.video.clips.decompose import coded_frames
from videolavit.video.clips.decompose_options import DecomposeOptions
from videolavit.video.io.limits import Limits
from videolavit.video.io.sources import Source
from videolavit.video.motion.camera_fit import textured_cells
from videolavit.video.motion.coded_frame import CodedFrame

__all__ = ["TICK_OPTIONS", "TickMotion", "tick_motion"]

TICK_OPTIONS = DecomposeOptions(shots="difference").changed(slices=1)
"""As the model sees motion, with cuts found and with vectors that cross the whole image."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TickMotion:
    """Motion from the tick before to this one."""

    tick: int
    height: int
    width: int
    field: Float32[np.ndarray, "2 rows cols"]
    """Pixels; zero at a cut."""
    textured: Bool[np.ndarray, "rows cols"]
    """Cells in which there is something to follow, as the last keyframe has it."""
    starts_shot: bool


def tick_motion(
    source: Source, options: DecomposeOptions = TICK_OPTIONS, *, limits: Limits | None = None
) -> Generator[TickMotion, None, None]:
    """Motion at every tick; where an I-frame hides it, the mean of the ticks before and after.

    Raises:
        MediaError: there is no such file, it is not a video, or it is damaged beyond reading.
        LimitError: it is larger or longer than `limits` allow.
    """
    with closing(coded_frames(source, options, limits or Limits())) as frames:
        yield from _without_gaps(_ticks(frames, options.cell))


def _ticks(frames: Iterator[CodedFrame], cell: int) -> Iterator[tuple[TickMotion, bool]]:
    """Every tick, and whether an I-frame hides its motion."""
    textured = np.ones((1, 1), bool)
    for frame in frames:
        if frame.keyframe is not None:
            textured = textured_cells(frame.keyframe()[..., 1], cell)
        motion = TickMotion(
            tick=frame.tick,
            height=frame.height,
            width=frame.width,
            field=frame.motion,
            textured=textured,
            starts_shot=frame.starts_shot,
        )
        yield motion, frame.is_keyframe and not frame.starts_shot


def _without_gaps(ticks: Iterator[tuple[TickMotion, bool]]) -> Iterator[TickMotion]:
    before: TickMotion | None = None
    held, hidden = next(ticks)
    for after, after_hidden in ticks:
        if hidden and before is not None:
            field = before.field if after.starts_shot else (before.field + after.field) / 2
            held = replace(held, field=field)
        yield held
        before, held, hidden = held, after, after_hidden
    if hidden and before is not None:
        held = replace(held, field=before.field)
    yield held
