"""A board on which an arrow is drawn over an image: by finger, mouse or keys."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import UInt8
from PIL import Image

__all__ = ["arrow_board", "board_image"]

_SCRIPT = (files("videolavit") / "assets" / "demo" / "board.js").read_text(encoding="utf-8")
_TEMPLATE = """
<div class="board" tabindex="0" role="application"
     aria-label="Draw an arrow over the image: drag, or move its tip with the arrow keys, its tail with Shift">
  ${value}
</div>
"""
_EMPTY = '<p class="caption">Choose an image above; then draw an arrow on it here.</p>'
_LINE = """<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
<defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="5" markerHeight="5" orient="auto">
<path d="M0 0 10 5 0 10z" fill="#d55e00"/></marker></defs>
<line x1="35" y1="50" x2="65" y2="50" stroke="#d55e00" stroke-width="6" vector-effect="non-scaling-stroke"
 marker-end="url(#tip)"/></svg>"""


def arrow_board(name: str) -> gr.HTML:
    """The board; its event `drawn` brings x0, y0, x1 and y1 as shares of the image."""
    return gr.HTML(_EMPTY, html_template=_TEMPLATE, js_on_load=_SCRIPT, elem_id=name)


def board_image(image: UInt8[np.ndarray, "height width 3"] | None) -> Any:
    """Content of the board: an image with an arrow over it, or a word about what to do."""
    if image is None:
        return _EMPTY
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="the image to animate" draggable="false" src="data:image/png;base64,{data}">{_LINE}'
