"""Drift of long generated videos: is the subject of the first clip still there in the tenth and the thirtieth?

A story is an object of the shapes world that moves to and fro, a clip of four seconds either way. The judge of that
world reads colour and shape in single clips. Of the ground, where no object is, the PSNR against the first frame is
measured, and of the borders between clips how much more changes there than inside clips.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from videolavit.data.shapes import Scene
from videolavit.evaluation.benchmark import Target
from videolavit.evaluation.generation_tasks import LEAST_DIFFERENCE
from videolavit.evaluation.needs import VIDEO
from videolavit.evaluation.samples import SceneSample, ShapesWorld
from videolavit.evaluation.shapes_checker import object_mask, read_video
from videolavit.evaluation.tasks import Result, Task, each

__all__ = ["LOOKED_AT", "story_drift", "story_prompts", "story_task"]

CLIPS = 30
LOOKED_AT = (1, 10, 30)
"""Clips whose subject and ground are judged, counted from 1."""
TARGET = 0.8
"""Least share of stories whose subject is kept to the last clip."""
_MOST_DB = 60.0
_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


def story_task(candidates: int = 1) -> Task:
    """Stories of thirty clips, each the best of so many drafts."""

    def drift(model: Any, sample: SceneSample) -> Result:
        prompts = story_prompts(sample.scene, CLIPS)
        return story_drift(model.generate_story(prompts, sample.seed, candidates), sample.scene)

    return Task(
        name="story_30" if candidates == 1 else f"story_30_best_of_{candidates}",
        about=f"stories of thirty clips, each the best of {candidates}: subject, ground and borders",
        needs=VIDEO,
        samples=ShapesWorld(wanted=_one_moves),
        results=each(drift),
        targets={"subject in the last clip": Target(TARGET)},
        cost=60.0 + 10.0 * (candidates - 1),
    )


def story_prompts(scene: Scene, count: int) -> list[str]:
    """A prompt for each clip: the same object, to and fro."""
    (actor,) = scene.actors
    first = actor.events[0].direction
    ways = itertools.cycle((first, _OPPOSITE[first]))
    article = "an" if actor.colour[0] in "aeiou" else "a"
    return [
        f"{article} {actor.colour} {actor.shape} moves {way.replace('-', ' and ')}"
        for way in itertools.islice(ways, count)
    ]


def story_drift(clips: Iterable[UInt8[np.ndarray, "_ height width 3"]], scene: Scene) -> Result:
    """Subject, direction, ground and borders of a story whose clips come one after another, with new frames alone."""
    (actor,) = scene.actors
    found: dict[str, bool | float] = {}
    first_frame, last_frame, borders, inside, right_way = None, None, [], [], []
    ways = itertools.cycle((actor.events[0].direction, _OPPOSITE[actor.events[0].direction]))
    number = 0
    for number, (frames, way) in enumerate(zip(clips, ways, strict=False), start=1):
        reading = read_video(frames)
        right_way.append(bool(reading.objects) and reading.objects[0].direction == way)
        if number in LOOKED_AT:
            found[f"subject in clip {number}"] = _is_subject(reading, actor)
        first_frame = frames[0] if first_frame is None else first_frame
        if number in LOOKED_AT[1:]:
            found[f"PSNR of the ground of clip {number}, dB"] = ground_psnr(first_frame, frames[-1])
        if last_frame is not None:
            borders.append(_difference(last_frame, frames[0]))
        inside += [_difference(one, other) for one, other in itertools.pairwise(frames)]
        last_frame = frames[-1]
    found["subject in the last clip"] = bool(found.get(f"subject in clip {number}", False))
    found["direction, all clips"] = float(np.mean(right_way))
    found["border / inside"] = float(np.mean(borders) / max(float(np.mean(inside)), LEAST_DIFFERENCE))
    return found


def ground_psnr(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]) -> float:
    """PSNR of two images where neither shows an object, at most 60 dB."""
    ground = ~(object_mask(one) | object_mask(other))
    if not ground.any():
        return 0.0
    error = float(np.square(one[ground].astype(np.float64) - other[ground]).mean())
    return _MOST_DB if error == 0 else min(_MOST_DB, 10 * float(np.log10(255**2 / error)))


def _is_subject(reading: Any, actor: Any) -> bool:
    return bool(reading.objects) and (reading.objects[0].colour, reading.objects[0].shape) == (
        actor.colour,
        actor.shape,
    )


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def _one_moves(scene: Scene) -> bool:
    """True for one object that moves along an axis, so that it can come back."""
    return len(scene.actors) == 1 and scene.actors[0].events[0].direction in _OPPOSITE
