"""CodedFrame: one tick of a video as its codec sees it, between a source of motion and the making of clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

__all__ = ["CodedFrame"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CodedFrame:
    """Input of clips. Any iterator of these, one per tick from tick 0, can be taken apart into clips."""

    tick: int
    height: int
    width: int
    """Of the image, in pixels, as displayed."""
    motion: Float32[np.ndarray, "2 rows cols"]
    """Pixels that each cell's content has moved by since the tick before; x, then y."""
    keyframe: Callable[[], UInt8[np.ndarray, "height width 3"]] | None
    """Decodes the image, RGB; present where a clip may start."""
    starts_shot: bool = False
    """True if a cut lies right before it. Only where a clip may start."""
    packet_bytes: int = 0
    """Size of what `keyframe` keeps to decode the image from."""

    @property
    def num_bytes(self) -> int:
        """Memory that it costs to keep this value, about."""
        return self.motion.nbytes + self.packet_bytes + 500

    @property
    def is_keyframe(self) -> bool:
        """True if a clip may start here."""
        return self.keyframe is not None
