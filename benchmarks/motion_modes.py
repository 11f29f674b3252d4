"""How right and how fast each way of measuring motion is, and each way of warping: the tables of docs/motion.md.

    python benchmarks/motion_modes.py                        # made scenes, whose motion is known: some minutes
    python benchmarks/motion_modes.py --videos FOLDER        # real clips too: how well motion predicts the next tick
    python benchmarks/motion_modes.py --quick                # one scene, one run

A scene is a textured square that moves over a texture that moves too, at 30 frames a second; motion is measured at 6.
The error is the distance between the measured and the true vector of every pixel, in pixels per tick. PSNR on real
clips is that of every tick predicted from the one before by overlapped blocks, and of whole clips warped from their
keyframe.
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from videolavit.clip import Clip, MotionField
from videolavit.errors import MediaError
from videolavit.video import Frames, decompose
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.motion.warp import warp

SIZE = 256
SOURCE_FRAMES_PER_TICK = 5
FIRST_SHOWN = 2
"""Source frame that tick 0 shows."""
TICKS = 25

REENCODING = {
    "reference: mpeg4": {},
    "mpeg4, quarter pels": {"quarter_pel": True},
    "mpeg4, four vectors": {"four_vectors": True, "cell": 8},
    "mpeg4, both": {"four_vectors": True, "quarter_pel": True, "cell": 8},
    "h264, 16 x 16 cells": {"codec": "h264"},
    "h264, 8 x 8 cells": {"codec": "h264", "cell": 8},
}
SOURCES = {
    "h264, 1 reference, no B": ("libx264", {"x264-params": "ref=1:bframes=0"}),
    "h264, 3 references, no B": ("libx264", {"x264-params": "ref=3:bframes=0"}),
    "h264, 1 reference, 3 B": ("libx264", {"x264-params": "ref=1:bframes=3"}),
    "h264, x264's defaults": ("libx264", {}),
    "mpeg4, no B": ("mpeg4", {"b": "8M"}),
    "mpeg4, 2 B": ("mpeg4", {"b": "8M", "bf": "2"}),
    "mpeg2, 2 B, I every 12": ("mpeg2video", {"b": "8M", "bf": "2", "g": "12"}),
}


@dataclass
class Scene:
    images: np.ndarray
    """At 30 frames a second."""
    true_motion: list[np.ndarray]
    """(2, height, width) per tick, pixels since the tick before."""
    on_object: list[np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, help="a folder of real clips")
    parser.add_argument("--quick", action="store_true", help="one scene, one run")
    arguments = parser.parse_args()
    num_scenes, runs = (1, 1) if arguments.quick else (8, 5)
    print(f"command: python {' '.join(sys.argv)}")
    print(
        f"PyAV {av.__version__}, NumPy {np.__version__}, {platform.machine()}; {num_scenes} scenes, medians of {runs}"
    )
    errors_on_scenes([scene(seed) for seed in range(num_scenes)], runs)
    if arguments.videos:
        on_real_clips(arguments.videos, runs)


def errors_on_scenes(scenes: list[Scene], runs: int) -> None:
    print("\n| mode | mean error, px | object | background | off by more than 1 px | ms per clip |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, options in REENCODING.items():
        inputs = [Frames(images=s.images[FIRST_SHOWN::SOURCE_FRAMES_PER_TICK], fps=6) for s in scenes]
        print(error_row(name, scenes, inputs, {"slices": 1, **options}, runs), flush=True)
    for name, (codec, options) in SOURCES.items():
        files = [encoded(s.images, codec, options) for s in scenes]
        print(error_row(f"source: {name}", scenes, files, {"motion": "source"}, runs), flush=True)


def error_row(name: str, scenes: list[Scene], inputs: list, options: dict, runs: int) -> str:
    def clips() -> list[Clip]:
        return [decompose(source, select="every 9", frames_per_clip=TICKS - 1, **options)[0] for source in inputs]

    seconds, measured = timed(clips, runs)
    everywhere, on_object, elsewhere = [], [], []
    for clip, made in zip(measured, scenes, strict=True):
        for tick in range(1, clip.motion.num_frames):
            error = np.hypot(*(per_pixel(clip.motion.values[:, tick]) - made.true_motion[tick]))
            everywhere.append(error.ravel())
            on_object.append(error[made.on_object[tick]])
            elsewhere.append(error[~made.on_object[tick]])
    total = np.concatenate(everywhere)
    parts = f"{np.concatenate(on_object).mean():.2f} | {np.concatenate(elsewhere).mean():.2f}"
    return f"| {name} | {total.mean():.2f} | {parts} | {(total > 1).mean():.1%} | {1000 * seconds / len(scenes):.0f} |"


def per_pixel(field: np.ndarray) -> np.ndarray:
    cell = SIZE // field.shape[1]
    return field.repeat(cell, axis=1).repeat(cell, axis=2)


def on_real_clips(folder: Path, runs: int) -> None:
    modes = {"reference: mpeg4": {}, "mpeg4, both": REENCODING["mpeg4, both"]}
    modes |= {"h264, 8 x 8 cells": REENCODING["h264, 8 x 8 cells"], "source": {"motion": "source"}}
    print("\n| clip | still | " + " | ".join(f"{mode}: PSNR, s" for mode in modes) + " |")
    print("| --- " * (len(modes) + 2) + "|")
    warps: list[str] = []
    for path in sorted(folder.iterdir()):
        try:
            images = list(images_on_ticks(path))
            if min(images[0].shape[:2]) < 240 or len(images) < 25:
                continue
            print(
                f"| {path.name} | {prediction_psnr(images, {}):.2f} | " + mode_cells(path, images, modes, runs) + " |"
            )
            warps.append(warp_row(path, images, runs))
        except MediaError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
    variants = "keyframe | overlapped | blocks | smooth | overlapped, 20 x 36 | keyframe sampled once"
    print(f"\n| clip | {variants} | ms, overlapped |")
    print("| --- " * 8 + "|")
    print("\n".join(warps))


def mode_cells(path: Path, images: list[np.ndarray], modes: dict[str, dict], runs: int) -> str:
    cells = []
    for options in modes.values():
        clips = decompose(path, select="all", **options)
        seconds, _ = timed(lambda options=options: decompose(path, **options), runs)
        cells.append(f"{prediction_psnr(images, motion_by_tick(clips)):.2f}, {seconds:.2f}")
    return " | ".join(cells)


def motion_by_tick(clips: Iterable[Clip]) -> dict[int, MotionField]:
    """Motion of single ticks; not where it is the mean of its neighbours in one clip and measured in none."""
    return {
        clip.start + i: MotionField(values=clip.motion.values[:, [0, i]], height=clip.size[0], width=clip.size[1])
        for clip in clips
        for i in range(1, clip.num_real_frames)
        if i != 12
    }


def prediction_psnr(images: list[np.ndarray], motion: dict[int, MotionField]) -> float:
    """Mean over the first 40 ticks, but for those that are I-frames of the reference."""
    ticks = [tick for tick in range(1, len(images)) if tick % 12][:40]
    scores = []
    for tick in ticks:
        before = images[tick - 1]
        predicted = warp(before, motion[tick])[1] if tick in motion else before
        scores.append(psnr(predicted, images[tick]))
    return statistics.mean(scores)


def warp_row(path: Path, images: list[np.ndarray], runs: int) -> str:
    scores: list[list[float]] = []
    clips = [clip for clip in decompose(path, select="all") if clip.num_real_frames == 24][:3]
    for clip in clips:
        height, width = clip.size
        coarse = MotionField.from_tokenizer_units(clip.motion.for_tokenizer(), height=height, width=width)
        variants = [
            np.broadcast_to(clip.keyframe, (24, height, width, 3)),
            *(warp(clip.keyframe, clip, blend=blend) for blend in ("overlapped", "blocks", "smooth")),
            warp(clip.keyframe, coarse),
            sampled_once(clip),
        ]
        truth = images[clip.start : clip.start + 24]
        scores.append([statistics.mean(map(psnr, frames[1:], truth[1:])) for frames in variants])
    seconds, _ = timed(lambda: warp(clips[0].keyframe, clips[0]), runs)
    columns = " | ".join(f"{score:.2f}" for score in np.mean(scores, axis=0))
    return f"| {path.name} | {columns} | {1000 * seconds:.0f} |"


def sampled_once(clip: Clip) -> np.ndarray:
    """The alternative to chaining frames: displacements are accumulated and the keyframe is sampled once per frame."""
    height, width = clip.size
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
    place = np.stack([grid_y, grid_x], axis=-1)
    frames = [clip.keyframe]
    for tick in range(1, 24):
        motion = clip.motion.values[:, tick].repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
        place = sampled(place, grid_y - motion[1], grid_x - motion[0])
        frames.append(np.rint(sampled(clip.keyframe, place[..., 0], place[..., 1])).astype(np.uint8))
    return np.stack(frames)


def sampled(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    top, left = np.minimum(y.astype(int), height - 2), np.minimum(x.astype(int), width - 2)
    down, right = (y - top)[..., None], (x - left)[..., None]
    upper = image[top, left] * (1 - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.square(a.astype(np.float32) - b).mean(), 1e-3)))


def timed(run: Callable, runs: int) -> tuple[float, object]:
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


# Made scenes


def scene(seed: int) -> Scene:
    generator = np.random.default_rng(seed)
    ground, square = texture(generator), texture(generator)
    pan = generator.uniform(-1.5, 1.5, 2)
    angle, speed = generator.uniform(0, 2 * np.pi), generator.uniform(2, 5)
    velocity = speed * np.array([np.cos(angle), np.sin(angle)])
    middle = SIZE / 2 - velocity * TICKS / 2
    images, motion, masks = [], [], []
    for index in range(TICKS * SOURCE_FRAMES_PER_TICK):
        ticks = index / SOURCE_FRAMES_PER_TICK
        y, x = np.mgrid[:SIZE, :SIZE] + 0.5
        inside = np.maximum(abs(x - middle[0] - velocity[0] * ticks), abs(y - middle[1] - velocity[1] * ticks)) < 48
        gray = np.where(inside, moved(square, velocity * ticks), moved(ground, pan * ticks))
        images.append(np.clip(128 + 40 * gray, 0, 255).astype(np.uint8))
        if index % SOURCE_FRAMES_PER_TICK == FIRST_SHOWN:
            motion.append(np.where(inside, velocity[:, None, None], pan[:, None, None]))
            masks.append(inside)
    return Scene(np.stack(images)[..., None].repeat(3, axis=-1), motion, masks)


def texture(generator: np.random.Generator) -> np.ndarray:
    """Smooth noise that repeats, so that it can be moved by any fraction of a pixel exactly."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    spectrum = np.fft.rfft2(generator.standard_normal((SIZE, SIZE))) * np.exp(-((4 * np.pi * frequency) ** 2) / 2)
    noise = np.fft.irfft2(spectrum, (SIZE, SIZE))
    return noise / noise.std()


def moved(image: np.ndarray, offset: np.ndarray) -> np.ndarray:
    phase = np.fft.rfftfreq(SIZE)[None] * offset[0] + np.fft.fftfreq(SIZE)[:, None] * offset[1]
    return np.fft.irfft2(np.fft.rfft2(image) * np.exp(-2j * np.pi * phase), (SIZE, SIZE))


def encoded(images: np.ndarray, codec: str, options: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream(codec, rate=6 * SOURCE_FRAMES_PER_TICK, options=options)
        stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.thread_count = 1
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", threads=1)
            frame.pts, frame.time_base = index, Fraction(1, 6 * SOURCE_FRAMES_PER_TICK)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


if __name__ == "__main__":
    main()
