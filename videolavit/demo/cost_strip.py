"""Cost of a result and state of its work, as HTML; every word of a visitor is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

__all__ = ["cost_strip", "facts_table", "status_line", "told"]

_STAGES = {
    "load": "load components",
    "encode": "read and encode",
    "generate": "write tokens",
    "rank": "compare drafts",
    "keyframe": "keyframe",
    "warp": "preview",
    "frames": "frames",
    "answer": "answer",
    "read": "read video",
    "draw": "draw arrows",
}


def cost_strip(timings: Mapping[str, float], *facts: str) -> str:
    """Seconds of each step as a bar and as text, with further facts behind them."""
    total = sum(timings.values())
    bars, words = [], []
    for number, (stage, seconds) in enumerate(timings.items()):
        if seconds < 0.005 * total:
            continue
        name = _STAGES.get(stage, stage)
        share = 100 * seconds / total if total else 0
        bars.append(f'<span class="part part-{number % 6}" style="width:{share:.2f}%" title="{escape(name)}"></span>')
        words.append(
            f'<span class="key part-{number % 6}" aria-hidden="true"></span>{escape(name)} <b>{seconds:.2f} s</b>'
        )
    further = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    legend = "".join(f"<span>{word}</span>" for word in words)
    return (
        f'<div class="cost"><div class="bar" aria-hidden="true">{"".join(bars)}</div>'
        f'<div class="words"><span>total <b>{total:.2f} s</b></span>{legend}{further}</div></div>'
    )


def status_line(text: str, share: float | int | None = None, *, kind: str = "busy") -> str:
    """A line that says what happens, read out when it changes; `share`, 0 to 1, draws a bar.

    Args:
        text: plain words.
        share: how far the work is; None for no bar.
        kind: "busy", "done" or "stopped".
    """
    bar = (
        "" if share is None else f'<div class="progress"><i style="width:{100 * min(max(share, 0), 1):.0f}%"></i></div>'
    )
    return f'<div class="status {escape(kind)}" role="status" aria-live="polite"><span>{escape(text)}</span>{bar}</div>'


def told(kind: str, content: object) -> str | None:
    """The status line of an event of `ModelCalls`; None for one that has none."""
    if kind == "loading":
        return status_line("The model is being loaded ...")
    if kind == "waiting" and isinstance(content, int):
        return status_line(f"Waiting: {content} before you") if content else None
    if kind == "started":
        return status_line("Started ...")
    if kind == "progress" and isinstance(content, tuple):
        stage, done, total = content
        name = _STAGES.get(stage, stage)
        if not total:
            return status_line(f"{name} ...".capitalize())
        return status_line(f"{name}: {done} of {total}".capitalize(), done / total)
    return None


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Names and values as a table."""
    rows = "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f'<table class="facts">{rows}</table>'
