"""Make shards of prepared videos: from the shapes world, or from one's own files.

Every video goes through the real front end (`videolavit.video`): keyframes are what the codec decoded, motion is what
its motion search found. Nothing knows the true motion.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from videolavit.data.shapes import captions, picture_captions, picture_questions, questions, render, sample_scene
from videolavit.data.shapes.scene import FPS, FRAMES_PER_CLIP, SIZE
from videolavit.data.shards import Record, write_shard
from videolavit.video import DecomposeOptions, Frames, Reencoding, decompose
from videolavit.video.pixels import resize_picture

__all__ = ["FrontEnd", "ShapesData", "prepare_shapes", "shapes_record", "video_record"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontEnd:
    """How a model's videos go through the front end; kept with the model, because its motion tokenizer learnt it.

    Small pictures are enlarged before motion search, so that blocks of 16 pixels make a fine enough grid.
    """

    height: int = SIZE
    width: int = SIZE
    """Size of keyframes and frames."""
    motion_scale: int = 2
    """Times that size is the picture in which motion is searched."""
    slices: int = 1
    fps: float = FPS
    frames_per_clip: int = FRAMES_PER_CLIP

    @property
    def motion_size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height * self.motion_scale, self.width * self.motion_scale

    @property
    def options(self) -> DecomposeOptions:
        """Clips one after another: every second keyframe, as I-frames come every 12 ticks and clips have 24."""
        reencoding = Reencoding(slices=self.slices, gop=self.frames_per_clip // 2)
        return DecomposeOptions(
            fps=self.fps, frames_per_clip=self.frames_per_clip, select="every 2", reencoding=reencoding
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapesData:
    """Which scenes of the shapes world a data set holds."""

    num_videos: int = 1000
    first_seed: int = 0
    split: Literal["train", "held-out"] = "train"
    extended: bool = False
    clips: tuple[int, ...] = (1,)
    """Numbers of clips, taken in turn."""
    front_end: FrontEnd = FrontEnd()
    wordings: int = 8
    """Captions of each video."""


def prepare_shapes(data: ShapesData, folder: Path, *, workers: int = 1, videos_per_shard: int = 1000) -> None:
    """Write the shards of a data set into a folder; shards that are there already are kept.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, data.num_videos, videos_per_shard)
    missing = [start for start in starts if not _shard_path(folder, start, videos_per_shard).exists()]
    make = partial(_write_shapes_shard, data, folder, videos_per_shard)
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        list(tqdm(pool.map(make, missing), total=len(missing), desc="shards", disable=None))


def shapes_record(data: ShapesData, number: int) -> Record | None:
    """Video `number` of a data set; None for the rare one whose keyframes fall elsewhere than clips start."""
    seed, num_clips = data.first_seed + number, data.clips[number % len(data.clips)]
    scene = sample_scene(seed, split=data.split, num_clips=num_clips, extended=data.extended)
    record = video_record(render(scene), data.front_end)
    if record is None:
        return None
    asked, of_picture = questions(scene), picture_questions(scene)
    return Record(
        keyframes=record.keyframes,
        motion=record.motion,
        motion_size=record.motion_size,
        frames=record.frames,
        captions=tuple(captions(scene, seed, data.wordings)),
        picture_captions=tuple(picture_captions(scene, seed, data.wordings)),
        questions=tuple((question.text, question.answer, question.topic) for question in asked),
        about_picture=tuple(question in of_picture for question in asked),
        source={"seed": seed, "split": data.split, "clips": num_clips, "extended": data.extended},
    )


def video_record(frames: UInt8[np.ndarray, "frames height width 3"], front_end: FrontEnd) -> Record | None:
    """The clips of pictures that are one per tick already; None if the encoder set its keyframes elsewhere."""
    height, width = front_end.motion_size
    enlarged = (resize_picture(frame, height, width) for frame in frames)
    clips = decompose(Frames(pictures=enlarged, fps=front_end.fps), front_end.options)
    wanted = list(range(0, len(frames), front_end.frames_per_clip))
    if [clip.start for clip in clips] != wanted:
        return None
    keyframes = [resize_picture(clip.keyframe, front_end.height, front_end.width) for clip in clips]
    return Record(
        keyframes=np.stack(keyframes),
        motion=np.stack([clip.motion.values for clip in clips]).astype(np.float16),
        motion_size=front_end.motion_size,
        frames=np.stack([resize_picture(frame, front_end.height, front_end.width) for frame in frames]),
    )


def _write_shapes_shard(data: ShapesData, folder: Path, size: int, start: int) -> int:
    path = _shard_path(folder, start, size)
    return write_shard(_shapes_records(data, range(start, min(start + size, data.num_videos))), path)


def _shapes_records(data: ShapesData, numbers: range) -> Iterator[Record]:
    for number in numbers:
        record = shapes_record(data, number)
        if record is None:
            logger.info("video %d is left out: its encoder set a keyframe inside a clip", number)
        else:
            yield record


def _shard_path(folder: Path, start: int, size: int) -> Path:
    return folder / f"shapes-{start // size:05d}.tar"
