"""Animate: an image comes to life by words, or by an arrow that says what goes where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gradio as gr

from videolavit.demo.arrow_board import arrow_board, board_image
from videolavit.demo.arrow_motion import Moved, arrow_motion
from videolavit.demo.deep_links import LinkField, as_number, as_words, link_address
from videolavit.demo.page_context import LARGEST_SEED, PageContext, chosen_seed, example_images
from videolavit.demo.repeat_lines import RepeatLines, repeat_call, repeat_curl, repeat_python
from videolavit.demo.result_panel import ResultPanel, caption, explained, image_view, player, stop_button
from videolavit.demo.tabs.generate import preview_file, shown_events
from videolavit.errors import ConfigError

__all__ = ["build"]

MOVED = [("the thing under its tail", "thing"), ("a disc around its tail", "disc"), ("everything", "everything")]
LOOKS = [("the image as it is", "raw"), ("the image through its tokens", "tokens")]


def build(context: PageContext) -> dict[str, LinkField]:
    """Place inputs, results and their events; the fields that an address can fill."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            image = gr.Image(
                label="An image",
                type="filepath",
                image_mode=None,  # the file as it is: gradio would decode it here, and lose what is transparent
                sources=["upload", "clipboard"],
                height=220,
                elem_id="animate-image",
            )
            gr.Examples(_images(context), image, label="Or one of these")
            with gr.Tabs():
                with gr.Tab("By an arrow"):
                    caption("Draw an arrow: what is under its tail goes where its tip is.")
                    board = arrow_board("animate-board")
                    moved = gr.Radio(MOVED, value="thing", label="The arrow moves")
                    looks = gr.Radio(LOOKS, value="raw", label="What is seen")
                    with gr.Accordion("The arrow in numbers, percent of the image", open=False), gr.Row():
                        x0 = gr.Number(35, label="from x", min_width=70)
                        y0 = gr.Number(50, label="from y", min_width=70)
                        x1 = gr.Number(65, label="to x", min_width=70)
                        y1 = gr.Number(50, label="to y", min_width=70)
                    with gr.Row():
                        go_arrow = gr.Button("Move it", variant="primary", elem_id="animate-arrow-go", min_width=110)
                        stop_button(context, "animate-arrow")
                with gr.Tab("By words"):
                    prompt = gr.Textbox(
                        context.examples.animation,
                        label="How it moves; may be empty",
                        elem_id="animate-prompt",
                    )
                    seed = gr.Number(1, label="Seed; -1 is a new one each time", precision=0)
                    with gr.Row():
                        go_words = gr.Button("Animate", variant="primary", elem_id="animate-words-go", min_width=110)
                        stop_button(context, "animate-words")
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "animate", with_link=True)
            video = player("animate-video", "The image, moving", elem_classes="pixels")
            arrows = image_view("animate-arrows", "Motion of the clip, as its tokens say it", elem_classes="pixels")
            tokens = gr.File(label="The motion as tokens (for the command)", elem_id="animate-tokens", visible=False)
            panel.build_below()

    @explained
    async def animate_with_arrow(
        image: str | None,
        from_x: float | int,
        from_y: float | int,
        to_x: float | int,
        to_y: float | int,
        moved: Moved,
        looks: str,
        request: gr.Request,
    ) -> AsyncIterator[dict[Any, Any]]:
        """Move what is under the tail of an arrow to its tip. Places are in percent of the image's width and height."""
        path = await context.check_upload(image, "an image")
        for value in (from_x, from_y, to_x, to_y):
            if value is None or not 0 <= value <= 100:
                raise ConfigError(f"got {value} for a place of the arrow, expected 0 to 100 percent")
        start, end = (float(from_x), float(from_y)), (float(to_x), float(to_y))  # callers by name send whole numbers
        yield {**panel.cleared(), tokens: gr.File(visible=False)}

        def work(model: Any, progress: Any, emit: Callable[[str, Any], None]) -> Any:
            clip, pixels = _arrow_clip(model, path, start, end, moved)
            drawn = _drawn(model, pixels, clip)
            emit("arrows", drawn)
            result = model.edit(path, motion_of=[clip], keyframe=looks, progress=progress)
            return result, clip, drawn

        async for kind, content, change in panel.told(
            context.calls.events(work, request.session_hash or "", lane="videos", cost=10)
        ):
            if kind == "arrows":
                change = {arrows: content}
            elif kind == "done":
                result, clip, drawn = content
                saved = await asyncio.to_thread(context.files.save, result, "moved")
                text = context.files.write(_text([clip]).encode(), "arrow", ".txt")
                lines = _arrow_lines(Path(path).name, text, looks)
                change = {
                    **panel.shown(result.timings, lines, "motion of 24 frames in one set of codes"),
                    video: str(saved),
                    arrows: drawn,
                    tokens: gr.File(str(text), visible=True),
                }
            yield change

    @explained
    async def animate_with_words(
        image: str | None, prompt: str, seed: int | None, request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        """Bring an image to life: only motion is written, after words or without."""
        words = context.check_text(prompt).strip()
        path, seed = await context.check_upload(image, "an image"), chosen_seed(seed)
        yield {**panel.cleared(), tokens: gr.File(visible=False)}

        def work(model: Any, progress: Any, emit: Callable[[str, Any], None]) -> Any:
            result = model.generate_video(words, image=path, seed=seed, progress=progress, **shown_events(emit))
            return result, _drawn(model, result.frames[0], result.tokens[0])

        async for kind, content, change in panel.told(
            context.calls.events(work, request.session_hash or "", lane="videos", cost=10)
        ):
            if kind == "preview":
                change = {video: await asyncio.to_thread(preview_file, context, content[0])}
            elif kind == "done":
                result, drawn = content
                saved = await asyncio.to_thread(context.files.save, result, "animated")
                lines = _word_lines(Path(path).name, words, seed, context.address(request.headers), context.keys)
                change = {**panel.shown(result.timings, lines, f"seed {seed}"), video: str(saved), arrows: drawn}
            yield change

    async def show_on_board(image: str | None, request: gr.Request) -> AsyncIterator[Any]:
        if not image:
            yield board_image(None)
            return
        path = await context.check_upload(image, "an image")
        yield board_image(await asyncio.to_thread(_small, path))

    def take_arrow(event: gr.EventData) -> list[float]:
        data = event._data
        return [round(100 * float(data[name]), 1) for name in ("x0", "y0", "x1", "y1")]

    outputs = [*panel.outputs, video, arrows, tokens]
    image.change(explained(show_on_board), image, board, api_visibility="private", show_progress="hidden")
    board.drawn(take_arrow, None, [x0, y0, x1, y1], api_visibility="private", show_progress="hidden")
    arrow_inputs = [image, x0, y0, x1, y1, moved, looks]
    go_arrow.click(animate_with_arrow, arrow_inputs, outputs, api_name="animate_with_arrow", show_progress="hidden")
    go_words.click(
        animate_with_words, [image, prompt, seed], outputs, api_name="animate_with_words", show_progress="hidden"
    )
    return {
        "prompt": LinkField(component=prompt, read=as_words(context.services.limits.text_characters)),
        "seed": LinkField(component=seed, read=as_number(-1, LARGEST_SEED, whole=True)),
    }


def _arrow_clip(
    model: Any, path: str, start: tuple[float, float], end: tuple[float, float], moved: Moved
) -> tuple[Any, Any]:
    """Tokens of the image and of the arrow's motion, and the image as the model sees it."""
    from videolavit.clip_tokens import ClipTokens
    from videolavit.pipeline.clip_decoder import generated_size
    from videolavit.pipeline.encoding import keyframe_codes, motion_codes
    from videolavit.pipeline.media import read_image
    from videolavit.video.io.pixels import resize_image

    options = model._options(None, {})
    height, width = generated_size(model, options, moving=True)
    pixels = resize_image(read_image(path), height, width)
    places = [(x * width / 100.0001, y * height / 100.0001) for x, y in (start, end)]
    field = arrow_motion(pixels, places[0], places[1], moved=moved, num_frames=model.motion_tokenizer.config.frames)
    [seen] = keyframe_codes(model.visual_tokenizer, [pixels], "likeliest", 0)
    [motion] = motion_codes(model.motion_tokenizer, [field])
    return ClipTokens(keyframe=seen, motion=motion), pixels


def _drawn(model: Any, pixels: Any, clip: Any) -> Any:
    """Arrows of a clip's motion codes over an image."""
    from videolavit.pipeline.clip_decoder import as_field
    from videolavit.video import draw_arrows
    from videolavit.video.io.pixels import resize_image

    field = as_field(model, clip.motion, pixels.shape[:2])
    factor = max(1, 512 // pixels.shape[1])
    large = resize_image(pixels, pixels.shape[0] * factor, pixels.shape[1] * factor)
    return draw_arrows(large, field)


def _small(path: str) -> Any:
    """The image, small enough to travel inside the page."""
    from videolavit.pipeline.media import read_image
    from videolavit.video.io.pixels import resize_image

    pixels = read_image(path)
    share = min(1.0, 512 / max(pixels.shape[:2]))
    return resize_image(pixels, max(2, round(pixels.shape[0] * share)), max(2, round(pixels.shape[1] * share)))


def _images(context: PageContext) -> list[str]:
    """Images to begin with: shapes for the small model, photographs behind them."""
    from videolavit.demo.shape_images import shape_image

    shapes = [context.files.example(shape_image(kind), f"{kind}.png") for kind in ("circle", "square")]
    return [*map(str, shapes), *example_images()]


def _text(clips: Any) -> str:
    from videolavit.pipeline.token_text import format_tokens

    return format_tokens(clips)


def _arrow_lines(name: str, tokens: Path, looks: str) -> RepeatLines:
    command = repeat_call(
        "edit", name, output="moved.mp4", motion_of=tokens.name, keyframe_from=None if looks == "tokens" else looks
    )
    python = (
        "from pathlib import Path\n\n"
        "from videolavit import VideoLaVIT\n"
        "from videolavit.pipeline.token_text import parse_tokens\n\n"
        "model = VideoLaVIT.from_pretrained()\n"
        f"motion = parse_tokens(Path({tokens.name!r}).read_text())\n"
        f"model.edit({name!r}, motion_of=motion, keyframe={looks!r}).save('moved.mp4')\n"
    )
    return RepeatLines(command=command, python=python)


def _word_lines(name: str, prompt: str, seed: int, address: str, needs_key: bool) -> RepeatLines:
    fields = {"prompt": prompt or None, "seed": seed}
    return RepeatLines(
        command=repeat_call("video", *filter(None, [prompt]), output="animated.mp4", image=name, seed=seed),
        python=repeat_python("generate_video", repr(prompt), output="animated.mp4", image=name, seed=seed),
        curl=repeat_curl(
            address,
            "/v1/videos/sync",
            fields,
            output="animated.mp4",
            files={"input_reference": name},
            needs_key=needs_key,
        ),
        link=link_address(f"{address}/demo/", "animate", fields),
    )
