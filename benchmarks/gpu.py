"""Training and the released size on a GPU: errors of bf16 and of packed attention, tokens per second, memory.

    python benchmarks/gpu.py                   # a GPU; some 10 minutes on one with 80 GB
    python benchmarks/gpu.py --device cpu      # the same at small sizes, to see that it runs

Four tables. Errors: loss and gradient of one step in bf16 against float32 on the CPU, and of packed attention against
the mask. Speed of training: each option alone, beside the mask. Memory and speed of generation: all parts of the
released model with random weights, so what is drawn and answered means nothing and only its cost counts. On a CPU the
model of the package stands in for the released sizes, and bf16 is what the CPU makes of it.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from memory import RELEASED
from torch import Tensor

from videolavit import VideoLaVIT
from videolavit.checkpoints.artifacts import load_text_tokenizer
from videolavit.checkpoints.components import ModelComponents
from videolavit.checkpoints.registry import build_component, live_component, load_component
from videolavit.language.language_model import LanguageModel
from videolavit.training.blocks import compile_blocks, recompute_activations
from videolavit.training.language_flops import language_flops, sequence_lengths
from videolavit.training.language_loss import LanguageModelSizes, LanguageTraining, build_causal_lm
from videolavit.training.processes import memory_in_use, peak_flops
from videolavit.training.sequences import LossWeights, Target
from videolavit.vocabulary import Vocabulary

SMALL = LanguageModelSizes(width=256, mlp_width=704, layers=4, heads=4, context_length=2048)
LARGE = LanguageModelSizes(width=2048, mlp_width=5504, layers=24, heads=16, context_length=2048)
LEARNT = (Target.KEYFRAME, Target.MOTION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each row, after two others")
    parser.add_argument("--only", choices=["errors", "training", "generation"])
    options = parser.parse_args()
    device = torch.device(options.device)
    print(f"command: python {' '.join(sys.argv)}\n{hardware(device)}\n")
    if options.only in (None, "errors"):
        print_rows(errors(device))
    if options.only in (None, "training"):
        print_rows(training(device, options.steps))
    if options.only in (None, "generation"):
        print_rows(generation(device))


def hardware(device: torch.device) -> str:
    told = f"torch {torch.__version__}, Python {platform.python_version()}"
    if device.type != "cuda":
        return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {told}"
    asked = ["nvidia-smi", "--query-gpu=name,power.limit,clocks.max.sm,driver_version", "--format=csv,noheader"]
    try:
        return f"{subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()}, {told}"
    except (OSError, subprocess.CalledProcessError):
        return f"{torch.cuda.get_device_name(device)}, {told}"


def packed_rows(rows: int, columns: int, device: torch.device) -> dict[str, Tensor]:
    """Rows of clips of 229 ids, as in the paper's setting; the last of a row is cut."""
    vocabulary, random = Vocabulary(), torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary.num_text, vocabulary.size, (rows, columns), generator=random)
    places = torch.arange(columns).expand(rows, -1)
    clip = vocabulary.motion_range
    motion = torch.randint(clip.start, clip.stop, (rows, columns), generator=random)
    is_motion = places % 229 >= 92
    batch: dict[str, Tensor] = {
        "feature_places": torch.zeros(0, dtype=torch.long),
        "features": torch.zeros(0, 0),
        "ids": torch.where(is_motion, motion, ids.clamp(max=vocabulary.visual_range.stop - 1)),
        "targets": torch.where(is_motion, int(Target.MOTION), int(Target.KEYFRAME)),
        "segments": places // 229,
        "positions": places % 229,
    }
    return {name: value.contiguous().to(device) for name, value in batch.items()}


def module_of(sizes: LanguageModelSizes, device: torch.device, *, packed: bool = False) -> LanguageTraining:
    torch.manual_seed(0)
    with torch.device(device if sizes is LARGE else "cpu"):
        model = LanguageModel(build_causal_lm(sizes, Vocabulary()), Vocabulary())
    return LanguageTraining(model, 0, LossWeights(), LEARNT, packed_attention=packed).to(device)


def step(module: LanguageTraining, batch: dict[str, Tensor], *, bf16: bool) -> Tensor:
    with torch.autocast(next(module.parameters()).device.type, torch.bfloat16, enabled=bf16):
        loss = module(batch, 0)["loss"]
    loss.backward()
    return loss.detach()


def errors(device: torch.device) -> Iterator[dict[str, Any]]:
    """Of one step of a small model, against float32 with a mask on the CPU."""
    cpu = torch.device("cpu")
    exact = module_of(SMALL, cpu)
    loss = float(step(exact, packed_rows(2, 458, cpu), bf16=False))
    gradients = torch.cat([weight.grad.flatten() for weight in exact.parameters()])
    for name, bf16, packed in (
        ("float32", False, False),
        ("bf16", True, False),
        ("bf16, packed attention", True, True),
    ):
        module = module_of(SMALL, device, packed=packed)
        own = float(step(module, packed_rows(2, 458, device), bf16=bf16))
        difference = torch.cat([weight.grad.cpu().flatten() for weight in module.parameters()]) - gradients
        yield {
            "one step against float32 on the CPU": name,
            "loss, relative error": abs(own - loss) / loss,
            "gradient, relative error": float(difference.norm() / gradients.norm()),
        }


