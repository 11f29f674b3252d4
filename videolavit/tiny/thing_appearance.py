"""Appearance of known things: what is in a keyframe is recognised, and painted in any of its poses.

A thing walks while it moves, its wings beat while it rests, and of a keyframe that was drawn from few codes it is a
blurred hint. One network looks at a square of the keyframe around each thing, as large as the thing asks for, and says
which of the things that it knows this is, where, which way it faces, and in what light. Another one has learnt what
these things look like in each of their poses: the pose that comes closest to what is seen is the keyframe's, and the
next frame has the next one. What neither knows stays as it is.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

__all__ = [
    "CELL",
    "COUNTS",
    "SQUARE",
    "Painted",
    "Recognised",
    "Squares",
    "ThingAppearance",
    "seen_squares",
    "square_places",
    "squares",
]

SQUARE = 64
"""Pixels along a side of the square in which a thing is seen."""
CELL = 64
"""Pixels along a side of the cell in which a thing is painted."""
_REACH = 1.8
"""Half of the side of a square, in standard deviations of the thing's pixels from its middle."""
_LEAST_REACH = 8.0
"""The least half side, in pixels."""
COUNTS = 0.25
"""Share of a layer in a pixel from which on the pixel counts for where the thing is."""
_LEAST_SHARE = 0.004
"""Share of the image from which on a layer shows a thing."""
_SURE = 0.5
"""Probability from which on a thing is recognised: one in a hundred known things is then taken for another."""
_LEAST_OVERLAP = 0.35
"""Of what is painted and what is seen of a thing, over the area of both."""
_MOST_DIFFERENT, _MOST_DIFFERENT_IF_BLURRED = 0.2, 0.33
"""Mean difference of colours of -1 to 1 between the two. Of things that were painted before one in twenty is above the
first, as are fourteen in fifteen of those in other styles; of things that were drawn of codes one in twenty is above
the second."""
_NEVER = -12.0
"""Least logarithm of a probability."""
_TOLD = 192
"""Numbers that stand for a thing in a pose."""
_HARMONICS = 8
"""Of a turn of poses, sines and cosines."""
_SMALL = 44.0
"""Side of a thing in pixels below which its cell is smoothed, which would else be seen in steps."""


class Squares(NamedTuple):
    """Squares of images around things."""

    middle: Float[Tensor, "batch things 2"]
    """(x, y) in shares of the sides of the image."""
    reach: Float[Tensor, "batch things 2"]
    """Half of the sides, likewise."""
    there: Bool[Tensor, "batch things"]
    """True where there is a thing at all."""


class Recognised(NamedTuple):
    """Readings of squares. Kind 0 is whatever is not known."""

    kind: Float[Tensor, "n kinds"]
    """Logits."""
    mirrored: Float[Tensor, " n"]
    """Logit of facing the other way than the artwork."""
    place: Float[Tensor, "n 3"]
    """Centre (x, y) of the thing's cell in half sides of the square from its middle, and the logarithm of the cell's
    side over the square's."""
    light: Float[Tensor, "n 3"]
    """By which its colours are multiplied."""

    @property
    def half(self) -> Float[Tensor, "n 2"]:
        """Half sides of the cell in half sides of the square; negative across for what is mirrored."""
        across = torch.where(self.mirrored > 0, -1.0, 1.0)[:, None]
        return self.place[:, 2:].exp() * torch.cat([across, torch.ones_like(across)], dim=1)


