"""Longer: a video clip by clip, with words for each; clips appear as they are made, and one can be made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr

from videolavit.demo.clip_chain import ClipChain, Link, python_lines, write_chain
from videolavit.demo.deep_links import LinkField, as_number, as_words, link_address
from videolavit.demo.page_context import KEPT_SECONDS, LARGEST_SEED, PageContext, chosen_seed
from videolavit.demo.repeat_lines import RepeatLines
from videolavit.demo.result_panel import ResultPanel, caption, explained, player, stop_button
from videolavit.demo.tabs.generate import preview_file, shown_events
from videolavit.errors import PromptError

__all__ = ["build"]

CLIPS = 4
_ONLY_PYTHON = "# going on needs the ids and the last frame of the clip before, which a file does not keep: use Python"


def build(context: PageContext) -> dict[str, LinkField]:
    """Place inputs, results and their events; the fields that an address can fill."""
    examples = context.examples.clips + ("",) * CLIPS
    chain = gr.State(None, time_to_live=KEPT_SECONDS)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            caption("Words for each clip of 4 seconds; an empty line ends the video.")
            words = [
                gr.Textbox(
                    examples[number],
                    label=f"Clip {number + 1}",
                    elem_id=f"longer-words-{number}",
                )
                for number in range(CLIPS)
            ]
            seed = gr.Number(1, label="Seed; -1 is a new one each time", precision=0, elem_id="longer-seed")
            with gr.Row():
                go = gr.Button("Draw clip after clip", variant="primary", elem_id="longer-go", min_width=110)
                stop_button(context, "longer")
            with gr.Row():
                which = gr.Slider(1, CLIPS, 2, step=1, label="Clip", min_width=100, elem_id="longer-which")
                again = gr.Button("Draw it and those after it again", elem_id="longer-again", min_width=140)
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "longer", with_link=True)
            video = player("longer-video", "The video so far", elem_classes="pixels")
            caption("Each clip by itself, as soon as it is there")
            with gr.Row():
                parts = [
                    player(f"longer-clip-{number}", f"Clip {number + 1}", min_width=120, elem_classes="pixels")
                    for number in range(CLIPS)
                ]
            panel.build_below()

    def checked(*words: str) -> tuple[str, ...]:
        return tuple(context.check_text(text) for text in words)

    async def drawn(links: list[Link], start: ClipChain | None, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        """Draw the clips that are not there yet."""

        def work(model: Any, progress: Any, emit: Callable[[str, Any], None]) -> Any:
            return write_chain(
                model,
                links,
                start=start,
                done=lambda number, video: emit("clip", (number, video)),
                progress=progress,
                **shown_events(emit),
            )

        made = len(start.videos) if start else 0
        events = context.calls.events(work, request.session_hash or "", lane="videos", cost=20 * (len(links) - made))
        timings: dict[str, float] = {}
        files: dict[Any, str] = {}
        async for kind, content, change in panel.told(events):
            if kind == "preview" and content[1] < CLIPS:
                change = {parts[content[1]]: await asyncio.to_thread(preview_file, context, content[0])}
            elif kind == "clip":
                number, whole = content
                timings = {name: timings.get(name, 0) + value for name, value in whole.timings.items()}
                files[parts[number]] = await asyncio.to_thread(preview_file, context, whole.frames[-24:])
                files[video] = str(await asyncio.to_thread(context.files.save, whole, "long"))
                change = {video: files[video], parts[number]: files[parts[number]]}
            elif kind == "done":
                link = _link(links, context.address(request.headers))
                lines = RepeatLines(command=_ONLY_PYTHON, python=python_lines(links), curl=_ONLY_PYTHON, link=link)
                shown = panel.shown(timings, lines, f"{len(content.videos[-1].frames)} frames")
                change = {**shown, **files, chain: content}  # again: calls by name receive the last event alone
            yield change

    @explained
    async def draw_long_video(
        clip_1: str, clip_2: str, clip_3: str, clip_4: str, seed: int | None, request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        """Draw a video of up to four clips, with words for each; an empty one ends it."""
        links = _links(checked(clip_1, clip_2, clip_3, clip_4), chosen_seed(seed))
        yield {**panel.cleared(), video: None, **dict.fromkeys(parts), chain: None}
        async for change in drawn(links, None, request):
            yield change

    @explained
    async def redraw_clip(
        clip_1: str,
        clip_2: str,
        clip_3: str,
        clip_4: str,
        which: int,
        chain_before: ClipChain | None,
        request: gr.Request,
    ) -> AsyncIterator[dict[Any, Any]]:
        """Draw one clip of the last video again, by its words as they are now, and those that follow from it."""
        if chain_before is None:
            raise PromptError("draw a video first")
        number = int(which) - 1
        if number > len(chain_before.links):
            raise PromptError(f"the video has {len(chain_before.links)} clips; choose one of them, or the next")
        kept = chain_before.up_to(number)
        seed = (chain_before.links[number].seed if number < len(chain_before.links) else kept.links[-1].seed) + 1
        links = [*kept.links, *_links(checked(clip_1, clip_2, clip_3, clip_4), seed)[number:]]
        if len(links) <= number:
            raise PromptError(f"clip {number + 1} has no words")
        yield panel.cleared()
        async for change in drawn(links, kept, request):
            yield change

    outputs = [*panel.outputs, video, *parts, chain]
    go.click(draw_long_video, [*words, seed], outputs, api_name="draw_long_video", show_progress="hidden")
    again.click(redraw_clip, [*words, which, chain], outputs, api_name="redraw_clip", show_progress="hidden")
    most = context.services.limits.text_characters
    fields = {
        f"clip_{number}": LinkField(component=one, read=as_words(most)) for number, one in enumerate(words, start=1)
    }
    return {**fields, "seed": LinkField(component=seed, read=as_number(-1, LARGEST_SEED, whole=True))}


def _link(links: list[Link], address: str) -> str:
    """Address of the page with these words; empty where clips have seeds of their own, which no field holds."""
    if len({link.seed for link in links}) > 1:
        return ""
    # Clips behind the last one are said to have no words, or the page's own would follow.
    prompts = [link.prompt for link in links] + [""] * (CLIPS - len(links))
    fields = {f"clip_{number}": prompt for number, prompt in enumerate(prompts, start=1)}
    return link_address(f"{address}/demo/", "longer", {**fields, "seed": links[0].seed})


def _links(words: tuple[str, ...], seed: int) -> list[Link]:
    """Clips up to the first one without words."""
    links: list[Link] = []
    for text in words:
        if not text.strip():
            break
        links.append(Link(prompt=text.strip(), seed=seed))
    if not links:
        raise PromptError("say what happens in the first clip")
    return links
