"""Fused against plain attention on this machine: the measurement behind the choice that `nn/attention.py` makes.

    python benchmarks/attention.py            # about three minutes on one core
    python benchmarks/attention.py --quick    # few sequences, one run

One row for each shape and type; a ratio above 1 says that the fused kernel is faster. Queries, keys and values are
views of one joint projection, as the modules make them. `chosen` is what `attend` takes when gradients are wanted.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from visual_cases import plain_attention

from videolavit.nn.attention import PLAIN_BELOW_KEYS

SHAPES = [
    (720, 8, 24, 64), (180, 8, 12, 64), (512, 4, 12, 32), (96, 4, 64, 32), (24, 8, 180, 64), (24, 8, 256, 64),
    (1, 16, 256, 88), (8, 8, 384, 64), (8, 8, 512, 64), (24, 8, 720, 64), (4, 8, 1024, 64), (2, 8, 2048, 64),
]  # fmt: skip
"""(sequences, heads, positions, head width): motion tokenizer, tiny models, ViT, and longer ones around the choice."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the sequences, one run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runs = 1 if arguments.quick else arguments.runs
    print(f"command: python {' '.join(sys.argv)}")
    print(f"torch {torch.__version__}, {platform.machine()}, {arguments.threads} thread(s), medians of {runs}")
    print("| type | sequences x heads x positions x width | forward, ms | ratio | with backward, ms | ratio | chosen |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for dtype in (torch.float32, torch.bfloat16):
        for sequences, *rest in SHAPES:
            shape = (max(1, sequences // 8) if arguments.quick else sequences, *rest)
            print(row(dtype, shape, runs), flush=True)


def row(dtype: torch.dtype, shape: tuple[int, ...], runs: int) -> str:
    cells = []
    for backward in (False, True):
        fused, plain = median_seconds(dtype, shape, runs, backward)
        cells.append(f"{1000 * fused:.2f} | {plain / fused:.2f}")
    plain_chosen = dtype.itemsize < 4 and shape[2] < PLAIN_BELOW_KEYS
    name = str(dtype).removeprefix("torch.")
    return f"| {name} | {' x '.join(map(str, shape))} | {' | '.join(cells)} | {'plain' if plain_chosen else 'fused'} |"


def median_seconds(dtype: torch.dtype, shape: tuple[int, ...], runs: int, backward: bool) -> tuple[float, float]:
    """(fused, plain), measured in turns after one run of each that does not count."""
    sequences, heads, positions, width = shape
    joint = torch.randn(sequences, positions, 3, heads, width, dtype=dtype)
    inputs = [part.transpose(1, 2).detach().requires_grad_(backward) for part in joint.unbind(2)]
    ways = F.scaled_dot_product_attention, plain_attention
    measured = [[seconds(way, inputs, backward) for way in ways] for _ in range(1 + runs)]
    fused, plain = (statistics.median(column) for column in zip(*measured[1:], strict=True))
    return fused, plain


def seconds(way: Callable[..., Tensor], inputs: list[Tensor], backward: bool) -> float:
    started = time.perf_counter()
    with torch.set_grad_enabled(backward):
        result = way(*inputs)
        if backward:
            torch.autograd.grad(result.sum(), inputs)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