class Painted(NamedTuple):
    """Things as they are painted."""

    cells: Float[Tensor, "batch frames things 4 cell cell"]
    """Colours of -1 to 1 times share, and share."""
    centre: Float[Tensor, "batch things 2"]
    """Of the cells in the keyframe, (x, y) in shares of its sides."""
    half: Float[Tensor, "batch things 2"]
    """Half of the sides of the cells, likewise; negative across for what is mirrored."""
    known: Bool[Tensor, "batch things"]
    """True for those that are painted at all."""

    def over(
        self,
        seen: Float[Tensor, "batch frames 4 height width"],
        thing: int,
        source: Float[Tensor, "batch frames height width 2"],
    ) -> Float[Tensor, "batch frames 4 height width"]:
        """One thing in frames, colours times share and share: as it is `seen` in the keyframe, or as it is painted if
        it is known. `source` are the places in the keyframe that pixels come from, (x, y) in shares of the sides."""
        centre, half = (part[:, thing, None, None, None] for part in (self.centre, self.half))
        grid, cells = ((source - centre) / half).flatten(0, 1), self.cells[:, :, thing].flatten(0, 1)
        painted = F.grid_sample(cells, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        known = self.known[:, thing, None, None, None, None]
        return torch.where(known, painted.unflatten(0, source.shape[:2]), seen)


class ThingAppearance(nn.Module):
    """Keyframes and the masks of their things to these things in each frame.

    Args:
        width: channels at full size of both networks.
        kinds: number of things that are known.
    """

    def __init__(self, width: int, kinds: int) -> None:
        super().__init__()
        self.recogniser, self.painter = _Recogniser(width, kinds + 1), _Painter(width, kinds + 1)

    def forward(
        self,
        keyframes: Float[Tensor, "batch 3 height width"],
        masks: Float[Tensor, "batch things height width"],
        shown: Int[Tensor, "batch frames"],
        blurred: bool = False,
    ) -> Painted:
        """Things in the frames of those numbers; the keyframe is 0.

        Only those are known that would look in the keyframe about as they do there: in detail, or, if they are
        `blurred`, on the whole.
        """
        batch, things, height, _ = masks.shape
        around = squares(masks)
        cells = keyframes.new_zeros(batch, shown.shape[1], things, 4, CELL, CELL)
        centre, half, known = around.middle.clone(), around.reach.clone(), torch.zeros_like(around.there)
        nothing = Painted(cells, centre, half, known)
        if not around.there.any():
            return nothing
        # 1. What is there, as far as that is known.
        seen = self._seen(keyframes, masks, around)
        found = self.recogniser(seen)
        probability, kind = found.kind.softmax(1).max(1)
        sure = (kind > 0) & (probability > _SURE)
        if not sure.any():
            return nothing
        clip, thing = (index[sure] for index in around.there.nonzero(as_tuple=True))
        kind, found, seen = kind[sure], Recognised(*(part[sure] for part in found)), seen[sure]
        # 2. The pose that is seen, and those of the frames.
        poses = self._poses(kind, found.light)
        overlap, apart = _likeness(found, poses, seen)
        first = (apart + (overlap < _LEAST_OVERLAP)).argmin(1)
        each = torch.arange(len(kind), device=kind.device)
        number = (first[:, None] + shown[clip]) % self.painter.poses[kind, None].long()
        painted = poses[each[:, None], number]
        # 3. Where their cells are, in shares of the sides.
        most = _MOST_DIFFERENT_IF_BLURRED if blurred else _MOST_DIFFERENT
        known[clip, thing] = (overlap[each, first] >= _LEAST_OVERLAP) & (apart[each, first] <= most)
        reach = around.reach[clip, thing]
        centre[clip, thing] = around.middle[clip, thing] + found.place[:, :2] * reach
        half[clip, thing] = found.half * reach
        small = 2 * half[clip, thing, 1] * height < _SMALL
        smooth = F.avg_pool2d(painted.flatten(0, 1), 3, stride=1, padding=1).view_as(painted)
        painted = torch.where(small[:, None, None, None, None], smooth, painted)
        cells = cells.transpose(1, 2).index_put((clip, thing), painted).transpose(1, 2)
        return Painted(cells, centre, half, known)

    def named(
        self, keyframes: Float[Tensor, "batch 3 height width"], masks: Float[Tensor, "batch things height width"]
    ) -> Float[Tensor, "batch things kinds"]:
        """Logarithms of the probabilities of kinds; where there is no thing, that is kind 0."""
        around = squares(masks)
        named = keyframes.new_full((*around.there.shape, len(self.painter.poses)), _NEVER)
        named[..., 0] = 0
        if around.there.any():
            kind = self.recogniser(self._seen(keyframes, masks, around)).kind
            named[around.there] = kind.log_softmax(1).clamp(min=_NEVER)
        return named

    def _poses(self, kind: Int[Tensor, " n"], light: Float[Tensor, "n 3"]) -> Float[Tensor, "n poses 4 cell cell"]:
        """Things in all of their poses, colours of -1 to 1 times share, and share; again and again for those with fewer
        poses than others."""
        turn = 2 * math.pi / self.painter.poses[kind, None]
        number = torch.arange(int(self.painter.poses[kind].max()), device=kind.device)
        colours, share = self.painter.of_frames(kind, turn * number).split([3, 1], dim=2)
        return torch.cat([2 * colours * light[:, None, :, None, None] - share, share], dim=2)

    def _seen(self, keyframes: Tensor, masks: Tensor, around: Squares) -> Float[Tensor, "n 5 side side"]:
        """Squares with a thing, one after the other."""
        which = around.there.nonzero(as_tuple=True)
        places = square_places(around.middle[which], around.reach[which])
        return seen_squares(keyframes[which[0]], masks[which], places)


class _Recogniser(nn.Module):
    """Squares to what is in them."""

    def __init__(self, width: int, kinds: int) -> None:
        super().__init__()
        sizes = [number * width for number in (1, 2, 4, 6, 8)]  # at 64, 32, 16, 8 and 4 pixels along a side
        body: list[nn.Module] = [_conv(5, width), nn.SiLU()]
        for larger, smaller in itertools.pairwise(sizes):
            body += [nn.PixelUnshuffle(2), _conv(4 * larger, smaller), _Block(smaller)]
        last = sizes[-1]
        body += [nn.GroupNorm(8, last), nn.SiLU(), nn.Flatten(), nn.Linear((SQUARE // 16) ** 2 * last, _TOLD)]
        self.body = nn.Sequential(*body, nn.LayerNorm(_TOLD), nn.SiLU())
        self.kind, self.mirrored = nn.Linear(_TOLD, kinds), nn.Linear(_TOLD, 1)
        self.place, self.light = nn.Linear(_TOLD, 3), nn.Linear(_TOLD, 3)
        _channels_last(self)

    def forward(self, seen: Float[Tensor, "n 5 side side"]) -> Recognised:
        """Readings of squares that `seen_squares` cuts out."""
        found = self.body(seen)
        return Recognised(self.kind(found), self.mirrored(found)[:, 0], self.place(found), self.light(found))


class _Painter(nn.Module):
    """Kinds and poses to cells."""

    poses: Tensor

    def __init__(self, width: int, kinds: int) -> None:
        super().__init__()
        self.register_buffer("poses", torch.ones(kinds))  # how many each kind has
        self.kind, self.turn = nn.Embedding(kinds, _TOLD), nn.Linear(2 * _HARMONICS, _TOLD)
        self.told = nn.Sequential(
            nn.LayerNorm(_TOLD),
            nn.SiLU(),
            nn.Linear(_TOLD, 2 * _TOLD),
            nn.SiLU(),
            nn.Linear(2 * _TOLD, _TOLD),
            nn.LayerNorm(_TOLD),
            nn.SiLU(),
        )
        sizes = [number * width for number in (6, 4, 2, 1)]  # at 8, 16, 32 and 64 pixels along a side
        self.start = nn.Sequential(nn.Linear(_TOLD, sizes[0] * (CELL // 8) ** 2), nn.Unflatten(1, (-1, 8, 8)))
        self.blocks = nn.ModuleList(_Block(size, _TOLD) for size in sizes)
        self.larger = nn.ModuleList(
            nn.Sequential(nn.PixelShuffle(2), _conv(smaller // 4, larger))
            for smaller, larger in itertools.pairwise(sizes)
        )
        self.out = nn.Sequential(nn.SiLU(), _conv(width, 4), nn.Sigmoid())
        _channels_last(self)

    def forward(self, kind: Int[Tensor, " n"], angle: Float[Tensor, " n"]) -> Float[Tensor, "n 4 cell cell"]:
        """Colours times share, and share, from 0 to 1; a turn is all poses of a kind."""
        harmonics = angle[:, None] * torch.arange(1, _HARMONICS + 1, device=angle.device)
        turn = torch.cat([harmonics.sin(), harmonics.cos()], dim=1).to(self.turn.weight)
        told = self.told(self.kind(kind) + 2 * self.turn(turn))
        x = self.start(told)
        for block, larger in zip(self.blocks, [*self.larger, nn.Identity()], strict=True):
            x = larger(block(x, told))
        colours, share = self.out(x).split([3, 1], dim=1)
        return torch.cat([colours * share, share], dim=1)

    def of_frames(
        self, kind: Int[Tensor, " n"], angle: Float[Tensor, "n frames"]
    ) -> Float[Tensor, "n frames 4 cell cell"]:
        """The same for several poses of each."""
        count = angle.shape[1]
        return self(kind.repeat_interleave(count), angle.flatten()).unflatten(0, (-1, count))


@torch.no_grad()
def squares(masks: Float[Tensor, "batch things height width"]) -> Squares:
    """Squares around things by their masks, 0 to 1: pixels that show little of a thing do not count."""
    height, width = masks.shape[2:]
    sure = masks * (masks > COUNTS)
    mass = sure.sum((2, 3))
    middle, variance = [], []
    for other, size in ((2, width), (3, height)):
        weights = sure.sum(other) / mass.clamp(min=1)[..., None]
        place = torch.arange(size, device=masks.device) + 0.5  # in pixels
        mean = (weights * place).sum(-1, keepdim=True)
        middle.append(mean[..., 0] / size)
        variance.append((weights * (place - mean).square()).sum(-1))
    reach = (_REACH * (variance[0] + variance[1]).sqrt()).clamp(min=_LEAST_REACH)
    sides = masks.new_tensor([width, height])
    return Squares(torch.stack(middle, dim=-1), reach[..., None] / sides, mass > _LEAST_SHARE * height * width)


def square_places(
    middle: Float[Tensor, "*squares 2"], reach: Float[Tensor, "*squares 2"]
) -> Float[Tensor, "*squares side side 2"]:
    """Places of the pixels of squares, (x, y) in shares of the sides of the image."""
    along = (torch.arange(SQUARE, device=middle.device) + 0.5) / SQUARE * 2 - 1
    y, x = torch.meshgrid(along, along, indexing="ij")
    return middle[..., None, None, :] + reach[..., None, None, :] * torch.stack([x, y], dim=-1)


def seen_squares(
    keyframes: Float[Tensor, "n 3 height width"],
    masks: Float[Tensor, "n height width"],
    places: Float[Tensor, "n side side 2"],
) -> Float[Tensor, "n 5 side side"]:
    """Squares of keyframes, -1 to 1, of masks, and 1 where there is an image."""
    values = torch.cat([keyframes, masks[:, None], torch.ones_like(masks[:, None])], dim=1)
    seen = F.grid_sample(values, 2 * places - 1, mode="bilinear", padding_mode="zeros", align_corners=False)
    return seen.contiguous(memory_format=torch.channels_last)


def _likeness(
    found: Recognised, painted: Float[Tensor, "n poses 4 cell cell"], seen: Float[Tensor, "n 5 side side"]
) -> tuple[Float[Tensor, "n poses"], Float[Tensor, "n poses"]]:
    """Overlap of things as they would be painted and as they are seen in their squares, over the area of both; and mean
    difference of their colours where they would be painted."""
    pixels = square_places(torch.zeros_like(found.half), torch.ones_like(found.half))
    grid = (pixels - found.place[:, None, None, :2]) / found.half[:, None, None]  # (n, side, side, 2)
    poses = painted.shape[1]
    placed = F.grid_sample(painted.flatten(1, 2), grid, align_corners=False).unflatten(1, (poses, 4))
    colours, share, mask = placed[:, :, :3], placed[:, :, 3], seen[:, None, 3]
    overlap = torch.minimum(mask, share).sum((2, 3)) / torch.maximum(mask, share).sum((2, 3)).clamp(min=1)
    apart = (colours - share[:, :, None] * seen[:, None, :3]).abs().mean(2).sum((2, 3))
    return overlap, apart / share.sum((2, 3)).clamp(min=1e-3)


class _Block(nn.Module):
    """Two convolutions beside a shortcut; what is told, if anything, scales and shifts their channels."""

    def __init__(self, width: int, told: int = 0) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first, self.second = _conv(width, width), _conv(width, width)
        self.told = nn.Linear(told, 2 * width) if told else None

    def forward(
        self, x: Float[Tensor, "n width rows cols"], told: Float[Tensor, "n told"] | None = None
    ) -> Float[Tensor, "n width rows cols"]:
        values = self.norm(x)
        if self.told is not None:
            assert told is not None
            scale, shift = self.told(told)[..., None, None].chunk(2, dim=1)
            values = values * (1 + scale) + shift
        return x + self.second(F.silu(self.first(F.silu(values))))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _channels_last(module: Any) -> None:
    """Convolutions of so few channels take half of the time on a CPU."""
    module.to(memory_format=torch.channels_last)
