"""Critic of drawn latents: a network that learns to tell them from true ones, place by place.

What codes leave open has many answers, and squared error asks for their mean, which is blurred. Who has to deceive a
critic draws one of them. The critic sees what the image was drawn from: what does not belong to it is no answer.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LatentCritic"]

_EVERY = 8
"""Steps between those that hold the critic's slope down."""
_SLOPE_WEIGHT = 0.08
"""Of its slope at true latents, in these steps."""


class LatentCritic(nn.Module):
    """Scores of latents beside the features that they belong to, above 0 where they look true; fine and coarse."""

    def __init__(self, latent_channels: int, feature_width: int, width: int = 96) -> None:
        super().__init__()
        self.of_features = nn.Conv2d(feature_width, width, 1)
        self.of_latents = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.together = nn.Conv2d(2 * width, width, 3, padding=1)
        self.halved = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.around = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.fine, self.coarse = nn.Conv2d(width, 1, 1), nn.Conv2d(2 * width, 1, 1)

    def forward(
        self,
        latents: Float[Tensor, "batch channels rows cols"],
        features: Float[Tensor, "batch patches feature_width"],
    ) -> tuple[Float[Tensor, "batch rows cols"], Float[Tensor, "batch half_rows half_cols"]]:
        """Scores of every latent, and of every square of four."""
        side = math.isqrt(features.shape[1])
        given = self.of_features(rearrange(features, "b (r c) width -> b width r c", r=side))
        given = F.interpolate(given, latents.shape[2:])
        x = F.leaky_relu(self.of_latents(latents), 0.2)
        x = x + F.leaky_relu(self.together(torch.cat([x, given], dim=1)), 0.2)
        low = F.leaky_relu(self.halved(x), 0.2)
        low = low + F.leaky_relu(self.around(low), 0.2)
        return self.fine(x)[:, 0], self.coarse(low)[:, 0]

    def losses(
        self,
        true: Float[Tensor, "batch channels rows cols"],
        drawn: Float[Tensor, "batch channels rows cols"],
        features: Float[Tensor, "batch patches feature_width"],
        weight: Float[Tensor, "batch rows cols"],
        step: int,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Loss of the critic, and that of what draws, in one: each is without gradient to the other's weights.

        Args:
            true: latents of images.
            drawn: those drawn for the same images.
            features: what both belong to; nothing is learnt about them.
            weight: of each latent.
            step: number of the step; some of them hold the slope down.
        """
        features = features.detach()
        with_slope = step % _EVERY == 0 and torch.is_grad_enabled()
        true = true.detach().requires_grad_(with_slope)
        weights = weight, F.avg_pool2d(weight[:, None], 2)[:, 0]
        of_true, of_drawn = self(true, features), self(drawn.detach(), features)
        told = sum(
            (share * (F.relu(1 - yes.float()) + F.relu(1 + no.float()))).mean() / 2
            for yes, no, share in zip(of_true, of_drawn, weights, strict=True)
        )
        if with_slope:
            [slope] = torch.autograd.grad(sum(scores.float().sum() for scores in of_true), true, create_graph=True)
            told = told + _SLOPE_WEIGHT * slope.square().sum((1, 2, 3)).mean() / true[0, 0].numel()
        frozen: dict[str, Any] = {name: parameter.detach() for name, parameter in self.named_parameters()}
        seen = torch.func.functional_call(self, frozen, (drawn, features))
        deceived = sum((-share * scores.float()).mean() for scores, share in zip(seen, weights, strict=True))
        return torch.as_tensor(told), torch.as_tensor(deceived)
