"""Reads colour, shape, size and direction back from a video of the shapes world: pixels only, no network.

The judge of everything that a model draws in that world, so it is strict: a smear is no object. In every frame the
area of an object must be within 40 % of what its shape and size say, its outline must be that of its shape, its colour
may not fade, and no second blob may remain beside it. Objects are found by their saturation, which no ground has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from scipy import ndimage

from videolavit.data.shapes.render import object_coverage
from videolavit.data.shapes.scene import COLOURS, DIRECTIONS, FRAMES_PER_CLIP, RADII, SHAPES, SPEEDS, Actor, Scene

__all__ = [
    "ObjectReading",
    "VideoReading",
    "check_readings",
    "check_video",
    "direction_of",
    "object_mask",
    "read_video",
    "shows_actor",
]

CHROMA_THRESHOLD = 0.22
"""Largest minus smallest channel, 0 to 1. Grounds stay below 0.1, objects lie between 0.4 and 0.85."""
MIN_AREA = 30
"""Pixels; smaller specks are noise, neither objects nor ghosts."""
AREA_TOLERANCE = 0.4
STILL_BELOW = 0.5
"""Pixels per frame under which an object rests; slow ones move 1.25."""
GROWS_FROM, SHRINKS_TO = 1.4, 0.7
"""Area at the end of a clip over that at its start; growing and shrinking ones reach 3.1 and 0.3."""
ATTRIBUTES: tuple[str, ...] = ("colour", "shape", "size", "direction", "speed", "clean")
SHAPE_FRAMES = 5
"""Frames, evenly spaced, in which the shape is read; the most frequent answer counts."""
WHOLE_FROM = 0.75
"""Least overlap (intersection over union) with the outline of its shape, in every frame; rendered ones have 0.84."""
FADED_BELOW = 0.9
"""Least chroma in every frame, over that of the first frames; rendered ones stay above 0.97."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectReading:
    """One object as seen in the frames of one clip."""

    colour: str
    shape: str
    last_shape: str
    """As read in the last frame alone."""
    size: str
    direction: str
    speed: str
    areas: tuple[float, ...]
    """Pixels, one per frame; 0 where the object is not seen."""
    centres: tuple[tuple[float, float], ...]
    """(x, y), one per frame in which it is seen."""
    overlaps: tuple[float, ...]
    """Intersection over union with the outline of `shape`, one per frame, searched up to `WHOLE_FROM`; 0 where the
    object is not seen."""
    chromas: tuple[float, ...]
    """Mean of largest minus smallest channel, 0 to 1, one per frame; 0 where the object is not seen."""

    @property
    def change(self) -> str:
        """True if the object "grows", "shrinks" or is "constant"."""
        first, last = (float(np.median(areas)) for areas in (self.areas[:3], self.areas[-3:]))
        ratio = last / max(first, 1.0)
        return "grows" if ratio >= GROWS_FROM else "shrinks" if ratio <= SHRINKS_TO else "constant"

    @property
    def is_whole(self) -> bool:
        """True if the object is in one piece in every frame."""
        return min(self.overlaps) >= WHOLE_FROM

    @property
    def keeps_colour(self) -> bool:
        """True if the object is as colourful in every frame as in the first ones."""
        return min(self.chromas) >= FADED_BELOW * float(np.median(self.chromas[:3]))

    def area_is_kept(self, shape: str, radii: Sequence[float] | np.ndarray) -> bool:
        """True if the area stays within `AREA_TOLERANCE` of that of a clean object of one radius for each frame."""
        unit = template_area(shape, RADII["large"]) / RADII["large"] ** 2
        expected = unit * np.square(np.asarray(radii)[: len(self.areas)])
        return len(expected) == len(self.areas) and bool(
            (np.abs(np.array(self.areas) / expected - 1) <= AREA_TOLERANCE).all()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoReading:
    """All objects of a clip, the largest first, and how many frames show blobs that belong to none."""

    objects: tuple[ObjectReading, ...]
    frames_with_ghosts: int


def read_video(frames: UInt8[np.ndarray, "frames height width 3"], num_objects: int = 1) -> VideoReading:
    """Read the `num_objects` most prominent objects, each by its colour, from one clip."""
    images = [_segment(frame) for frame in frames]
    colours = _prominent_colours(images, num_objects)
    tracks = [[_largest(blobs, colour) for blobs in images] for colour in colours]
    kept = {id(blob) for track in tracks for blob in track if blob is not None}
    ghosts = sum(any(id(blob) not in kept for blob in blobs) for blobs in images)
    objects = [_read_track(colour, track) for colour, track in zip(colours, tracks, strict=True)]
    return VideoReading(objects=tuple(objects), frames_with_ghosts=ghosts)


def shows_actor(reading: ObjectReading, actor: Actor, clip: int = 0) -> dict[str, bool]:
    """Attributes of an actor that a reading agrees with; `clean` is the rule against smears."""
    event, radii = actor.events[clip], actor.path()[1][clip * FRAMES_PER_CLIP : (clip + 1) * FRAMES_PER_CLIP]
    changes = "grows" if event.growth > 0 else "shrinks"
    return {
        "colour": reading.colour == actor.colour,
        "shape": reading.shape == actor.shape,
        # A growing object is small and large in turn; where its area follows the true one, its size is right.
        "size": reading.size == actor.size if not event.growth else reading.area_is_kept(actor.shape, radii),
        "direction": reading.change == changes if event.growth else reading.direction == event.direction,
        "speed": event.direction == "still" or reading.speed == event.speed,
        "clean": reading.area_is_kept(actor.shape, radii) and reading.is_whole and reading.keeps_colour,
    }


def check_video(frames: UInt8[np.ndarray, "frames height width 3"], scene: Scene) -> dict[str, bool]:
    """Judge the frames of one or more clips against a scene: an attribute is right if it is for every object and clip.

    `clean` also asks that no second blob remains in any frame. The direction of a growing object is its growth.
    """
    clips = [frames[start : start + FRAMES_PER_CLIP] for start in range(0, scene.num_frames, FRAMES_PER_CLIP)]
    return check_readings([read_video(clip, len(scene.actors)) for clip in clips], scene)


def check_readings(readings: Sequence[VideoReading], scene: Scene) -> dict[str, bool]:
    """`check_video` for clips that have been read; the same reading can be held against several scenes."""
    verdict = dict.fromkeys(ATTRIBUTES, len(readings) == scene.num_clips)
    for clip, reading in enumerate(readings):
        seen = {found.colour: found for found in reading.objects}
        fallback = iter(reading.objects)
        for actor in scene.actors:
            found = seen.get(actor.colour) or next(fallback, None)
            agrees = dict.fromkeys(ATTRIBUTES, False) if found is None else shows_actor(found, actor, clip)
            verdict = {name: right and agrees[name] for name, right in verdict.items()}
        verdict["clean"] &= reading.frames_with_ghosts == 0
    return verdict


def direction_of(velocity: Float[np.ndarray, "2"]) -> str:
    """Name of a motion of (x, y) pixels per frame."""
    if float(np.linalg.norm(velocity)) < STILL_BELOW:
        return "still"
    return max((name for name in DIRECTIONS if name != "still"), key=lambda name: float(velocity @ DIRECTIONS[name]))


def object_mask(frame: UInt8[np.ndarray, "height width 3"]) -> Bool[np.ndarray, "height width"]:
    """Mask of pixels that are as saturated as objects are."""
    values = frame.astype(np.float32) / 255
    return values.max(axis=2) - values.min(axis=2) > CHROMA_THRESHOLD


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Blob:
    colour: str
    mask: Bool[np.ndarray, "height width"]
    area: float
    centre: tuple[float, float]
    chroma: float


def _segment(frame: np.ndarray) -> list[_Blob]:
    """Connected saturated regions of a frame, the largest first."""
    values = frame.astype(np.float32) / 255
    labels, count = ndimage.label(object_mask(frame))  # pyright: ignore[reportGeneralTypeIssues]
    blobs = []
    for label in range(1, count + 1):
        mask = labels == label
        area = float(mask.sum())
        if area >= MIN_AREA:
            pixels = values[mask]
            chroma = float((pixels.max(axis=1) - pixels.min(axis=1)).mean())
            blobs.append(_Blob(colour=_colour(pixels), mask=mask, area=area, centre=_centroid(mask), chroma=chroma))
    return sorted(blobs, key=lambda blob: -blob.area)


def _centroid(mask: np.ndarray) -> tuple[float, float]:
    rows, cols = np.nonzero(mask)
    return float(cols.mean()), float(rows.mean())


def _colour(pixels: Float32[np.ndarray, "pixels 3"]) -> str:
    """The nearest of the six hues to the mean hue, each pixel weighted by its chroma."""
    red, green, blue = pixels.sum(axis=0)
    hue = math.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * math.pi)
    return COLOURS[round(hue * len(COLOURS)) % len(COLOURS)]


