"""Training the keyframe detokenizer of the preset `things`: seconds of processor time that a step takes, and for what.

    python benchmarks/keyframe_training.py            # median of 5 steps of 32 images
    python benchmarks/keyframe_training.py --runs 1

"frozen" is what tokenizer and autoencoder make of the images, which latent shards hold (`videolavit prepare latents
--visual-tokenizer`). A step decodes the condition from the codes, and the UNet and the preset's optimiser do the rest.
It is measured with the UNet as diffusers builds it, with kernels of convolutions laid out channels last, and with
attention over `videolavit.nn.attention.attend` as well, which is how it is trained. All in bfloat16 autocast, on one
thread, with random weights and images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from videolavit.nn.attention import AttendProcessor
from videolavit.training.blocks import convolve_channels_last
from videolavit.training.optimisers import build_optimisers
from videolavit.training.presets import THINGS
from videolavit.training.stages.keyframe_codes import OBJECT_PATCH

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    torch.manual_seed(0)
    stage = THINGS["keyframe_detokenizer"]
    module = stage.build().train()
    size = stage.visual.vit.image_size
    batch = {
        "images": torch.randn(BATCH, 3, size, size),
        "drawn": torch.randint(0, 256, (BATCH, stage.height, stage.width, 3), dtype=torch.uint8),
        "objects": torch.zeros(BATCH, stage.height // OBJECT_PATCH, stage.width // OBJECT_PATCH, dtype=torch.bool),
    }
    optimisers = build_optimisers(module, stage.training)
    for group in (group for optimiser in optimisers for group in optimiser.param_groups):
        group["lr"] = 1e-5
    unet = module.detokenizer.unet

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = module(made, 0)["loss"]
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()

    def frozen() -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return module.prepared(batch)

    made = frozen()
    rows = [("frozen", seconds(frozen, runs))]
    unet.set_attn_processor(AttnProcessor2_0())
    rows.append(("step, UNet as built", seconds(step, runs)))
    convolve_channels_last(module)
    rows.append(("step, channels last", seconds(step, runs)))
    unet.set_attn_processor(AttendProcessor())
    rows.append(("step, channels last, own attention", seconds(step, runs)))
    before = rows[0][1] + rows[1][1]
    for name, took in rows:
        print(f"{name:36} {took:6.3f} s")
    print(f"a step: {before:.3f} s before, {rows[-1][1]:.3f} s from latents: {before / rows[-1][1]:.2f} x")


def seconds(work: Callable[[], object], runs: int) -> float:
    """Median of processor time, after one run that is not counted."""
    work()
    took = []
    for _ in range(runs):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return statistics.median(took)


if __name__ == "__main__":
    main()
