"""Motion of a clip as it was found, and as its tokens say it, with the error between the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from videolavit.clip import Clip, MotionField, resize_motion
from videolavit.demo.taken_apart import motion_error
from videolavit.video import draw_arrows
from videolavit.video.io.pixels import resize_image

__all__ = ["MotionView", "motion_view"]

_WIDTH = 384


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MotionView:
    """Two fields of one clip on the motion tokenizer's grid, in pixels per frame of the keyframe."""

    keyframe: UInt8[np.ndarray, "_ _ 3"]
    found: MotionField
    coded: MotionField

    @property
    def error(self) -> float:
        """Mean endpoint error over all moving frames, in pixels per frame."""
        return motion_error(self.found.values[:, 1:], self.coded.values[:, 1:])

    @property
    def speed(self) -> float:
        """Mean length of the vectors that were found, to compare the error with."""
        return float(np.hypot(*self.found.values[:, 1:]).mean())

    def arrows(self, frame: int | None = None) -> tuple[UInt8[np.ndarray, "_ _ 3"], UInt8[np.ndarray, "_ _ 3"]]:
        """Keyframe with arrows, before and after the tokens; None is the mean over the clip."""
        height, width = self.keyframe.shape[:2]
        large = resize_image(self.keyframe, max(2, round(height * _WIDTH / width)), _WIDTH)
        return draw_arrows(large, self.found, frame), draw_arrows(large, self.coded, frame)


@torch.no_grad()
def motion_view(model: Any, clip: Clip) -> MotionView:
    """Both fields of a clip that the model's own video processor made."""
    tokenizer = model.motion_tokenizer
    height, width = clip.size
    units = clip.motion.in_tokenizer_units()
    rows, cols = tokenizer.config.rows, tokenizer.config.cols
    codes = tokenizer.encode(torch.from_numpy(clip.motion.for_tokenizer(rows, cols))[None].to(model.components.device))
    decoded = tokenizer.decode(codes)[0].float().cpu().numpy()
    return MotionView(
        keyframe=clip.keyframe,
        found=MotionField.from_tokenizer_units(resize_motion(units, rows, cols), height=height, width=width),
        coded=MotionField.from_tokenizer_units(decoded, height=height, width=width),
    )
