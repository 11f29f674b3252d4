"""ClipTokens: a clip, or an image, as codes; the value that passes between the parts of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from videolavit.errors import ShapeError

__all__ = ["ClipTokens"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipTokens:
    """A clip, or an image, as codes: indices into the codebooks of the two tokenizers."""

    keyframe: Int[Tensor, "n"] | None
    """As many as the tokenizer kept of the image; None for a clip that goes on from the one before by motion alone."""
    motion: Int[Tensor, "k"] | None = None
    """None for an image that does not move."""
    num_frames: int | None = None
    """Frames to show where a clip is not shown whole; None for all."""
    motion_layers: Int[Tensor, "layers k"] | None = None
    """Further layers of codes of the motion, which make it finer where it is decoded. The language model neither reads
    nor writes them, and the last ones may be dropped."""
    line: int | None = None
    """Line of the text that it was read from, for messages."""

    def __post_init__(self) -> None:
        if any(codes is not None and codes.ndim != 1 for codes in (self.keyframe, self.motion)):
            raise ShapeError(f"got {self}, expected one row of codes each")
        if self.keyframe is None and self.motion is None:
            raise ShapeError("got a clip with neither keyframe nor motion, expected one of them at least")
        layers = self.motion_layers
        if layers is not None and (self.motion is None or layers.ndim != 2 or layers.shape[1:] != self.motion.shape):
            raise ShapeError(f"got motion layers of shape {tuple(layers.shape)} for {self}, expected (layers, codes)")

    def __repr__(self) -> str:
        keyframe, motion = ("no" if codes is None else tuple(codes.shape) for codes in (self.keyframe, self.motion))
        return f"ClipTokens(keyframe={keyframe}, motion={motion}, num_frames={self.num_frames})"

    @property
    def all_motion(self) -> Int[Tensor, "*layers k"] | None:
        """Codes of the motion in all layers, (layers, k); (k) where there is one."""
        if self.motion is None or self.motion_layers is None:
            return self.motion
        return torch.cat([self.motion[None], self.motion_layers])

    @property
    def num_codes(self) -> tuple[int, int]:
        """Codes of the keyframe and of the motion, as the language model reads them."""
        keyframe, motion = (0 if codes is None else len(codes) for codes in (self.keyframe, self.motion))
        return keyframe, motion
