"""Velocities between the frames of a video, out of the motion vectors that its own codec stored.

A vector says where a block lay in another frame. Divided by the time between the two frames it is a velocity, for
every moment in between. Only frames that others refer to are used: they are decoded in any case, their vectors are
the more faithful ones, and the result does not depend on which others are decoded.

Which frame a vector points to is known by rule, not from the stream: the nearest one decoded before, in the direction
that its sign gives. In MPEG-1, 2 and 4 that is always so. An H.264 encoder may choose an older one, and libav does
not tell; such motion comes out too large (docs/motion.md has numbers). Interlaced images are taken for progressive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from jaxtyping import Bool, Float32

from videolavit.errors import MediaError
from videolavit.video.io.open import VideoReader
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.resample import Stamped
from videolavit.video.motion.vectors import exported_vectors, grid_shape, mean_motion

__all__ = ["MovedFrame", "Step", "moved_frames"]

logger = logging.getLogger(__name__)

_LONGEST_GROUP = 32
"""Frames from one anchor to the next, at most: a stream may have none."""
_SHARE_OF_B_FRAMES = 0.1
"""Weight of a B-frame's velocity next to a P-frame's, whose vectors are more faithful; chosen on real clips."""
_PACKETS_REMEMBERED = 256


@dataclass(slots=True, eq=False)
class Step:
    """Motion from one decoded frame to the next."""

    time: float
    """Between the two, in units of the stream's time base."""
    velocity: Float32[np.ndarray, "2 rows cols"]
    """Pixels per unit of time; 0 where unknown."""
    known: Bool[np.ndarray, "rows cols"]


@dataclass(slots=True, eq=False)
class MovedFrame:
    """A decoded frame and the step that leads to it."""

    frame: VideoFrame
    step: Step


def moved_frames(stamped: Iterator[Stamped], video: VideoReader, cell: int) -> Iterator[tuple[int, MovedFrame | None]]:
    """Frames in display order with the steps between them; what comes and goes with the tick of each stays so.

    A step is known when all frames up to the next anchor, an I- or P-frame that others refer to, have come.

    Args:
        stamped: decoded frames.
        video: that they come from, opened so that vectors are exported.
        cell: pixels per side of a cell of the motion grid.
    """
    reader = _FrameReader(video, cell)
    group: list[_Frame] = []
    for tick, source_frame in stamped:
        if source_frame is None:
            yield from _with_steps(group)
            yield tick, None
            continue
        frame = reader.read(tick, source_frame)
        if not group:
            group = [frame]
            nothing = np.zeros(frame.grid, bool)
            yield tick, MovedFrame(source_frame, Step(0.0, np.zeros((2, *frame.grid), np.float32), nothing))
            continue
        if len(group) > 1 and not group[-1].is_reference and group[-1].tick == frame.tick:
            group.pop()  # Neither shown nor referred to: it might as well not have been decoded.
        group.append(frame)
        if frame.is_anchor or len(group) > _LONGEST_GROUP:
            yield from _with_steps(group)
            group = [frame]
    if not reader.found_vectors:
        logger.warning("%s: none of its frames has motion vectors, so all motion is 0", video.name)


@dataclass(slots=True, eq=False)
class _Frame:
    """A frame and what its vectors say."""

    tick: int
    source: VideoFrame
    time: float
    order: int
    """Of decoding."""
    is_reference: bool
    """True if other frames refer to it."""
    fields: dict[int, tuple[np.ndarray, np.ndarray]]
    """Motion, and where it is known: since an earlier frame under -1, until a later one under 1."""
    grid: tuple[int, int]

    @property
    def is_anchor(self) -> bool:
        return self.is_reference and self.source.pict_type != PictureType.B


def _with_steps(group: list[_Frame]) -> Iterator[tuple[int, MovedFrame]]:
    """All but the first frame from one anchor to the next, each with the step that leads to it."""
    if len(group) < 2:
        return
    for i, (velocity, known) in enumerate(_overlaid(group)):
        frame = group[i + 1]
        yield frame.tick, MovedFrame(frame.source, Step(frame.time - group[i].time, velocity, known))


