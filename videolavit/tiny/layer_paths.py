"""Ways and forms of the layers of a clip: where motion takes them, and how they are seen meanwhile.

A layer moves, grows, rotates and turns round as a whole. `layer_paths` reads its way of the motion of its cells, by
least squares; `source_places` says of each pixel of a frame which place in the keyframe it shows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

__all__ = ["Forms", "Paths", "cell_centres", "formed", "layer_paths", "source_places", "values_at"]

_SURE_ROTATES, _SURE_TURNS = 3.0, 2.5
"""Logarithms of how much likelier than not it has to be that a thing rotates, or turns round: one that does so without
being asked to is worse than one that does not."""
_LEAST_WIDTH = 0.08
"""Width of a thing that is seen from its edge, over its own."""
_LEAST_SPREAD = 2e-4
"""Variance, in sides squared, of the places of a layer's cells; smaller layers hardly grow."""


class Forms(NamedTuple):
    """Changes of layers since the keyframe, in every frame."""

    scale: Float[Tensor, "batch frames layers"]
    """Size over that in the keyframe."""
    rotated: Float[Tensor, "batch frames layers"]
    """Radians by which those that rotate have done so, clockwise as y points down."""
    rotates: Float[Tensor, "batch layers"]
    """Logarithm of how much likelier each rotates than not."""
    turned: Float[Tensor, "batch frames layers"]
    """Width over that in the keyframe, growth apart, of those that turn round: negative when they are seen from their
    other side."""
    turns: Float[Tensor, "batch layers"]
    """Logarithm of how much likelier each turns round than not."""

    @property
    def angle(self) -> Float[Tensor, "batch frames layers"]:
        """Radians by which layers are rotated."""
        return torch.where(self.rotates[:, None] > _SURE_ROTATES, self.rotated, 0.0)

    @property
    def width(self) -> Float[Tensor, "batch frames layers"]:
        """Width over that in the keyframe, growth apart."""
        return torch.where(self.turns[:, None] > _SURE_TURNS, self.turned, 1.0)

    def at(self, pick: tuple[Tensor, Tensor]) -> Forms:
        """Those of some frames."""
        return self._replace(scale=self.scale[pick], rotated=self.rotated[pick], turned=self.turned[pick])


class Paths(NamedTuple):
    """Ways of the layers: a pixel at x has come to `scale * width * rotated(x - middle) + middle + shift`, in shares of
    the sides, where width concerns the first coordinate alone and pixels are rotated as they are seen."""

    shift: Float[Tensor, "batch frames layers 2"]
    middle: Float[Tensor, "batch layers 2"]
    forms: Forms
    growth: Float[Tensor, "batch frames layers"]
    """Growth that the motion of cells amounts to since the keyframe, in sizes of the layer; 0 is none."""
    rotation: Float[Tensor, "batch frames layers"]
    """Rotation that it amounts to, in radians; less than the true one where motion is coarse."""
    narrowing: Float[Tensor, "batch frames layers"]
    """Growth across less growth down in each frame, in sizes of the layer; negative where it becomes narrower."""


