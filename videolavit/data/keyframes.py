"""Keyframes of prepared videos, and what they show where, if they were rendered.

Mirrored at random from left to right only: nothing in the rendered worlds changes its name by that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from einops import reduce
from jaxtyping import UInt8

from videolavit.data.scene_labels import (
    COLOUR_LABELS,
    COVERED,
    GROUND_LABELS,
    NAME_LABELS,
    SIZE_LABELS,
    UNKNOWN,
    SceneLabels,
    unknown_labels,
)
from videolavit.data.shapes.render import object_coverage
from videolavit.data.shapes.scene import FRAMES_PER_CLIP, SIZE, Scene, sample_scene
from videolavit.data.shards import ShardReader
from videolavit.data.things.labels import label_thing_keyframe

__all__ = ["Keyframes", "LabelledKeyframes", "label_image", "scene_of"]

Image = UInt8[np.ndarray, "height width 3"]


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
    """Keyframes with the labels of their scene, all unknown for videos that were not rendered."""

    def __init__(self, reader: ShardReader, patch_size: int) -> None:
        self._reader, self._patch_size = reader, patch_size
        self._keyframes = Keyframes(reader)

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Image, SceneLabels]:
        index, draw = key
        image, clip, mirror = self._keyframes.drawn(index, draw)
        labels = self._labels(self._reader.words(index)["source"], clip, image.shape[:2], mirror)
        return _mirrored(image, mirror), labels

    def _labels(self, source: dict[str, Any], clip: int, size: tuple[int, ...], mirror: bool) -> SceneLabels:
        if source.get("world") == "things":
            return label_thing_keyframe(source, clip, self._patch_size, mirror=mirror)
        scene = scene_of(source)
        if scene is None:
            return unknown_labels(size, self._patch_size)
        return label_image(scene, clip * FRAMES_PER_CLIP, self._patch_size, mirror=mirror)


def scene_of(source: dict[str, Any]) -> Scene | None:
    """The scene of the shapes world that a record was rendered from; None if it is of no such scene."""
    if "seed" not in source or source.get("world", "shapes") != "shapes":
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
        names.append(
            (
                NAME_LABELS.index(actor.shape),
                COLOUR_LABELS.index(actor.colour),
                SIZE_LABELS.index(actor.size),
                UNKNOWN,
            )
        )
        to_x, to_y = np.meshgrid(x - patch_centres, y - patch_centres)
        offsets.append(np.stack([to_x.ravel(), to_y.ravel()], axis=1) / SIZE)
    shown = covered.argmax(axis=0)
    is_ground = covered.max(axis=0) < COVERED
    patches, patch_offsets = np.array(names)[shown], np.array(offsets)[shown, np.arange(covered.shape[1])]
    patches[is_ground], patch_offsets[is_ground] = (len(NAME_LABELS), UNKNOWN, UNKNOWN, UNKNOWN), 0
    alone = names[0] if len(names) == 1 else (UNKNOWN,) * 4
    return SceneLabels(
        patches=patches.astype(np.int64),
        offsets=patch_offsets.astype(np.float32),
        image=np.array([*alone, GROUND_LABELS.index(scene.ground.kind)]),
    )


def _mirrored(image: Image, mirror: bool) -> Image:
    return np.ascontiguousarray(image[:, ::-1]) if mirror else image