def training(device: torch.device, steps: int) -> Iterator[dict[str, Any]]:
    """Tokens per second of whole steps of forward, backward and AdamW, each option alone."""
    large = device.type == "cuda"
    sizes, rows, columns = (LARGE, 8, 2048) if large else (SMALL, 2, 916)
    ways: dict[str, Callable[[LanguageTraining], None]] = {
        "mask": lambda module: None,
        "packed attention": lambda module: None,
        "recomputed activations": recompute_activations,
        "compiled blocks": compile_blocks,
    }
    for name, change in ways.items():
        if name == "compiled blocks" and not large:
            continue  # compiling takes minutes on a CPU and is not what the table is for
        yield trained(name, change, module_of(sizes, device, packed=name == "packed attention"), rows, columns, steps)


def trained(
    name: str, change: Callable[[Any], None], module: LanguageTraining, rows: int, columns: int, steps: int
) -> dict[str, Any]:
    device = next(module.parameters()).device
    change(module)
    batch = packed_rows(rows, columns, device)
    optimiser = torch.optim.AdamW(module.parameters(), fused=device.type == "cuda")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = 0.0
    for number in range(steps + 2):
        if number == 2:
            synchronize(device)
            began = time.perf_counter()
        step(module, batch, bf16=True)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    synchronize(device)
    seconds = (time.perf_counter() - began) / steps
    needed = language_flops(module, sequence_lengths(batch["segments"]), learnt=rows * (columns - 1))
    peak = peak_flops(device, "bf16")
    return {
        "training step": name,
        "parameters, M": sum(weight.numel() for weight in module.parameters()) / 1e6,
        "tokens/s": rows * columns / seconds,
        "MFU": needed / seconds / peak if peak else "",
        "memory, GiB": memory_in_use(device) / 2**30 if device.type == "cuda" else "",
    }


def generation(device: torch.device) -> Iterator[dict[str, Any]]:
    """An answer about a video, and a video of two clips for words."""
    large = device.type == "cuda"
    model = released(device) if large else VideoLaVIT.from_pretrained("tiny", dtype=torch.bfloat16)
    # Few steps are timed twice: what is done once goes into the first, which is not shown.
    video = {"clips": 2, "seed": 0, "num_inference_steps": 25 if large else 2}
    tasks: dict[str, Callable[[], Any]] = {
        "text to video, 2 clips": lambda: model.generate_video("a red circle moves right", **video),
    }
    made = tasks["text to video, 2 clips"]()
    tasks["answer about it, 32 ids"] = lambda: model.answer("what moves?", video=made, max_new_tokens=32)
    for name, task in tasks.items():
        task()
        synchronize(device)
        began = time.perf_counter()
        task()
        synchronize(device)
        yield {
            "released size, random weights" if large else "model of the package": name,
            "seconds": time.perf_counter() - began,
            "memory, GiB": memory_in_use(device) / 2**30,
        }


def released(device: torch.device) -> VideoLaVIT:
    """All parts of the released sizes with random weights in bfloat16, and the text tokenizer of the package."""
    from diffusers import DDIMScheduler, EulerDiscreteScheduler

    modules = {name: random_part(name, config, device) for name, config in RELEASED.items()}
    schedulers = {
        "keyframe_scheduler": DDIMScheduler(),
        "video_scheduler": EulerDiscreteScheduler(prediction_type="v_prediction", timestep_type="continuous"),
    }
    tokenizers = {"language_model": load_text_tokenizer("tiny")}
    parts = ModelComponents(
        vocabulary=Vocabulary(),
        modules=modules,
        schedulers=schedulers,
        text_tokenizers=tokenizers,
        device=device,
        dtype=torch.bfloat16,
    )
    return VideoLaVIT(parts)


def random_part(name: str, config: Any, device: torch.device) -> Any:
    part = live_component(name, build_component(name, config))
    drawn = {
        key: replace(tensor, load=lambda shape=tensor.shape: 0.02 * torch.randn(shape, dtype=torch.bfloat16))
        for key, tensor in part.tensors.items()
    }
    return load_component(replace(part, tensors=drawn), device=device, dtype=torch.bfloat16)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def print_rows(rows: Iterator[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        if not number:
            print("| " + " | ".join(row) + " |\n|" + " --- |" * len(row))
        cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values())
        print("| " + " | ".join(cells) + " |", flush=True)
    print()


if __name__ == "__main__":
    main()
