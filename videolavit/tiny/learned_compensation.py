"""Learned motion compensation: which pixels of the keyframe move where, what is uncovered, and what comes out there.

Without a network, a clip's coarse motion gives two things: frames by plain motion compensation, each the one before it
moved in blocks, which keep together but blur and drag their surroundings along; and one displacement per frame, which
takes pixels from the keyframe itself. The network sees both. It learns the fine displacement, where which of the two
is right, a mask of what neither shows, and colours for that (paper, section 3.2, in one step: keyframe and motion
decide almost all of a clip). Untrained, it is plain compensation. Frames do not depend on one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from videolavit.clip import MOTION_STD
from videolavit.errors import ConfigError, ShapeError
from videolavit.tiny.block_motion import moved_in_blocks
from videolavit.tiny.compensation import Compensated

__all__ = ["LearnedCompensation", "LearnedCompensationConfig", "MovedFrames", "chained_displacement", "moved"]

_FINE = 4
"""Pixels of the keyframe per cell of the grid on which displacement is chained."""
_EXTRA = 8
"""Channels beside features: displacement and motion (x and y each), how often a source is shown, how far things have
come apart there, time, and size of the displacement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedCompensationConfig:
    """Sizes of the network."""

    width: int = 48
    """Channels at a quarter of the size; half as many at half of it."""
    blocks: int = 3
    """Residual blocks at an eighth of the size, which see far around."""
    fills: bool = True
    """True if the network draws what the keyframe does not show; without, it only chooses among moved pixels."""

    def __post_init__(self) -> None:
        if self.width < 16 or self.width % 16 or self.blocks < 1:
            raise ConfigError(f"width must be a positive multiple of 16 and blocks at least 1, got {self}")


class MovedFrames(NamedTuple):
    """Frames, and what they are made of."""

    frames: Float[Tensor, "batch frames 3 height width"]
    """-1..1, not clamped."""
    moved: Float[Tensor, "batch frames 3 height width"]
    """The keyframe's pixels by the learned displacement alone."""
    displacement: Float[Tensor, "batch frames 2 height width"]
    """Of each pixel since the keyframe, (x, y) in shares of the sides."""
    uncovered: Float[Tensor, "batch frames 1 height width"]
    """Share of a pixel that the network draws, 0 to 1."""


