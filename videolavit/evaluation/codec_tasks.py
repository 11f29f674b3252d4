"""Tasks that measure what tokenizers and detokenizers keep, each part alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from videolavit.clip import MotionField
from videolavit.data.shapes import Scene
from videolavit.data.shapes.scene import FPS, FRAMES_PER_CLIP, SIZE
from videolavit.data.shards import Record
from videolavit.evaluation.adapter import ModelAdapter
from videolavit.evaluation.samples import RealVideo, SceneSample
from videolavit.evaluation.shapes_checker import check_readings, direction_of, object_mask, read_video
from videolavit.evaluation.tasks import Result
from videolavit.video.motion.warp import warp
from videolavit.video.similarity import psnr_db

__all__ = [
    "autoencoder",
    "ids_per_second",
    "motion_tokenizer",
    "real_videos",
    "reconstructed_keyframes",
    "replaced_by_truth",
    "video_detokenizer",
    "visual_tokenizer",
]

MOVING_ABOVE = 0.5
"""Pixels per frame from which on a cell counts as moving."""
MARKS = 2
"""Ids around a keyframe, and around motion."""


def autoencoder(model: ModelAdapter, sample: SceneSample) -> Result:
    """Loss of encoding and decoding an image, without any tokens."""
    (actor,) = sample.scene.actors
    restored = model.autoencode(sample.first_frame)
    seen = _seen(restored, sample.scene)
    return {"shape": seen["shape"], f"shape, {actor.size}": seen["shape"], "colour": seen["colour"]} | {
        "PSNR, dB": psnr_db(restored, sample.first_frame)
    }


def visual_tokenizer(model: ModelAdapter, sample: SceneSample) -> Result:
    """Number of ids of an image, by what it shows."""
    [count] = model.visual_counts([sample.first_frame])
    kind = "two objects" if len(sample.scene.actors) > 1 else "one object"
    return {
        "keep rate": count / model.num_patches(),
        "ids": float(count),
        f"ids, {sample.scene.ground.kind} ground": float(count),
        f"ids, {kind}": float(count),
    }


def reconstructed_keyframes(model: ModelAdapter, sample: SceneSample) -> Result:
    """True if the keyframe that is drawn from an image's own ids still shows the same."""
    reconstructed = model.reconstruct_image(sample.first_frame, sample.seed)
    seen = _seen(reconstructed, sample.scene)
    sizes = {f"shape, {actor.size}": seen["shape"] for actor in sample.scene.actors[:1]}
    return {"colour and shape": seen["colour"] and seen["shape"], **seen, **sizes}


def ids_per_second(model: ModelAdapter, sample: SceneSample) -> Result:
    """Keyframe and motion ids of a clip, against the visual ids of all its frames; marks are counted."""
    counts = model.visual_counts(list(sample.frames))
    clip = counts[0] + model.num_motion_ids() + 2 * MARKS
    every_frame = sum(counts) + MARKS * len(counts)
    seconds = len(counts) / FPS
    return {
        "ids per second": clip / seconds,
        "ids per second, every frame": every_frame / seconds,
        "times fewer": every_frame / clip,
    }


def motion_tokenizer(model: ModelAdapter, sample: SceneSample) -> Result | None:
    """Endpoint error, and whether the direction can be read from what comes back."""
    if sample.record is None:
        return None
    motion = sample.record.motion_of(0)
    truth = _pixels(motion, model.motion_grid())
    restored = _pixels(model.reconstruct_motion(motion), model.motion_grid())
    found = {
        "endpoint error, px": float(np.linalg.norm(restored - truth, axis=0).mean()),
        "direction": _direction_in(restored, sample.scene) == _direction(sample.scene),
        "direction before": _direction_in(truth, sample.scene) == _direction(sample.scene),
    }
    moving = np.linalg.norm(truth, axis=0) > MOVING_ABOVE
    if moving.any():
        found["endpoint error where it moves, px"] = float(np.linalg.norm(restored - truth, axis=0)[moving].mean())
        found["the same for zero motion, px"] = float(np.linalg.norm(truth, axis=0)[moving].mean())
    return found


