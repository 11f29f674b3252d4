"""Scenes of the world of things as frames, with the exact mask of every thing."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from videolavit.data.overlap import overlap
from videolavit.data.things.camera import panorama_view
from videolavit.data.things.scene import FOV_DEGREES, SIZE, Actor, Path, Scene
from videolavit.data.things.sources import Sources

__all__ = ["Rendering", "ground_frames", "render", "things_at"]

SHADOW = 0.5
"""Share of the light that the middle of a shadow takes away."""
_SHADOW_WIDTH, _SHADOW_HEIGHT = 0.42, 0.10
"""Half axes of a shadow in sides of the cell."""
NIGHT_GROUND, NIGHT_THINGS = (0.30, 0.36, 0.55), (0.62, 0.66, 0.85)
"""Light that the night leaves, red, green and blue."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rendering:
    """Frames, and where things are in them."""

    frames: UInt8[np.ndarray, "frames height width 3"]
    masks: UInt8[np.ndarray, "things frames height width"]
    """Share of each pixel that shows a thing, 255 for all of it; what a nearer thing hides is not shown."""

    def boxes(self) -> Float32[np.ndarray, "things frames 4"]:
        """Left, top, right and bottom edge of what is seen of each thing, in pixels; 0 where nothing is."""
        found = np.zeros((*self.masks.shape[:2], 4), np.float32)
        for where in np.ndindex(*self.masks.shape[:2]):
            seen = self.masks[where] > 127
            rows, cols = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            if len(rows):
                found[where] = cols[0], rows[0], cols[-1] + 1, rows[-1] + 1
        return found


def render(scene: Scene, sources: Sources, num_frames: int | None = None) -> Rendering:
    """The first `num_frames` frames of a scene; all of them by default.

    Raises:
        MediaError: the sources lack a thing or a place of the scene.
    """
    frames = ground_frames(scene, sources, num_frames)
    paths = scene.paths()
    masks = np.zeros((len(paths), len(frames), SIZE, SIZE), np.float32)
    light = np.array(NIGHT_THINGS if scene.view.night else (1, 1, 1), np.float32)
    for frame in range(len(frames)):
        order = sorted(range(len(paths)), key=lambda number: _foot(paths[number], frame))
        for number in order:
            if scene.actors[number].thing.on_ground:
                _cast_shadow(frames[frame], paths[number], frame)
        for number in order:
            cell, left, top = things_at(scene.actors[number], paths[number], frame, sources)
            _paint(frames[frame], masks[:, frame], number, cell * np.append(light, 1), left, top)
    return Rendering(frames=(frames + 0.5).clip(0, 255).astype(np.uint8), masks=(masks * 255 + 0.5).astype(np.uint8))


def ground_frames(
    scene: Scene, sources: Sources, num_frames: int | None = None
) -> Float32[np.ndarray, "frames height width 3"]:
    """The place alone, 0 to 255, as the camera sees it; of the first `num_frames` frames, or all."""
    panorama = sources.panorama(scene.view.place)
    yaws, pitches = scene.camera_angles()
    light = np.array(NIGHT_GROUND if scene.view.night else (1, 1, 1), np.float32)
    views: list[np.ndarray] = []
    seen = zip(yaws.tolist(), pitches.tolist(), scene.zoom().tolist(), strict=True)
    for yaw, pitch, zoom in itertools.islice(seen, num_frames):
        if scene.view.camera == "still" and views:
            views.append(views[0])
            continue
        views.append(light * panorama_view(panorama, yaw=yaw, pitch=pitch, fov=FOV_DEGREES, size=SIZE, zoom=zoom))
    return np.stack(views).astype(np.float32)


def things_at(
    actor: Actor, path: Path, frame: int, sources: Sources
) -> tuple[Float32[np.ndarray, "rows cols 4"], int, int]:
    """A thing as it is in a frame, colours times alpha from 0 to 255 and alpha from 0 to 1; its left and top pixel."""
    poses = sources.poses(actor.name, actor.style)
    image = _premultiplied(poses[(actor.phase + frame) % len(poses)])
    facing, own = float(path.facing[frame]), 1.0 if actor.thing.facing == "right" else -1.0
    if actor.thing.facing != "front" and facing * own < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side, (x, y) = float(path.side[frame]), path.centre[frame].tolist()
    if angle := float(path.angle[frame]) % 360:
        image = image.rotate(angle, Image.Resampling.BICUBIC)
    width = side * (max(abs(facing), 0.08) if actor.thing.facing != "front" else 1.0)
    left, top = math.floor(x - width / 2) - 1, math.floor(y - side / 2) - 1
    cols, rows = math.ceil(x + width / 2) + 1 - left, math.ceil(y + side / 2) + 1 - top
    return _resampled(image, (x - width / 2 - left, y - side / 2 - top), (width, side), (cols, rows)), left, top


def _resampled(
    image: Image.Image, offset: tuple[float, float], shown: tuple[float, float], size: tuple[int, int]
) -> Float32[np.ndarray, "rows cols 4"]:
    """An image drawn `shown` pixels large at a sub-pixel `offset` on an empty canvas of `size`."""
    scale_x, scale_y = image.width / shown[0], image.height / shown[1]
    margin = math.ceil(3 * max(scale_x, scale_y)) + 2
    padded = Image.new("RGBa", (image.width + 2 * margin, image.height + 2 * margin))
    padded.paste(image, (margin, margin))
    box = (
        max(0.0, margin - offset[0] * scale_x),
        max(0.0, margin - offset[1] * scale_y),
        min(float(padded.width), margin + (size[0] - offset[0]) * scale_x),
        min(float(padded.height), margin + (size[1] - offset[1]) * scale_y),
    )
    values = np.asarray(padded.resize(size, Image.Resampling.BICUBIC, box), np.float32)
    return np.concatenate([values[..., :3], values[..., 3:] / 255], axis=2)


def _premultiplied(pose: UInt8[np.ndarray, "cell cell 4"]) -> Image.Image:
    return Image.fromarray(pose, "RGBA").convert("RGBa")


def _foot(path: Path, frame: int) -> float:
    """Row on which a thing stands, or under which it floats: what stands lower is nearer."""
    return float(path.centre[frame, 1] + path.side[frame] / 2 + path.lift[frame])


def _cast_shadow(image: np.ndarray, path: Path, frame: int) -> None:
    """A soft dark ellipse under the feet; a lifted thing's is smaller and fainter."""
    side, lift = float(path.side[frame]), float(path.lift[frame])
    near = 1 / (1 + 2 * lift / side)
    half_x, half_y = _SHADOW_WIDTH * side * near, _SHADOW_HEIGHT * side * near
    x, y = np.arange(SIZE) - path.centre[frame, 0], np.arange(SIZE) - (_foot(path, frame) - 1.5)
    distance = (x[None] / half_x) ** 2 + (y[:, None] / half_y) ** 2
    image *= (1 - SHADOW * near * np.exp(-1.5 * distance))[..., None].astype(np.float32)


def _paint(image: np.ndarray, masks: np.ndarray, number: int, cell: np.ndarray, left: int, top: int) -> None:
    """A thing over what is there, and its mask over those of things behind it."""
    (rows, inside_rows), (cols, inside_cols) = overlap(top, cell.shape[0], SIZE), overlap(left, cell.shape[1], SIZE)
    inside = cell[inside_rows, inside_cols]
    alpha = inside[..., 3:]
    image[rows, cols] = image[rows, cols] * (1 - alpha) + inside[..., :3]
    masks[:, rows, cols] *= 1 - alpha[None, ..., 0]
    masks[number, rows, cols] += alpha[..., 0]
