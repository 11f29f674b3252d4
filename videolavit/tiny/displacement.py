"""Displacement of every pixel of a keyframe, when things move as a whole.

A codec's blocks cover the edges of things badly, and drawn motion covers them worse: whoever moves pixels by the block
that they lie in tears things apart. Here the keyframe decides what belongs together. A lattice of points is followed
through a clip; points that look alike and lie near one another share one motion, and a pixel goes with the nearest
points that it looks like. So an object takes its edges along, though the motion misses some of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from videolavit.clip import MOTION_STD

__all__ = ["apart_from_ground", "displacement_of_pixels", "has_ground"]

_CELL = 8
"""Pixels between the points that are followed."""
_WINDOW = 5
"""Points, along each side, among which a pixel finds those that it goes with."""
_ALIKE_LUMA, _ALIKE_CHROMA = 0.15, 0.05
"""Differences of colours, 0 to 1, from which on two points are hardly one thing. A pattern, or light, changes
brightness more than hue."""
_UNUSUAL = 6.0
"""Difference of chroma, in units of `_ALIKE_CHROMA`, from that of most of the image, that makes a thing of its own
rather than a part of the ground."""
_MOST_UNUSUAL = 0.25
"""Share of an image that may stand out from the rest, which else is no ground."""
_NEAR_THING, _NEAR_GROUND, _NEAR_PIXEL = 0.2, 0.4, 0.05
"""Distances, in sides of the image, from which on points of a thing, of the ground, and a pixel and a point hardly
move together."""
_SHARPNESS = 8.0
"""Sharpness with which a pixel goes with those points that it is most like: at 1 it would go half way with one thing
and half way with another."""
_EDGE = 2
"""Pixels around what moves apart from the ground that are partly it, and go with it."""
_LEAST_EVIDENCE = 0.3 / 128
"""Weight of a point of a thing that finds no motion, in sides of motion: a codec says "still" also where it finds
nothing better."""
_MAJORITY, _MAJORITY_LEAST = 0.4, 0.4 / 128
"""Motion agrees with a first estimate if it differs by about this share of it, and so many sides."""
_STILL = 0.25 / 128
"""Sides per frame below which motion is taken for an error of the codec or the tokenizer."""
_ROUNDS = 2
"""Estimates per frame: the first one says where the frame's motion is to be looked up."""


class _Points(NamedTuple):
    """A lattice over each keyframe, row by row; places are (x, y) in sides of the image."""

    places: Float[Tensor, "points 2"]
    looks: Float[Tensor, "batch points 3"]
    rows: int


def displacement_of_pixels(
    images: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
) -> Float[Tensor, "batch frames 2 height width"]:
    """Displacement of each pixel in each frame of a clip, (x, y) in sides of the image; 0 in the first.

    Args:
        images: RGB keyframes, 0..1, of any size.
        motion: normalised, of any size; that of frame 0 is not used.
    """
    height, width = images.shape[2:]
    looks = _looks(_whole_cells(images))
    points = _points(looks)
    displacement = _of_pixels(looks, points, _of_points(points, motion))
    return _with_edges(displacement[..., :height, :width])


def has_ground(images: Float[Tensor, "batch 3 height width"]) -> Bool[Tensor, " batch"]:
    """Images, RGB in 0..1, that are things before a ground: most of each has one hue, and little stands out.

    What belongs together can be told by its looks only there.
    """
    return _unusual(_points(_looks(_whole_cells(images)))).mean(dim=1) < _MOST_UNUSUAL


def apart_from_ground(
    displacement: Float[Tensor, "batch frames 2 height width"],
) -> Float[Tensor, "batch frames 1 height width"]:
    """Sides by which a pixel has come another way than most of its frame: the ground."""
    usual = displacement[..., ::4, ::4].flatten(3).median(dim=3).values[..., None, None]
    x, y = (displacement - usual).chunk(2, dim=2)
    return torch.hypot(x, y)  # a norm over an axis that is not the last one takes many times as long


