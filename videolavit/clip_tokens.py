"""ClipTokens: a clip, or an image, as codes; the value that passes between the parts of a model."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from videolavit.errors import ShapeError

__all__ = ["ClipTokens"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipTokens:
    """A clip, or an image, as codes: indices into the codebooks of the two tokenizers."""

    keyframe: Int[Tensor, "n"]
    """As many as the tokenizer kept of the image."""
    motion: Int[Tensor, "k"] | None = None
    """None for an image that does not move."""
    num_frames: int | None = None
    """Frames to show where a clip is not shown whole; None for all."""

    def __post_init__(self) -> None:
        if self.keyframe.ndim != 1 or (self.motion is not None and self.motion.ndim != 1):
            raise ShapeError(f"got {self}, expected one row of codes each")

    def __repr__(self) -> str:
        motion = "no" if self.motion is None else tuple(self.motion.shape)
        return f"ClipTokens(keyframe={tuple(self.keyframe.shape)}, motion={motion}, num_frames={self.num_frames})"
