"""Clips that need a keyframe of their own, and clips that motion explains from the one before.

A scene that does not change says little in a new keyframe. What motion compensation of the clips so far makes of the
moment at which a clip begins is compared with its keyframe: where both agree, everywhere in the image, the clip goes on
with motion alone. A cut, or something new in a corner, always gets a keyframe.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from videolavit.clip import Clip, MotionField
from videolavit.errors import ConfigError
from videolavit.video.motion.warp import warp
from videolavit.video.similarity import psnr_db

__all__ = ["AdaptiveClip", "AdaptiveKeyframes", "AdaptiveOptions", "adaptive_clips", "next_image", "worst_tile_db"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveOptions:
    """Agreement at which a clip needs no keyframe."""

    psnr_db: float | int = 28.0
    """Least PSNR of the whole image."""
    tile_psnr_db: float | int = 20.0
    """Least PSNR of its worst tile: a small thing that is new must not drown in a large ground."""
    tiles: int = 4
    """Tiles along each side."""
    clips_per_keyframe: int = 8
    """Most clips that go on from one keyframe, itself included; errors of motion add up."""

    def __post_init__(self) -> None:
        if self.tiles < 1 or self.clips_per_keyframe < 1:
            raise ConfigError(
                f"got tiles={self.tiles} and clips_per_keyframe={self.clips_per_keyframe}, expected at least 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AdaptiveClip:
    """A clip, and whether its keyframe is kept."""

    clip: Clip
    num_frames: int
    """Frames that it shows."""
    has_keyframe: bool
    start: UInt8[np.ndarray, "height width 3"]
    """The image that its motion moves: its keyframe, or what motion made of the one before."""


def adaptive_clips(clips: Iterable[tuple[Clip, int]], options: AdaptiveOptions | None = None) -> Iterator[AdaptiveClip]:
    """Clips that follow one another, as `whole_video_clips` gives them, each with or without a keyframe of its own."""
    keyframes = AdaptiveKeyframes(options or AdaptiveOptions())
    for clip, num_frames in clips:
        yield keyframes.take(clip, num_frames)


class AdaptiveKeyframes:
    """The decision for clips that follow one another, one by one."""

    def __init__(self, options: AdaptiveOptions) -> None:
        self.options = options
        self._before: AdaptiveClip | None = None
        self._since = 0

    def take(self, clip: Clip, num_frames: int) -> AdaptiveClip:
        """The next clip, with or without a keyframe of its own."""
        expected = self._expected()
        is_explained = expected is not None and _agrees(expected, clip.keyframe, self.options)
        start = clip.keyframe if expected is None or not is_explained else expected
        self._since = self._since + 1 if is_explained else 1
        self._before = AdaptiveClip(clip=clip, num_frames=num_frames, has_keyframe=not is_explained, start=start)
        return self._before

    def _expected(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """The image with which the next clip begins if it has no keyframe; None if it must have one."""
        before = self._before
        if before is None or self._since >= self.options.clips_per_keyframe:
            return None
        shown = warp(before.start, before.clip.motion)[: before.num_frames]
        return next_image(shown[-1], before.clip.motion, before.num_frames)


def next_image(
    last_frame: UInt8[np.ndarray, "height width 3"], motion: MotionField, num_frames: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The image one tick behind the last frame that a clip shows, `num_frames` of them; where that lies behind its
    motion, the last step again."""
    step = motion.values[:, min(num_frames, motion.num_frames - 1)]
    values = np.stack([np.zeros_like(step), step], axis=1)
    return warp(last_frame, MotionField(values=values, height=motion.height, width=motion.width))[-1]


def worst_tile_db(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"], tiles: int) -> float:
    """PSNR of that tile of a grid in which two images differ most."""
    rows = zip(np.array_split(one, tiles), np.array_split(other, tiles), strict=True)
    pairs = [
        pair
        for row in rows
        for pair in zip(*(np.array_split(image, tiles, axis=1) for image in row), strict=True)
        if pair[0].size
    ]
    return min((psnr_db(*pair) for pair in pairs), default=math.inf)


def _agrees(one: np.ndarray, other: np.ndarray, options: AdaptiveOptions) -> bool:
    if one.shape != other.shape or psnr_db(one, other) < options.psnr_db:
        return False
    return worst_tile_db(one, other, options.tiles) >= options.tile_psnr_db
