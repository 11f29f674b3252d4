"""Parts around the results of a tab: its status, what it cost, and the lines that repeat it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from videolavit.demo.cost_strip import cost_strip, status_line, told
from videolavit.demo.page_context import PageContext, plain_message
from videolavit.demo.repeat_lines import RepeatLines
from videolavit.errors import VideoLaVITError
from videolavit.server.engine import Event, WorkCancelledError

__all__ = ["ResultPanel", "caption", "explained", "image_view", "player", "stop_button"]


_STATUS_SECONDS = 0.2
"""Between changes of a status line."""


class ResultPanel:
    """Status above, cost and lines below the results of one tab; `with_link` if an address can fill the tab.

    The lines repeat what the page's model has made.
    """

    def __init__(self, context: PageContext, name: str, *, with_link: bool = False) -> None:
        self.name, self._model, self._with_link = name, context.services.model_name, with_link
        self.status = gr.HTML("", elem_id=f"{name}-status", elem_classes="status-box")

    def build_below(self) -> None:
        """Place the parts that stand below the results; to be called where they belong in the layout."""
        self.cost = gr.HTML("", elem_id=f"{self.name}-cost")
        with gr.Accordion("Repeat this result: command, Python, curl", open=False, elem_id=f"{self.name}-repeat"):
            boxes = {"command": "Command line", "python": "Python", "curl": "curl"}
            if self._with_link:
                boxes["link"] = "Link to this tab with these fields"
            self.lines = [
                gr.Textbox(
                    label=label,
                    buttons=["copy"],
                    interactive=False,
                    lines=2,
                    max_lines=12,
                    elem_id=f"{self.name}-{kind}",
                    elem_classes="code-lines",
                )
                for kind, label in boxes.items()
            ]

    @property
    def outputs(self) -> list[Any]:
        """Components that an event with this panel changes."""
        return [self.status, self.cost, *self.lines]

    def shown(self, timings: Mapping[str, float], lines: RepeatLines, *facts: str) -> dict[Any, Any]:
        """Changes for a result that is there."""
        lines = lines.with_model(self._model)
        values = (lines.command, lines.python, lines.curl, *([lines.link] if self._with_link else []))
        return {
            self.status: status_line("Done", kind="done"),
            self.cost: cost_strip(timings, *facts),
            **dict(zip(self.lines, values, strict=True)),
        }

    def cleared(self) -> dict[Any, Any]:
        """Changes before new work begins."""
        return {self.status: status_line("Sent ..."), self.cost: "", **dict.fromkeys(self.lines, "")}

    def stopped(self) -> dict[Any, Any]:
        """Changes after the visitor stopped the work; what is on show stays."""
        return {self.status: status_line("Stopped. What was made so far stays on show.", kind="stopped")}

    async def told(self, events: AsyncIterator[Event]) -> AsyncIterator[tuple[str, Any, dict[Any, Any]]]:
        """Events, each with its change of the status line; after Stop the last one is ("stopped", None, change)."""
        last, shown = "", 0.0
        try:
            async for kind, content in events:
                line, now = told(kind, content), time.monotonic()
                is_small = kind in ("progress", "waiting")
                if is_small and now - shown < _STATUS_SECONDS:
                    continue
                is_new = line is not None and line != last
                last, shown = line if is_new else last, now if is_small else shown
                # An event without a change still passes on that the visitor is there.
                yield kind, content, {self.status: line if is_new else gr.skip()}
        except WorkCancelledError:
            yield "stopped", None, self.stopped()


def caption(text: str) -> gr.HTML:
    """A line above an image or a player, which then needs no label over it."""
    return gr.HTML(f'<p class="caption">{escape(text)}</p>')


def image_view(name: str, label: str, **options: Any) -> gr.Image:
    """An image to look at."""
    options = {"format": "png", "buttons": ["download", "fullscreen"], **options}
    return gr.Image(label=label, show_label=False, interactive=False, elem_id=name, alt_text=label, **options)


def player(name: str, label: str, **options: Any) -> gr.Video:
    """A video to look at, again and again."""
    options = {"autoplay": True, "loop": True, "buttons": ["download"], **options}
    return gr.Video(label=label, show_label=False, interactive=False, elem_id=name, **options)


def stop_button(context: PageContext, name: str) -> gr.Button:
    """A button that cancels a visitor's work; it has no lane of its own, so it acts at once."""
    button = gr.Button("Stop", variant="stop", elem_id=f"{name}-stop", min_width=80, scale=0)

    def stop(request: gr.Request) -> None:
        context.calls.stop(request.session_hash or "")

    button.click(stop, queue=False, api_visibility="private", show_progress="hidden")
    return button


def explained(event: Callable[..., Any]) -> Callable[..., Any]:
    """An event whose errors of this package are told on the page in their own words, without the server's folders."""

    @wraps(event)
    async def guarded(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        async with _told_errors(arguments):
            async for change in event(*arguments, **named):
                yield change

    return guarded


@asynccontextmanager
async def _told_errors(arguments: tuple[Any, ...]) -> AsyncIterator[None]:
    try:
        yield
    except (VideoLaVITError, OSError) as error:
        paths = [argument for argument in arguments if isinstance(argument, str) and "/" in argument]
        raise gr.Error(plain_message(error, *paths), duration=None, print_exception=False) from None
