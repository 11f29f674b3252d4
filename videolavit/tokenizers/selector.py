"""Selector: which patches of an image become tokens (LaVIT, dynamic visual tokenizer; reference section 4).

For each patch it gives the log-probability of being kept (class 0) and dropped (class 1). A decision is the likelier
class ("likeliest"), or a draw by adding Gumbel noise first ("gumbel", as in training and in the release).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from videolavit.errors import ConfigError, ShapeError

__all__ = ["KEEP", "PatchSelection", "Selector", "choose", "draw_gumbel_noise", "straight_through_keep"]

PatchSelection = Literal["likeliest", "gumbel"]

KEEP = 0
"""Index of the class "keep" in the last axis of the log-probabilities."""


class Selector(nn.Module):
    """Log-probabilities of keeping and dropping each patch, from its features and the mean over all patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 4:
            raise ConfigError(f"got a width of {width}, expected a multiple of 4: the selector halves it twice")
        self.norm = nn.LayerNorm(width)
        self.in_proj = nn.Linear(width, width)
        self.half_proj = nn.Linear(width, width // 2)
        self.quarter_proj = nn.Linear(width // 2, width // 4)
        self.out_proj = nn.Linear(width // 4, 2)

    def forward(self, features: Float[Tensor, "batch n width"]) -> Float32[Tensor, "batch n 2"]:
        """Differentiable log-probabilities; index `KEEP` of the last axis is the class to keep."""
        hidden = F.gelu(self.in_proj(self.norm(features)))
        own, shared = hidden.chunk(2, dim=-1)
        hidden = torch.cat([own, shared.mean(1, keepdim=True).expand_as(shared)], dim=-1)
        hidden = F.gelu(self.quarter_proj(F.gelu(self.half_proj(hidden))))
        return F.log_softmax(self.out_proj(hidden).float(), dim=-1)


def choose(
    log_probs: Float[Tensor, "batch n 2"],
    patch_selection: PatchSelection = "likeliest",
    *,
    generators: Sequence[torch.Generator] | None = None,
    gumbel_noise: Float[Tensor, "_ _ 2"] | None = None,
    at_least_one: bool = False,
) -> Bool[Tensor, "batch n"]:
    """True where a patch is kept; with `at_least_one` the likeliest patch of an image that would otherwise keep none.

    "gumbel" takes its noise as given, or draws it: each batch item from its own generator, so that an item's patches do
    not depend on what else is in the batch. Without generators nothing can be repeated.

    Raises:
        ConfigError: an unknown choice, noise for "likeliest", or two sources of noise for "gumbel".
        ShapeError: generators or noise do not fit the batch.
    """
    if patch_selection not in ("likeliest", "gumbel"):
        raise ConfigError(f'got patch_selection {patch_selection!r}, expected "likeliest" or "gumbel"')
    if patch_selection == "likeliest":
        if generators is not None or gumbel_noise is not None:
            raise ConfigError(
                'patch_selection "likeliest" takes no generators and no noise; to sample, ask for "gumbel"'
            )
        return _keep_of(log_probs, at_least_one)
    if gumbel_noise is None:
        gumbel_noise = draw_gumbel_noise(log_probs, generators)
    elif generators is not None:
        raise ConfigError("got generators and gumbel_noise, expected only one of them")
    if gumbel_noise.shape != log_probs.shape:
        raise ShapeError(f"got noise of shape {tuple(gumbel_noise.shape)}, expected {tuple(log_probs.shape)}")
    return _keep_of(log_probs + gumbel_noise.to(log_probs), at_least_one)


def straight_through_keep(
    log_probs: Float[Tensor, "batch n 2"], gumbel_noise: Float[Tensor, "batch n 2"], *, temperature: float = 1.0
) -> Float[Tensor, "batch n"]:
    """1 where a patch is kept and 0 elsewhere, with the gradient of the softened choice; for training."""
    noisy = log_probs + gumbel_noise
    soft = (noisy / temperature).softmax(-1)[..., KEEP]
    hard = (noisy.argmax(-1) == KEEP).to(soft.dtype)
    return hard + (soft - soft.detach())


def _keep_of(scores: Tensor, at_least_one: bool) -> Tensor:
    keep = scores.argmax(-1) == KEEP
    if not at_least_one:
        return keep
    likeliest = (scores[..., KEEP] - scores[..., 1 - KEEP]).argmax(-1)
    alone = torch.zeros_like(keep).scatter(-1, likeliest[..., None], True)
    return torch.where(keep.any(-1, keepdim=True), keep, alone)


def draw_gumbel_noise(
    like: Float[Tensor, "batch n 2"], generators: Sequence[torch.Generator] | None
) -> Float[Tensor, "batch n 2"]:
    """Gumbel noise of the shape, device and dtype of `like`, each batch item from its own generator.

    Raises:
        ShapeError: there is not one generator for each item of the batch.
    """
    if generators is None:
        return -(-torch.rand_like(like).log()).log()
    if len(generators) != len(like):
        raise ShapeError(
            f"got {len(generators)} generators for a batch of {len(like)}, expected one for each item; "
            "make them with sample_generators(seed, batch)"
        )
    uniform = [torch.rand(like.shape[1:], generator=generator, device=generator.device) for generator in generators]
    return (-(-torch.stack(uniform).log()).log()).to(like)
