"""Motion from the vectors that the video already carries, without re-encoding: as fast as decoding (not in the paper).

`videolavit.video.motion.velocities` turns vectors of the source into velocities between its frames; here these are
followed backwards from tick to tick. Keyframes are images of the source, every so many ticks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Float32, Int, UInt8

from videolavit.errors import MediaError
from videolavit.video.io.open import VideoReader
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.pixels import rgb_array, to_yuv420p
from videolavit.video.io.resample import Stamped, read_ticks, show
from videolavit.video.motion.coded_frame import CodedFrame
from videolavit.video.motion.shots import CutDetector, CutDetectorConfig
from videolavit.video.motion.velocities import MovedFrame, Step, moved_frames

__all__ = ["SOURCE_DECODER_OPTIONS", "source_motion"]

SOURCE_DECODER_OPTIONS = {"flags2": "+export_mvs"}
"""Options of `open_video` for `source_motion`."""

_CODECS = (
    "flv",
    "h263",
    "h264",
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "msmpeg4v1",
    "msmpeg4v2",
    "msmpeg4",
    "wmv1",
    "wmv2",
)
"""Those whose libav decoders export vectors."""


def source_motion(
    video: VideoReader,
    *,
    fps: Fraction,
    cell: int = 16,
    keyframe_every: int = 12,
    cut_detector: CutDetectorConfig | None = None,
    selective: bool = True,
) -> Iterator[CodedFrame]:
    """Read the motion that the source's own codec found.

    Args:
        video: just opened with `SOURCE_DECODER_OPTIONS`; it is read to its end.
        fps: ticks per second.
        cell: pixels per side of a cell of the motion grid; H.264 vectors are exported for 8 x 8 pixels at the finest.
        keyframe_every: ticks from one keyframe to the next; keyframes are images of the source.
        cut_detector: finds cuts, where a keyframe is then set and counting starts anew; without it no cut is found.
        selective: leave out decoding what is not needed. The result does not depend on it.

    Raises:
        MediaError: the video's codec has no vectors that libav exports, or not one frame could be decoded.
    """
    codec = video.stream.codec_context.name
    if codec not in _CODECS:
        raise MediaError(
            f"{video.name}: libav's {codec} decoder exports no motion vectors, expected one of {', '.join(_CODECS)}; "
            "take motion='reencode'"
        )

    def coded(stamped: Iterator[Stamped]) -> Iterator[CodedFrame]:
        cuts = CutDetector(cut_detector) if cut_detector is not None else None
        return _coded_frames(_without_gaps(_ticks(stamped, video, fps, cell)), keyframe_every, cuts)

    return read_ticks(video, fps, coded, selective=selective)


# From ticks to coded frames


@dataclass(slots=True)
class _Tick:
    """A source frame where a tick shows it, and the motion since the tick before."""

    frame: VideoFrame
    motion: Float32[np.ndarray, "2 rows cols"]
    measured: bool


def _coded_frames(ticks: Iterator[_Tick], keyframe_every: int, cuts: CutDetector | None) -> Iterator[CodedFrame]:
    image: _Image | None = None
    since_keyframe = 0
    for tick, shown in enumerate(ticks):
        image = image or _Image(shown.frame)
        is_cut = cuts is not None and cuts.is_cut(image.upright(shown.frame))
        is_keyframe = tick == 0 or is_cut or since_keyframe == keyframe_every
        since_keyframe = 1 if is_keyframe else since_keyframe + 1
        yield CodedFrame(
            tick=tick,
            height=image.height,
            width=image.width,
            motion=shown.motion,
            keyframe=partial(image.rgb, shown.frame) if is_keyframe else None,
            starts_shot=is_cut or tick == 0,
            packet_bytes=_num_bytes(shown.frame) if is_keyframe else 0,
        )


def _num_bytes(frame: VideoFrame) -> int:
    """Memory that a decoded frame takes, its vectors included: 40 bytes for a block of 8 x 8 at the most."""
    return sum(plane.buffer_size for plane in frame.planes) + frame.width * frame.height * 40 // 64


class _Image:
    """Conversion of frames to images: upright, of the first one's size, and as in re-encoding."""

    def __init__(self, first: VideoFrame) -> None:
        self._stored = first.width, first.height
        self._orientation = Orientation.of(first)
        self.width, self.height = self._orientation.displayed_size(*self._stored)

    def upright(self, frame: VideoFrame) -> VideoFrame:
        return self._orientation.apply(to_yuv420p(frame, *self._stored))

    def rgb(self, frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        return rgb_array(self.upright(frame))


def _without_gaps(ticks: Iterator[_Tick]) -> Iterator[_Tick]:
    """Motion with that of hidden ticks, the mean of the ticks before and after, as in reference section 2.5."""
    before, held = None, next(ticks, None)
    while held is not None:
        after = next(ticks, None)
        if not held.measured and before is not None and after is not None:
            held.motion = (before.motion + after.motion) / 2
        yield held
        before, held = held, after


def _ticks(stamped: Iterator[Stamped], video: VideoReader, fps: Fraction, cell: int) -> Iterator[_Tick]:
    """Frame of every tick, with the steps of all frames since the tick before composed."""
    passed: deque[MovedFrame] = deque()
    last: MovedFrame | None = None

    def remembered() -> Iterator[tuple[int, MovedFrame | None]]:
        for tick, moved in moved_frames(stamped, video, cell):
            if moved is not None:
                passed.append(moved)
            yield tick, moved

    for moved in show(remembered(), fps, video.limits, video.name):
        steps: list[Step] = []
        if moved is not last:
            while passed[0] is not moved:
                steps.append(passed.popleft().step)
            steps.append(passed.popleft().step)
        # What came before the first tick is no motion of a tick.
        motion, measured = _composed(steps if last is not None else [], moved.step.velocity.shape[1:], cell)
        last = moved
        yield _Tick(moved.frame, motion, measured)


def _composed(steps: list[Step], grid: tuple[int, int], cell: int) -> tuple[Float32[np.ndarray, "2 rows cols"], bool]:
    """Motion over several steps, following each cell's content backwards, and whether anything is known of it.

    Where only part of the way is known, as at intra blocks, the rest goes on at the same velocity.
    """
    motion, known_time = np.zeros((2, *grid), np.float32), np.zeros(grid, np.float32)
    for step in reversed(steps):
        velocity, known = step.velocity, step.known
        if max(motion.max(), -motion.min()) >= cell / 2:
            here = _cells_before(motion, cell)
            velocity, known = velocity.reshape(2, -1).take(here, axis=1), known.ravel().take(here)
        time = np.float32(step.time)
        motion += velocity * time
        known_time += known * time
    whole_time = np.float32(sum(step.time for step in steps))
    motion *= whole_time / np.maximum(known_time, 1e-6)
    return motion, not steps or bool(known_time.any())


def _cells_before(motion: np.ndarray, cell: int) -> Int[np.ndarray, "rows cols"]:
    """Index of the cell that each cell's content came from."""
    rows, cols = motion.shape[1:]
    col, row = np.rint(motion * np.float32(-1 / cell)).astype(np.int32)
    row = (row + np.arange(rows, dtype=np.int32)[:, None]).clip(0, rows - 1)
    col = (col + np.arange(cols, dtype=np.int32)).clip(0, cols - 1)
    return row * cols + col
