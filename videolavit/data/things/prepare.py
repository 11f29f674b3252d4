"""Prepared videos of the world of things: rendered, sent through the front end, with words and exact truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.data.prepare_videos import SHAPES_FRONT_END, prepare_rendered, video_record
from videolavit.data.shards import Record
from videolavit.data.things.captions import captions, image_captions, motion_captions
from videolavit.data.things.catalogue import STEPS
from videolavit.data.things.matching import caption_questions
from videolavit.data.things.questions import distinct_questions
from videolavit.data.things.render import Rendering, render
from videolavit.data.things.sampling import SceneOptions, Split, sample_scene
from videolavit.data.things.scene import FRAMES_PER_CLIP, Scene
from videolavit.data.things.sources import load_sources
from videolavit.jobs.shard_jobs import ALONE, JobOptions

__all__ = ["ThingsData", "prepare_things", "things_record", "things_truth"]

PATCH = 8
"""Side in pixels of the patches for which the truth says what they show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ThingsData:
    """Scenes of the world of things that a data set holds."""

    sources: str = "data/things_sources.npz"
    """File that `videolavit prepare things-sources` wrote."""
    num_videos: int = 1000
    first_seed: int = 0
    split: Split = "train"
    things: int = STEPS[0]
    """Number of things: 24, 64 or 117."""
    clips: tuple[int, ...] = (1,)
    """Numbers of clips, taken in turn."""
    wordings: int = 8
    """Captions of each video; a quarter as many more say how a thing moves and leave open what it is."""
    question_drawings: int = 4
    """Draws of a question of each kind for a video; the different ones are kept."""


def prepare_things(data: ThingsData, folder: Path, *, jobs: JobOptions = ALONE, videos_per_shard: int = 500) -> None:
    """Write the shards of a data set into a folder; shards that are there already are kept.

    Raises:
        MediaError: the file of sources is not there, or lacks something.
        OutputError: the folder cannot be written.
    """
    load_sources(data.sources)  # an error here is better than one in a worker
    prepare_rendered("things", partial(things_record, data), data.num_videos, folder, jobs, videos_per_shard)


def things_record(data: ThingsData, number: int) -> Record | None:
    """Video `number` of a data set; None for the rare one whose keyframes fall elsewhere than clips start."""
    seed = data.first_seed + number
    options = SceneOptions(things=data.things, split=data.split, num_clips=data.clips[number % len(data.clips)])
    scene = sample_scene(seed, options)
    rendered = render(scene, load_sources(data.sources))
    record = video_record(rendered.frames, SHAPES_FRONT_END)
    if record is None:
        return None
    asked = distinct_questions(scene, seed, data.question_drawings, data.things)
    asked += caption_questions(scene, seed, data.things)
    told = captions(scene, seed, data.wordings) + motion_captions(scene, seed, data.wordings // 4)
    return replace(
        record,
        captions=tuple(told),
        image_captions=tuple(image_captions(scene, seed, data.wordings)),
        questions=tuple((question.text, question.answer, question.topic) for question in asked),
        about_image=tuple(question.about_image for question in asked),
        source={"world": "things", "seed": seed, "split": data.split, **things_truth(scene, rendered)},
    )


def things_truth(scene: Scene, rendered: Rendering) -> dict[str, Any]:
    """All that is known of a video, for JSON: its scene, boxes in every frame, and what each keyframe's patches show.

    `patches` holds a string for each clip with a character for each patch, row by row: "." for the place, "0" or "1"
    for a thing that covers at least a tenth of it.
    """
    boxes = rendered.boxes().round(1)
    return {"scene": asdict(scene), "boxes": boxes.tolist(), "patches": _patches(rendered)}


def _patches(rendered: Rendering) -> list[str]:
    things, _, height, width = rendered.masks.shape
    keyframes = rendered.masks[:, ::FRAMES_PER_CLIP].astype(np.float32) / 255
    cells = keyframes.reshape(things, -1, height // PATCH, PATCH, width // PATCH, PATCH).mean((3, 5))
    shown = np.where(cells.max(0) >= 0.1, cells.argmax(0), -1)
    return ["".join("." if thing < 0 else str(thing) for thing in clip.ravel().tolist()) for clip in shown]
