"""Clips of prepared videos with all their frames, mirrored at random from left to right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int8, UInt8

from videolavit.clip import MotionField
from videolavit.data.shards import ShardReader
from videolavit.data.things.labels import forms_of_layers, layers_of_patches

__all__ = ["ClipFrames", "ClipSample"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipSample:
    """One clip as the video detokenizer learns from it."""

    keyframe: UInt8[np.ndarray, "height width 3"]
    """As the codec decoded it; the first frame is the original."""
    frames: UInt8[np.ndarray, "frames height width 3"]
    motion: MotionField
    layers: Int8[np.ndarray, "rows cols"] | None = None
    """Layer that each patch of 8 x 8 pixels of the keyframe shows, where it is known: 0 the ground, 1 and 2 things from
    left to right."""
    forms: Float32[np.ndarray, "3 3 frames"] | None = None
    """Size, angle and width of each layer against those in the keyframe, where they are known, as `forms_of_layers`
    has them."""


class ClipFrames:
    """A random clip of each prepared video."""

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, key: tuple[int, int]) -> ClipSample:
        index, draw = key
        random = np.random.default_rng([8, draw])
        keyframes, motion = self._reader.keyframes(index), self._reader.motion(index)
        clip = int(random.integers(len(keyframes)))
        length = motion[clip].num_frames
        frames = self._reader.frames(index)[clip * length : (clip + 1) * length]
        source = self._reader.words(index)["source"]
        known = source.get("world") == "things"
        sample = ClipSample(
            keyframe=keyframes[clip],
            frames=frames,
            motion=motion[clip],
            layers=layers_of_patches(source, clip) if known else None,
            forms=forms_of_layers(source, clip) if known else None,
        )
        return _mirrored(sample) if random.random() < 0.5 else sample


def _mirrored(sample: ClipSample) -> ClipSample:
    values = np.ascontiguousarray(sample.motion.values[..., ::-1])
    values[0] *= -1
    motion = MotionField(values=values, height=sample.motion.height, width=sample.motion.width)
    return ClipSample(
        keyframe=np.ascontiguousarray(sample.keyframe[:, ::-1]),
        frames=np.ascontiguousarray(sample.frames[:, :, ::-1]),
        motion=motion,
        layers=None if sample.layers is None else _mirrored_layers(sample.layers),
        forms=None if sample.forms is None else _mirrored_forms(sample.forms),
    )


def _mirrored_layers(layers: np.ndarray) -> np.ndarray:
    """Layers of the mirrored image, in which the left one of two things is the right one."""
    flipped, last = layers[:, ::-1], layers.max()
    return np.where(flipped > 0, last + 1 - flipped, 0).astype(np.int8)


def _mirrored_forms(forms: np.ndarray) -> np.ndarray:
    """The same for forms; what is rotated clockwise is rotated anticlockwise."""
    ground, *things = forms * np.array([1, -1, 1], np.float32)[:, None]
    there = [form for form in things if not np.isnan(form[0]).any()]
    return np.stack([ground, *there[::-1], *things[len(there) :]])
