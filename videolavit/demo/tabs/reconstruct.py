"""Reconstruct: a video through its tokens and back, beside the original, with the numbers that say what is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from videolavit.demo.cost_strip import facts_table
from videolavit.demo.motion_views import motion_view
from videolavit.demo.page_context import KEPT_SECONDS, PageContext, example_videos
from videolavit.demo.repeat_lines import RepeatLines, repeat_call, repeat_python
from videolavit.demo.result_panel import ResultPanel, caption, explained, image_view, player, stop_button
from videolavit.video import side_by_side
from videolavit.video.processor import whole_video_clips

__all__ = ["build"]

FORMS = [("through tokens", "tokens"), ("as it is", "raw")]


def build(context: PageContext) -> None:
    """Place inputs, results and their events."""
    kept = gr.State(None, time_to_live=KEPT_SECONDS)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            video = gr.Video(label="A video", sources=["upload"], height=220, elem_id="reconstruct-video")
            gr.Examples(example_videos(), video, label="Or this one")
            keyframe = gr.Radio(FORMS, value=context.examples.real_keyframes, label="Keyframe")
            motion = gr.Radio(FORMS, value="tokens", label="Motion")
            detokenizer = gr.Radio(
                [("the model's frames", "diffusion"), ("moved along only, at once", "warp")],
                value="diffusion",
                label="Frames",
            )
            with gr.Row():
                go = gr.Button("Reconstruct", variant="primary", elem_id="reconstruct-go", min_width=110)
                stop_button(context, "reconstruct")
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "reconstruct")
            numbers = gr.HTML("", elem_id="reconstruct-numbers")
            caption("One frame: drag the handle. Left the original, right what its tokens keep")
            slider = gr.ImageSlider(
                label="Original and reconstruction",
                show_label=False,
                type="numpy",
                format="png",
                interactive=False,
                elem_id="reconstruct-slider",
                elem_classes="pixels",
            )
            frame = gr.Slider(0, 23, 12, step=1, label="Frame", elem_id="reconstruct-frame")
            both = player("reconstruct-both", "Original and reconstruction, side by side", elem_classes="pixels")
            caption("Motion of the first clip: as it was found, and as its tokens say it")
            with gr.Row():
                found = image_view("reconstruct-found", "Motion as it was found", min_width=140)
                coded = image_view("reconstruct-coded", "Motion after the tokens", min_width=140)
            panel.build_below()

    @explained
    async def reconstruct(
        video: str | None, keyframe: str, motion: str, detokenizer: str, request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        """Turn a video into tokens and back, and measure what they keep: PSNR, SSIM, ids and bits per second."""
        path = await context.check_upload(video, "a video")
        yield {**panel.cleared(), numbers: ""}

        def work(model: Any, progress: Any, emit: Any) -> Any:
            clip, _ = next(whole_video_clips(path, model.settings.video_processor, limits=context.limits))
            view = motion_view(model, clip)
            emit("motion", (view.arrows(), view.error, view.speed))
            return model.reconstruct(
                path, keyframe=keyframe, motion=motion, detokenizer=detokenizer, max_clips=16, progress=progress
            )

        told: list[tuple[str, str]] = []
        events = context.calls.events(work, request.session_hash or "", lane="videos", cost=40)
        async for kind, content, change in panel.told(events):
            if kind == "motion":
                (before, after), error, speed = content
                told = [
                    ("motion error", f"{error:.3f} pixels per frame where vectors are {speed:.3f} long (first clip)")
                ]
                change = {found: before, coded: after, numbers: facts_table(told)}
            elif kind == "done":
                middle = min(12, len(content.frames) - 1)
                shown = await asyncio.to_thread(_side_by_side, context, content)
                change = {
                    **panel.shown(content.timings, _lines(Path(path).name, keyframe, motion, detokenizer)),
                    numbers: facts_table([*measured(content), *told]),
                    slider: (content.original[middle], content.frames[middle]),
                    frame: gr.Slider(0, max(1, len(content.frames) - 1), middle),
                    both: shown,
                    kept: (content.original, content.frames),
                }
            yield change

    def show_frame(kept: tuple[np.ndarray, np.ndarray] | None, number: float | int) -> Any:
        """Another frame of the last result."""
        if kept is None:
            return gr.skip()
        original, frames = kept
        index = min(int(number), len(frames) - 1)
        return original[index], frames[index]

    go.click(
        reconstruct,
        [video, keyframe, motion, detokenizer],
        [*panel.outputs, numbers, slider, frame, both, found, coded, kept],
        api_name="reconstruct",
        show_progress="hidden",
    )
    frame.input(show_frame, [kept, frame], slider, api_visibility="private", show_progress="hidden")


def measured(result: Any) -> list[tuple[str, str]]:
    """Numbers of a reconstruction, as the page tells them."""
    return [
        ("PSNR", f"{result.psnr_db:.2f} dB"),
        ("SSIM", f"{result.ssim:.4f}"),
        ("ids", f"{result.num_ids} in all, {result.ids_per_second:.1f} per second"),
        ("bits", f"{result.bits_per_second:.0f} per second, keyframes and motion"),
        ("video", f"{len(result.frames)} frames of {result.frames.shape[2]} x {result.frames.shape[1]}"),
    ]


def _side_by_side(context: PageContext, result: Any) -> str:
    frames = list(side_by_side([result.original, result.frames], ["original", "again"]))
    return str(context.files.video(frames, "both", fps=result.fps))


def _lines(name: str, keyframe: str, motion: str, detokenizer: str) -> RepeatLines:
    named = {
        "keyframe": None if keyframe == "tokens" else keyframe,
        "motion": None if motion == "tokens" else motion,
        "detokenizer": None if detokenizer == "diffusion" else detokenizer,
    }
    command = {"keyframe_from": named["keyframe"], "motion_from": named["motion"], "detokenizer": named["detokenizer"]}
    python = repeat_python("reconstruct", repr(name), output="again.mp4", **named)
    return RepeatLines(
        command=repeat_call("reconstruct", name, output="again.mp4", **command),
        python=f"{python}print(result.psnr_db, result.ids_per_second, result.bits_per_second)\n",
    )
