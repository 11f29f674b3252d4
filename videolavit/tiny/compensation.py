"""Motion compensation of a batch of keyframes in which things move as a whole, and where it leaves holes.

The same idea as `videolavit.video.motion.warp`, for networks: on any device, and with hints that a network needs to
repair the result. Pixels are carried forwards from the keyframe to each frame, once, so that nothing blurs from frame
to frame; what moves apart from the ground lies on top of it, and what it uncovers is filled with a smooth continuation
of the ground.

A keyframe without such a ground, as most real ones are, says little of what belongs together. Its frames are the mean
of that and of what `warp` does, every frame the one before moved in overlapping blocks: one tears, the other blurs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from videolavit.tiny.block_motion import moved_in_blocks
from videolavit.tiny.displacement import apart_from_ground, displacement_of_pixels, has_ground

__all__ = ["NUM_HINTS", "Compensated", "compensate", "continued"]

NUM_HINTS = 3

_ON_TOP, _APART = 20.0, 2 / 128
"""Weight of a pixel over the ground, where both arrive, by the sides that it has come apart from it."""
_LIKE_GROUND = 0.03
"""Sides apart from the ground from which on a pixel says nothing of what lies behind."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Compensated:
    """Keyframes moved by their motion."""

    frames: Float[Tensor, "batch frames 3 height width"]
    hints: Float[Tensor, "batch frames 3 height width"]
    """Displacement of each pixel, x and y over a quarter of the image's sides, and its share that nothing has come
    to, so that it is a continuation of the ground; negative where things meet."""


def compensate(
    keyframes: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
) -> Compensated:
    """Frames of clips from their keyframes, -1..1, and normalised motion; frame 0's motion is not used."""
    with torch.autocast(keyframes.device.type, enabled=False):  # half precision is coarser than a pixel
        return _compensate(keyframes.float(), motion.float())


def _compensate(keyframes: Tensor, motion: Tensor) -> Compensated:
    things = _as_things(keyframes, motion)
    grounded = has_ground((keyframes + 1) / 2)[:, None, None, None, None]
    if grounded.all():
        return things
    blocks = _as_blocks(keyframes, motion)
    return Compensated(
        frames=torch.where(grounded, things.frames, (things.frames + blocks.frames) / 2),
        hints=torch.where(grounded, things.hints, (things.hints + blocks.hints) / 2),
    )


def _as_blocks(keyframes: Tensor, motion: Tensor) -> Compensated:
    """Every frame is the one before it, moved; nothing is uncovered."""
    nowhere = torch.zeros_like(keyframes)
    frames, hints = moved_in_blocks(torch.cat([keyframes, nowhere], dim=1), motion, further=4.0).split(3, dim=2)
    return Compensated(frames=frames, hints=hints)


def _as_things(keyframes: Tensor, motion: Tensor) -> Compensated:
    frames, displacement, covered = _carried(keyframes, displacement_of_pixels((keyframes + 1) / 2, motion))
    known = (2 * covered).clamp(max=1)
    ground = (1 - apart_from_ground(displacement) / _LIKE_GROUND).clamp(min=1e-3)
    filling = continued(frames.flatten(0, 1), (known * ground).flatten(0, 1)).unflatten(0, frames.shape[:2])
    frames = known * frames + (1 - known) * filling
    return Compensated(frames=frames, hints=torch.cat([4 * displacement, 1 - covered], dim=2))


def _carried(
    keyframes: Float[Tensor, "batch 3 height width"], displacement: Float[Tensor, "batch frames 2 height width"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels carried to each frame: colours, the displacement of what has arrived, and how much of a pixel that is.

    Each pixel is shared among the four that it comes to lie between; where several meet, what has moved against the
    ground hides what has not.
    """
    batch, frames, _, height, width = displacement.shape
    # 1. Values to carry, one row of 7 for each pixel of each frame: colours, displacement, weight, and 1 to count.
    weight = torch.exp(math.log(_ON_TOP) * (apart_from_ground(displacement) / _APART).clamp(max=1))
    colours = keyframes[:, None].expand(-1, frames, -1, -1, -1)
    carried = torch.cat([colours * weight, displacement * weight, weight, torch.ones_like(weight)], dim=2)
    carried = rearrange(carried, "b t c h w -> (b t h w) c")
    # 2. Places that pixels come to, in pixels, (batch, frames, height, width).
    centres = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    x, y = (
        centre.to(displacement) + part * side
        for centre, part, side in zip(centres, displacement.unbind(2), (width, height), strict=True)
    )
    # 3. A share for each of the four pixels around that place, added up in images with a margin.
    left, top = x.floor(), y.floor()
    image = torch.arange(batch * frames, device=x.device).reshape(batch, frames, 1, 1) * ((height + 2) * (width + 2))
    arrived = carried.new_zeros(batch * frames * (height + 2) * (width + 2), carried.shape[1])
    for col, share_x in ((left, left + 1 - x), (left + 1, x - left)):
        for row, share_y in ((top, top + 1 - y), (top + 1, y - top)):
            # A margin of one pixel takes what leaves the image.
            place = (row + 1).clamp(0, height + 1) * (width + 2) + (col + 1).clamp(0, width + 1)
            share = (share_x * share_y).reshape(-1, 1)
            arrived.index_add_(0, (image + place.long()).flatten(), carried * share)
    # 4. Weighted means of what has arrived, the margin cut off.
    arrived = rearrange(arrived, "(b t h w) c -> b t c h w", b=batch, t=frames, h=height + 2)[..., 1:-1, 1:-1]
    colours, displacement, weight, covered = arrived.split([3, 2, 1, 1], dim=2)
    weight = weight.clamp(min=1e-6)
    return colours / weight, displacement / weight, covered


def continued(
    images: Float[Tensor, "n 3 height width"], weight: Float[Tensor, "n 1 height width"]
) -> Float[Tensor, "n 3 height width"]:
    """Smooth images that follow those given where they have weight, and continue them from nearby where not."""
    # Down: sums of what is known and of its weights at half the size each time. Up: known values over those from below.
    levels = [(images * weight, weight)]
    while max(levels[-1][0].shape[2:]) > 1:
        values, weights = (F.avg_pool2d(part, 2, ceil_mode=True, count_include_pad=False) for part in levels[-1])
        levels.append((values, weights))
    values, weights = levels.pop()
    below = values / weights.clamp(min=1e-6)
    for values, weights in reversed(levels):
        below = F.interpolate(below, values.shape[2:], mode="bilinear", align_corners=False)
        share = (2 * weights).clamp(max=1)  # a block half of which is known is known well enough
        below = share * values / weights.clamp(min=1e-6) + (1 - share) * below
    return below
