"""Memory that the released model needs: weights of each part and task, and what its steps take on top.

    python benchmarks/memory.py            # half a minute; no weights, no GPU, hardly any memory
    python benchmarks/memory.py --quick    # weights only
    python benchmarks/memory.py --model FOLDER_OR_HUB_ID

Everything is computed from shapes on the meta device, in bfloat16 but for what always stays float32. "On top" is the
most bytes that tensors take at a time in one step, with fused attention, of which a real device also needs room for its
kernels and its allocator. Keyframe UNet and VAEs are Stable Diffusion XL's and Stable Video Diffusion's sizes.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from typing import Any

import diffusers
import torch
import transformers
from peak_bytes import PeakBytes
from torch import Tensor, nn

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.footprint import ComponentSize, part_size, part_sizes, task_memory
from videolavit.checkpoints.registry import build_component, live_component
from videolavit.detokenizers.condition import ConditionDecoderConfig
from videolavit.detokenizers.motion_condition import MotionConditionEncoderConfig
from videolavit.detokenizers.vae import vae_factor
from videolavit.tokenizers.motion_tokenizer import MotionTokenizerConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizerConfig

RELEASED: dict[str, Any] = {
    "language_model": {
        "model_type": "llama",
        "vocab_size": 49412,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 4096,
    },
    "visual_tokenizer": VisualTokenizerConfig(),
    "motion_tokenizer": MotionTokenizerConfig(),
    "condition_decoder": ConditionDecoderConfig(),
    "keyframe_unet": {
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10],
        "attention_head_dim": [5, 10, 20],
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "keyframe_vae": {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
    },
    "motion_encoder": MotionConditionEncoderConfig(),
    "video_unet": {},
    "video_vae": {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "layers_per_block": 2,
    },
}

FRAMES = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="weights only")
    parser.add_argument("--model", help="a checkpoint in place of the released sizes; weights only")
    parser.add_argument("--keyframe", type=int, nargs=2, default=(1024, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--video", type=int, nargs=2, default=(576, 1024), metavar=("HEIGHT", "WIDTH"))
    arguments = parser.parse_args()
    diffusers.logging.set_verbosity_error()  # it fears for layers in float32, of which these models have none
    print(f"command: python {' '.join(sys.argv)}")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}\n")
    checkpoint = open_checkpoint(arguments.model) if arguments.model else None
    sizes = {}
    for precision in (None, "int8", "int4"):
        if checkpoint is not None:
            sizes[precision] = part_sizes(checkpoint, dtype=torch.bfloat16, quantize=precision)
        else:
            sizes[precision] = released_sizes(precision)
    print_parts(sizes)
    print_tasks(sizes, checkpoint)
    if checkpoint is None and not arguments.quick:
        print_steps(tuple(arguments.keyframe), tuple(arguments.video))


def released_sizes(quantize: str | None) -> dict[str, ComponentSize]:
    parts = {name: live_component(name, build_component(name, config)) for name, config in RELEASED.items()}
    return {name: part_size(part, dtype=torch.bfloat16, quantize=quantize) for name, part in parts.items()}


def print_parts(sizes: dict[str | None, dict[str, ComponentSize]]) -> None:
    print("| part | parameters, M | bfloat16, GB | int8, GB | int4, GB |\n| --- | --- | --- | --- | --- |")
    for name, size in sizes[None].items():
        small = [gigabytes(sizes[way][name].bytes) if sizes[way][name] != size else "" for way in ("int8", "int4")]
        print(f"| {name} | {size.parameters / 1e6:.1f} | {gigabytes(size.bytes)} | {' | '.join(small)} |")
    print()


def print_tasks(sizes: dict[str | None, dict[str, ComponentSize]], checkpoint: Any) -> None:
    memory = {precision: task_memory(of_parts, checkpoint) for precision, of_parts in sizes.items()}
    print("| task | all its parts: bfloat16 | int8 | int4 | largest part: bfloat16 | int8 | int4 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for task in memory[None]:
        everything = [gigabytes(memory[way][task].all_parts) for way in memory]
        largest = [gigabytes(memory[way][task].largest_part) for way in memory]
        print(f"| {task} | {' | '.join(everything + largest)} |")
    print()


def print_steps(keyframe: tuple[int, int], video: tuple[int, int]) -> None:
    print("| step | on top of the weights, GB |\n| --- | --- |")
    for name, step in steps(keyframe, video):
        print(f"| {name} | {gigabytes(peak(step))} |", flush=True)


def steps(keyframe: tuple[int, int], video: tuple[int, int]) -> list[tuple[str, Callable[[], Any]]]:
    """The largest steps of every task, on modules without memory."""
    models: dict[str, Any] = {name: meta_part(name) for name in RELEASED}
    by_eight = [tuple(side // vae_factor(models["video_vae"]) for side in size) for size in (keyframe, video)]
    rows = FRAMES * 2  # both branches of the guidance in one forward
    added = {"text_embeds": empty(2, 1280), "time_ids": empty(2, 6, dtype=torch.float32)}
    key_size, video_size = ("x".join(map(str, size)) for size in (keyframe, video))
    latents, clip = empty(2, 4, *by_eight[0]), empty(2, FRAMES, 10, *by_eight[1])
    cells = models["motion_encoder"].config.rows * models["motion_encoder"].config.cols
    decoder = models["language_model"].get_decoder()
    return [
        ("language model reads 2048 ids", lambda: decoder(inputs_embeds=empty(1, 2048, 4096), use_cache=True)),
        ("visual tokenizer, features of 8 images", lambda: features(models["visual_tokenizer"], 8)),
        (
            f"keyframe UNet, {key_size}, guided",
            lambda: models["keyframe_unet"](latents, empty(1), empty(2, 256, 2048), added_cond_kwargs=added),
        ),
        (
            f"keyframe VAE decodes {key_size} (float32)",
            lambda: models["keyframe_vae"].decode(empty(1, 4, *by_eight[0], dtype=torch.float32)),
        ),
        (
            f"video UNet, {FRAMES} frames of {video_size}, guided",
            lambda: models["video_unet"](clip, empty(1), empty(2, FRAMES, cells, 1024), empty(2, 3)),
        ),
        (f"video VAE encodes {video_size}", lambda: models["video_vae"].encode(empty(1, 3, *video))),
        *(
            (
                f"video VAE decodes {chunk} frames of {video_size}",
                lambda chunk=chunk: models["video_vae"].decode(empty(chunk, 4, *by_eight[1]), num_frames=chunk),
            )
            for chunk in (8, 1)
        ),
        (f"motion encoder, {rows // 2} frames", lambda: models["motion_encoder"](empty(1, 2, FRAMES, *by_eight[1]))),
    ]


def features(tokenizer: Any, count: int) -> Tensor:
    size = tokenizer.config.vit.image_size
    return tokenizer.vit(empty(count, 3, size, size))


def meta_part(name: str) -> nn.Module:
    dtype = torch.float32 if name == "keyframe_vae" else torch.bfloat16
    return build_component(name, RELEASED[name]).to(
        "meta", dtype
    )  # diffusers makes single numbers on the CPU in any case


def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@torch.no_grad()
def peak(step: Callable[[], Any]) -> int:
    with PeakBytes() as bytes_:
        step()
    return bytes_.peak


def gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f}"


if __name__ == "__main__":
    main()