def _overlaid(group: list[_Frame]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each step between frames the weighted mean of all velocities that hold there, and where any does."""
    fields = [
        (i, j, *field)
        for i, frame in enumerate(group)
        for direction, field in frame.fields.items()
        if i and (j := _referred(group, i, direction)) is not None
    ]
    if len(group) == 2 and len(fields) == 1:  # One P-frame after another: nothing to lay over it.
        [(_, _, motion, known)] = fields
        yield motion / np.float32(group[1].time - group[0].time), known
        return
    rows, cols = group[0].grid
    velocity = np.zeros((len(group) - 1, 2, rows, cols), np.float32)
    weight = np.zeros((len(group) - 1, rows, cols), np.float32)
    for i, j, motion, known in fields:
        between = slice(min(i, j), max(i, j))
        time = np.float32(abs(group[i].time - group[j].time))
        share = np.float32(1 if group[i].is_anchor else _SHARE_OF_B_FRAMES) / time
        velocity[between] += motion * (share / time)
        weight[between] += known * share
    velocity /= np.where(weight > 0, weight, 1)[:, None]
    yield from zip(velocity, weight > 0, strict=True)


def _referred(group: list[_Frame], i: int, direction: int) -> int | None:
    """The nearest frame on one side of frame `i` that was decoded before it and may be referred to."""
    side = range(i - 1, -1, -1) if direction < 0 else range(i + 1, len(group))
    return next((j for j in side if group[j].is_reference and group[j].order < group[i].order), None)


class _FrameReader:
    """Reads what `_Frame` holds out of decoded frames, and out of the packets that they come from."""

    def __init__(self, video: VideoReader, cell: int) -> None:
        self.found_vectors = False
        self._name = video.name
        self._cell = cell
        self._is_h264 = video.stream.codec_context.name == "h264"
        self._nal_length_bytes = _nal_length_bytes(video.stream.codec_context.extradata)
        # AVI has no display times.
        self._has_times = video.container.format.name != "avi"
        self._packets: dict[int | None, tuple[int, bool]] = {}
        self._num_packets = 0
        self._last_time: float | None = None
        self._size: tuple[int, int] | None = None
        self._orientation = Orientation()
        video.on_packet = self._remember

    def read(self, tick: int, frame: VideoFrame) -> _Frame:
        if self._size is None:
            self._size, self._orientation = (frame.width, frame.height), Orientation.of(frame)
        width, height = self._orientation.displayed_size(*self._size)
        grid = grid_shape(height, width, self._cell)
        is_b_frame = frame.pict_type == PictureType.B
        order, is_reference = self._packets.get(frame.pts, (self._num_packets, not is_b_frame))
        return _Frame(
            tick=tick,
            source=frame,
            time=self._time(frame),
            order=order,
            is_reference=is_reference if self._is_h264 else not is_b_frame,
            fields=self._fields(frame, grid) if is_reference or not is_b_frame else {},
            grid=grid,
        )

    def _remember(self, packet: Packet) -> None:
        self._num_packets += 1
        is_reference = self._is_h264 and _is_h264_reference(packet, self._nal_length_bytes)
        self._packets[packet.pts] = self._num_packets, is_reference
        if len(self._packets) > _PACKETS_REMEMBERED:
            del self._packets[next(iter(self._packets))]

    def _vectors(self, frame: VideoFrame) -> np.ndarray | None:
        try:
            return exported_vectors(frame)
        except ValueError as error:  # PyAV lists all side data or none, and has no name for some kinds, such as LCEVC
            raise MediaError(
                f"{self._name}: its frames carry data that hides the motion vectors ({error}); take motion='reencode'"
            ) from error

    def _time(self, frame: VideoFrame) -> float:
        """Increasing, whatever the file says."""
        last = self._last_time
        time = float(frame.pts) if self._has_times and frame.pts is not None else None
        if time is None or (last is not None and time <= last):
            time = 0.0 if last is None else last + max(frame.duration or 1, 1)
        self._last_time = time
        return time

    def _fields(self, frame: VideoFrame, grid: tuple[int, int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        vectors = self._vectors(frame)
        if vectors is None or (frame.width, frame.height) != self._size:
            return {}
        self.found_vectors = True
        vectors = _as_displayed(vectors, self._orientation, frame.width, frame.height)
        if frame.pict_type != PictureType.B:
            return {-1: mean_motion(vectors, *grid, self._cell)}
        earlier = vectors["source"] < 0
        # As plain bytes, since NumPy copies records field by field.
        rows = vectors.view(np.uint8).reshape(len(vectors), -1)
        parts = {-1: rows[earlier].view(vectors.dtype)[:, 0], 1: rows[~earlier].view(vectors.dtype)[:, 0]}
        return {direction: mean_motion(part, *grid, self._cell) for direction, part in parts.items()}


def _as_displayed(vectors: np.ndarray, orientation: Orientation, width: int, height: int) -> np.ndarray:
    """Vectors of the stored image, turned and mirrored as the image is."""
    if orientation.is_identity:
        return vectors
    turned = vectors.copy()
    if orientation.swap_axes:
        for x, y in (("w", "h"), ("dst_x", "dst_y"), ("motion_x", "motion_y")):
            turned[x], turned[y] = vectors[y], vectors[x]
    for name, size, flip in zip("xy", orientation.displayed_size(width, height), _flips(orientation), strict=True):
        if flip:
            turned[f"dst_{name}"] = size - turned[f"dst_{name}"]
            turned[f"motion_{name}"] *= -1
    return turned


def _flips(orientation: Orientation) -> tuple[bool, bool]:
    return orientation.flip_x, orientation.flip_y


# H.264: whether a packet's frame is referred to is in the first byte of its slices (ISO/IEC 14496-10, 7.3.1).


def _nal_length_bytes(extradata: Any) -> int:
    """Bytes that say how long each unit is, or 0 where start codes separate them."""
    return (extradata[4] & 3) + 1 if extradata and len(extradata) > 4 and extradata[0] == 1 else 0


def _is_h264_reference(packet: Packet, length_bytes: int) -> bool:
    data = memoryview(packet)
    for position in _nal_units(data, length_bytes):
        if 1 <= data[position] & 31 <= 5:
            return bool(data[position] & 0x60)
    return True


def _nal_units(data: memoryview, length_bytes: int) -> Iterator[int]:
    """Offsets of the units of a packet."""
    if length_bytes:
        position = 0
        while position + length_bytes < len(data):
            yield position + length_bytes
            position += length_bytes + int.from_bytes(data[position : position + length_bytes], "big")
    else:
        stream = bytes(data)
        position = stream.find(b"\0\0\1") + 3
        while 3 <= position < len(stream):
            yield position
            position = stream.find(b"\0\0\1", position) + 3
