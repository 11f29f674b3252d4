"""Each module's time beside the plain eager formulation of the same mathematics, on the same weights.

    python benchmarks/modules.py            # widths of the released model, often a few of its layers
    python benchmarks/modules.py --quick    # small widths, one run

A module should never be slower, and 1.3 times faster where attention is most of its work. At the released widths most
of a transformer's time on a CPU goes into the matrix products of projections and MLPs, which are the same on both
sides, so whole transformers gain little there. Exits with 1 where a row falls short, except with `--quick`.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator

import torch
from cases import Case
from diffusion_cases import diffusion_cases
from motion_cases import motion_cases
from visual_cases import visual_cases

MOST_DIFFERENCE = 1e-4
NOISE = 0.03
"""Share by which two equally fast sides may differ."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small widths, one layer, one run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runs = 1 if arguments.quick else arguments.runs

    print(f"command: python {' '.join(sys.argv)}")
    print(
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.processor() or platform.machine()}"
    )
    print(f"{arguments.threads} thread(s), float32, no gradients, medians of {runs}")
    print("| module | ours, ms | plain, ms | ratio | least | reached | difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    missed = 0
    with torch.no_grad():
        for case in all_cases(quick=arguments.quick):
            if arguments.only not in case.name:
                continue
            difference = case.difference()
            ours, plain = case.median_seconds(runs)
            reached = plain / ours >= case.least_speedup * (1 - NOISE) and difference <= MOST_DIFFERENCE
            missed += not reached
            print(
                f"| {case.name} | {1000 * ours:.1f} | {1000 * plain:.1f} | {plain / ours:.2f} | {case.least_speedup} "
                f"| {'yes' if reached else 'no'} | {difference:.0e} |",
                flush=True,
            )
    return int(missed > 0 and not arguments.quick)


def all_cases(*, quick: bool) -> Iterator[Case]:
    """One group at a time, so that the weights of only one are in memory."""
    for cases in (visual_cases, motion_cases, diffusion_cases):
        yield from cases(quick=quick)


if __name__ == "__main__":
    sys.exit(main())
