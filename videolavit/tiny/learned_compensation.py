"""Learned motion compensation: what of a keyframe moves together, where it goes, and what it leaves behind.

A network reads the keyframe and a summary of the clip's coarse motion. It says which layer each pixel belongs to, the
ground or one of two things; which of these is in front; and what the ground looks like behind them. A layer moves,
grows and turns as a whole, as fits the motion best where it is by then, so that it stays sharp and in shape however
coarse the motion is, and a frame is its layers one over the other (paper, section 3.2, in one step: keyframe and motion
decide almost all of a clip). Where a clip is not made of such layers, as most real ones, its frames are those of plain
compensation, each the one before it moved in blocks; which of the two is shown is learnt as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from videolavit.clip import MOTION_STD
from videolavit.errors import ConfigError, ShapeError
from videolavit.tiny.block_motion import moved_in_blocks
from videolavit.tiny.compensation import Compensated, continued
from videolavit.tiny.layer_paths import Forms, Paths, cell_centres, layer_paths, source_places, values_at
from videolavit.tiny.thing_appearance import Painted, ThingAppearance

__all__ = ["LAYERS", "LearnedCompensation", "LearnedCompensationConfig", "MovedFrames"]

LAYERS = 3
"""The ground, and two things from left to right."""
_CELL = 8
"""Pixels along a side of a cell on which motion is read."""
_TOLD_AT = (0.13, 0.35, 0.65, 1.0)
"""Shares of a clip after which the network is told where each cell has come to."""
_TOLD = 2 * len(_TOLD_AT) + 8
"""Channels of the summary of motion."""
_PLACES = 8
"""Rows and columns of learnt places; they are resized to other images than those of 128 x 128 pixels."""
_LEAST_SHARE = 0.02
"""Of a layer in a cell from which on its motion counts."""
_MOST_TRUST = 6.0
"""Logarithm of how many times more, or less, one cell counts than another."""
_GROWTH_TOLD = 8 * len(_TOLD_AT) + 1
"""Numbers that the growth of a thing is read of: eight for each told frame, and its share of the image."""
_NARROWING_STEPS = 23
"""Steps between frames at which the turning of a thing is told how fast it becomes narrower; clips of other lengths are
resampled."""
_TURNING_TOLD = _NARROWING_STEPS + 3 * len(_TOLD_AT) + 1
"""Numbers that the turning of a thing is read of: those, three for each told frame, and its share of the image."""
_RIM = 3
"""Pixels around a thing that is painted anew in which the ground is painted, too."""
_SIZES = (0.3, 3.0)
"""Least and largest size of a layer over that in the keyframe."""


Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedCompensationConfig:
    """Sizes of the network."""

    width: int = 32
    """Channels at half of the size; twice, three and four times as many at a quarter, an eighth and a sixteenth."""

    known_things: tuple[str, ...] = ()
    """Things that are recognised, and painted in the pose of each frame (`thing_appearance.py`): the names of each, as
    in "dog, puppy". Others look as in the keyframe throughout."""
    appearance_width: int = 16
    """Channels at full size of what recognises and paints them."""

    def __post_init__(self) -> None:
        for name in ("width", "appearance_width"):
            if getattr(self, name) < 8 or getattr(self, name) % 8:
                raise ConfigError(f"{name} must be a positive multiple of 8, got {self}")


class MovedFrames(NamedTuple):
    """Frames, and what they are made of."""

    frames: Float[Tensor, "batch frames 3 height width"]
    """-1..1, not clamped."""
    layered: Float[Tensor, "batch frames 3 height width"]
    """The layers one over the other."""
    blocks: Float[Tensor, "batch frames 3 height width"]
    """Plain compensation."""
    displacement: Float[Tensor, "batch frames 2 height width"]
    """Of what each pixel shows since the keyframe, (x, y) in shares of the sides."""
    uncovered: Float[Tensor, "batch frames 1 height width"]
    """Share of a pixel that the keyframe does not show, 0 to 1."""
    masks: Float[Tensor, "batch layers height width"]
    """Share of each layer in each pixel of the keyframe."""
    shift: Float[Tensor, "batch frames layers 2"]
    """Of each layer since the keyframe, (x, y) in shares of the sides."""
    forms: Forms
    """Of the layers."""
    as_blocks: Float[Tensor, " batch"]
    """Probability that plain compensation comes clearly closer to the clip; its frames are plain from 0.5 on."""


class LearnedCompensation(nn.Module):
    """Keyframes and normalised motion to frames. Sides of keyframes must be multiples of 16."""

    config: LearnedCompensationConfig

    def __init__(self, config: LearnedCompensationConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth, sixteenth = (number * config.width for number in (1, 2, 3, 4))
        self.half_size = nn.Sequential(_halved(3, half), _Block(half))
        self.quarter_size = nn.Sequential(_halved(half, quarter), _Block(quarter))
        self.eighth_size = nn.Sequential(
            nn.Conv2d(4 * quarter + _TOLD, eighth, 3, padding=1), _Block(eighth), _Block(eighth)
        )
        self.sixteenth_size = nn.Sequential(_halved(eighth, sixteenth), _Block(sixteenth), _Block(sixteenth))
        self.place = nn.Parameter(torch.zeros(1, sixteenth, _PLACES, _PLACES))
        self.around = nn.MultiheadAttention(sixteenth, 4, batch_first=True)
        self.to_eighth = nn.Sequential(_conv(sixteenth // 4 + eighth, eighth), _Block(eighth))
        self.to_quarter = nn.Sequential(_conv(eighth // 4 + quarter, quarter), _Block(quarter))
        self.to_half = nn.Sequential(_conv(quarter // 4 + half, half), _Block(half))
        self.to_full = nn.Sequential(_conv(half // 4 + 3, 16), nn.SiLU(), _conv(16, 16), nn.SiLU())
        self.layers = _conv(16, LAYERS)
        assert self.layers.bias is not None
        self.layers.bias.data[0] += 2  # most of an image is ground
        self.behind = _starting_at_zero(_conv(16, 3))
        self.trust = _starting_at_zero(nn.Conv2d(eighth, LAYERS, 1))
        # Whether the left thing is in front of the right one, and whether the clip is not made of layers.
        self.whole = _starting_at_zero(nn.Linear(sixteenth, 2))
        self.whole.bias.data[1:] = -2
        # How much larger or smaller things become, by their ways: coarse motion is weaker at the rim of what moves, and
        # as strong at the rim of what stands still before a moving ground, so that its slope alone says little.
        self.growth = nn.Sequential(
            nn.Linear(_GROWTH_TOLD, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), _starting_at_zero(nn.Linear(64, 1))
        )
        # How far things are rotated in the last frame, from when and for how long they turn round; whether they do.
        turning = _starting_at_zero(nn.Linear(64, 5))
        turning.bias.data[3:] = -2
        self.turning = nn.Sequential(nn.Linear(_TURNING_TOLD, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), turning)
        known = len(config.known_things)
        self.appearance = ThingAppearance(config.appearance_width, known) if known else None

    def forward(
        self,
        keyframes: Float[Tensor, "batch 3 height width"],
        motion: Float[Tensor, "batch 2 all_frames rows cols"],
        shown: Int[Tensor, "batch frames"] | None = None,
        blurred: bool = False,
    ) -> MovedFrames:
        """Frames of clips.

        Args:
            keyframes: -1..1.
            motion: normalised, as the detokenizer reads it; that of the first frame is not used.
            shown: numbers of the frames to make, for training on some of them; None for all.
            blurred: things of keyframes are recognised even if they are drawn without detail.

        Raises:
            ShapeError: sides that are no multiples of 16, or fewer than two frames.
        """
        batch = len(keyframes)
        sides = _checked_sides(keyframes, motion)
        logits, behind, trust, pooled = self._read(keyframes, _told(sides))
        masks = logits.float().softmax(dim=1)
        if shown is None:
            shown = torch.arange(motion.shape[2], device=motion.device).expand(batch, -1)
        pick = (torch.arange(batch, device=shown.device)[:, None], shown)
        in_front, as_blocks = (part.reshape(batch, 1, 1, 1, 1) for part in self.whole(pooled).float().sigmoid().T)
        with torch.autocast(keyframes.device.type, enabled=False):
            keyframes = keyframes.float()
            weights = _weights(masks, trust.float())
            paths = layer_paths(sides, weights, self._forms(layer_paths(sides, weights), masks))
            shift, forms = paths.shift[pick], paths.forms.at(pick)
            painted = None if self.appearance is None else self.appearance(keyframes, masks[:, 1:], shown, blurred)
            layered, displacement, uncovered = _composed(
                keyframes, masks, behind.float(), shift, paths.middle, forms, in_front, painted
            )
            with torch.no_grad():
                blocks = moved_in_blocks(keyframes, motion.float())[pick]
        frames = torch.where(as_blocks < 0.5, layered, blocks)  # a mean of both would show things twice
        return MovedFrames(frames, layered, blocks, displacement, uncovered, masks, shift, forms, as_blocks.flatten())

    def forms(
        self,
        keyframes: Float[Tensor, "batch 3 height width"],
        motion: Float[Tensor, "batch 2 all_frames rows cols"],
    ) -> Forms:
        """Forms of layers in the course of clips, with gradients for what reads them alone; nothing is drawn.

        Arguments and errors are those of `forward`.
        """
        with torch.no_grad():
            sides = _checked_sides(keyframes, motion)
            logits, _, trust, _ = self._read(keyframes, _told(sides))
            masks = logits.float().softmax(dim=1)
            still = layer_paths(sides, _weights(masks, trust.float()))
        return self._forms(still, masks)

    @torch.no_grad()
    def compensate(
        self, keyframes: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
    ) -> Compensated:
        """Frames of clips as a residual detokenizer takes them, in the place of `compensation.compensate`."""
        made = self(keyframes.to(next(self.parameters()).dtype), motion)
        frames = made.frames.clamp(-1, 1)
        frames[:, 0] = keyframes  # which nothing has to move
        return Compensated(frames=frames, hints=torch.cat([4 * made.displacement, made.uncovered], dim=2))

    @torch.no_grad()
    def masks_of_things(
        self, keyframes: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch things height width"]:
        """Share of each thing in each pixel of images that do not move. Errors are those of `forward`."""
        logits, *_ = self._read(keyframes, _told(_checked_sides(keyframes, _still(keyframes))))
        return logits.float().softmax(dim=1)[:, 1:]

    @torch.no_grad()
    def named(self, keyframes: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch things kinds"]:
        """Logarithms of the probabilities that the things of images are none that is known (kind 0), or which.

        In images with sides that are no multiples of 16 nothing is recognised.
        """
        assert self.appearance is not None, "a network that knows things"
        keyframes = keyframes.to(next(self.parameters()).dtype)
        nothing = torch.zeros_like(keyframes[:, 1:])
        return self.appearance.named(keyframes, self.masks_of_things(keyframes) if _fits(keyframes) else nothing)

    @torch.no_grad()
    def repainted(self, keyframes: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Images, -1..1, whose known things are painted anew, as those that were drawn of codes ask for.

        Images that are not made of a ground and things stay as they are, as do those with sides that are no multiples
        of 16.
        """
        if self.appearance is None or not _fits(keyframes):
            return keyframes
        first = torch.zeros(len(keyframes), 1, dtype=torch.long, device=keyframes.device)
        made = self(keyframes.to(next(self.parameters()).dtype), _still(keyframes), first, blurred=True)
        in_layers = made.as_blocks.reshape(-1, 1, 1, 1) < 0.5
        return torch.where(in_layers, made.frames[:, 0].clamp(-1, 1).to(keyframes), keyframes)

    def _read(self, keyframes: Tensor, told: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits of layers, colours behind things beside a smooth continuation, trust in cells, features of all."""
        half = self.half_size(keyframes)  # (batch, width, height / 2, width / 2)
        quarter = self.quarter_size(half)
        eighth = self.eighth_size(torch.cat([F.pixel_unshuffle(quarter, 2), told.to(quarter)], dim=1))
        low = self.sixteenth_size(eighth)
        rows, cols = low.shape[2:]
        place = F.interpolate(self.place, (rows, cols), mode="bilinear", align_corners=False)
        words = rearrange(low + place, "b c h w -> b (h w) c")
        words = rearrange(low, "b c h w -> b (h w) c") + self.around(words, words, words, need_weights=False)[0]
        low = rearrange(words, "b (h w) c -> b c h w", h=rows)
        eighth = self.to_eighth(torch.cat([F.pixel_shuffle(low, 2), eighth], dim=1))
        quarter = self.to_quarter(torch.cat([F.pixel_shuffle(eighth, 2), quarter], dim=1))
        half = self.to_half(torch.cat([F.pixel_shuffle(quarter, 2), half], dim=1))
        full = self.to_full(torch.cat([F.pixel_shuffle(half, 2), keyframes], dim=1))
        pooled = F.layer_norm(words.mean(1), words.shape[2:])
        return self.layers(full), self.behind(full), self.trust(eighth), pooled

    def _forms(self, still: Paths, masks: Tensor) -> Forms:
        """Form of each layer in every frame, from the ways of layers that keep theirs.

        The ground is as large as its motion says. Things grow and rotate evenly, as much as is read of their ways.
        """
        last = still.shift.shape[1] - 1
        at = _told_frames(last + 1)
        growth, shift = still.growth[:, at], still.shift[:, at]
        of_ground = torch.cat([8 * shift[:, :, :1], 8 * growth[:, :, :1, None]], dim=3)  # (batch, frames, 1, 3)
        way = 8 * (shift[:, :, 1:] - shift[:, :, :1])  # of things, seen from the ground
        own = 4 * growth[:, :, 1:, None]
        told = torch.cat([own, own.abs(), way, way.norm(dim=3, keepdim=True), of_ground.expand(-1, -1, 2, -1)], dim=3)
        shares = 4 * masks.float().mean((2, 3))[:, 1:, None]
        at_last = self.growth(torch.cat([rearrange(told, "b t l d -> b l (t d)"), shares], dim=2))[..., 0]
        share = torch.arange(last + 1, device=at_last.device) / last
        things = (at_last[:, None] * share[:, None]).exp()
        scale = torch.cat([1 + still.growth[:, :, :1], things], dim=2).clamp(*_SIZES)

        told = torch.cat([still.rotation[:, at, 1:, None], way], dim=3)
        narrowing = rearrange(12 * still.narrowing[:, 1:, 1:], "b t l -> b l t")
        narrowing = F.interpolate(narrowing, _NARROWING_STEPS, mode="linear", align_corners=True)
        told = torch.cat([rearrange(told, "b t l d -> b l (t d)"), narrowing, shares], dim=2)
        at_last, start, length, rotates, turns = self.turning(told).unbind(-1)  # (batch, things)
        rotated = F.pad(at_last[:, None] * share[:, None], (1, 0))
        first = start.sigmoid()
        after = (share[:, None] - first[:, None]) / ((1 - first) * length.sigmoid())[:, None].clamp(min=1 / last)
        turned = F.pad((math.pi * after.clamp(0, 1)).cos(), (1, 0), value=1.0)
        return Forms(scale, rotated, F.pad(rotates, (1, 0), value=-1.0), turned, F.pad(turns, (1, 0), value=-1.0))


def _composed(
    keyframes: Tensor,
    masks: Tensor,
    behind: Tensor,
    shift: Tensor,
    middle: Tensor,
    forms: Forms,
    in_front: Tensor,
    painted: Painted | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of layers, the displacement of what they show, and the share of it that the keyframe hides."""
    on_ground = masks[:, :1] if painted is None else 1 - _with_rims(masks[:, 1:], painted.known)
    continuation = continued(keyframes, on_ground.clamp(min=1e-3) ** 4)
    ground = on_ground * keyframes + (1 - on_ground) * continuation + (1 - masks[:, :1]) * behind
    # Of each layer colours, what was hidden, and displacement: (batch, frames, 6, height, width).
    source, displacement = source_places(shift, middle, forms, 0, keyframes)
    under = torch.cat([_carried(torch.cat([ground, 1 - on_ground], dim=1), source, "border"), displacement], dim=2)
    things = []
    for number in range(1, LAYERS):
        source, displacement = source_places(shift, middle, forms, number, keyframes)
        share = masks[:, number : number + 1]
        thing = _carried(torch.cat([share * keyframes, share], dim=1), source, "zeros")
        if painted is not None:
            thing = painted.over(thing, number - 1, source)
        colours, share = thing.split([3, 1], dim=2)
        things.append((torch.cat([colours, torch.zeros_like(share), share * displacement], dim=2), share))
    left, right = things
    layers = in_front * _over(_over(under, *right), *left) + (1 - in_front) * _over(_over(under, *left), *right)
    colours, hidden, displacement = layers.split([3, 1, 2], dim=2)
    return colours, displacement, hidden


def _with_rims(
    masks: Float[Tensor, "batch things height width"], known: Bool[Tensor, "batch things"]
) -> Float[Tensor, "batch 1 height width"]:
    """Share of things in pixels, with the blurred rims of those that are painted anew: they would be left behind."""
    wide = F.max_pool2d(masks, 2 * _RIM + 1, stride=1, padding=_RIM)
    return torch.where(known[..., None, None], wide, masks).sum(1, keepdim=True).clamp(max=1)


def _carried(images: Tensor, source: Tensor, outside: str) -> Float[Tensor, "batch frames channels height width"]:
    """Images of keyframes in each frame; `outside` of them are zeros, or what is at the border."""
    count = source.shape[1]
    flat = repeat(images, "b c h w -> (b t) c h w", t=count)
    grid = 2 * source.flatten(0, 1) - 1
    seen = F.grid_sample(flat, grid, mode="bilinear", padding_mode=outside, align_corners=False)
    return rearrange(seen, "(b t) c h w -> b t c h w", t=count)


def _over(under: Tensor, thing: Tensor, share: Tensor) -> Tensor:
    """A thing, its values multiplied by its share already, over what is behind it."""
    return thing + (1 - share) * under


def _weights(masks: Tensor, trust: Tensor) -> Float[Tensor, "batch layers cells"]:
    """Weights of cells for the motion of each layer: what they show of it, and what the network makes of that."""
    shares = F.avg_pool2d(masks, _CELL).flatten(2)
    trusted = (2 * trust.flatten(2)).clamp(-_MOST_TRUST, _MOST_TRUST).exp()
    weights = shares * (trusted * (shares > _LEAST_SHARE) + 1e-6)
    return weights / weights.sum(2, keepdim=True).clamp(min=1e-8)


def _told(sides: Float[Tensor, "batch 2 frames rows cols"]) -> Float[Tensor, "batch told rows cols"]:
    """Summary of motion for the network: where each cell comes to, how much it moves, and how unsteadily."""
    batch, _, frames, rows, cols = sides.shape
    start = cell_centres(rows, cols, sides).expand(batch, -1, -1)
    told_at, place, told = _told_frames(frames), start, {}
    for t in range(1, frames):
        place = place + values_at(sides[:, :, t], place + values_at(sides[:, :, t], place))
        told[t] = 8 * rearrange(place - start, "b (h w) d -> b d h w", h=rows)
    # Motion is a few hundredths of a side: all channels are brought to about 1.
    moving = sides[:, :, 1:]
    size, unsteady = moving.abs().mean(2), moving.std(2, correction=0)
    early, later = 32 * sides[:, :, 1], 32 * sides[:, :, frames // 2]
    return torch.cat([*(told[t] for t in told_at), 64 * size, 64 * unsteady, early, later], dim=1)


def _told_frames(frames: int) -> list[int]:
    """Numbers of the frames that the network is told of."""
    return [max(1, round(share * (frames - 1))) for share in _TOLD_AT]


def _fits(keyframes: Tensor) -> bool:
    """True for images of sides that the network reads."""
    return not any(side % (2 * _CELL) for side in keyframes.shape[2:])


def _still(keyframes: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2 2 rows cols"]:
    """Motion of two frames in which nothing moves."""
    batch, _, height, width = keyframes.shape
    return keyframes.new_zeros(batch, 2, 2, max(height // _CELL, 1), max(width // _CELL, 1))


def _checked_sides(keyframes: Tensor, motion: Tensor) -> Float[Tensor, "batch 2 frames rows cols"]:
    """Motion in shares of the sides, on the cells of keyframes."""
    height, width = keyframes.shape[2:]
    if not _fits(keyframes) or motion.shape[2] < 2:
        raise ShapeError(
            f"got keyframes of {height} x {width} and {motion.shape[2]} frames, expected sides that are multiples "
            f"of {2 * _CELL} and at least two frames"
        )
    return _on_cells(motion.float(), height // _CELL, width // _CELL)


def _on_cells(motion: Tensor, rows: int, cols: int) -> Float[Tensor, "batch 2 frames rows cols"]:
    """Motion in shares of the sides, on the cells that the network reads."""
    sides = motion * motion.new_tensor(MOTION_STD).reshape(1, 2, 1, 1, 1)
    if sides.shape[3:] == (rows, cols):
        return sides
    frames = rearrange(sides, "b d t h w -> (b t) d h w")
    resized = F.interpolate(frames, (rows, cols), mode="bilinear", align_corners=False)
    return rearrange(resized, "(b t) d h w -> b d t h w", b=len(motion))


def _starting_at_zero(layer: Layer) -> Layer:
    """A layer that gives zeros until it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _halved(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution at half of the size."""
    return nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * inputs, outputs))


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first, self.second = _conv(width, width), _conv(width, width)

    def forward(self, x: Float[Tensor, "n width rows cols"]) -> Float[Tensor, "n width rows cols"]:
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))
