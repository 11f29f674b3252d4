"""Information about an image in the features of the vision encoder, and in what the condition decoder makes of codes.

    python benchmarks/what_codes_keep.py --data runs/things/data --held-out data/test \\
        --autoencoder runs/things/autoencoder/export --tokenizer runs/things/visual_tokenizer/export

A linear map is fitted, patch by patch, from features to the autoencoder's latents of the same patch, on keyframes of
one folder of shards, and read on keyframes of another. "unread" is the share of the variance of latents that it misses,
of all and of what shows an object in rendered worlds. What the encoder's own features give is the bound; the difference
to the decoded ones is what merging, codes and the condition decoder lose. `--condition-decoder` reads the codes of
`--tokenizer` by another decoder, such as the export of `videolavit train condition_decoder`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from einops import rearrange
from torch import Tensor

from videolavit.data.prepare_videos import ShapesData, prepare_shapes
from videolavit.training.presets import THINGS
from videolavit.training.stages.condition_decoder import ConditionDecoderStage, ConditionDecoderTraining
from videolavit.training.stages.keyframe_codes import NO_CODE, decoded_features, shares_of_objects

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("data", ""), ("held-out", ""), ("autoencoder", "tiny"), ("tokenizer", "tiny")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--condition-decoder", default="")
    parser.add_argument("--limit", type=int, default=2000, help="keyframes that the map is fitted on")
    parser.add_argument("--held-out-limit", type=int, default=192, help="keyframes that it is read on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        if not options.data:
            options.data = rendered(Path(folder) / "data", 300, seed=0)
        if not options.held_out:
            options.held_out = rendered(Path(folder) / "held-out", 100, seed=10_000)
        measure(options)


def rendered(folder: Path, count: int, seed: int) -> str:
    """A folder of shards with videos of shapes."""
    prepare_shapes(ShapesData(num_videos=count, first_seed=seed), folder)
    return str(folder)


def measure(options: argparse.Namespace) -> None:
    """Print the table."""

    def stage(data: str) -> ConditionDecoderStage:
        made = THINGS["condition_decoder"]
        return ConditionDecoderStage(
            data=data,
            autoencoder=options.autoencoder,
            tokenizer=options.tokenizer,
            condition_decoder=options.condition_decoder,
            visual=made.visual,
            height=made.height,
            width=made.width,
        )

    module = stage(options.data).build().eval()
    fitted = keyframes(stage(options.data), module, options.limit)
    held = keyframes(stage(options.held_out), module, options.held_out_limit)
    print(f"{(held['codes'] != NO_CODE).sum(1).float().mean():.1f} codes to a held-out keyframe")
    print(f"{'a linear map reads':36} {'unread':>8} {'of objects':>11}")
    for name, features in (("vision encoder", "encoder"), ("condition decoder, from codes", "decoded")):
        weights = fit(fitted[features], per_patch(fitted["latents"], fitted[features].shape[1]))
        everywhere, objects = unread(predict(held[features], weights), held)
        print(f"{name:36} {everywhere:8.3f} {objects:11.3f}")


@torch.inference_mode()
def keyframes(stage: ConditionDecoderStage, module: ConditionDecoderTraining, count: int) -> dict[str, Tensor]:
    """The first `count` keyframes: latents, codes and objects, and both kinds of features."""
    samples, parts = stage.samples(), []
    for start in range(0, count, BATCH):
        batch = stage.collate([samples[draw] for draw in range(start, min(start + BATCH, count))])
        with torch.autocast("cpu", torch.bfloat16):
            made = module.prepared(batch)
            made["encoder"] = module.tokenizer.vit(batch["images"])[:, 1:]
            made["decoded"], _ = decoded_features(made["codes"], module.tokenizer, module.condition_decoder)
        parts.append(made)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def per_patch(latents: Tensor, patches: int) -> Tensor:
    """Latents of each of a square of patches as one row, (keyframes, patches, numbers)."""
    side = latents.shape[2] // math.isqrt(patches)
    return rearrange(latents.float(), "b c (r h) (s w) -> b (r s) (c h w)", h=side, w=side)


def fit(features: Tensor, target: Tensor) -> Tensor:
    """Least squares with a constant, in double precision."""
    inputs, outputs = with_constant(features), target.flatten(0, 1).double()
    ridge = 1e-6 * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    return torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ outputs)


def predict(features: Tensor, weights: Tensor) -> Tensor:
    return (with_constant(features) @ weights).reshape(*features.shape[:2], -1)


def with_constant(features: Tensor) -> Tensor:
    rows = features.flatten(0, 1).double()
    return torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], dim=1)


def unread(predicted: Tensor, held: dict[str, Tensor]) -> tuple[float, float]:
    """Share of the variance that is missed, of all and of objects."""
    latents = held["latents"].float()
    mean = latents.mean((0, 2, 3), keepdim=True).expand_as(latents)
    true, mean, objects = (
        per_patch(values, predicted.shape[1])
        for values in (latents, mean, shares_of_objects(held)[:, None].expand_as(latents))
    )
    errors, spread = (predicted - true).square(), (true - mean).square()
    everywhere = errors.sum() / spread.sum()
    return everywhere.item(), ((errors * objects).sum() / (spread * objects).sum()).item()


if __name__ == "__main__":
    main()
