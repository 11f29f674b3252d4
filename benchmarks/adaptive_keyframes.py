"""Ids a minute with adaptive keyframes against keyframes at fixed distances, and the PSNR of motion compensation.

    python benchmarks/adaptive_keyframes.py video.mp4 [video.mp4 ...]

Ids are those of the released model: 90 visual and 135 motion ids a clip, and their marks. Frames are keyframes moved
along their motion, which no network has touched, against the video at the same ticks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from videolavit.clip import Clip
from videolavit.video.adaptive import AdaptiveClip, AdaptiveOptions, adaptive_clips
from videolavit.video.motion.warp import warp
from videolavit.video.processor import VideoProcessorConfig, clips_with_images
from videolavit.video.similarity import psnr_db

KEYFRAME_IDS, MOTION_IDS = 92, 137
PROCESSOR = VideoProcessorConfig(height=192, width=336)

Way = Callable[[Sequence[tuple[Clip, int]]], Iterator[AdaptiveClip]]


def fixed(distance: int) -> Way:
    """A keyframe for every so many clips."""
    options = AdaptiveOptions(psnr_db=-100, tile_psnr_db=-100, clips_per_keyframe=distance)
    return lambda clips: adaptive_clips(clips, options)


def adaptive(least: float) -> Way:
    """A keyframe where motion does not explain it to so many dB."""
    options = AdaptiveOptions(psnr_db=least, tile_psnr_db=least - 8, clips_per_keyframe=64)
    return lambda clips: adaptive_clips(clips, options)


def main() -> None:
    print(f"command: python {' '.join(sys.argv)}")
    print("| video | keyframe kept | keyframes | ids a minute | PSNR of motion compensation, dB | fixed, equal PSNR |")
    print("| --- | --- | --- | --- | --- | --- |")
    for video in sys.argv[1:]:
        pairs = list(clips_with_images(video, PROCESSOR))
        curve = [_measured(f"every {distance} clips", fixed(distance), pairs) for distance in (1, 2, 3, 4)]
        found = [_measured(f"adaptive, {least} dB", adaptive(least), pairs) for least in (34.0, 30.0, 26.0, 22.0)]
        for one in [*curve, *found]:
            equal = "" if one in curve else f"{ids_at(one.psnr_db, curve):.0f}"
            row = f"{one.name} | {one.keyframes} of {len(pairs)} | {one.ids_a_minute:.0f} | {one.psnr_db:.2f} | {equal}"
            print(f"| {video.split('/')[-1]} | {row} |", flush=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """A choice of keyframes on one video."""

    name: str
    keyframes: int
    ids_a_minute: float
    psnr_db: float


def ids_at(psnr_db: float, curve: Sequence[Measured]) -> float:
    """Ids a minute that fixed distances need for a PSNR: between two of them, both are used in turn."""
    points = sorted((one.psnr_db, one.ids_a_minute) for one in curve)
    return float(np.interp(psnr_db, *zip(*points, strict=True)))


def _measured(name: str, way: Way, pairs: Sequence[tuple[Clip, Sequence[np.ndarray]]]) -> Measured:
    told = list(way([(clip, len(images)) for clip, images in pairs]))
    count, minutes = sum(one.has_keyframe for one in told), sum(len(images) for _, images in pairs) / 360
    ids = (count * KEYFRAME_IDS + len(told) * MOTION_IDS) / minutes
    quality = np.mean([_quality(one, images) for one, (_, images) in zip(told, pairs, strict=True)])
    return Measured(name, count, ids, float(quality))


def _quality(told: AdaptiveClip, images: Sequence[np.ndarray]) -> float:
    frames = warp(told.start, told.clip.motion)[: len(images)]
    shown = [PROCESSOR.resized(image) for image in images[: len(frames)]]
    return float(np.mean([psnr_db(frame, image) for frame, image in zip(frames, shown, strict=True)]))


if __name__ == "__main__":
    main()
