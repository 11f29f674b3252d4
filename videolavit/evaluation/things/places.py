"""Places read from what lies around things: the nearest of many small views of every panorama."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from videolavit.data.things.camera import panorama_view
from videolavit.data.things.catalogue import PLACES
from videolavit.data.things.render import NIGHT_GROUND
from videolavit.data.things.scene import FOV_DEGREES
from videolavit.data.things.sources import Sources, load_sources

__all__ = ["read_place"]

_SIDE = 16
_FEW, _CANDIDATES = (slice(1, None, 2), slice(1, None, 2)), 300
"""Every second pixel picks the views that all pixels are compared with."""
_YAW_STEP, _PITCHES = 5, (-12.0, -9.0, -6.0, -2.0, 2.0, 6.0)


def read_place(
    frame: UInt8[np.ndarray, "height width 3"], shown: Bool[np.ndarray, "height width"], sources: Sources
) -> tuple[str, bool, float]:
    """Name of the place, whether it is night, and the mean difference to its nearest view, 0 to 255.

    `shown` is False where a thing hides the place.
    """
    views, few, names, nights = _views(str(sources.path))
    small = np.asarray(Image.fromarray(frame).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
    weight = np.asarray(
        Image.fromarray(shown.astype(np.uint8) * 255).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32
    )
    weight = (weight > 200).astype(np.float32)
    roughly = (np.abs(few - small[_FEW]) * weight[_FEW][..., None]).sum((1, 2, 3))
    picked = np.argsort(roughly, kind="stable")[:_CANDIDATES]
    off = (np.abs(views[picked] - small) * weight[..., None]).sum((1, 2, 3)) / (3 * max(weight.sum(), 1.0))
    nearest = int(picked[off.argmin()])
    return names[nearest], nights[nearest], float(off.min())


@cache
def _views(path: str) -> tuple[np.ndarray, np.ndarray, list[str], list[bool]]:
    """All views (views, side, side, 3), every second pixel of them, and what they show."""
    sources = load_sources(path)
    views, names, nights = [], [], []
    for place in PLACES:
        panorama = sources.panorama(place.name)
        small = np.asarray(Image.fromarray(panorama).resize((128, 64), Image.Resampling.BOX))
        for yaw in range(0, 360, _YAW_STEP):
            for pitch in _PITCHES:
                view = panorama_view(small, yaw=float(yaw), pitch=pitch, fov=FOV_DEGREES, size=_SIDE)
                for night in (False, True) if place.outdoors else (False,):
                    views.append(view * (np.array(NIGHT_GROUND, np.float32) if night else 1))
                    names.append(place.name)
                    nights.append(night)
    stacked = np.stack(views).astype(np.float32)
    return stacked, np.ascontiguousarray(stacked[:, _FEW[0], _FEW[1]]), names, nights