def video_detokenizer(model: ModelAdapter, sample: SceneSample) -> Result | None:
    """Drawn frames against those that warping makes of the same keyframe and the same motion from tokens."""
    if sample.record is None:
        return None
    drawn, warped = _generated_and_warped(model, sample.record, sample.seed)
    truth = sample.frames
    overlap, area = _overlap_and_area(drawn[-1], truth[-1])
    warped_overlap, warped_area = _overlap_and_area(warped[-1], truth[-1])
    verdict = check_readings([read_video(drawn, len(sample.scene.actors))], sample.scene)
    return {
        "PSNR, dB": psnr_db(drawn, truth),
        "PSNR of warp, dB": psnr_db(warped, truth),
        "PSNR above warp, dB": psnr_db(drawn, truth) - psnr_db(warped, truth),
        "overlap at the end": overlap,
        "overlap at the end, warp": warped_overlap,
        "overlap above warp": overlap - warped_overlap,
        "area at the end": area,
        "area at the end, warp": warped_area,
        "area nearer to 1 than warp": abs(warped_area - 1) - abs(area - 1),
        "direction": verdict["direction"],
        "clean": verdict["clean"],
    }


def replaced_by_truth(model: ModelAdapter, sample: SceneSample) -> Result | None:
    """PSNR of a clip from tokens, and with its keyframe, its motion, or both left as they are."""
    if sample.record is None:
        return None
    keyframe, motion = sample.record.keyframes[0], sample.record.motion_of(0)
    coded = model.reconstruct_image(keyframe, sample.seed), model.reconstruct_motion(motion)
    given = {
        "all from tokens": coded,
        "true keyframe": (keyframe, coded[1]),
        "true motion": (coded[0], motion),
        "both true": (keyframe, motion),
    }
    found = {
        name: psnr_db(model.decode_clip(image, moved, sample.seed), sample.frames)
        for name, (image, moved) in given.items()
    }
    gains = {name: found[name] - found["all from tokens"] for name in ("true keyframe", "true motion")}
    return {f"PSNR, dB, {name}": value for name, value in found.items()} | {
        f"gain of the {name}, dB": value for name, value in gains.items()
    }


def real_videos(model: ModelAdapter, sample: RealVideo) -> Result | None:
    """Drawn frames against warped ones, clip by clip of a video file."""
    generated_db, warped_db = [], []
    for number, record in enumerate(sample.records):
        drawn, warped = _generated_and_warped(model, record, sample.seed + number)
        generated_db.append(psnr_db(drawn, record.frames))
        warped_db.append(psnr_db(warped, record.frames))
    if not generated_db:
        return None
    gain = [one - other for one, other in zip(generated_db, warped_db, strict=True)]
    return {"PSNR, dB": generated_db, "PSNR of warp, dB": warped_db, "PSNR above warp, dB": gain}


def _seen(image: np.ndarray, scene: Scene) -> dict[str, bool]:
    verdict = check_readings([read_video(image[None], len(scene.actors))], scene)
    return {name: verdict[name] for name in ("colour", "shape", "size", "clean")}


def _overlap_and_area(drawn: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Intersection over union of what is saturated in two frames, and the area drawn over the true one."""
    found, wanted = object_mask(drawn), object_mask(truth)
    return float((found & wanted).sum() / max(1, (found | wanted).sum())), float(found.sum() / max(1, wanted.sum()))


def _generated_and_warped(model: ModelAdapter, record: Record, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the first clip of a record."""
    motion = model.reconstruct_motion(record.motion_of(0))
    return model.decode_clip(record.keyframes[0], motion, seed), warp(record.keyframes[0], motion)


def _pixels(motion: MotionField, grid: tuple[int, int]) -> Float32[np.ndarray, "2 frames rows cols"]:
    """Pixels of the frames, on the grid that the motion tokenizer reads."""
    return MotionField.from_tokenizer_units(motion.for_tokenizer(*grid), height=SIZE, width=SIZE).values


def _direction(scene: Scene) -> str:
    return scene.actors[0].events[0].direction


def _direction_in(motion: np.ndarray, scene: Scene) -> str:
    """The direction of mean motion well inside the first object; where that is, the scene knows."""
    rows, cols = motion.shape[2:]
    y, x = np.meshgrid((np.arange(rows) + 0.5) * SIZE / rows, (np.arange(cols) + 0.5) * SIZE / cols, indexing="ij")
    centres, radii = scene.actors[0].path()
    inside = [
        motion[:, frame, np.hypot(x - centres[frame, 0], y - centres[frame, 1]) < radii[frame] / 2]
        for frame in range(1, FRAMES_PER_CLIP)
    ]
    return direction_of(np.concatenate(inside, axis=1).mean(axis=1))
