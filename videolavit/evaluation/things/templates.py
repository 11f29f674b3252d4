"""Things found in a frame by their artwork: where, how large, in which pose, and how well it explains the pixels.

A thing's name is given. Photographs defeat the search for anything at all; with the name, the best match of its poses
finds the place within a pixel. The search is coarse at half the size, by Fourier transform over all places at once, and
fine around the best places after that.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from videolavit.data.overlap import overlap
from videolavit.data.things.catalogue import thing
from videolavit.data.things.render import NIGHT_THINGS
from videolavit.data.things.scene import SIZE
from videolavit.data.things.sources import Sources, load_sources
from videolavit.errors import ConfigError

__all__ = ["Appearance", "Match", "Template", "best_match", "error_of", "in_frame", "look_alike", "planes", "template"]

_COARSE_SIDES = (26.0, 32.0, 39.0, 48.0, 59.0, 73.0, 90.0)
"""Pixels along the side of a cell; steps small enough for a coarse search."""
_COARSE_POSES = 4
_CANVAS = 128
"""Side of the coarse image with room for what leaves it."""
_CANDIDATES = 2
_LARGEST_SIDE = 192.0
"""Of a cell, in pixels: more than a large thing has that came near before a camera that came near. Where a thing is not
there at all, the search would take a larger look in each frame."""
_MOST_TEMPLATE_BYTES = 600_000_000
_FOUND = 6.0
"""Mean difference that no more search is needed for."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """One way in which a thing can look."""

    name: str
    pose: int
    side: float
    right: bool
    """True if it faces right."""
    angle: float = 0.0
    night: bool = False
    style: str = "rendered"


@dataclass(frozen=True, slots=True)
class Match:
    """Place where one of its looks explains a thing best."""

    look: Appearance
    centre: tuple[float, float]
    """(x, y) of the cell in pixels."""
    error: float
    """Mean absolute difference of colours under the thing, 0 to 255."""
    worst: float
    """The same of the worst patch of 8 x 8 pixels that the thing covers."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A look as pixels."""

    colours: Float32[np.ndarray, "3 side side"]
    """0 to 255, times alpha; colours first, which NumPy adds up several times faster."""
    alpha: Float32[np.ndarray, "side side"]
    total: float
    """Sum of alpha."""


def planes(frame: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "3 height width"]:
    """A frame as the search reads it."""
    return np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32)


def template(look: Appearance, sources: Sources) -> Template:
    """Pixels of a look, with the middle of its cell in the middle of the square."""
    return _TEMPLATES.of(look, sources)


