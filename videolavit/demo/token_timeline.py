"""Tokens of a video as a strip, clip after clip, with a cursor that follows the player."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from html import escape

from videolavit.clip_tokens import ClipTokens

__all__ = ["code_colour", "surprise_colour", "token_timeline"]

_GOLDEN = 0.6180339887
"""Hues of codes one after the other lie far apart."""
_CELL = 9
_MOST_BITS = 11.0
"""At which a surprise is drawn darkest."""
_KEYFRAME_ROWS = 5


def token_timeline(
    clips: Sequence[ClipTokens],
    *,
    player: str,
    motion_shape: tuple[int, int, int] = (3, 5, 9),
    surprises: Sequence[float] | None = None,
) -> str:
    """A row for each clip: its keyframe's codes, then those of its motion as time x rows x cols.

    Args:
        clips: tokens of a video or an image.
        player: `elem_id` of the player that the cursor follows.
        motion_shape: of the motion codes of a clip.
        surprises: bits by which each code was unexpected, keyframe then motion, clip after clip; None colours by code.
    """
    left = iter(surprises) if surprises is not None else None
    rows = []
    for number, clip in enumerate(clips):
        keyframe, motion = ([] if codes is None else codes.tolist() for codes in (clip.keyframe, clip.motion))
        bits = None if left is None else [next(left, 0.0) for _ in [*keyframe, *motion]]
        rows.append(_row(number, keyframe, motion, motion_shape, bits))
    kind = (
        "how much each code surprised the model, dark is more" if surprises is not None else "one colour for each code"
    )
    count = sum(sum(clip.num_codes) for clip in clips)
    return (
        f'<div class="timeline" data-player="{escape(player)}" data-clips="{len(clips)}">{"".join(rows)}'
        f'<p class="caption">{count} codes; {kind}. K: keyframe, M: motion, {motion_shape[0]} steps of '
        f"{motion_shape[1]} x {motion_shape[2]}.</p></div>"
    )


def code_colour(code: int) -> str:
    """A colour for a code, light enough for black text."""
    red, green, blue = colorsys.hls_to_rgb(code * _GOLDEN % 1, 0.62, 0.65)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def surprise_colour(bits: float | int) -> str:
    """From nearly white, as expected, to dark blue: readable without telling hues apart."""
    share = min(max(bits / _MOST_BITS, 0.0), 1.0)
    light, dark = (236, 243, 249), (0, 50, 110)
    return "#" + "".join(f"{round(one + (other - one) * share):02x}" for one, other in zip(light, dark, strict=True))


def _row(
    number: int,
    keyframe: list[int],
    motion: list[int],
    shape: tuple[int, int, int],
    bits: list[float] | None,
) -> str:
    times, rows, cols = shape
    width_k = -(-len(keyframe) // _KEYFRAME_ROWS)
    cells = [
        _cell(f"K {code}", index // _KEYFRAME_ROWS, index % _KEYFRAME_ROWS, code, bits, index)
        for index, code in enumerate(keyframe)
    ]
    left = width_k + 1
    for index, code in enumerate(motion):
        time, place = divmod(index, rows * cols)
        row, col = divmod(place, cols)
        cells.append(_cell(f"M {code}", left + time * (cols + 1) + col, row, code, bits, len(keyframe) + index))
    width = (left + (times * (cols + 1) if motion else 0)) * _CELL
    height = max(rows, _KEYFRAME_ROWS) * _CELL
    start = left * _CELL
    return (
        f'<div class="clip" data-clip="{number}"><span class="name">clip {number}</span>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="clip {number}: {len(keyframe)} keyframe codes and '
        f'{len(motion)} motion codes" style="max-width:{2 * width}px">{"".join(cells)}'
        f'<line class="cursor" data-from="{start}" data-to="{width - _CELL}" x1="-9" x2="-9" y1="0" y2="{height}"/>'
        "</svg></div>"
    )


def _cell(title: str, col: int, row: int, code: int, bits: list[float] | None, index: int) -> str:
    colour = code_colour(code) if bits is None else surprise_colour(bits[index])
    words = title if bits is None else f"{title}: {bits[index]:.1f} bits"
    return (
        f'<rect x="{col * _CELL}" y="{row * _CELL}" width="{_CELL - 1}" height="{_CELL - 1}" fill="{colour}">'
        f"<title>{escape(words)}</title></rect>"
    )