def _prominent_colours(images: list[list[_Blob]], count: int) -> list[str]:
    area = {colour: sum(blob.area for blobs in images for blob in blobs if blob.colour == colour) for colour in COLOURS}
    return sorted((colour for colour in COLOURS if area[colour]), key=lambda colour: -area[colour])[:count]


def _largest(blobs: list[_Blob], colour: str) -> _Blob | None:
    return next((blob for blob in blobs if blob.colour == colour), None)


def _read_track(colour: str, track: list[_Blob | None]) -> ObjectReading:
    seen = [(index, blob) for index, blob in enumerate(track) if blob is not None]
    read_at = {round(i) for i in np.linspace(0, len(seen) - 1, SHAPE_FRAMES).tolist()}
    shapes = [_shape(seen[i][1]) for i in sorted(read_at)]
    shape = Counter(shapes).most_common(1)[0][0]
    area = float(np.median([blob.area for _, blob in seen]))
    size = min(RADII, key=lambda name: abs(math.log(area / template_area(shape, RADII[name]))))
    times = np.array([index for index, _ in seen], dtype=np.float64)
    centres = np.array([blob.centre for _, blob in seen])
    velocity = np.polyfit(times, centres, 1)[0] if len(seen) > 1 else np.zeros(2)
    speed = float(np.linalg.norm(velocity))
    return ObjectReading(
        colour=colour,
        shape=shape,
        last_shape=shapes[-1] if track[-1] is not None else "",
        size=size,
        direction=direction_of(velocity),
        speed=min(SPEEDS, key=lambda name: abs(math.log(max(speed, 1e-3) / SPEEDS[name]))),
        areas=tuple(0.0 if blob is None else blob.area for blob in track),
        centres=tuple(blob.centre for _, blob in seen),
        overlaps=tuple(0.0 if blob is None else _best_overlap(blob, shape, WHOLE_FROM) for blob in track),
        chromas=tuple(0.0 if blob is None else blob.chroma for blob in track),
    )


