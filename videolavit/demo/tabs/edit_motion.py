"""Edit motion: the looks of one thing with the motion of another, or its own motion changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from videolavit.demo.page_context import PageContext, example_images, example_videos
from videolavit.demo.repeat_lines import RepeatLines, media_kind, repeat_call, repeat_curl, repeat_python
from videolavit.demo.result_panel import ResultPanel, explained, player, stop_button
from videolavit.errors import MediaError

__all__ = ["build"]


def build(context: PageContext) -> None:
    """Place inputs, results and their events."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            looks = gr.File(
                label="Looks: an image or a video",
                file_types=["image", "video"],
                type="filepath",
                height=140,
                elem_id="edit-looks",
            )
            gr.Examples([*example_images()[:1], *example_videos()], looks, label="Or one of these")
            motion_of = gr.Video(
                label="Motion of: a video; empty for its own", sources=["upload"], height=180, elem_id="edit-motion-of"
            )
            gr.Examples(example_videos(), motion_of, label="Or this one")
            with gr.Row():
                reverse = gr.Checkbox(False, label="Backwards", min_width=90)
                mirror = gr.Checkbox(False, label="Mirrored", min_width=90)
                freeze = gr.Checkbox(False, label="Frozen", min_width=90)
            scale = gr.Slider(-2, 3, 1, step=0.25, label="Times as far; below 0 the other way", elem_id="edit-scale")
            keyframe = gr.Radio(
                [("as it is", "raw"), ("through its tokens", "tokens")],
                value="raw",
                label="What is seen",
            )
            detokenizer = gr.Radio(
                [("the model's frames", "diffusion"), ("moved along only, at once", "warp")],
                value="diffusion",
                label="Frames",
            )
            with gr.Row():
                go = gr.Button("Move it so", variant="primary", elem_id="edit-go", min_width=110)
                stop_button(context, "edit")
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "edit")
            video = player("edit-video", "The result", elem_classes="pixels")
            panel.build_below()

    @explained
    async def edit_motion(
        looks: str | None,
        motion_of: str | None,
        reverse: bool,
        mirror: bool,
        freeze: bool,
        scale: float | int,
        keyframe: str,
        detokenizer: str,
        request: gr.Request,
    ) -> AsyncIterator[dict[Any, Any]]:
        """Show one thing with the motion of another, or with its own motion reversed, mirrored, scaled or frozen."""
        shown = await context.check_upload(looks, "an image or a video to look at")
        mover = await context.check_upload(motion_of, "a video that moves") if motion_of else None
        chosen = {"reverse": reverse, "mirror": mirror, "freeze": freeze}
        changes: dict[str, Any] = {name: value for name, value in chosen.items() if value}
        if scale != 1:
            changes["scale"] = float(scale)
        if mover is None and not changes:
            raise MediaError("nothing to change: choose a video whose motion is taken, or change the motion below it")
        yield panel.cleared()

        def work(model: Any, progress: Any, emit: Any) -> Any:
            return model.edit(
                shown, motion_of=mover, keyframe=keyframe, detokenizer=detokenizer, progress=progress, **changes
            )

        events = context.calls.events(work, request.session_hash or "", lane="videos", cost=20)
        async for kind, content, change in panel.told(events):
            if kind == "done":
                saved = await asyncio.to_thread(context.files.save, content, "edited")
                lines = edit_lines(
                    Path(shown).name,
                    Path(mover).name if mover else None,
                    changes,
                    keyframe,
                    detokenizer,
                    context.address(request.headers),
                    context.keys,
                )
                change = {**panel.shown(content.timings, lines, f"{len(content.frames)} frames"), video: str(saved)}
            yield change

    go.click(
        edit_motion,
        [looks, motion_of, reverse, mirror, freeze, scale, keyframe, detokenizer],
        [*panel.outputs, video],
        api_name="edit_motion",
        show_progress="hidden",
    )


def edit_lines(
    looks: str,
    motion_of: str | None,
    changes: dict[str, Any],
    keyframe: str,
    detokenizer: str,
    address: str,
    needs_key: bool,
) -> RepeatLines:
    """Lines that edit again. The server reads a video at the model's size, so what shows a video may differ there."""
    form = {"keyframe": keyframe, "detokenizer": detokenizer}
    named = {name: value for name, value in form.items() if value not in ("tokens", "diffusion")}
    # With --detokenizer a model makes the result; without it the command edits a video's own images.
    ways = {"keyframe_from": named.get("keyframe"), "detokenizer": detokenizer}
    is_video = media_kind(looks) == "video"
    files = {"video" if is_video else "input_reference": looks}
    if motion_of:
        files["motion_of"] = motion_of
    return RepeatLines(
        command=repeat_call("edit", looks, output="edited.mp4", motion_of=motion_of, **changes, **ways),
        python=repeat_python("edit", repr(looks), output="edited.mp4", motion_of=motion_of, **changes, **named),
        curl=repeat_curl(
            address,
            "/v1/videos/sync" if motion_of and not is_video else "/v1/videos/edits",
            {**changes, **named, "seed": 0},
            output="edited.mp4",
            files=files,
            needs_key=needs_key,
        )
        if motion_of and not is_video
        else "# as a job: POST /v1/videos/edits, then GET /v1/videos/ID/content; docs/serving.md has an example",
    )