def layer_paths(
    sides: Float[Tensor, "batch 2 frames rows cols"],
    weights: Float[Tensor, "batch layers cells"],
    forms: Forms | None = None,
) -> Paths:
    """Shift of each layer in every frame, by least squares over its cells, and how much they move apart and around.

    Args:
        sides: motion of each frame since the one before, in shares of the sides.
        weights: of the cells of each layer in the keyframe, row by row; they sum up to 1.
        forms: of each layer; by default those of the keyframe.
    """
    _, _, frames, rows, cols = sides.shape
    cells = cell_centres(rows, cols, sides)
    middle = torch.einsum("bln,nd->bld", weights, cells)
    apart = cells - middle[:, :, None]  # (batch, layers, cells, 2)
    spread = torch.einsum("bln,blnd->bld", weights, apart.square()).clamp(min=_LEAST_SPREAD / 2)
    aspect = cols / rows
    spread_as_seen = spread * spread.new_tensor([aspect**2, 1])
    forms = forms or _unchanged(len(middle), frames, middle.shape[1], sides)
    step = torch.zeros_like(middle)
    shifts, growths, rotations, narrowings = [step], [step[..., 0]], [step[..., 0]], [step[..., 0]]
    for t in range(1, frames):
        place = formed(apart, forms, t - 1, aspect) + (middle + shifts[-1])[:, :, None]
        found = torch.zeros_like(place)
        for _ in range(2):  # motion stands where a layer comes to, of which the last step is a first guess
            found = values_at(sides[:, :, t], (place + step[:, :, None]).flatten(1, 2)).unflatten(1, place.shape[1:3])
            step = torch.einsum("bln,blnd->bld", weights, found)
        own = found - step[:, :, None]
        outwards = torch.einsum("bln,blnd,blnd->bld", weights, own, apart)
        around = torch.einsum("bln,bln->bl", weights, apart[..., 0] * own[..., 1] - apart[..., 1] * own[..., 0])
        across, down = (outwards / spread).unbind(-1)
        shifts.append(shifts[-1] + step)
        growths.append(growths[-1] + outwards.sum(-1) / spread.sum(-1))
        rotations.append(rotations[-1] + aspect * around / spread_as_seen.sum(-1))
        narrowings.append(across - down)
    shift, growth, rotation, narrowing = (
        torch.stack(steps, dim=1) for steps in (shifts, growths, rotations, narrowings)
    )
    return Paths(shift, middle, forms, growth, rotation, narrowing)


def _unchanged(batch: int, frames: int, layers: int, like: Tensor) -> Forms:
    """Forms of layers that stay as they are in the keyframe."""
    same = like.new_ones(batch, frames, layers)
    never = like.new_full((batch, layers), -1.0)
    return Forms(same, torch.zeros_like(same), never, same, never)


def formed(
    apart: Float[Tensor, "batch layers n 2"], forms: Forms, frame: int, aspect: float
) -> Float[Tensor, "batch layers n 2"]:
    """Places from the middle of layers in the keyframe, as they are in a frame; `aspect` is width over height."""
    scale, angle, width = (form[:, frame, :, None] for form in (forms.scale, forms.angle, forms.width))
    x, y = apart.unbind(-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([scale * width * (cos * x - sin * y / aspect), scale * (sin * x * aspect + cos * y)], dim=-1)


def source_places(shift: Tensor, middle: Tensor, forms: Forms, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Places in the keyframe that each pixel of a layer comes from, (..., x or y), and its displacement since then."""
    height, width = like.shape[2:]
    place = cell_centres(height, width, like).reshape(height, width, 2)
    from_middle = place - middle[:, None, layer, None, None] - shift[:, :, layer, None, None]
    scale, angle, across = (form[:, :, layer, None, None] for form in (forms.scale, forms.angle, forms.width))
    x, y = (from_middle / scale[..., None]).unbind(-1)  # (batch, frames, height, width)
    x = x / torch.where(across < 0, -1, 1) / across.abs().clamp(min=_LEAST_WIDTH)
    cos, sin = angle.cos(), angle.sin()
    aspect = width / height
    source = torch.stack([cos * x + sin * y / aspect, cos * y - sin * x * aspect], dim=-1)
    source = source + middle[:, None, layer, None, None]
    return source, rearrange(place - source, "b t h w d -> b t d h w")


def values_at(
    field: Float[Tensor, "batch 2 rows cols"], places: Float[Tensor, "batch n 2"]
) -> Float[Tensor, "batch n 2"]:
    """Values of a field at places in shares of the sides; outside those of its border."""
    grid = 2 * places[:, :, None] - 1
    found = F.grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return rearrange(found, "b d n 1 -> b n d")


def cell_centres(rows: int, cols: int, like: Tensor) -> Float[Tensor, "cells 2"]:
    """Middles (x, y) of the cells of a grid, row by row, in shares of the sides."""
    y, x = ((torch.arange(count, device=like.device) + 0.5) / count for count in (rows, cols))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
