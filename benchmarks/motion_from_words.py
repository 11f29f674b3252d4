"""Motion that a language model writes for a true keyframe and a caption, against that of the scene, without drawing.

    python benchmarks/motion_from_words.py --data data/things_sources.npz --scenes 120 --temperatures 0.3 0.1 0

Where the thing that moves has come to by the end of a clip is read of the motion alone, by the layers of the learnt
compensation. The table has the share of scenes in which that is right, within 9 pixels or 40 % of its way: of those
whose thing goes somewhere, of the others, and of all; the same of the camera, within 6 pixels; and the mean error. The
first rows are the true motion through its ids, which is the bound, and no motion at all. Two minutes of one core.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from videolavit import VideoLaVIT
from videolavit.clip import TOKENIZER_GAIN
from videolavit.data.things.captions import captions
from videolavit.data.things.scene import SIZE
from videolavit.detokenizers.vae import signed_images
from videolavit.evaluation.benchmarks.things import ONE
from videolavit.evaluation.things.samples import ThingsSample
from videolavit.language.sampling_options import SamplingOptions

AT_ONCE = 40
NEAR, NEAR_OF_WAY, NEAR_OF_CAMERA = 9.0, 0.4, 6.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured."""

    data: Path = Path("data/things_sources.npz")
    """File that `videolavit prepare things-sources` wrote."""
    model: str = "things"
    scenes: int = 120
    first: int = 300
    """Number of the first scene; those of the evaluation start at 0."""
    temperatures: tuple[float, ...] = (0.3, 0.1, 0.0)
    """Of the ids of motion; 0 takes the likeliest."""
    guidance: float = 2.0


def main(options: Options) -> None:
    """Write motion, read it, and print the table."""
    torch.set_num_threads(1)
    model = VideoLaVIT.from_pretrained(options.model)
    world = replace(ONE, file=options.data, scenes=replace(ONE.scenes, things=24))
    numbers = range(options.first, options.first + options.scenes)
    samples = [one for number in numbers if (one := world.sample(number, 0)).record is not None]
    keyframes = torch.from_numpy(np.stack([sample.record.keyframes[0] for sample in samples]))
    grid = model.motion_tokenizer.config.rows, model.motion_tokenizer.config.cols
    true = torch.from_numpy(np.stack([sample.record.motion_of(0).for_tokenizer(*grid) for sample in samples]))
    truth = come_to(model, keyframes, true)
    moves = np.array([sample.scene.actors[0].events[0].motion == "moves" for sample in samples])
    print(f"{'':20}{'moves':>8}{'others':>8}{'all':>8}{'camera':>8}{'error':>9}")

    def row(name: str, motion: Tensor) -> None:
        found = come_to(model, keyframes, motion)
        way, error = np.linalg.norm(truth, axis=2), np.linalg.norm(found - truth, axis=2)
        thing = error[:, 0] < np.maximum(NEAR, NEAR_OF_WAY * way[:, 0])
        camera = error[:, 1] < np.maximum(NEAR_OF_CAMERA, NEAR_OF_WAY * way[:, 1])
        shares = thing[moves].mean(), thing[~moves].mean(), thing.mean(), camera.mean()
        print(f"{name:20}" + "".join(f"{share:8.1%}" for share in shares) + f"{error[:, 0].mean():6.1f} px", flush=True)

    tokenizer = model.motion_tokenizer
    row("true, through ids", tokenizer.decode(tokenizer.encode(true)))
    row("none", torch.zeros_like(true))
    for temperature in options.temperatures:
        how = SamplingOptions(greedy=not temperature, temperature=temperature or 1.0, guidance=options.guidance)
        row(f"temperature {temperature:g}", tokenizer.decode(torch.stack(written(model, samples, how))))


def written(model: VideoLaVIT, samples: list[ThingsSample], how: SamplingOptions) -> list[Tensor]:
    """Motion codes behind each scene's own keyframe and a caption."""
    codes = []
    for first in range(0, len(samples), AT_ONCE):
        some = samples[first : first + AT_ONCE]
        videos = model.generate_video(
            [captions(sample.scene, sample.seed, 1)[0] for sample in some],
            image=[sample.first_frame for sample in some],
            seed=[sample.seed for sample in some],
            candidates=1,
            num_inference_steps=0,
            sampling=replace(model.settings.sampling_after_image, motion=how),
        )
        codes += [video.tokens[0].motion for video in videos]
    return codes


@torch.no_grad()
def come_to(model: VideoLaVIT, keyframes: Tensor, motion: Tensor) -> np.ndarray:
    """Pixels by which the larger thing and the ground have moved by the last frame, (scenes, 2, x and y)."""
    network, found = model.components.module("video_compensation").float(), []
    last = torch.tensor([[motion.shape[2] - 1]])
    for some, moving in zip(keyframes.split(AT_ONCE), motion.split(AT_ONCE), strict=True):
        made = network(signed_images(some, some.device), moving / TOKENIZER_GAIN, last.expand(len(some), -1))
        larger = 1 + made.masks[:, 1:].mean((2, 3)).argmax(1)
        shift = made.shift[:, 0]
        found.append(torch.stack([shift[torch.arange(len(shift)), larger], shift[:, 0]], dim=1))
    return SIZE * torch.cat(found).numpy()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
