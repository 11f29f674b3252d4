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

__all__ = ["AdaptiveClip", "AdaptiveOptions", "adaptive_clips", "worst_tile_db"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveOptions:
    """Agreement at which a clip needs no keyframe."""

    psnr_db: float | int = 28.0
    """Least PSNR of the whole image."""
    tile_psnr_db: float | int = 20.0
    """Least PSNR of its worst tile: a small thing that is new must not drown in a large ground."""
    tiles: int = 4
    """Tiles along each side."""
    max_clips: int = 8
    """Most clips that go on from one keyframe, itself included; errors of motion add up."""

    def __post_init__(self) -> None:
        if self.tiles < 1 or self.max_clips < 1:
            raise ConfigError(f"got tiles={self.tiles} and max_clips={self.max_clips}, expected at least 1")


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
    options = options or AdaptiveOptions()
    expected: UInt8[np.ndarray, "height width 3"] | None = None
    since = 0
    for clip, num_frames in clips:
        is_explained = expected is not None and since < options.max_clips and _agrees(expected, clip.keyframe, options)
        start = clip.keyframe if expected is None or not is_explained else expected
        yield AdaptiveClip(clip=clip, num_frames=num_frames, has_keyframe=not is_explained, start=start)
        since = since + 1 if is_explained else 1
        expected = _image_after(start, clip.motion, num_frames)


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


def _image_after(start: np.ndarray, motion: MotionField, num_frames: int) -> UInt8[np.ndarray, "height width 3"]:
    """The image at the tick at which the next clip begins; where that lies behind the motion, its last step again."""
    values = motion.values[:, : num_frames + 1]
    if values.shape[1] == num_frames:
        values = np.concatenate([values, values[:, -1:]], axis=1)
    field = MotionField(values=np.ascontiguousarray(values), height=motion.height, width=motion.width)
    return warp(start, field)[-1]
