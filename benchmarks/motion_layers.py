"""Further layers of motion codes: ids and bits of a clip against the error of the motion that comes back.

    python benchmarks/motion_layers.py --data FOLDER --held-out FOLDER [--videos FILE ...] [--steps 300]

Trains layers on top of a motion tokenizer, whose own ids stay the first layer, on a folder of prepared shards. Then
measures them on another folder and on real clips, whose motion comes from the model's own search (MPEG-4, blocks of 16
pixels) and from a finer one (H.264, blocks down to 8). Errors are against the motion that was found, on its own grid,
so that they hold what a grid of the tokenizer's size cannot say. `frozen` is the decoder as it was, which has never
seen more than one layer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from videolavit.checkpoints.artifacts import load_artifact
from videolavit.clip import Clip, MotionField, resize_motion
from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.data.shards import ShardReader
from videolavit.tokenizers.codebook import CodebookConfig
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer
from videolavit.training.loop import train
from videolavit.training.stages.motion_tokenizer import MOVING_ABOVE, MotionTokenizerStage, with_layers
from videolavit.training.training_options import TrainingOptions
from videolavit.video.motion.warp import warp
from videolavit.video.processor import clips_with_images, front_end_clips
from videolavit.video.similarity import psnr_db

CLIP_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean errors of some clips."""

    endpoint: float
    """Pixels per frame, of the model's own images."""
    moving: float
    """The same where something moves."""
    psnr_db: float | None
    """Of keyframes moved along the motion, against the video."""


def main() -> None:
    options = _options()
    print(f"command: python {' '.join(sys.argv)}")
    start = load_artifact("motion_tokenizer", options.start)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        trained = load_artifact("motion_tokenizer", train(_stage(options), Path(folder, "run"), quiet=True))
    print(f"{options.steps} steps in {time.process_time() - began:.0f} s of processor time")
    frozen = with_layers(start, options.layers)
    assert frozen.residual_quantizer is not None
    frozen.residual_quantizer.load_state_dict(trained.residual_quantizer.state_dict())
    print("| motion | decoder | layers | ids a clip | bits a second | endpoint error | where it moves | PSNR, dB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, clips in _clips(options):
        for decoder, tokenizer in (("frozen", frozen), ("trained", trained)):
            for layers in range(1, options.layers + 1):
                found = [_measured(*clip, tokenizer, layers) for clip in clips]
                print(_row(name, decoder, layers, tokenizer, found), flush=True)
        print(_row(name, "no codes", 0, frozen, [_error(field, field, *shown) for field, *shown in clips]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--videos", nargs="*", default=[])
    parser.add_argument("--start", default="tiny", help="motion tokenizer whose ids are the first layer")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--clips", type=int, default=100, help="of the held-out folder")
    return parser.parse_args()


def _stage(options: argparse.Namespace) -> MotionTokenizerStage:
    return MotionTokenizerStage(
        data=options.data,
        keep_ids_of=options.start,
        layers=options.layers,
        codebook=CodebookConfig(decay=0.98),
        training=TrainingOptions(
            steps=options.steps, batch_size=16, learning_rate=3e-4, warmup_steps=20, images_every=0
        ),
    )


Shown = tuple[MotionField, Clip | None, Sequence[np.ndarray]]
"""Motion, and where the video is there its clip and images."""


def _clips(options: argparse.Namespace) -> Iterator[tuple[str, list[Shown]]]:
    reader = ShardReader(options.held_out)
    fields = (reader.motion(number)[0] for number in range(min(options.clips, len(reader))))
    yield "rendered", [(field, None, ()) for field in fields]
    if options.videos:
        pairs = {video: list(clips_with_images(video, SHAPES_FRONT_END)) for video in options.videos}
        shown = [(clip.motion, clip, images) for video in options.videos for clip, images in pairs[video]]
        yield "real, 16 x 16", shown
        yield "real, 8 x 8", [one for video in options.videos for one in _finer(video, pairs[video])]


def _finer(video: str, pairs: Sequence[tuple[Clip, Sequence[np.ndarray]]]) -> Iterator[Shown]:
    """The same clips with the motion of smaller blocks."""
    clips = front_end_clips(video, SHAPES_FRONT_END, select="all", codec="h264", cell=8)
    fields = {clip.start: clip.motion for clip in clips}
    for clip, images in pairs:
        if (field := fields.get(clip.start)) is not None:
            yield field, replace(clip, motion=field), images


@torch.inference_mode()
def _measured(
    field: MotionField, clip: Clip | None, images: Sequence[np.ndarray], tokenizer: MotionTokenizer, layers: int
) -> Measured:
    grid = tokenizer.config.rows, tokenizer.config.cols
    codes = tokenizer.encode_layers(torch.from_numpy(field.for_tokenizer(*grid))[None], layers)
    decoded = resize_motion(tokenizer.decode(codes)[0].numpy(), *field.grid)
    return _error(
        MotionField.from_tokenizer_units(decoded, height=field.height, width=field.width), field, clip, images
    )


def _error(found: MotionField, truth: MotionField, clip: Clip | None, images: Sequence[np.ndarray]) -> Measured:
    height, width = SHAPES_FRONT_END.size or (truth.height, truth.width)
    scale = np.array([width / truth.width, height / truth.height], np.float32).reshape(2, 1, 1, 1)
    errors = np.linalg.norm((found.values - truth.values) * scale, axis=0)
    moves = np.linalg.norm(truth.values * scale, axis=0) > MOVING_ABOVE
    quality = None
    if clip is not None:
        frames = warp(clip.keyframe, found)[: len(images)]
        shown = [SHAPES_FRONT_END.resized(image) for image in images[: len(frames)]]
        quality = float(np.mean([psnr_db(*pair) for pair in zip(frames, shown, strict=True)]))
    return Measured(float(errors.mean()), float(errors[moves].mean()) if moves.any() else float("nan"), quality)


def _row(name: str, decoder: str, layers: int, tokenizer: MotionTokenizer, found: Sequence[Measured]) -> str:
    ids = layers * tokenizer.config.num_tokens
    bits = ids * np.log2(tokenizer.config.num_codes) / CLIP_SECONDS
    endpoint, moving = (float(np.nanmean([getattr(one, what) for one in found])) for what in ("endpoint", "moving"))
    known = [one.psnr_db for one in found if one.psnr_db is not None]
    quality = f"{np.mean(known):.2f}" if known else ""
    return f"| {name} | {decoder} | {layers} | {ids} | {bits:.0f} | {endpoint:.3f} | {moving:.3f} | {quality} |"


if __name__ == "__main__":
    main()
