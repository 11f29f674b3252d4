"""How well frames follow from the true keyframe and its motion: PSNR of each way to make them, in each world.

python benchmarks/video_detokenizers.py --learned runs/things/learned_compensation/export \\
    --motion-tokenizer runs/things/motion_tokenizer/export --things data/things_sources.npz --real data/real_held_out

Motion is the codec's own, or what a motion tokenizer keeps of it. Frames 1 to 23 count, over all pixels, and over those
alone that differ from the keyframe. "+-" is two standard errors of the difference to plain warp, clip by clip.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import tyro
from torch import Tensor

from videolavit.checkpoints.artifacts import load_artifact
from videolavit.clip import TOKENIZER_GAIN, MotionField
from videolavit.data.prepare_videos import ShapesData, shapes_record
from videolavit.data.shards import Record, ShardReader
from videolavit.data.things.prepare import ThingsData, things_record
from videolavit.evaluation.samples import FIRST_SEED
from videolavit.tiny.compensation import compensate
from videolavit.tiny.learned_compensation import LearnedCompensation
from videolavit.video.motion.warp import warp

WARP = "plain warp"
CHANGED = 0.1 * 127.5
"""Mean difference of a pixel to the keyframe's from which on it counts as changed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options."""

    motion_tokenizer: str = "tiny"
    """Model or export whose ids motion goes through."""
    learned: tuple[str, ...] = ()
    """Exports of the stage `learned_compensation`, or models with that part."""
    things: str = ""
    """Sources of the world of things; empty for none of it."""
    real: str = ""
    """Folder of shards of real videos; empty for none."""
    limit: int = 10
    """Clips of each world at most."""


@dataclass(frozen=True)
class Sample:
    """One clip."""

    keyframe: np.ndarray
    frames: np.ndarray
    motion: MotionField


@torch.inference_mode()
def main(config: Config) -> int:
    """Print a table."""
    tokenizer = load_artifact("motion_tokenizer", config.motion_tokenizer)
    networks = {folder: load_artifact("video_compensation", folder).eval() for folder in config.learned}
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for world, sample in _samples(config):
        found[world]["the keyframe"].append(_psnr(sample.keyframe[None].repeat(len(sample.frames), 0), sample))
        for motion_name, motion in _motions(sample.motion, tokenizer).items():
            for name, frames in _made(sample, motion, networks).items():
                found[world][f"{name}, {motion_name}"].append(_psnr(frames, sample))
    for world, rows in found.items():
        _print(world, rows)
    return 0


def _samples(config: Config) -> Iterator[tuple[str, Sample]]:
    shapes = ShapesData(first_seed=FIRST_SEED, split="held-out")
    worlds: dict[str, Iterator[Record | None]] = {
        "shapes": (shapes_record(shapes, number) for number in range(10 * config.limit))
    }
    if config.things:
        things = ThingsData(sources=config.things, first_seed=FIRST_SEED, split="held-out")
        worlds["things"] = (things_record(things, number) for number in range(10 * config.limit))
    if config.real:
        worlds["real"] = iter(ShardReader(config.real))
    for world, records in worlds.items():
        for record in islice((record for record in records if record is not None), config.limit):
            motion = record.motion_of(0)
            yield world, Sample(record.keyframes[0], record.frames[: motion.num_frames], motion)


def _motions(motion: MotionField, tokenizer: torch.nn.Module) -> dict[str, Tensor]:
    """Normalised motion: as it is, and as ids keep it."""
    units = torch.from_numpy(motion.for_tokenizer(tokenizer.config.rows, tokenizer.config.cols))[None]
    kept = tokenizer.decode(tokenizer.encode(units))
    return {"true motion": units / TOKENIZER_GAIN, "motion of ids": kept / TOKENIZER_GAIN}


def _made(sample: Sample, motion: Tensor, networks: dict[str, LearnedCompensation]) -> dict[str, np.ndarray]:
    height, width = sample.keyframe.shape[:2]
    units = (motion * TOKENIZER_GAIN)[0].numpy()
    keyframes = torch.from_numpy(sample.keyframe.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    made = {
        WARP: warp(sample.keyframe, MotionField.from_tokenizer_units(units, height=height, width=width)),
        "rules": _as_uint8(compensate(keyframes, motion).frames),
    }
    for name, network in networks.items():
        made[f"learned ({name})"] = _as_uint8(network.compensate(keyframes, motion).frames)
    return made


def _as_uint8(frames: Tensor) -> np.ndarray:
    return ((frames[0].permute(0, 2, 3, 1).clamp(-1, 1) + 1) * 127.5).round().byte().numpy()


def _psnr(frames: np.ndarray, sample: Sample) -> tuple[float, float]:
    """Of all pixels and of those that change."""
    truth = sample.frames[1:].astype(np.float32)
    off = np.square(frames[1:].astype(np.float32) - truth).mean(-1)
    changed = np.abs(truth - sample.keyframe).mean(-1) > CHANGED
    return _decibels(off.mean()), _decibels(off[changed].mean() if changed.any() else off.mean())


def _decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def _print(world: str, rows: dict[str, list[tuple[float, float]]]) -> None:
    count = len(next(iter(rows.values())))
    print(f"\n{world}, {count} clips\n\n| frames by | PSNR | above plain warp | of what changes |")
    print("| --- | --- | --- | --- |")
    for name, values in rows.items():
        whole, changing = np.array(values).T
        base = np.array(rows.get(f"{WARP}, {name.rpartition(', ')[2]}", values))[:, 0]
        above, error = (whole - base).mean(), 2 * (whole - base).std() / np.sqrt(count)
        against = "" if name.startswith(WARP) or name == "the keyframe" else f"{above:+.2f} +- {error:.2f}"
        print(f"| {name} | {whole.mean():.2f} | {against} | {changing.mean():.2f} |")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
