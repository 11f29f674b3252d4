"""Ids a minute with adaptive keyframes against keyframes at fixed distances, and the PSNR of motion compensation.

    python benchmarks/adaptive_keyframes.py video.mp4 [video.mp4 ...]

Ids are those of the released model: 90 visual and 135 motion ids a clip, and their marks. Frames are keyframes moved
along their motion, which no network has touched, against the video at the same ticks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

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
    options = AdaptiveOptions(psnr_db=-100, tile_psnr_db=-100, max_clips=distance)
    return lambda clips: adaptive_clips(clips, options)


def adaptive(least: float) -> Way:
    """A keyframe where motion does not explain it to so many dB."""
    options = AdaptiveOptions(psnr_db=least, tile_psnr_db=least - 8, max_clips=64)
    return lambda clips: adaptive_clips(clips, options)


def main() -> None:
    ways = {f"every {distance} clips": fixed(distance) for distance in (1, 2, 3, 4)}
    ways |= {f"adaptive, {least} dB": adaptive(least) for least in (34.0, 30.0, 26.0, 22.0)}
    print(f"command: python {' '.join(sys.argv)}")
    print("| video | clips | keyframes | keyframe kept | ids a minute | PSNR of motion compensation, dB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for video in sys.argv[1:]:
        pairs = list(clips_with_images(video, PROCESSOR))
        for name, way in ways.items():
            told = list(way([(clip, len(images)) for clip, images in pairs]))
            count, minutes = sum(one.has_keyframe for one in told), sum(len(images) for _, images in pairs) / 360
            ids = (count * KEYFRAME_IDS + len(told) * MOTION_IDS) / minutes
            quality = np.mean([_quality(one, images) for one, (_, images) in zip(told, pairs, strict=True)])
            print(
                f"| {video.split('/')[-1]} | {len(told)} | {count} | {name} | {ids:.0f} | {quality:.2f} |", flush=True
            )


def _quality(told: AdaptiveClip, images: Sequence[np.ndarray]) -> float:
    frames = warp(told.start, told.clip.motion)[: len(images)]
    shown = [PROCESSOR.resized(image) for image in images[: len(frames)]]
    return float(np.mean([psnr_db(frame, image) for frame, image in zip(frames, shown, strict=True)]))


if __name__ == "__main__":
    main()
