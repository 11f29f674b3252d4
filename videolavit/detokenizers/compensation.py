"""Motion compensation of a batch of keyframes, and where it shows what should have moved away.

The same idea as `videolavit.video.warp`, for networks: on any device, and with hints that a network needs to repair
the result. Where each pixel of a frame comes from is followed back to the keyframe, which is then sampled once, so that
nothing blurs from frame to frame. That also tells where an object leaves a trail: one edge of it is shown there many
times. Trails, and what enters at the picture's edges, are filled with a smooth continuation of the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from videolavit.clip import MOTION_STD

__all__ = ["NUM_HINTS", "Compensated", "compensate"]

NUM_HINTS = 3
_SAME_MOTION = 0.03


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Compensated:
    """Keyframes moved by their motion."""

    frames: Float[Tensor, "batch frames 3 height width"]
    hints: Float[Tensor, "batch frames 3 height width"]
    """How far each pixel has come, x and y over a quarter of the picture's sides, and by how many more pixels of the
    same frame its source is shown. An object's trail is shown a second time by the object."""


def compensate(
    keyframes: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
) -> Compensated:
    """Frames of clips from their keyframes and normalised motion; frame 0 is the keyframe, its motion is not used."""
    height, width = keyframes.shape[2:]
    frames = motion.shape[2]
    still = _pixel_centres(height, width, keyframes.device)[None]
    std = motion.new_tensor(MOTION_STD).reshape(1, 2, 1, 1)
    sources = [still.expand(len(keyframes), -1, -1, -1)]
    for t in range(1, frames):
        steps = F.interpolate(motion[:, :, t], (height, width), mode="bilinear", align_corners=False) * (2 * std)
        sources.append(_sample(sources[-1], still - steps))
    source = torch.stack(sources, dim=1).flatten(0, 1)
    moved = _sample(keyframes.repeat_interleave(frames, dim=0), source)
    uses = _further_uses(source)
    displacement = still - source
    hints = torch.cat([2 * displacement, uses], dim=1)
    believed = _believed(uses)
    moved = believed * moved + (1 - believed) * _continued(moved, believed * _like_ground(displacement))
    return Compensated(
        frames=rearrange(moved, "(b t) c h w -> b t c h w", t=frames),
        hints=rearrange(hints, "(b t) c h w -> b t c h w", t=frames),
    )


def _pixel_centres(height: int, width: int, device: torch.device) -> Float[Tensor, "2 height width"]:
    """(x, y) of pixel centres in a picture that reaches from -1 to 1."""
    y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def _sample(values: Float[Tensor, "n c height width"], at: Float[Tensor, "n 2 height width"]) -> Tensor:
    grid = rearrange(at, "n xy h w -> n h w xy")
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _further_uses(source: Float[Tensor, "n 2 height width"]) -> Float[Tensor, "n 1 height width"]:
    """For each pixel how many other pixels of its frame show about the same place of the keyframe."""
    n, _, height, width = source.shape
    size = source.new_tensor([width, height]).reshape(1, 2, 1, 1)
    x, y = ((source + 1) * size / 2 - 0.5).round().long().unbind(1)
    place = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    uses = source.new_zeros(n, height * width)
    uses.scatter_add_(1, place.flatten(1), torch.ones_like(source[:, 0]).flatten(1))
    # Rounding gives some pixels two users and their neighbours none; a mean over 3 x 3 evens that out.
    uses = F.avg_pool2d(uses.reshape(n, 1, height, width), 3, stride=1, padding=1, count_include_pad=False)
    return uses.flatten(1).gather(1, place.flatten(1)).reshape(n, 1, height, width) - 1


def _believed(uses: Float[Tensor, "n 1 height width"]) -> Float[Tensor, "n 1 height width"]:
    """1 where a pixel's source is shown hardly elsewhere, 0 in trails and at entering edges and 3 x 3 around them.

    A trail is a stretch of one edge of an object and shows it many times, an object that grows by 1.4 twice.
    """
    return 1 - F.max_pool2d((uses - 1).clamp(0, 1), 3, stride=1, padding=1)


def _like_ground(displacement: Float[Tensor, "n 2 height width"]) -> Float[Tensor, "n 1 height width"]:
    """1 where a pixel has come as far as most of its frame, nearly 0 where it differs by 3 % of the sides or more.

    What an object uncovers is ground, so that is what a trail is to be filled with.
    """
    usual = displacement[:, :, ::4, ::4].flatten(2).median(dim=2).values[..., None, None]
    across, down = (displacement - usual).chunk(2, dim=1)
    difference = torch.hypot(across, down) / 2  # a norm over two strided channels takes thirty times as long
    return (1 - difference / _SAME_MOTION).clamp(min=1e-3)


def _continued(
    pictures: Float[Tensor, "n 3 height width"], weight: Float[Tensor, "n 1 height width"]
) -> Float[Tensor, "n 3 height width"]:
    """Smooth pictures that follow those given where they have weight, and continue them from nearby where not."""
    levels = [(pictures * weight, weight)]
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