class _Templates:
    """Templates that were drawn lately, forgotten all together when they are too many."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Appearance], Template] = {}
        self._num_bytes = 0

    def of(self, look: Appearance, sources: Sources) -> Template:
        key = (str(sources.path), look)
        if key not in self._kept:
            drawn = _drawn(look, sources)
            if self._num_bytes > _MOST_TEMPLATE_BYTES:
                self._kept.clear()
                self._num_bytes = 0
            self._kept[key] = drawn
            self._num_bytes += drawn.colours.nbytes + drawn.alpha.nbytes
        return self._kept[key]


_TEMPLATES = _Templates()


def best_match(
    frame: UInt8[np.ndarray, "height width 3"],
    name: str,
    sources: Sources,
    *,
    near: Match | None = None,
    turned: bool = False,
    night: bool = False,
    style: str = "rendered",
    ignored: Float32[np.ndarray, "height width"] | None = None,
) -> Match:
    """The place and the look of a thing that explain a frame best.

    Args:
        frame: the frame.
        name: of the thing.
        sources: its artwork.
        near: where it was in a frame nearby; without, it is searched everywhere.
        turned: whether it may be turned by any angle.
        night: whether things are as dark as at night.
        style: of the artwork.
        ignored: 1 where nothing may be found, such as at another one of its kind.

    Raises:
        ConfigError: the frame has another size than those of the world of things.
    """
    if frame.shape[:2] != (SIZE, SIZE):
        raise ConfigError(
            f"got a frame of {frame.shape[0]} x {frame.shape[1]} pixels, expected {SIZE} x {SIZE}, the size of the "
            "artwork that things are found by; evaluate a model that generates this size, or resize its frames"
        )
    values = planes(frame)
    starts = [] if near is None else [(near.look, near.centre)]
    if near is None:
        starts = _coarse(values, name, sources, turned, night, style, ignored)
    matches = [_refined(values, look, centre, sources, turned) for look, centre in starts]
    return min(matches, key=lambda match: match.error * _worth(match))


def error_of(
    frame: Float32[np.ndarray, "3 height width"], look: Appearance, centre: tuple[float, float], sources: Sources
) -> tuple[float, float]:
    """Mean difference under a look at a place, and that of its worst patch."""
    seen = _seen(frame, look, centre, sources)
    if seen is None:
        return 255.0, 255.0
    off, alpha = seen
    return float(off.sum()) / (3 * float(alpha.sum())), _worst_patch(off.sum(0) / 3, alpha)


def _error(frame: np.ndarray, look: Appearance, centre: tuple[float, float], sources: Sources) -> float:
    seen = _seen(frame, look, centre, sources)
    return 255.0 if seen is None else float(seen[0].sum()) / (3 * float(seen[1].sum()))


def _seen(
    frame: np.ndarray, look: Appearance, centre: tuple[float, float], sources: Sources
) -> tuple[np.ndarray, np.ndarray] | None:
    """Differences and alpha where a look lies in the frame; None where most of it does not."""
    drawn = template(look, sources)
    (rows, cols), inside = in_frame(drawn.alpha.shape[0], centre, frame.shape[1], frame.shape[2])
    alpha, colours = drawn.alpha[inside], drawn.colours[:, inside[0], inside[1]]
    if float(alpha.sum()) < 0.5 * drawn.total:
        return None
    off = frame[:, rows, cols] * alpha
    off -= colours
    return np.abs(off, out=off), alpha


def _worst_patch(off: np.ndarray, alpha: np.ndarray, side: int = 8) -> float:
    height, width = (size // side * side for size in off.shape)
    if not height or not width:
        return 0.0
    blocks = [
        part[:height, :width].reshape(height // side, side, width // side, side).sum((1, 3)) for part in (off, alpha)
    ]
    full = blocks[1] > 0.6 * side**2
    return float((blocks[0][full] / blocks[1][full]).max()) if full.any() else 0.0


def in_frame(
    side: int, centre: tuple[float, float], height: int, width: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of a frame that a square around `centre` (x, y) covers, and those of the square that do."""
    left, top = (round(middle - side / 2 + 0.5) for middle in centre)
    (rows, inside_rows), (cols, inside_cols) = overlap(top, side, height), overlap(left, side, width)
    return (rows, cols), (inside_rows, inside_cols)


def _drawn(look: Appearance, sources: Sources) -> Template:
    image = _pose(str(sources.path), look.name, look.style, look.pose, look.right)
    if look.angle:
        image = image.rotate(look.angle, Image.Resampling.BICUBIC)
    side = max(4, round(look.side))
    values = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    light = np.array(NIGHT_THINGS if look.night else (1, 1, 1), np.float32)
    alpha = values[..., 3] / 255
    colours = np.ascontiguousarray((values[..., :3] * light).transpose(2, 0, 1))
    return Template(colours=colours, alpha=np.ascontiguousarray(alpha), total=float(alpha.sum()))


@cache
def _pose(path: str, name: str, style: str, pose: int, right: bool) -> Image.Image:
    """Artwork with colours times alpha, facing the right way."""
    poses = load_sources(path).poses(name, style)
    image = Image.fromarray(poses[pose % len(poses)], "RGBA").convert("RGBa")
    what = thing(name)
    mirrored = what.facing != "front" and right != (what.facing == "right")
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image


@cache
def _looks(name: str, poses: int, turned: bool, night: bool, style: str) -> tuple[Appearance, ...]:
    """Looks of the coarse search."""
    what = thing(name)
    sides_faced = (True,) if what.facing == "front" else (False, True)
    angles = [float(angle) for angle in range(0, 360, 30)] if turned else [0.0]
    if what.nose is not None:
        angles, sides_faced = [float(angle) for angle in range(0, 360, 45)], (True,)
    picked = sorted({round(place) % poses for place in np.linspace(0, poses, _COARSE_POSES, endpoint=False)})
    if len(angles) > 1:
        picked = picked[:2]
    return tuple(
        Appearance(name, pose, side, right, angle, night, style)
        for pose, side, right, angle in itertools.product(picked, _COARSE_SIDES, sides_faced, angles)
    )


