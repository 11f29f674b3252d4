"""Clips out of coded frames, the last step of taking a video apart (reference section 2.5); clips in a row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from videolavit.clip import Clip, MotionField
from videolavit.video.clips.decompose_options import DecomposeOptions
from videolavit.video.motion.coded_frame import CodedFrame

__all__ = ["assemble", "timeline"]


def assemble(
    frames: Iterable[CodedFrame], starts: Callable[[int, int], bool], options: DecomposeOptions, name: str
) -> Iterator[Clip]:
    """Make a clip of each chosen keyframe and the frames that follow it; clips may overlap.

    Args:
        frames: one per tick, from tick 0.
        starts: whether a clip starts at a keyframe, given its position among keyframes and its tick.
        options: length of a clip, and whether it ends at a cut.
        name: of the video.
    """
    growing: deque[_GrowingClip] = deque()
    position = 0
    for frame in frames:
        if frame.starts_shot and options.shots != "ignore":
            yield from _finish(growing, options, name)
        for clip in growing:
            clip.add(frame)
        if frame.is_keyframe:
            if starts(position, frame.tick):
                growing.append(_GrowingClip(frame, options.frames_per_clip))
            position += 1
        while growing and growing[0].is_full:
            yield growing.popleft().finished(options, name)
    yield from _finish(growing, options, name)


def _finish(growing: deque[_GrowingClip], options: DecomposeOptions, name: str) -> Iterator[Clip]:
    while growing:
        yield growing.popleft().finished(options, name)


def timeline(clips: Iterable[Clip]) -> Iterator[tuple[Clip, int]]:
    """Clips that follow one another, each with the number of ticks until the next one starts.

    After a clip comes the latest one that starts no later than its end. So every clip is shown for as long as it can
    be, and a cut, where clips end early, is met by a fresh keyframe. The ticks add up to the length of the video. A
    clip is shown for longer than it has frames only where keyframes are further apart than clips are long.

    Args:
        clips: all clips of a video in order of time, from tick 0.
    """
    current: Clip | None = None
    following: Clip | None = None
    for clip in clips:
        while current is not None and clip.start > _end(current):
            yield current, (following or clip).start - current.start
            current, following = following, None
        if current is None:
            current = clip
        else:
            following = clip
    if current is None:
        return
    if following is not None and _end(following) > _end(current):
        yield current, following.start - current.start
        current = following
    yield current, current.num_real_frames


def _end(clip: Clip) -> int:
    return clip.start + clip.num_real_frames


class _GrowingClip:
    """A clip whose last frames are still to come. Those that never come leave zero motion."""

    def __init__(self, keyframe: CodedFrame, num_frames: int) -> None:
        assert keyframe.keyframe is not None
        self._first = keyframe
        self._image = keyframe.keyframe()
        self._motion = np.zeros((2, num_frames, *keyframe.motion.shape[1:]), dtype=np.float32)
        self._num_real = 1

    @property
    def is_full(self) -> bool:
        return self._num_real == self._motion.shape[1]

    def add(self, frame: CodedFrame) -> None:
        self._motion[:, self._num_real] = frame.motion
        self._num_real += 1

    def finished(self, options: DecomposeOptions, name: str) -> Clip:
        for hidden in options.hidden_frames:
            if hidden < self._num_real:
                _interpolate(self._motion, hidden)
        return Clip(
            keyframe=self._image,
            motion=MotionField(values=self._motion, height=self._first.height, width=self._first.width),
            start=self._first.tick,
            fps=options.rate,
            num_real_frames=self._num_real,
            source=name,
        )


def _interpolate(motion: np.ndarray, hidden: int) -> None:
    """Replace one frame's motion by the mean of its neighbours', also where it was measured, as the release does."""
    if hidden + 1 < motion.shape[1]:
        motion[:, hidden] = (motion[:, hidden - 1] + motion[:, hidden + 1]) / 2
    else:
        motion[:, hidden] = motion[:, hidden - 1]