def _shape(blob: _Blob) -> str:
    """The shape whose outline, scaled to the blob's area, overlaps it best."""
    return max(SHAPES, key=lambda shape: _best_overlap(blob, shape))


def _best_overlap(blob: _Blob, shape: str, enough: float = 1.0) -> float:
    """Largest intersection over union with a template, shifted by up to two pixels and a few per cent in size; or the
    first one that is `enough`."""
    radius = RADII["large"] * math.sqrt(blob.area / template_area(shape, RADII["large"]))
    mask, x, y = _crop(blob)
    offset = _centroid_offset(shape) * radius
    best = 0.0
    for scale in (1.0, 0.95, 1.05):
        for shift in (0.0, -1.5, 1.5):
            template = _template(mask.shape, shape, radius * scale, x, y - offset + shift)
            best = max(best, float((template & mask).sum()) / float((template | mask).sum()))
            if best >= enough:
                return best
    return best


def _crop(blob: _Blob) -> tuple[np.ndarray, float, float]:
    """The blob's mask with a margin for the templates that are laid over it, and its centre in there."""
    rows, cols = np.nonzero(blob.mask)
    margin = 4 + int(max(np.ptp(rows), np.ptp(cols)) / 4)
    mask = np.pad(blob.mask[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1], margin)
    x, y = blob.centre
    return mask, x - float(cols.min()) + margin, y - float(rows.min()) + margin


def _template(size: tuple[int, ...], shape: str, radius: float, x: float, y: float) -> np.ndarray:
    height, width = size
    cols = (np.arange(width, dtype=np.float32) - np.float32(x))[None]
    rows = (np.arange(height, dtype=np.float32) - np.float32(y))[None]
    return object_coverage(shape, np.array([radius], dtype=np.float32), cols, rows)[0] > 0.5


@cache
def template_area(shape: str, radius: float) -> float:
    """Pixels that a clean object covers, counted as the checker counts them."""
    return float(_template((129, 129), shape, radius, 64.0, 64.0).sum())


@cache
def _centroid_offset(shape: str) -> float:
    """Distance of a shape's centroid below its centre, in radii."""
    template = _template((129, 129), shape, 40.0, 64.0, 64.0)
    return (_centroid(template)[1] - 64.0) / 40.0