class _Spectra:
    """Transforms of looks, computed once while there is room.

    They take 15 MB for a thing in one style and light, six times that where it may be turned. What comes first stays,
    since every frame looks for the same things one after another: to drop the oldest would drop each right before it
    is needed.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.num_bytes = most_bytes, 0
        self._kept: dict[tuple[str, tuple[Appearance, ...]], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def of(self, looks: tuple[Appearance, ...], sources: Sources) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transforms of the looks' alpha and colours at half the size, and what is constant in their error."""
        key = (str(sources.path), looks)
        if key in self._kept:
            return self._kept[key]
        spectra = _transformed(looks, sources)
        size = sum(array.nbytes for array in spectra)
        if self.num_bytes + size <= self.most_bytes:
            self._kept[key] = spectra
            self.num_bytes += size
        return spectra


_SPECTRA = _Spectra(most_bytes=1_500_000_000)
"""Twice what 24 things take that are not turned, by day and by night."""


def _transformed(looks: tuple[Appearance, ...], sources: Sources) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import torch

    alpha = np.zeros((len(looks), _CANVAS, _CANVAS), np.float32)
    colours = np.zeros((len(looks), 3, _CANVAS, _CANVAS), np.float32)
    constant = np.zeros(len(looks), np.float32)
    for number, look in enumerate(looks):
        half = _drawn(replace(look, side=look.side / 2), sources)
        side = half.alpha.shape[0]
        alpha[number, :side, :side] = half.alpha
        colours[number, :, :side, :side] = half.colours
        constant[number] = (half.colours**2 / np.maximum(half.alpha, 1e-3)).sum()
    return (
        torch.fft.rfft2(torch.from_numpy(alpha)).numpy(),
        torch.fft.rfft2(torch.from_numpy(colours)).numpy(),
        np.stack([constant, alpha.sum((1, 2))]),
    )


def _coarse(
    values: np.ndarray,
    name: str,
    sources: Sources,
    turned: bool,
    night: bool,
    style: str,
    ignored: np.ndarray | None,
) -> list[tuple[Appearance, tuple[float, float]]]:
    """The best places of the best looks, from the squared error at every place."""
    import torch

    looks = _looks(name, len(sources.poses(name, style)), turned, night, style)
    alphas, colours, constants = _SPECTRA.of(looks, sources)
    height, width = values.shape[1] // 2, values.shape[2] // 2
    half = values.reshape(3, height, 2, width, 2).mean((2, 4))
    margin = _CANVAS // 4
    padded = np.full((4, _CANVAS, _CANVAS), 0, np.float32)
    padded[:3, margin : margin + height, margin : margin + width] = half
    padded[3] = (padded[:3] ** 2).sum(0)
    padded[3][padded[3] == 0] = 3 * 255.0**2  # what lies outside explains nothing
    if ignored is not None:
        hidden = ignored[::2, ::2] > 0.5
        padded[3, margin : margin + height, margin : margin + width][hidden] = 3 * 255.0**2
    spectrum = torch.fft.rfft2(torch.from_numpy(padded))
    cross = torch.from_numpy(alphas).conj() * spectrum[3]
    cross = cross - 2 * (torch.from_numpy(colours).conj() * spectrum[:3]).sum(1)
    error = torch.fft.irfft2(cross, s=(_CANVAS, _CANVAS)).numpy()
    error = (error + constants[0][:, None, None]) / constants[1][:, None, None]
    limit = height + margin
    error[:, limit:, :] = error[:, :, limit:] = np.inf
    found: list[tuple[Appearance, tuple[float, float]]] = []
    # A larger look that explains as much is worth more, as small ones fit anywhere; how much more depends on the place.
    for exponent in (0.5, 1.0):
        found += _places(error / constants[1][:, None, None] ** exponent, looks, margin)
    return found


