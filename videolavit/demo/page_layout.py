"""The page as a whole: header, tabs, theme and style."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Any

import gradio as gr

from videolavit.demo.deep_links import LinkField, read_link
from videolavit.demo.model_calls import ModelCalls
from videolavit.demo.page_context import PageContext
from videolavit.demo.tabs import about, animate, ask, edit_motion, generate, longer, reconstruct, take_apart, tokens
from videolavit.server.services import Services

__all__ = ["FOOTER", "HEAD", "STYLE", "build_page", "theme"]

FOOTER: Any = ["api", "settings"]
STYLE = (files("videolavit") / "assets" / "demo" / "page.css").read_text(encoding="utf-8")
_SCRIPT = (files("videolavit") / "assets" / "demo" / "page.js").read_text(encoding="utf-8")
HEAD = f'<link rel="icon" href="data:,"><script>{_SCRIPT}</script>'

TABS = {
    "Take apart": take_apart,
    "Generate": generate,
    "Animate": animate,
    "Ask": ask,
    "Edit motion": edit_motion,
    "Tokens": tokens,
    "Reconstruct": reconstruct,
    "Longer": longer,
    "About": about,
}


def build_page(services: Services) -> gr.Blocks:
    """All tabs over the engine of a server."""
    context = PageContext(services=services, calls=ModelCalls(services.engine))
    fields: dict[str, dict[str, LinkField]] = {}
    with gr.Blocks(title="videolavit", analytics_enabled=False, delete_cache=(600, 7200)) as page:
        gr.HTML(_header(context), elem_id="header")
        with gr.Tabs(elem_id="tabs") as tabs:
            for label, tab in TABS.items():
                name = tab.__name__.rpartition(".")[2]
                with gr.Tab(label, id=name):
                    fields[name] = tab.build(context) or {}
        _follow_links(page, tabs, fields)
    page.queue(default_concurrency_limit=20, max_size=400)
    return page


def _follow_links(page: gr.Blocks, tabs: gr.Tabs, fields: dict[str, dict[str, LinkField]]) -> None:
    """Let the query of the page's address open a tab and fill its fields."""

    def follow(request: gr.Request) -> dict[Any, Any]:
        tab, values = read_link(request.query_params.items(), fields)
        changes = {fields[tab][name].component: value for name, value in values.items()} if tab else {}
        return {tabs: gr.Tabs(selected=tab) if tab else gr.skip(), **changes}

    filled = [field.component for of_tab in fields.values() for field in of_tab.values()]
    page.load(follow, None, [tabs, *filled], queue=False, api_visibility="private", show_progress="hidden")


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own system: none is fetched from anywhere."""
    return gr.themes.Default(
        primary_hue="teal",
        neutral_hue="zinc",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
        radius_size="md",
    )


def _header(context: PageContext) -> str:
    knows = context.examples.knows
    return (
        "<h1>videolavit</h1><p>A video is a few <b>keyframes</b>, what is seen, and <b>motion</b>, how it moves. "
        "Both become tokens between words, so either can be read, written and changed alone.</p>"
        f'<p class="model">Model: <b>{escape(context.services.model_name)}</b>. {knows}</p>'
    )
