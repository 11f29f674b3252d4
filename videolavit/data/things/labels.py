"""Labels of a keyframe of the world of things, from the truth that its record holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Float32, Int8

from videolavit.data.scene_labels import (
    GROUND_LABELS,
    NAME_LABELS,
    SIDE_LABELS,
    SIZE_LABELS,
    UNKNOWN,
    SceneLabels,
)
from videolavit.data.things.prepare import PATCH
from videolavit.data.things.scene import FRAMES_PER_CLIP, SIZE, Actor, scene_from_json
from videolavit.errors import ConfigError

__all__ = ["label_thing_keyframe", "layers_of_patches"]

_LEAST = 0.5
"""Share of the small patches in a large one that must show a thing; where fewer do, nothing is known."""


def label_thing_keyframe(source: Mapping[str, Any], clip: int, patch_size: int, *, mirror: bool = False) -> SceneLabels:
    """Labels of the keyframe of a clip, patches row by row.

    Args:
        source: what `things_truth` said of the video.
        clip: number of the clip.
        patch_size: in pixels, a multiple of 8.
        mirror: whether the image is mirrored from left to right.

    Raises:
        ConfigError: patches that small ones of 8 pixels do not fill.
    """
    if patch_size % PATCH:
        raise ConfigError(f"got patches of {patch_size} pixels, expected a multiple of {PATCH} for the world of things")
    actors = scene_from_json(source["scene"]).actors
    names = np.array([_named(actor, clip, mirror) for actor in actors])
    shown = _things_in_patches(source["patches"][clip], len(actors), patch_size // PATCH, mirror)
    is_thing = shown >= 0
    patches = np.full((len(shown), 4), UNKNOWN)
    patches[is_thing] = names[shown[is_thing]]
    patches[shown == _GROUND, 0] = len(NAME_LABELS)
    return SceneLabels(
        patches=patches,
        offsets=_offsets(shown, [boxes[clip * FRAMES_PER_CLIP] for boxes in source["boxes"]], patch_size, mirror),
        image=np.array([*(names[0] if len(names) == 1 else (UNKNOWN,) * 4), _ground(source["scene"]["view"])]),
    )


def layers_of_patches(source: Mapping[str, Any], clip: int) -> Int8[np.ndarray, "rows cols"]:
    """Layer that each patch of 8 x 8 pixels of a clip's keyframe shows: 0 the place, then things from left to right.

    Args:
        source: what `things_truth` said of the video.
        clip: number of the clip.
    """
    layer = {".": 0} | {str(number): place for place, number in enumerate(_from_left(source, clip), 1)}
    cells = np.array([layer[one] for one in source["patches"][clip]], np.int8)
    return cells.reshape(SIZE // PATCH, SIZE // PATCH)


def forms_of_layers(source: Mapping[str, Any], clip: int) -> Float32[np.ndarray, "3 3 frames"]:
    """Size, angle and width of each layer in the frames of a clip, against those in its keyframe.

    Sizes and widths are shares of what they were, widths growth apart and negative for what is seen from its other
    side; angles are in radians, clockwise. NaN where there is no such thing, and for the width of one that turns its
    other side in one frame.

    Arguments are those of `layers_of_patches`.
    """
    scene, part = scene_from_json(source["scene"]), slice(clip * FRAMES_PER_CLIP, (clip + 1) * FRAMES_PER_CLIP)
    zoom = scene.zoom()[part]
    forms = np.full((3, 3, FRAMES_PER_CLIP), np.nan, np.float32)
    forms[0] = zoom / zoom[0], np.zeros_like(zoom), np.ones_like(zoom)
    paths = scene.paths()
    for own, number in zip(forms[1:], _from_left(source, clip), strict=False):  # of one thing the last stays empty
        path, actor = paths[number], scene.actors[number]
        side, angle, facing = path.side[part], path.angle[part], path.facing[part]
        own[0] = side / side[0]
        own[1] = -np.radians(angle - angle[0])
        if actor.thing.facing == "front":
            own[2] = 1
        elif actor.events[clip].motion == "turns round" or (facing == facing[0]).all():
            own[2] = facing * np.sign(facing[0])
    return forms


def _from_left(source: Mapping[str, Any], clip: int) -> list[int]:
    """Numbers of things from left to right in a clip's keyframe."""
    lefts = [sum(boxes[clip * FRAMES_PER_CLIP][::2]) for boxes in source["boxes"]]
    return np.argsort(lefts).tolist()


_GROUND, _PARTLY = -1, -2


def _named(actor: Actor, clip: int, mirror: bool) -> list[int]:
    """Name, colour, size and side. Only at the start is it known how large a thing is and which way it faces."""
    size = side = UNKNOWN
    if clip == 0:
        size = SIZE_LABELS.index(actor.size)
        if actor.thing.facing != "front" and actor.thing.nose is None:
            side = SIDE_LABELS.index(actor.faces)
            side = 1 - side if mirror else side
    return [NAME_LABELS.index(actor.name), UNKNOWN, size, side]


def _things_in_patches(told: str, count: int, across: int, mirror: bool) -> np.ndarray:
    """Number of the thing that each patch shows, -1 for the place alone, -2 for a patch that shows little of one."""
    cells = np.array([-1 if one == "." else int(one) for one in told]).reshape(SIZE // PATCH, SIZE // PATCH)
    cells = cells[:, ::-1] if mirror else cells
    blocks = rearrange(cells, "(r h) (c w) -> (r c) (h w)", h=across, w=across)
    votes = np.stack([(blocks == number).mean(1) for number in range(count)])
    most = votes.max(0)
    return np.where(most >= _LEAST, votes.argmax(0), np.where(most > 0, _PARTLY, _GROUND))


def _offsets(shown: np.ndarray, boxes: Sequence[Sequence[float]], patch_size: int, mirror: bool) -> np.ndarray:
    """From the middle of each patch to that of its thing's box, in sides of the image."""
    middles = np.array([[(left + right - 1) / 2, (top + bottom - 1) / 2] for left, top, right, bottom in boxes])
    if mirror:
        middles[:, 0] = SIZE - 1 - middles[:, 0]
    centres = (np.arange(SIZE // patch_size) + 0.5) * patch_size - 0.5
    places = np.stack([part.ravel() for part in np.meshgrid(centres, centres)], axis=1)
    offsets = (middles[np.maximum(shown, 0)] - places) / SIZE
    return np.where(shown[:, None] >= 0, offsets, 0).astype(np.float32)


def _ground(view: Mapping[str, Any]) -> int:
    return GROUND_LABELS.index(f"{view['place']} at night" if view["night"] else view["place"])