def _places(
    error: np.ndarray, looks: tuple[Appearance, ...], margin: int
) -> list[tuple[Appearance, tuple[float, float]]]:
    """The best places of a map of errors, each some way from the others."""
    found = []
    middles = np.array([max(4, round(look.side / 2)) for look in looks]) / 2
    for _ in range(_CANDIDATES):
        number, top, left = np.unravel_index(int(error.argmin()), error.shape)
        side = 2 * middles[number]
        found.append(
            (looks[number], (2 * (left - margin + (side - 1) / 2) + 0.5, 2 * (top - margin + (side - 1) / 2) + 0.5))
        )
        for other, middle in enumerate(middles):  # the next place is another one
            y, x = int(top + side / 2 - middle), int(left + side / 2 - middle)
            error[other, max(y - 4, 0) : max(y + 5, 0), max(x - 4, 0) : max(x + 5, 0)] = np.inf
    return found


def _refined(
    values: np.ndarray, look: Appearance, centre: tuple[float, float], sources: Sources, turned: bool
) -> Match:
    """Pose, side, size, place and angle adjusted in turn; twice, unless the first time has found it."""
    what, poses = thing(look.name), len(sources.poses(look.name, look.style))
    sided = what.facing != "front" and what.nose is None
    best = _scored(values, look, centre, sources)
    for spread in (0.12, 0.05):
        looks = [replace(best.look, pose=pose) for pose in range(poses)]
        if sided:
            looks += [replace(best.look, pose=pose, right=not best.look.right) for pose in range(0, poses, 3)]
        best = _best(values, looks, best, sources, 0)
        sides = [round(best.look.side * (1 + part * spread)) for part in (-1, -0.5, 0, 0.5, 1)]
        allowed = [float(side) for side in sides if side <= _LARGEST_SIDE]
        best = _best(values, [replace(best.look, side=side) for side in allowed], best, sources, 1)
        if turned or what.nose is not None:
            turns = [round(best.look.angle + 100 * part * spread) % 360 for part in (-1.5, -1, -0.5, 0.5, 1, 1.5)]
            best = _best(values, [replace(best.look, angle=float(turn)) for turn in turns], best, sources, 1)
        best = _climbed(values, best, sources)
        if best.error < _FOUND:
            break
    return replace(best, worst=error_of(values, best.look, best.centre, sources)[1])


def _climbed(values: np.ndarray, best: Match, sources: Sources, most: int = 8) -> Match:
    """The best place of a look, as long as a neighbour is better."""
    for _ in range(most):
        better = _best(values, [best.look], best, sources, 1)
        if better is best:
            break
        best = better
    return best


def _best(values: np.ndarray, looks: list[Appearance], best: Match, sources: Sources, reach: int) -> Match:
    offsets = list(itertools.product(range(-reach, reach + 1), repeat=2))
    for look in looks:
        for x, y in offsets:
            match = _scored(values, look, (best.centre[0] + x, best.centre[1] + y), sources)
            if match.error * _worth(match) < best.error * _worth(best):
                best = match
    return best


def _worth(match: Match) -> float:
    """A larger look that explains as well is the better one: small ones fit anywhere."""
    return float(match.look.side) ** -0.7


def _scored(values: np.ndarray, look: Appearance, centre: tuple[float, float], sources: Sources) -> Match:
    return Match(look, centre, _error(values, look, centre, sources), 0.0)


def look_alike(frame: Float32[np.ndarray, "3 height width"], name: str, match: Match, sources: Sources) -> float:
    """Mean difference between what is at a match and the best look of another thing of about its size there."""
    what, poses = thing(name), len(sources.poses(name))
    faced = (False, True) if what.facing != "front" and what.nose is None else (True,)
    best = Match(match.look, match.centre, 255.0, 0.0)
    for side, pose, right in itertools.product((0.85, 1.0, 1.15), range(0, poses, 2), faced):
        look = Appearance(name, pose, float(round(match.look.side * side)), right, match.look.angle, match.look.night)
        best = min(best, _scored(frame, look, match.centre, sources), key=lambda found: found.error * _worth(found))
    return best.error
