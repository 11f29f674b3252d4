"""A discriminator of latents, for a detokenizer that draws in one step (Goodfellow et al., 2014).

Errors against the one true image prefer what lies between all images that the codes may stand for. A network that
learns to tell latents of images from those that are drawn asks instead for one that could be an image. It reads the
features that the codes were decoded to beside the latents, place by place, so that it must also be the right one.

Losses are relativistic: a true image against the one drawn from its codes (Jolicoeur-Martineau, 2019). The gradient at
true images is kept small by what a little noise changes (Lin et al., 2025, approximated R1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["LatentDiscriminator", "adversarial_loss", "discriminator_loss"]

_SLOPE = 0.2
"""Of the leaky rectifiers."""
_NOISE = 0.1
"""Deviation of the noise on true latents whose effect is penalised."""
_PENALTY = 5.0
"""Weight of that effect, squared."""

Logits = tuple[Float[Tensor, "batch rows cols"], Float[Tensor, "batch half_rows half_cols"]]


class LatentDiscriminator(nn.Module):
    """Judgement of latents against those of an image, at each place and at half the resolution.

    Args:
        channels: of the latents.
        feature_width: of the features of patches, which lie on a square grid.
        width: channels of all layers.
    """

    def __init__(self, channels: int, feature_width: int, width: int = 128) -> None:
        super().__init__()
        self.read_latents = nn.Conv2d(channels, width, 3, padding=1)
        self.read_features = nn.Linear(feature_width, width)
        self.fine = nn.Sequential(_Block(width), _Block(width))
        self.halve = nn.Conv2d(width, width, 4, stride=2, padding=1)
        self.coarse = nn.Sequential(_Block(width), _Block(width))
        self.judge = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(2))
        self.expected = nn.ModuleList(nn.Linear(feature_width, width) for _ in range(2))

    def forward(
        self, latents: Float[Tensor, "batch channels rows cols"], features: Float[Tensor, "batch patches feature_width"]
    ) -> Logits:
        """Logits, positive where the latents look true."""
        size = (latents.shape[2], latents.shape[3])
        seen = _on_grid(self.read_features(features), size, "bilinear")
        fine = self.fine(self.read_latents(latents) + seen)  # (batch, width, rows, cols)
        coarse = self.coarse(self.halve(F.leaky_relu(fine, _SLOPE)))  # (batch, width, rows / 2, cols / 2)
        logits = []
        for hidden, judge, expected in zip((fine, coarse), self.judge, self.expected, strict=True):
            wanted = _on_grid(expected(features), (hidden.shape[2], hidden.shape[3]), "nearest")
            logits.append((judge(F.leaky_relu(hidden, _SLOPE)) + (hidden * wanted).mean(1, keepdim=True))[:, 0])
        return logits[0], logits[1]


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.second(F.leaky_relu(self.first(F.leaky_relu(hidden, _SLOPE)), _SLOPE))


def discriminator_loss(
    discriminator: LatentDiscriminator, true: Tensor, drawn: Tensor, features: Tensor, weights: Tensor
) -> Tensor:
    """Loss of the discriminator; log 2 and a penalty where it tells nothing apart.

    Args:
        true: latents of images, (batch, channels, rows, cols).
        drawn: latents that were drawn from the codes of the same images; they get no gradient.
        features: of patches, decoded from those codes, (batch, patches, width); they get no gradient.
        weights: of places, (batch, rows, cols).
    """
    features = features.detach()
    of_true, of_drawn = discriminator(true, features), discriminator(drawn.detach(), features)
    of_noisy = discriminator(true + _NOISE * torch.randn_like(true), features)
    told = [F.softplus(worse - better) for worse, better in zip(of_drawn, of_true, strict=True)]
    changed = [(noisy - better).square() for noisy, better in zip(of_noisy, of_true, strict=True)]
    return _mean(told, weights) + _PENALTY * _mean(changed, weights)


def adversarial_loss(
    discriminator: LatentDiscriminator, true: Tensor, drawn: Tensor, features: Tensor, weights: Tensor
) -> Tensor:
    """Loss of drawn latents: log 2 where the discriminator takes them for true. It gets no gradient itself."""
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    of_true, of_drawn = (
        functional_call(discriminator, frozen, (latents, features.detach())) for latents in (true, drawn)
    )
    return _mean([F.softplus(better - worse) for worse, better in zip(of_drawn, of_true, strict=True)], weights)


def _mean(errors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Weighted mean of errors at several resolutions."""
    means = []
    for error in errors:
        own = F.adaptive_avg_pool2d(weights[:, None], (error.shape[1], error.shape[2]))[:, 0]
        means.append((own * error).sum() / own.sum())
    return torch.stack(means).mean()


def _on_grid(features: Float[Tensor, "batch patches width"], size: tuple[int, int], mode: str) -> Tensor:
    side = round(features.shape[1] ** 0.5)
    return F.interpolate(features.transpose(1, 2).unflatten(2, (side, side)), size, mode=mode)
