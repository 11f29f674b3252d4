"""Take apart: any video as keyframes, cuts and motion; no model is needed, and it never waits for one."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from videolavit.demo import taken_apart
from videolavit.demo.cost_strip import facts_table, status_line
from videolavit.demo.page_context import KEPT_SECONDS, PageContext, example_videos
from videolavit.demo.repeat_lines import RepeatLines
from videolavit.demo.result_panel import ResultPanel, caption, explained, image_view, player
from videolavit.demo.shape_images import moving_shapes
from videolavit.demo.taken_apart import TakenApart, arrow_frames, facts, narrowed, shown_at, zipped
from videolavit.video import write_video
from videolavit.video.io.pixels import resize_image

__all__ = ["build"]

_TILE = 240
"""Width of a keyframe in the gallery."""


def build(context: PageContext) -> None:
    """Place inputs, results and their events."""
    taken = gr.State(None, time_to_live=KEPT_SECONDS)
    gr.Markdown(
        "Any video becomes **keyframes**, what is seen, and **motion vectors**, how it moves. No model is needed."
    )
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            video = gr.Video(label="A video", sources=["upload"], height=260, elem_id="apart-video")
            shapes = str(context.files.example(moving_shapes(), "shapes.mp4"))
            gr.Examples([*example_videos(), shapes], video, label="Or one of these")
            go = gr.Button("Take apart", variant="primary", elem_id="apart-go")
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "apart")
            table = gr.HTML("", elem_id="apart-facts")
            caption("Keyframes, each with its time: choose one")
            gallery = gr.Gallery(
                label="Keyframes", show_label=False, columns=4, allow_preview=False, elem_id="apart-keyframes"
            )
            caption("The clip with its motion, and its keyframe moved by that motion alone, without the other frames")
            clip_video = player("apart-clip", "Chosen clip")
            caption("One frame's motion: length is how far, colour is which way")
            arrows = image_view("apart-arrows", "Motion of the chosen clip as arrows")
            frame = gr.Slider(0, 23, 0, step=1, label="Frame; 0 is the mean over the clip", elem_id="apart-frame")
            archive = gr.File(label="All of it: keyframes, motion, metadata (zip)", elem_id="apart-zip")
            panel.build_below()
    chosen = gr.Number(0, visible=False)

    @explained
    async def take_apart(video: str | None, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        """Take a video apart into keyframes, cuts and motion vectors. Returns facts, images, and a zip of all."""
        path = await context.check_upload(video, "a video")
        yield {**panel.cleared(), panel.status: status_line("Reading the video ...")}
        started = time.perf_counter()
        found = await asyncio.to_thread(taken_apart.take_apart, path, limits=context.limits)
        read = time.perf_counter()
        shown = await asyncio.to_thread(narrowed, found)  # whole keyframes of a visitor's video may take a gigabyte
        yield {table: facts_table(facts(found)), gallery: await asyncio.to_thread(_tiles, shown)}
        first = await asyncio.to_thread(_first_look, shown)
        yield {**views_of(first), panel.status: status_line("Packing ..."), taken: shown, chosen: 0, frame: 0}
        packed = await asyncio.to_thread(lambda: context.files.write(zipped(found), "taken-apart", ".zip"))
        timings = {"read": read - started, "draw": time.perf_counter() - read}
        told = {table: facts_table(facts(found)), **views_of(first)}
        yield {archive: str(packed), **told, **panel.shown(timings, _lines(Path(path).name))}

    def views_of(first: tuple[np.ndarray, str]) -> dict[Any, Any]:
        return {arrows: first[0], clip_video: first[1]}

    def _first_look(found: TakenApart) -> tuple[np.ndarray, str]:
        return shown_at(found, 0, None), clip_file(found, 0)

    def clip_file(found: TakenApart, index: int) -> str:
        frames = arrow_frames(found, index, context.limits)
        name = context.files.folder / f"clip-{abs(hash((found.source, index)))}.mp4"
        return str(write_video(frames, name, fps=float(found.clips[0].fps)))

    async def choose(found: TakenApart | None, event: gr.SelectData) -> tuple[Any, Any, Any, Any]:
        """Show another clip."""
        if found is None:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        image = await asyncio.to_thread(shown_at, found, event.index, None)
        return image, await asyncio.to_thread(clip_file, found, event.index), event.index, 0

    async def show_frame(found: TakenApart | None, index: float | int, number: float | int) -> Any:
        """Arrows of another frame."""
        if found is None:
            return gr.skip()
        return await asyncio.to_thread(shown_at, found, int(index), int(number) or None)

    outputs = [*panel.outputs, table, gallery, arrows, clip_video, archive, taken, chosen, frame]
    go.click(
        take_apart,
        video,
        outputs,
        api_name="take_apart",
        concurrency_id="take-apart",
        concurrency_limit=2,
        show_progress="hidden",
    )
    gallery.select(choose, taken, [arrows, clip_video, chosen, frame], api_visibility="private", show_progress="hidden")
    frame.input(show_frame, [taken, chosen, frame], arrows, api_visibility="private", show_progress="hidden")


def _tiles(found: TakenApart) -> list[tuple[np.ndarray, str]]:
    tiles = []
    for clip in found.clips:
        height = max(2, round(clip.size[0] * _TILE / clip.size[1]))
        tiles.append((resize_image(clip.keyframe, height, _TILE), f"{clip.start_seconds:.1f} s"))
    return tiles


def _lines(name: str) -> RepeatLines:
    python = (
        "from videolavit import decompose\n\n"
        f"for clip in decompose({name!r}, select='all', shots='difference'):\n"
        "    print(clip.start_seconds, clip.keyframe.shape, clip.motion.values.shape)\n"
    )
    command = f"videolavit decompose {shlex.quote(name)} -o apart --select all --shots difference"
    return RepeatLines(command=command, python=python)
