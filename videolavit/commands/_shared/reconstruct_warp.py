"""A video to keyframes and motion and back without a model: each keyframe moved along, frame by frame as it is read.

Memory stays flat, so a video may be of any length.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from videolavit import __version__
from videolavit.commands._shared.clip_options import CodingOptions
from videolavit.commands._shared.console import print_json, progress_bar, tell_written
from videolavit.video import iter_clips, probe
from videolavit.video.clips.assemble import timeline
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.write import write_video
from videolavit.video.motion.warp import warp
from videolavit.video.similarity import psnr_db
from videolavit.video.visualize import side_by_side

__all__ = ["Moment", "Score", "warp_video"]


def warp_video(file: str, output: Path, coding: CodingOptions, *, compare: bool, json: bool) -> None:
    """Reconstruct one video and report how close it came."""
    started = time.monotonic()
    rate = coding.for_library().rate
    duration = probe(file, limits=coding.limits).duration_seconds
    total = None if duration is None else round(duration * rate)
    metadata = _metadata(file, coding, compare)
    score = Score()
    with progress_bar(total, "frame", quiet=json) as bar, closing(_moments(file, coding, bar)) as moments:
        frames = _frames(score.watch(moments), compare)
        write_video(frames, output, fps=rate, metadata=metadata)
    _report(score, output, metadata, coding, time.monotonic() - started, json=json)


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One tick: what the video shows, what the clip makes of it, and the keyframe of the clip."""

    original: np.ndarray
    drawn: np.ndarray
    keyframe: np.ndarray


class Score:
    """PSNR of every frame seen so far, and the means over them."""

    def __init__(self) -> None:
        self._drawn: list[float] = []
        self._still: list[float] = []

    def watch(self, moments: Iterator[Moment]) -> Iterator[Moment]:
        """The same moments, measured as they pass."""
        for moment in moments:
            self._drawn.append(psnr_db(moment.original, moment.drawn))
            self._still.append(psnr_db(moment.original, moment.keyframe))
            yield moment

    @property
    def num_frames(self) -> int:
        return len(self._drawn)

    @property
    def psnr_db(self) -> float:
        """Of the warped frames."""
        return round(float(np.mean(self._drawn)), 3)

    @property
    def still_psnr_db(self) -> float:
        """Of the keyframes standing still."""
        return round(float(np.mean(self._still)), 3)


def _moments(file: str, coding: CodingOptions, bar: tqdm) -> Generator[Moment, None, None]:
    options = coding.for_library().changed(select="all")
    clips = iter_clips(file, options, limits=coding.limits)
    with closing(images_on_ticks(file, fps=options.rate, limits=coding.limits)) as originals:
        for clip, num_ticks in timeline(clips):
            frames = warp(clip.keyframe, clip.motion)
            for tick in range(num_ticks):
                drawn = frames[min(tick, len(frames) - 1)]
                yield Moment(original=next(originals), drawn=drawn, keyframe=clip.keyframe)
                bar.update()


def _frames(moments: Iterator[Moment], compare: bool) -> Iterator[np.ndarray]:
    if not compare:
        return (moment.drawn for moment in moments)
    left, right = itertools.tee(moments)
    videos = [(moment.original for moment in left), (moment.drawn for moment in right)]
    return side_by_side(videos, ["original", "keyframes and motion, warp"])


def _metadata(file: str, coding: CodingOptions, compare: bool) -> dict[str, Any]:
    """Metadata of the file; `videolavit info` shows it."""
    return {
        "made_by": f"videolavit {__version__} reconstruct",
        "source": Path(file).name,
        "detokenizer": "warp",
        "compare": compare,
        "options": {name: value for name, value in asdict(coding).items() if name != "limits"},
    }


def _report(
    score: Score, output: Path, metadata: dict[str, Any], coding: CodingOptions, seconds: float, *, json: bool
) -> None:
    if json:
        document = {**metadata, "output": str(output), "num_frames": score.num_frames}
        document |= {"psnr_db": score.psnr_db, "still_psnr_db": score.still_psnr_db, "seconds": round(seconds, 3)}
        print_json(document)
        return
    tell_written(f"{output}: {score.num_frames} frames ({seconds:.1f} s)")
    print(f"  mean PSNR of a frame, against the original at {coding.fps:g} frames per second:")
    print(f"    {score.psnr_db:.2f} dB by warp, {score.still_psnr_db:.2f} dB if the keyframes stood still")
