"""Keyframes of prepared videos, and where a scene of the shapes world shows what in them.

Mirrored at random from left to right only: no shape of that world changes its name by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from einops import reduce
from jaxtyping import Float32, Int64, UInt8

from videolavit.data.shapes.render import object_coverage
from videolavit.data.shapes.scene import COLOURS, FRAMES_PER_CLIP, GROUNDS, RADII, SHAPES, SIZE, Scene, sample_scene
from videolavit.data.shards import ShardReader

__all__ = ["UNKNOWN", "Keyframes", "LabelledKeyframes", "SceneLabels", "label_image", "scene_of"]

UNKNOWN = -1
"""A label that nothing is learnt from."""
COVERED = 0.1
"""Share of a patch from which on it counts as showing an object."""

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SceneLabels:
    """Labels of each patch and of the whole image; `UNKNOWN` where there is nothing to know."""

    patches: Int64[np.ndarray, "patches 3"]
    """Shape, colour and size of the object that covers most of a patch; with one more shape, "none", for ground."""
    offsets: Float32[np.ndarray, "patches 2"]
    """From a patch with an object to the object's centre, (x, y) over the image's side; 0 for ground."""
    image: Int64[np.ndarray, " 4"]
    """Shape, colour and size of the only object, and the kind of ground."""


class Keyframes:
    """A random keyframe of each prepared video."""

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, key: tuple[int, int]) -> Image:
        index, draw = key
        image, _, mirror = self.drawn(index, draw)
        return _mirrored(image, mirror)

    def drawn(self, index: int, draw: int) -> tuple[Image, int, bool]:
        """A keyframe of a video, which clip it is of, and whether it is to be mirrored."""
        random = np.random.default_rng([7, draw])
        keyframes = self._reader.keyframes(index)
        clip = int(random.integers(len(keyframes)))
        return keyframes[clip], clip, bool(random.random() < 0.5)


class LabelledKeyframes:
    """Keyframes with the labels of their scene, all unknown for videos that are not of the shapes world."""

    def __init__(self, reader: ShardReader, patch_size: int) -> None:
        self._reader, self._patch_size = reader, patch_size
        self._keyframes = Keyframes(reader)

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Image, SceneLabels]:
        index, draw = key
        image, clip, mirror = self._keyframes.drawn(index, draw)
        scene = scene_of(self._reader.words(index)["source"])
        labels = (
            unknown_labels(image.shape[:2], self._patch_size)
            if scene is None
            else label_image(scene, clip * FRAMES_PER_CLIP, self._patch_size, mirror=mirror)
        )
        return _mirrored(image, mirror), labels


def scene_of(source: dict[str, Any]) -> Scene | None:
    """The scene that a record was rendered from; None if it was not."""
    if "seed" not in source:
        return None
    return sample_scene(source["seed"], split=source["split"], num_clips=source["clips"], extended=source["extended"])


def label_image(scene: Scene, frame: int, patch_size: int, *, mirror: bool = False) -> SceneLabels:
    """Labels of one frame of a scene, patches row by row."""
    axis = np.arange(SIZE, dtype=np.float32)[None]
    patch_centres = (np.arange(SIZE // patch_size) + 0.5) * patch_size - 0.5
    covered = np.zeros((len(scene.actors), len(patch_centres) ** 2), np.float32)
    names, offsets = [], []
    for cover, actor in zip(covered, scene.actors, strict=True):
        centres, radii = actor.path()
        x, y = centres[frame].tolist()
        x = SIZE - 1 - x if mirror else x
        pixels = object_coverage(
            actor.shape, radii[frame : frame + 1].astype(np.float32), axis - np.float32(x), axis - np.float32(y)
        )[0]
        cover[:] = reduce(pixels, "(r h) (c w) -> (r c)", "mean", h=patch_size, w=patch_size)
        names.append((SHAPES.index(actor.shape), COLOURS.index(actor.colour), list(RADII).index(actor.size)))
        to_x, to_y = np.meshgrid(x - patch_centres, y - patch_centres)
        offsets.append(np.stack([to_x.ravel(), to_y.ravel()], axis=1) / SIZE)
    shown = covered.argmax(axis=0)
    is_ground = covered.max(axis=0) < COVERED
    patches, patch_offsets = np.array(names)[shown], np.array(offsets)[shown, np.arange(covered.shape[1])]
    patches[is_ground], patch_offsets[is_ground] = (len(SHAPES), UNKNOWN, UNKNOWN), 0
    alone = names[0] if len(names) == 1 else (UNKNOWN,) * 3
    return SceneLabels(
        patches=patches.astype(np.int64),
        offsets=patch_offsets.astype(np.float32),
        image=np.array([*alone, GROUNDS.index(scene.ground.kind)]),
    )


def unknown_labels(size: tuple[int, ...], patch_size: int) -> SceneLabels:
    """Labels of an image (height, width) about which nothing is known."""
    patches = (size[0] // patch_size) * (size[1] // patch_size)
    return SceneLabels(
        patches=np.full((patches, 3), UNKNOWN),
        offsets=np.zeros((patches, 2), np.float32),
        image=np.full(4, UNKNOWN),
    )


def _mirrored(image: Image, mirror: bool) -> Image:
    return np.ascontiguousarray(image[:, ::-1]) if mirror else image
