"""An answer with how sure the model was of each piece of it, as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from videolavit.demo.token_timeline import surprise_colour
from videolavit.server.answers import TokenScore

__all__ = ["answer_view"]


def answer_view(scores: Sequence[TokenScore]) -> str:
    """Pieces of an answer: the darker, the less sure; the likeliest others stand in a tip and, for keys, in text."""
    if not scores:
        return ""
    pieces = "".join(_piece(score) for score in scores)
    mean = math.exp(sum(score.logprob for score in scores) / len(scores))
    return (
        f'<div class="sure">{pieces}</div><p class="caption">Darker pieces were less sure. On average a piece was '
        f"{mean:.0%} likely; point at one, or reach it by Tab, for the others that the model thought of.</p>"
    )


def _piece(score: TokenScore) -> str:
    bits = -score.logprob / math.log(2)
    others = ", ".join(f"{text.strip() or '(space)'} {math.exp(logprob):.0%}" for text, logprob in score.top)
    ink, tip, text = "#ffffff" if bits > 5 else "#111111", escape(others, quote=True), escape(score.text, quote=True)
    style = f"background:{surprise_colour(bits)};color:{ink}"
    return f'<span tabindex="0" style="{style}" title="{tip}" aria-label="{text}: {tip}">{text}</span>'
