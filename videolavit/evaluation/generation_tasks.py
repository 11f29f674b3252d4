"""Tasks in which a model draws, and the judge of the shapes world says what is to be seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from videolavit.data.shapes import Scene, captions, image_captions, motion_captions, names_size
from videolavit.data.shapes.scene import FRAMES_PER_CLIP, RADII
from videolavit.evaluation.adapter import ModelAdapter
from videolavit.evaluation.samples import SceneSample
from videolavit.evaluation.shapes_checker import check_readings, read_video
from videolavit.evaluation.tasks import Result

__all__ = [
    "image_to_video",
    "judge_prompted",
    "jumps_at_borders",
    "something_always_moves",
    "text_to_image",
    "text_to_video",
]

CLIPS = 3
"""Of the videos whose borders are looked at."""
CONTINUATIONS = ("none", "restart", "inversion")
LEAST_DIFFERENCE = 0.25
"""Of grey levels between frames: what a video that hardly moves is taken to change from frame to frame."""


def text_to_video(model: ModelAdapter, samples: Sequence[SceneSample]) -> list[Result]:
    """True if a video shows the colour, shape and direction that its caption says."""
    prompts = [captions(sample.scene, sample.seed, 1)[0] for sample in samples]
    videos = model.generate_videos(prompts, [sample.seed for sample in samples])
    results: list[Result] = []
    for sample, prompt, video in zip(samples, prompts, videos, strict=True):
        seen = judge_prompted(video, sample.scene, prompt)
        right = seen["colour"] and seen["shape"] and seen["direction"] and seen["clean"]
        results.append({"colour, shape and direction": right, **seen} | _by_kind(sample.scene, right))
    return results


def text_to_image(model: ModelAdapter, samples: Sequence[SceneSample]) -> list[Result]:
    """True if an image shows the colour, shape and size that its caption says."""
    prompts = [_caption_with_size(sample) for sample in samples]
    images = model.generate_images(prompts, [sample.seed for sample in samples])
    results: list[Result] = []
    for sample, prompt, image in zip(samples, prompts, images, strict=True):
        seen = judge_prompted(image[None], sample.scene, prompt)
        seen = {name: seen[name] for name in ("colour", "shape", "size", "clean")}
        results.append({"colour, shape and size": all(seen.values()), **seen})
    return results


def image_to_video(model: ModelAdapter, samples: Sequence[SceneSample]) -> list[Result]:
    """True if a given object moves as a text says, and is still itself at the end."""
    prompts = [motion_captions(sample.scene, sample.seed, 1)[0] for sample in samples]
    images = [sample.first_frame for sample in samples]
    videos = model.generate_videos(prompts, [sample.seed for sample in samples], images)
    return [_judge_animation(sample.scene, video) for sample, video in zip(samples, videos, strict=True)]


def jumps_at_borders(model: ModelAdapter, samples: Sequence[SceneSample]) -> list[Result]:
    """Change of a video where a new keyframe starts over that elsewhere, by how that keyframe starts."""
    prompts = [captions(sample.scene, sample.seed, 1)[0] for sample in samples]
    seeds = [sample.seed for sample in samples]
    drawn = model.generate_long_videos(prompts, seeds, clips=CLIPS, continuations=CONTINUATIONS)
    return [_compare_starts({noise: _border_ratio(video) for noise, video in videos.items()}) for videos in drawn]


def something_always_moves(scene: Scene) -> bool:
    """True if no part of a scene is without motion; a border cannot be seen against stillness alone."""
    return all(event.direction != "still" for actor in scene.actors for event in actor.events)


def judge_prompted(frames: np.ndarray, scene: Scene, prompt: str) -> dict[str, bool]:
    """The judge's verdict on one clip or image; where the prompt leaves the size open, either is right."""
    reading = read_video(frames, len(scene.actors))
    sizes = [[actor.size] if names_size(prompt, actor) else list(RADII) for actor in scene.actors]
    verdicts = []
    for chosen in itertools.product(*sizes):
        actors = tuple(replace(actor, size=size) for actor, size in zip(scene.actors, chosen, strict=True))
        verdicts.append(check_readings([reading], replace(scene, actors=actors)))
    return max(verdicts, key=lambda verdict: (verdict["clean"], verdict["size"]))


def _caption_with_size(sample: SceneSample) -> str:
    """A caption that leaves nothing open, if there is one among a few."""
    (told, *others) = image_captions(sample.scene, sample.seed, 8)
    complete = (
        caption for caption in (told, *others) if all(names_size(caption, actor) for actor in sample.scene.actors)
    )
    return next(complete, told)


def _judge_animation(scene: Scene, video: np.ndarray) -> Result:
    (actor,) = scene.actors
    reading = read_video(video)
    verdict = check_readings([reading], scene)
    kept = bool(reading.objects) and (reading.objects[0].colour, reading.objects[0].last_shape) == (
        actor.colour,
        actor.shape,
    )
    return {
        "direction": verdict["direction"],
        "direction, clean": verdict["direction"] and verdict["clean"],
        "colour and shape at the end": kept,
        "speed": verdict["speed"],
        "clean": verdict["clean"],
    }


def _compare_starts(ratios: dict[str, float]) -> Result:
    found: dict[str, bool | float] = {f"border / inside, {noise}": ratio for noise, ratio in ratios.items()}
    for noise in CONTINUATIONS[1:]:
        found[f"{noise} minus none"] = ratios[noise] - ratios["none"]
        found[f"{noise} jumps less than none"] = ratios[noise] < ratios["none"]
    return found


def _border_ratio(video: np.ndarray) -> float:
    """Mean difference between frames where clips meet, over that elsewhere."""
    steps = np.abs(np.diff(video.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    # Clips share their border frame: the second clip adds one frame less than the first.
    borders = [FRAMES_PER_CLIP - 1 + clip * (FRAMES_PER_CLIP - 1) for clip in range(CLIPS - 1)]
    inside = np.delete(steps, borders).mean()
    return float(steps[borders].mean() / max(inside, LEAST_DIFFERENCE))


def _by_kind(scene: Scene, right: bool) -> dict[str, bool]:
    """Features of the extended world that a scene has, each with the same verdict."""
    kinds = {
        "two objects": len(scene.actors) > 1,
        "growing or shrinking": any(event.growth for actor in scene.actors for event in actor.events),
        "photographic ground": scene.ground.kind == "photo",
    }
    return {f"all right, {kind}": right for kind, there in kinds.items() if there}
