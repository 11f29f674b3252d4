"""Differences between images as the vision encoder sees them.

An error of pixels or latents forgives what is blurred: the mean of all images that might have been meant is never far
from any of them. Features of an encoder that was trained to name things tell it from each of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from videolavit.tokenizers.image_processor import CLIP_MEAN, CLIP_STD
from videolavit.tokenizers.vit import VisionTransformer

__all__ = ["encoder_features", "feature_errors"]

_RANGE = 1.1
"""Pixels this far from the middle, of -1..1 that images have, still count."""


def encoder_features(
    encoder: VisionTransformer, images: Float[Tensor, "batch 3 rows cols"]
) -> list[Float[Tensor, "batch patches width"]]:
    """Normalised output of every block for patches of images in -1..1 of any size, with gradients to the images."""
    side = encoder.config.image_size
    if images.shape[2:] != (side, side):
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mean, deviation = (images.new_tensor(values).reshape(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    normalised = (images.clamp(-_RANGE, _RANGE) / 2 + 0.5 - mean) / deviation
    return [F.layer_norm(seen[:, 1:].float(), seen.shape[2:]) for seen in encoder.each_block(normalised)]


def feature_errors(
    drawn: list[Float[Tensor, "batch patches width"]], true: list[Float[Tensor, "batch patches width"]]
) -> Float[Tensor, "batch patches"]:
    """Squared differences of each patch, the mean over blocks and features: 0 to 4, 2 where nothing is alike."""
    return torch.stack([(own - other.detach()).square().mean(2) for own, other in zip(drawn, true, strict=True)]).mean(
        0
    )
