"""Patches of an image that the selector keeps, with its probabilities and their codes (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from videolavit.tokenizers.selector import KEEP

__all__ = ["KeptPatches", "draw_patches", "kept_at", "look_at_patches"]

_KEPT, _CHOSEN = (0, 114, 178), (213, 94, 0)
"""Blue and vermilion of Okabe and Ito, which colour-blind people can tell apart."""
_SMALLEST_SIDE, _LARGEST_SIDE = 512, 1024


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptPatches:
    """View of one image by the visual tokenizer."""

    probabilities: Float[np.ndarray, "rows cols"]
    """Of being kept, by the selector."""
    keep: Bool[np.ndarray, "rows cols"]
    """Patches that became codes."""
    codes: tuple[int, ...]
    """Codes of the kept patches, row by row; those of `VideoLaVIT.tokenize`."""

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.keep.shape

    def place(self, number: int) -> tuple[int, int]:
        """(row, col) of the patch with the code of that number."""
        rows, cols = np.nonzero(self.keep)
        return int(rows[number]), int(cols[number])

    def number(self, row: int, col: int) -> int | None:
        """Number of the code that stands at a patch; None where none does."""
        if not self.keep[row, col]:
            return None
        return int(self.keep.ravel()[: row * self.grid[1] + col].sum())


@torch.no_grad()
def look_at_patches(model: Any, image: UInt8[np.ndarray, "_ _ 3"]) -> KeptPatches:
    """Patches that the tokenizer of a `VideoLaVIT` keeps of an image, as `tokenize` does it."""
    tokenizer = model.visual_tokenizer
    pixels = tokenizer.preprocess([image]).to(tokenizer.vit.cls_token)
    log_probs = tokenizer.selector(tokenizer.vit(pixels)[:, 1:])
    tokens = tokenizer.encode(pixels, at_least_one=True)
    side = round(tokens.keep.shape[1] ** 0.5)
    return KeptPatches(
        probabilities=log_probs[0, :, KEEP].exp().reshape(side, side).cpu().numpy(),
        keep=tokens.keep[0].reshape(side, side).cpu().numpy(),
        codes=tuple(tokens.codes[0].tolist()),
    )


def kept_at(patches: KeptPatches, threshold: float | int) -> Bool[np.ndarray, "rows cols"]:
    """Patches whose probability reaches a threshold; 0.5 is the tokenizer's own."""
    return patches.probabilities >= threshold


def draw_patches(
    image: UInt8[np.ndarray, "_ _ 3"],
    patches: KeptPatches,
    *,
    threshold: float | int = 0.5,
    chosen: int | None = None,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """The image under its patches: as bright as each is likely to be kept, with a frame round those that are.

    Args:
        image: of any size; it is shown 512 to 1024 pixels wide, so that a large one does not take a gigabyte.
        patches: how the tokenizer sees it.
        threshold: for the frames; at 0.5 they are those that became codes.
        chosen: number of a code to mark, with all others that have the same one.
    """
    rows, cols = patches.grid
    side = min(max(_SMALLEST_SIDE, image.shape[1]), _LARGEST_SIDE) // cols * cols
    height = side // cols * rows
    sheet = Image.fromarray(image).resize((side, height), Image.Resampling.NEAREST)
    shade = np.kron(patches.probabilities, np.ones((height // rows, side // cols)))[..., None]
    bright = np.asarray(sheet) * (0.3 + 0.7 * shade)
    sheet = Image.fromarray(bright.astype(np.uint8))
    pen = ImageDraw.Draw(sheet)
    kept = patches.keep if threshold == 0.5 else kept_at(patches, threshold)
    for row, col in np.argwhere(kept):
        _frame(pen, int(row), int(col), side // cols, _KEPT, 2)
    same = () if chosen is None else [i for i, code in enumerate(patches.codes) if code == patches.codes[chosen]]
    for number in same:
        _frame(pen, *patches.place(number), side // cols, _CHOSEN, 5 if number == chosen else 3)
    return np.asarray(sheet)


def _frame(pen: ImageDraw.ImageDraw, row: int, col: int, side: int, colour: tuple[int, int, int], width: int) -> None:
    left, top = col * side, row * side
    pen.rectangle((left, top, left + side - 1, top + side - 1), outline=colour, width=width)