def _whole_cells(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    height, width = images.shape[2:]
    return F.pad(images, (0, -width % _CELL, 0, -height % _CELL), mode="replicate")


def _looks(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Colours 0 to 1 in which two that are one unit apart are no longer alike: luma and two of chroma.

    The chroma plane is spanned by an orthonormal basis of what is left of red, green and blue without their mean.
    """
    red, green, blue = images.unbind(1)
    luma = (red + green + blue) / 3 / _ALIKE_LUMA
    first = (red - green) / math.sqrt(2) / _ALIKE_CHROMA
    second = (red + green - 2 * blue) / math.sqrt(6) / _ALIKE_CHROMA
    return torch.stack([luma, first, second], dim=1)


def _points(looks: Float[Tensor, "batch 3 height width"]) -> _Points:
    """One in the middle of each cell; its looks are those of the four pixels there, not a mean across edges."""
    middle = F.avg_pool2d(looks, 2)[:, :, _CELL // 4 :: _CELL // 2, _CELL // 4 :: _CELL // 2]
    rows, cols = middle.shape[2:]
    return _Points(_centres(rows, cols, looks.device), rearrange(middle, "b c r q -> b (r q) c"), rows)


def _centres(rows: int, cols: int, device: torch.device) -> Float[Tensor, "cells 2"]:
    """(x, y) of the cells of a grid, row by row, in sides of the image."""
    y = (torch.arange(rows, device=device) + 0.5) / rows
    x = (torch.arange(cols, device=device) + 0.5) / cols
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)


def _of_points(
    points: _Points, motion: Float[Tensor, "batch 2 frames rows cols"]
) -> Float[Tensor, "batch frames points 2"]:
    """Displacement of each point, in sides, when every one follows the motion that those like it find where they are.

    Of what they find, larger motion counts more, and what is far from the weighted mean counts less.
    """
    alike, unusual = _moving_together(points)  # (batch, points, points) and (batch, points, 1)
    # Motion in sides of the image a frame, (batch, 2, frames, rows, cols).
    sides = motion * motion.new_tensor(MOTION_STD).reshape(1, 2, 1, 1, 1)
    displacement = torch.zeros_like(points.looks[..., :2])
    velocity, path = displacement, [displacement]
    for t in range(1, motion.shape[2]):
        for _ in range(_ROUNDS):
            # 1. Motion under each point, (batch, points, 2). A frame's motion is stored where things have arrived.
            found = _at(sides[:, :, t], points.places + displacement + velocity)
            # 2. Votes of all points for each, (batch, points, points): of those like it, more if they move more.
            evidence = alike * (unusual * torch.linalg.vector_norm(found, dim=-1)[:, None] + _LEAST_EVIDENCE)
            # 3. Their weighted mean, then the mean again without those that are far from it.
            mean = _mean(evidence, found)
            tolerance = _MAJORITY * torch.linalg.vector_norm(mean, dim=-1, keepdim=True) + _MAJORITY_LEAST
            velocity = _mean(evidence * torch.exp(-(torch.cdist(mean, found) / tolerance).square() / 2), found)
        # 4. Hardly any motion is none: it would add up over the frames.
        speed = torch.linalg.vector_norm(velocity, dim=-1, keepdim=True)
        velocity = velocity * (speed > _STILL)
        displacement = displacement + velocity
        path.append(displacement)
    return torch.stack(path, dim=1)


def _moving_together(points: _Points) -> tuple[Tensor, Tensor]:
    """Affinity of each point to each: by likeness and nearness.

    What has a colour of its own is a thing as far as it reaches; what looks like most of the image may be several.
    """
    unusual = _unusual(points)
    reach = _NEAR_GROUND + (_NEAR_THING - _NEAR_GROUND) * unusual
    distance = torch.cdist(points.places, points.places) ** 2 / (reach[:, :, None] * reach[:, None])
    return torch.exp(-(torch.cdist(points.looks, points.looks).square() + distance) / 2), unusual[:, :, None]


def _unusual(points: _Points) -> Float[Tensor, "batch points"]:
    """Distance of each point from the hue of most of its image, 0 to 1."""
    chroma = points.looks[..., 1:]
    difference = torch.linalg.vector_norm(chroma - chroma.median(dim=1, keepdim=True).values, dim=-1)
    return (difference / _UNUSUAL).clamp(max=1)


def _at(
    values: Float[Tensor, "batch 2 rows cols"], places: Float[Tensor, "batch points 2"]
) -> Float[Tensor, "batch points 2"]:
    grid = 2 * places[:, :, None] - 1
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)[..., 0].mT


def _mean(weights: Tensor, values: Tensor) -> Tensor:
    return weights @ values / weights.sum(-1, keepdim=True).clamp(min=1e-12)


def _of_pixels(
    looks: Float[Tensor, "batch 3 height width"],
    points: _Points,
    displacement: Float[Tensor, "batch frames points 2"],
) -> Float[Tensor, "batch frames 2 height width"]:
    """Every pixel moves like those of the nearest points that it looks like."""
    frames, (height, width) = displacement.shape[1], looks.shape[2:]
    # 1. Features (looks, place) and displacement of the points around each cell.
    per_point = rearrange(displacement, "b t (r c) xy -> b (t xy) r c", r=points.rows)
    places = points.places.expand(len(looks), -1, -1)
    of_points = rearrange(torch.cat([points.looks, places], dim=-1), "b (r c) f -> b f r c", r=points.rows)
    # (batch, cells, points of the window, values): a mean for each pixel of a cell is one matrix product.
    window = _windows(torch.cat([of_points, per_point], dim=1))
    seen, values = window.split([5, 2 * frames], dim=-1)
    # 2. The same features of the pixels of each cell, (batch, cells, pixels of a cell, 5).
    own_places = _centres(height, width, looks.device).T.reshape(1, 2, height, width)
    of_pixels = torch.cat([looks, own_places.expand(len(looks), -1, -1, -1)], dim=1)
    pixels = rearrange(of_pixels, "b f (r s) (c u) -> b (r c) (s u) f", s=_CELL, u=_CELL)
    # 3. Each pixel goes with the points of its window by likeness and nearness, (batch, cells, pixels, points).
    scale = looks.new_tensor([1, 1, 1, 1 / _NEAR_PIXEL, 1 / _NEAR_PIXEL])
    weights = torch.softmax(-_SHARPNESS * torch.cdist(pixels * scale, seen * scale).square() / 2, dim=-1)
    moved = weights @ values
    return rearrange(moved, "b (r c) (s u) (t xy) -> b t xy (r s) (c u)", r=points.rows, s=_CELL, xy=2)


def _with_edges(
    displacement: Float[Tensor, "batch frames 2 height width"],
) -> Float[Tensor, "batch frames 2 height width"]:
    """Pixels next to what moves away from the ground go with it: they are partly it."""
    apart = apart_from_ground(displacement).amax(dim=1)
    _, leader = F.max_pool2d(apart, 2 * _EDGE + 1, stride=1, padding=_EDGE, return_indices=True)
    leader = leader.flatten(1)[:, None].expand(-1, 2 * displacement.shape[1], -1)
    return displacement.flatten(3).flatten(1, 2).gather(2, leader).view_as(displacement)


def _windows(values: Float[Tensor, "batch channels rows cols"]) -> Float[Tensor, "batch cells window channels"]:
    """The values of the points around each one; beyond the edges those at the edge."""
    padded = F.pad(values, (_WINDOW // 2,) * 4, mode="replicate")
    windows = padded.unfold(2, _WINDOW, 1).unfold(3, _WINDOW, 1)
    return rearrange(windows, "b c r q u v -> b (r q) (u v) c")
