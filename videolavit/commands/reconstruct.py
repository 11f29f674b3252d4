"""Take a video apart and put it together again: what keyframes and motion keep of it.

The extension of the output names its format: .mp4, .gif, .webp, or .png for a sheet of all
frames. It has the video's size and 6 frames per second, as the clips have. How close it comes
to the original at that rate is printed as PSNR, beside that of keyframes standing still. A
clip lasts until the next starts, 4 s or less, and ends at cuts, unless --shots ignore. What
changes altogether within a clip, in a dissolve for instance, cannot be told by motion.

Detokenizers: `warp` moves each keyframe along its motion, as a video codec does, without a
network; what comes into view only later is missing.

examples:
  videolavit reconstruct video.mp4 -o again.mp4
  videolavit reconstruct video.mp4 -o both.mp4 --compare
  videolavit reconstruct video.mp4 -o again.gif --detokenizer warp --json
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tqdm import tqdm
from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit import __version__
from videolavit.commands.clip_options import CodingOptions, refuse_pipe
from videolavit.commands.console import print_json, printable, progress_bar
from videolavit.errors import ConfigError
from videolavit.video import iter_clips, probe
from videolavit.video.draw import side_by_side
from videolavit.video.timeline import pictures_on_ticks, timeline
from videolavit.video.warp import warp
from videolavit.video.write import write_video

__all__ = ["Config", "run"]

BEST_PSNR_DB = 100.0
"""Counted for a frame without any error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit reconstruct`."""

    file: Annotated[str, Positional]
    """Video to reconstruct."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Where to write the result."""
    detokenizer: Literal["warp"] = "warp"
    """What turns keyframes and motion into frames."""
    compare: bool = False
    """Show the original on the left and the result on the right."""
    coding: Annotated[CodingOptions, OmitArgPrefixes] = field(default_factory=lambda: CodingOptions(shots="encoder"))
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One tick: what the video shows, what the clip makes of it, and the keyframe of the clip."""

    original: np.ndarray
    drawn: np.ndarray
    keyframe: np.ndarray


def run(config: Config) -> int:
    """Reconstruct one video, report how close it came, and return the exit code."""
    started = time.monotonic()
    rate = config.coding.for_library().rate
    refuse_pipe(config.file)
    _protect_source(config)
    duration = probe(config.file, limits=config.coding.limits).duration_seconds
    total = None if duration is None else round(duration * rate)
    score = Score()
    with progress_bar(total, "frame", quiet=config.json) as bar, closing(_moments(config, bar)) as moments:
        frames = _frames(config, score.watch(moments))
        write_video(frames, config.output, fps=rate, metadata=_metadata(config))
    _report(config, score, time.monotonic() - started)
    return 0


def _protect_source(config: Config) -> None:
    if config.output.exists() and os.path.exists(config.file) and os.path.samefile(config.file, config.output):
        raise ConfigError(f"{config.output} is the video itself and would be overwritten; choose another --output")


def _moments(config: Config, bar: tqdm) -> Generator[Moment, None, None]:
    options = config.coding.for_library().changed(select="all")
    limits = config.coding.limits
    clips = iter_clips(config.file, options, limits=limits)
    with closing(pictures_on_ticks(config.file, fps=options.rate, limits=limits)) as originals:
        for clip, num_ticks in timeline(clips):
            frames = warp(clip.keyframe, clip.motion)
            for tick in range(num_ticks):
                drawn = frames[min(tick, len(frames) - 1)]
                yield Moment(original=next(originals), drawn=drawn, keyframe=clip.keyframe)
                bar.update()


def _frames(config: Config, moments: Iterator[Moment]) -> Iterator[np.ndarray]:
    if not config.compare:
        return (moment.drawn for moment in moments)
    left, right = itertools.tee(moments)
    videos = [(moment.original for moment in left), (moment.drawn for moment in right)]
    return side_by_side(videos, ["original", f"keyframes and motion, {config.detokenizer}"])


class Score:
    """PSNR of every frame seen so far, and the means over them."""

    def __init__(self) -> None:
        self._drawn: list[float] = []
        self._still: list[float] = []

    def watch(self, moments: Iterator[Moment]) -> Iterator[Moment]:
        """The same moments, measured as they pass."""
        for moment in moments:
            self._drawn.append(_psnr_db(moment.original, moment.drawn))
            self._still.append(_psnr_db(moment.original, moment.keyframe))
            yield moment

    @property
    def num_frames(self) -> int:
        return len(self._drawn)

    @property
    def psnr_db(self) -> float:
        """Of what was drawn."""
        return round(float(np.mean(self._drawn)), 3)

    @property
    def still_psnr_db(self) -> float:
        """Of the keyframes standing still."""
        return round(float(np.mean(self._still)), 3)


def _psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    difference = one.astype(np.int16) - other
    error = float(np.square(difference, dtype=np.int32).mean())
    return BEST_PSNR_DB if error == 0 else min(BEST_PSNR_DB, 10 * math.log10(255**2 / error))


def _metadata(config: Config) -> dict[str, Any]:
    """What the file says about itself; `videolavit info` shows it."""
    return {
        "made_by": f"videolavit {__version__} reconstruct",
        "source": Path(config.file).name,
        "detokenizer": config.detokenizer,
        "compare": config.compare,
        "options": {name: value for name, value in asdict(config.coding).items() if name != "limits"},
    }


def _report(config: Config, score: Score, seconds: float) -> None:
    if config.json:
        document = {**_metadata(config), "output": str(config.output), "num_frames": score.num_frames}
        document |= {"psnr_db": score.psnr_db, "still_psnr_db": score.still_psnr_db, "seconds": round(seconds, 3)}
        print_json(document)
        return
    print(printable(f"{config.output}: {score.num_frames} frames ({seconds:.1f} s)"))
    print(f"  mean PSNR of a frame, against the original at {config.coding.fps:g} frames per second:")
    print(
        f"    {score.psnr_db:.2f} dB by {config.detokenizer}, {score.still_psnr_db:.2f} dB if the keyframes stood still"
    )
