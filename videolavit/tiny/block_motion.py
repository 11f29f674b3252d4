"""Plain motion compensation of a batch, for networks: every frame is the frame before it, moved in overlapping blocks.

The same as `videolavit.video.motion.warp` with its default blend, in floating point and on any device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from videolavit.clip import MOTION_STD

__all__ = ["moved_in_blocks"]


def moved_in_blocks(
    values: Float[Tensor, "batch channels height width"],
    motion: Float[Tensor, "batch 2 frames rows cols"],
    *,
    further: float = 0.0,
) -> Float[Tensor, "batch frames channels height width"]:
    """Frames of clips from what their keyframes hold, and normalised motion; frame 0's motion is not used.

    Args:
        values: colours, and whatever else is to be carried along.
        motion: of blocks that tile the image.
        further: if not 0, the last three channels count how far what is shown has come: x and y in sides of the image
            times this number, and a third that stays.
    """
    sides = motion * motion.new_tensor(MOTION_STD).reshape(1, 2, 1, 1, 1)
    frames = [values]
    for t in range(1, motion.shape[2]):
        frames.append(_moved(frames[-1], sides[:, :, t], further))
    return torch.stack(frames, dim=1)


def _moved(
    values: Float[Tensor, "batch channels height width"], sides: Float[Tensor, "batch 2 rows cols"], further: float
) -> Float[Tensor, "batch channels height width"]:
    """One frame on: each pixel is a mean of what the four nearest blocks predict, weighted by nearness."""
    (height, width), (rows, cols) = values.shape[2:], sides.shape[2:]
    down, right = (
        (torch.arange(size, device=values.device) + 0.5) * blocks / size - 0.5
        for size, blocks in ((height, rows), (width, cols))
    )
    y, x = (torch.linspace(-1 + 1 / size, 1 - 1 / size, size, device=values.device) for size in (height, width))
    total = torch.zeros_like(values)
    for row in (down.floor(), down.floor() + 1):
        for col in (right.floor(), right.floor() + 1):
            nearness = (1 - (down - row).abs())[:, None] * (1 - (right - col).abs())
            block = row.long().clamp(0, rows - 1)[:, None], col.long().clamp(0, cols - 1)
            vector = sides[:, :, *block]
            source = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1) - 2 * vector.permute(0, 2, 3, 1)
            found = F.grid_sample(values, source, mode="bilinear", padding_mode="border", align_corners=False)
            if further:
                found = found + F.pad(further * vector, (0, 0, 0, 0, values.shape[1] - 3, 1))
            total = total + nearness * found
    return total
