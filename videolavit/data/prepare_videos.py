"""Make shards of prepared videos: from the shapes world, of collages, or from one's own files.

Every video goes through the real front end (`videolavit.video`): keyframes are what the codec decoded, motion is what
its motion search found. Nothing knows the true motion.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from videolavit.data.made_of import claim
from videolavit.data.shapes import (
    captions,
    image_captions,
    image_questions,
    motion_captions,
    questions,
    render,
    sample_scene,
)
from videolavit.data.shapes.scene import FPS, FRAMES_PER_CLIP, SIZE
from videolavit.data.shards import Record, write_shard
from videolavit.jobs.shard_jobs import ALONE, JobOptions, raise_failures, run_jobs, write_alone
from videolavit.video import Frames
from videolavit.video.processor import VideoProcessorConfig, front_end_clips, with_keyframes

__all__ = [
    "SHAPES_FRONT_END",
    "CollagesData",
    "ShapesData",
    "collage_record",
    "prepare_collages",
    "prepare_rendered",
    "prepare_shapes",
    "shapes_record",
    "video_record",
]

logger = logging.getLogger(__name__)


SHAPES_FRONT_END = VideoProcessorConfig(
    height=SIZE,
    width=SIZE,
    motion_scale=2,
    slices=1,
    fps=FPS,
    frames_per_clip=FRAMES_PER_CLIP,
    look_at="timeline",
)
"""Video processing of the tiny model. Images of this size need motion searched at twice of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapesData:
    """Scenes of the shapes world that a data set holds."""

    num_videos: int = 1000
    first_seed: int = 0
    split: Literal["train", "held-out"] = "train"
    extended: bool = False
    clips: tuple[int, ...] = (1,)
    """Numbers of clips, taken in turn."""
    video_processor: VideoProcessorConfig = SHAPES_FRONT_END
    wordings: int = 8
    """Captions of each video; a quarter as many more say how things move and leave open what they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollagesData:
    """Collages that a data set holds; each is one clip."""

    num_videos: int = 1000
    first_seed: int = 0
    video_processor: VideoProcessorConfig = SHAPES_FRONT_END


def prepare_shapes(data: ShapesData, folder: Path, *, jobs: JobOptions = ALONE, videos_per_shard: int = 1000) -> None:
    """Write the shards of a data set into a folder; shards that are there already are kept.

    Raises:
        ConfigError: the folder holds shards of this kind with other options.
        JobError: some shards could not be made.
        OutputError: the folder cannot be written.
    """
    prepare_rendered("shapes", partial(shapes_record, data), data.num_videos, folder, jobs, videos_per_shard)


def prepare_collages(
    data: CollagesData, folder: Path, *, jobs: JobOptions = ALONE, videos_per_shard: int = 1000
) -> None:
    """The same for collages; the folder may hold shards of shapes as well."""
    prepare_rendered("collages", partial(collage_record, data), data.num_videos, folder, jobs, videos_per_shard)


def shapes_record(data: ShapesData, number: int) -> Record | None:
    """Video `number` of a data set; None for the rare one whose keyframes fall elsewhere than clips start."""
    seed, num_clips = data.first_seed + number, data.clips[number % len(data.clips)]
    scene = sample_scene(seed, split=data.split, num_clips=num_clips, extended=data.extended)
    record = video_record(render(scene), data.video_processor)
    if record is None:
        return None
    asked, of_image = questions(scene, seed), image_questions(scene, seed)
    told = captions(scene, seed, data.wordings) + motion_captions(scene, seed, data.wordings // 4)
    return Record(
        keyframes=record.keyframes,
        motion=record.motion,
        motion_size=record.motion_size,
        frames=record.frames,
        captions=tuple(told),
        image_captions=tuple(image_captions(scene, seed, data.wordings)),
        questions=tuple((question.text, question.answer, question.topic) for question in asked),
        about_image=tuple(question in of_image for question in asked),
        source={"seed": seed, "split": data.split, "clips": num_clips, "extended": data.extended},
        motion_only=record.motion_only,
    )


def collage_record(data: CollagesData, number: int) -> Record | None:
    """Video `number` of a data set, of which nothing is said; None for the rare one with a keyframe inside its clip."""
    from videolavit.data.collages import render_collage  # what draws takes a while to import, and help does not need it

    seed, video_processor = data.first_seed + number, data.video_processor
    return video_record(render_collage(seed, frames=video_processor.frames_per_clip, size=SIZE), video_processor)


def video_record(
    frames: UInt8[np.ndarray, "frames height width 3"], video_processor: VideoProcessorConfig
) -> Record | None:
    """The clips of images that are one per tick already; None if the encoder set its keyframes elsewhere."""
    video = Frames(images=frames, fps=video_processor.fps)
    clips = list(front_end_clips(video, video_processor, select="every 2"))
    wanted = list(range(0, len(frames), video_processor.frames_per_clip))
    if [clip.start for clip in clips] != wanted:
        return None
    marked = with_keyframes(((clip, video_processor.frames_per_clip) for clip in clips), video_processor)
    return Record(
        keyframes=np.stack([clip.keyframe for clip in clips]),
        motion=np.stack([clip.motion.values for clip in clips]).astype(np.float16),
        motion_size=(clips[0].motion.height, clips[0].motion.width),
        frames=np.stack([video_processor.resized(frame) for frame in frames]),
        motion_only=tuple(number for number, (clip, _) in enumerate(marked) if not clip.has_keyframe),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _RenderedShard:
    """A shard of videos that a program draws, as a piece of work."""

    path: Path
    record: Callable[[int], Record | None]
    numbers: range

    def is_current(self) -> bool:
        return self.path.exists()

    def write(self) -> None:
        write_shard(_records(self.record, self.numbers), self.path)

    def look_into(self) -> None:
        write_alone(self)

    def forget_failures(self) -> None:
        """Nothing of it can fail alone."""


def prepare_rendered(
    name: str,
    record: Callable[[int], Record | None],
    num_videos: int,
    folder: Path,
    jobs: JobOptions,
    videos_per_shard: int,
) -> None:
    """Write shards `name-*.tar` of `num_videos` records into a folder; shards that are there already are kept.

    Raises:
        ConfigError: the folder holds shards of this name with other options.
        JobError: some shards could not be made.
        OutputError: the folder cannot be written.
    """
    claim(folder, f"{name}.made_of.txt", repr((getattr(record, "args", ()), num_videos, videos_per_shard)))
    shards = [
        _RenderedShard(
            path=folder / f"{name}-{start // videos_per_shard:05d}.tar",
            record=record,
            numbers=range(start, min(start + videos_per_shard, num_videos)),
        )
        for start in range(0, num_videos, videos_per_shard)
    ]
    raise_failures(run_jobs(shards, jobs))


def _records(record: Callable[[int], Record | None], numbers: range) -> Iterator[Record]:
    for number in numbers:
        found = record(number)
        if found is None:
            logger.info("video %d is left out: its encoder set a keyframe inside a clip", number)
        else:
            yield found
