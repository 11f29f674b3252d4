"""Labels of keyframes: what each patch and the whole image show, in numbers that all rendered worlds share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from videolavit.data.shapes.scene import COLOURS, GROUNDS, RADII, SHAPES
from videolavit.data.things.catalogue import PLACES, THINGS

__all__ = ["COVERED", "GROUND_LABELS", "NAME_LABELS", "SIDE_LABELS", "SIZE_LABELS", "UNKNOWN", "SceneLabels"]
__all__ += ["COLOUR_LABELS", "unknown_labels"]

UNKNOWN = -1
"""A label that nothing is learnt from."""
COVERED = 0.1
"""Share of a patch from which on it counts as showing an object."""

NAME_LABELS = (*SHAPES, *(thing.name for thing in THINGS))
"""Objects; a patch that shows none has the number behind the last of them."""
COLOUR_LABELS, SIZE_LABELS = COLOURS, tuple(RADII)
"""Colours are those of shapes; nothing is said of a thing's."""
SIDE_LABELS = ("left", "right")
"""Direction that a thing faces, if it has a side to face."""
GROUND_LABELS = (*GROUNDS, *(place.name for place in PLACES), *(f"{place.name} at night" for place in PLACES))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SceneLabels:
    """Labels of each patch and of the whole image; `UNKNOWN` where there is nothing to know."""

    patches: Int64[np.ndarray, "patches 4"]
    """Name, colour, size and side of the object that covers most of a patch; with one more name, "none", for ground."""
    offsets: Float32[np.ndarray, "patches 2"]
    """From a patch with an object to the object's centre, (x, y) over the image's side; 0 for ground."""
    image: Int64[np.ndarray, " 5"]
    """Name, colour, size and side of the only object, and the ground."""


def unknown_labels(size: tuple[int, ...], patch_size: int) -> SceneLabels:
    """Labels of an image (height, width) about which nothing is known."""
    patches = (size[0] // patch_size) * (size[1] // patch_size)
    return SceneLabels(
        patches=np.full((patches, 4), UNKNOWN),
        offsets=np.zeros((patches, 2), np.float32),
        image=np.full(5, UNKNOWN),
    )