class LearnedCompensation(nn.Module):
    """Keyframes and normalised motion to frames. Sides of keyframes must be multiples of 8."""

    config: LearnedCompensationConfig

    def __init__(self, config: LearnedCompensationConfig) -> None:
        super().__init__()
        self.config = config
        width, half = config.width, config.width // 2
        self.half_size = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, half), _Block(half))
        self.quarter_size = nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * half, width), _Block(width), _Block(width))
        self.join = _conv(2 * width + 3 * _FINE**2 + _EXTRA, width)
        self.before = _Block(width)
        self.eighth_size = nn.Sequential(
            nn.PixelUnshuffle(2), _conv(4 * width, 2 * width), *(_Block(2 * width) for _ in range(config.blocks))
        )
        self.after = nn.Sequential(_conv(2 * width // 4 + width, width), _Block(width))
        self.to_half = nn.Sequential(_conv(width // 4 + half + 6, half), _Block(half))
        self.to_full = _conv(half // 4 + 6, 16)
        self.coarse_flow, self.half_flow = (_starting_at(nn.Conv2d(n, 2, 3, padding=1)) for n in (width, half))
        # Shares of the plain frame, the moved keyframe and what is drawn; and the colours of that.
        last = nn.Conv2d(16, 6 if config.fills else 2, 3, padding=1)
        self.last = _starting_at(last, *((3.0, 0.0, -2.0) if config.fills else (3.0, 0.0)))

    def forward(
        self,
        keyframes: Float[Tensor, "batch 3 height width"],
        motion: Float[Tensor, "batch 2 all_frames rows cols"],
        shown: Int[Tensor, "batch frames"] | None = None,
    ) -> MovedFrames:
        """Frames of clips.

        Args:
            keyframes: -1..1.
            motion: normalised, as the detokenizer reads it; that of the first frame is not used.
            shown: numbers of the frames to make, for training on some of them; None for all.

        Raises:
            ShapeError: sides that are no multiples of 8.
        """
        batch, _, height, width = keyframes.shape
        if height % 8 or width % 8:
            raise ShapeError(f"got keyframes of {height} x {width}, expected sides that are multiples of 8")
        chained, steps = chained_displacement(motion.float(), height // _FINE, width // _FINE)
        with torch.no_grad():
            plain = moved_in_blocks(keyframes.float(), motion.float())
        if shown is None:
            shown = torch.arange(motion.shape[2], device=motion.device).expand(batch, -1)
        pick = (torch.arange(batch, device=shown.device)[:, None], shown)
        count = shown.shape[1]
        plain, displacement, step = (
            rearrange(part[pick], "b t c h w -> (b t) c h w") for part in (plain, chained, steps)
        )
        time = shown.flatten()[:, None, None, None] / motion.shape[2]
        fine = self.half_size(keyframes)
        features = self.quarter_size(fine)
        images, fine, features = (
            repeat(part, "b c h w -> (b t) c h w", t=count) for part in (keyframes, fine, features)
        )
        made = self._frames(images, plain, fine, features, displacement, step, time.to(displacement))
        return MovedFrames(*(rearrange(part, "(b t) c h w -> b t c h w", t=count) for part in made))

    @torch.no_grad()
    def compensate(
        self, keyframes: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
    ) -> Compensated:
        """Frames of clips as a residual detokenizer takes them, in the place of `compensation.compensate`."""
        made = self(keyframes.to(next(self.parameters()).dtype), motion)
        frames = made.frames.clamp(-1, 1)
        frames[:, 0] = keyframes  # which nothing has to move
        return Compensated(frames=frames, hints=torch.cat([4 * made.displacement, made.uncovered], dim=2))

    def _frames(
        self,
        images: Tensor,
        plain: Tensor,
        fine: Tensor,
        features: Tensor,
        displacement: Tensor,
        step: Tensor,
        time: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames, moved pixels, displacement and mask of frames in a row; displacement is refined size by size."""
        extra = torch.cat([_told(displacement, step), time.expand(-1, 1, *displacement.shape[2:])], dim=1)
        shown = F.pixel_unshuffle(plain, _FINE)
        hidden = self.before(self.join(torch.cat([moved(features, displacement), features, shown, extra], dim=1)))
        around = F.pixel_shuffle(self.eighth_size(hidden), 2)
        hidden = self.after(torch.cat([around, hidden], dim=1))
        displacement = _twice(displacement + _sides(self.coarse_flow(hidden)))
        halves = [moved(F.avg_pool2d(images, 2), displacement), F.avg_pool2d(plain, 2)]
        hidden = torch.cat([F.pixel_shuffle(hidden, 2), moved(fine, displacement), *halves], dim=1)
        hidden = self.to_half(hidden)
        displacement = _twice(displacement + _sides(self.half_flow(hidden)))
        shifted = moved(images, displacement)
        seen = torch.cat([plain, shifted], dim=1)
        hidden = F.silu(self.to_full(torch.cat([F.pixel_shuffle(hidden, 2), seen.to(hidden)], dim=1)))
        frames, uncovered = self._mixed(plain, shifted, self.last(hidden).float())
        return frames, shifted, displacement, uncovered

    def _mixed(self, plain: Tensor, shifted: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Frames, and the share of each pixel that is drawn."""
        logits, colours = last.split([3, 3], dim=1) if self.config.fills else (last, None)
        shares = logits.softmax(dim=1).split(1, dim=1)
        frames = shares[0] * plain + shares[1] * shifted
        if colours is None:
            return frames, torch.zeros_like(shares[0])
        return frames + shares[2] * colours, shares[2]


def chained_displacement(
    motion: Float[Tensor, "batch 2 frames rows cols"], rows: int, cols: int
) -> tuple[Float[Tensor, "batch frames 2 new_rows new_cols"], Float[Tensor, "batch frames 2 new_rows new_cols"]]:
    """Displacement since the keyframe and since the frame before, of what each frame shows, in shares of the sides.

    A frame's pixel comes from where its own vector says in the frame before, and from there on as that frame's did.
    """
    sides = motion * motion.new_tensor(MOTION_STD).reshape(1, 2, 1, 1, 1)
    frames = rearrange(sides, "b c t h w -> (b t) c h w")
    steps = F.interpolate(frames, (rows, cols), mode="bilinear", align_corners=False)
    steps = rearrange(steps, "(b t) c h w -> b t c h w", b=len(motion))
    chained = [torch.zeros_like(steps[:, 0])]
    for t in range(1, steps.shape[1]):
        chained.append(steps[:, t] + moved(chained[-1], steps[:, t]))
    return torch.stack(chained, dim=1), steps


def moved(
    values: Float[Tensor, "n channels height width"], displacement: Float[Tensor, "n 2 height width"]
) -> Float[Tensor, "n channels height width"]:
    """Values carried by a displacement in shares of the sides; what comes from outside is that of the border."""
    height, width = values.shape[2:]
    y, x = (torch.linspace(-1 + 1 / size, 1 - 1 / size, size, device=values.device) for size in (height, width))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1) - 2 * displacement.float().permute(0, 2, 3, 1)
    return F.grid_sample(values.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def _told(displacement: Tensor, step: Tensor) -> Tensor:
    """Overlaps by a frame's coarse displacement, (n, 7, rows, cols).

    Where two places show the same source, one of them hides in truth something that the keyframe does not show: most
    often the one that has moved less.
    """
    rows, cols = displacement.shape[2:]
    y, x = torch.meshgrid(torch.arange(rows, device=step.device), torch.arange(cols, device=step.device), indexing="ij")
    source_x = (x - displacement[:, 0] * cols).round().long().clamp(0, cols - 1)
    source_y = (y - displacement[:, 1] * rows).round().long().clamp(0, rows - 1)
    size = displacement.square().sum(1).sqrt()
    source = (source_y * cols + source_x).flatten(1)
    shown = torch.zeros_like(size.flatten(1)).scatter_add(1, source, torch.ones_like(size.flatten(1)))
    largest = torch.zeros_like(size.flatten(1)).scatter_reduce(1, source, size.flatten(1), "amax")
    shown, largest = (part.gather(1, source).reshape(size.shape) for part in (shown, largest))
    scaled = torch.cat([8 * displacement, 32 * step], dim=1)
    more = torch.stack([shown.clamp(max=4) - 1, 8 * (largest - size), 8 * size], dim=1)
    return torch.cat([scaled, more], dim=1)


def _sides(flow: Tensor) -> Tensor:
    """Change of the displacement by a layer: small steps, in float32."""
    return flow.float() / 32


def _twice(displacement: Tensor) -> Tensor:
    """The same displacement at twice the size."""
    return F.interpolate(displacement, scale_factor=2, mode="bilinear", align_corners=False)


def _starting_at(layer: nn.Conv2d, *values: float) -> nn.Conv2d:
    """A convolution that gives these first outputs, and 0 for the others, until it is trained."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    layer.bias.data[: len(values)] = torch.tensor(values)
    return layer


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first, self.second = _conv(width, width), _conv(width, width)

    def forward(self, x: Float[Tensor, "n width rows cols"]) -> Float[Tensor, "n width rows cols"]:
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))
