"""Generate: an image or a video of what a text says; the keyframe is shown first, then a preview, then the frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr
import numpy as np

from videolavit.demo.deep_links import LinkField, as_number, as_words, link_address
from videolavit.demo.page_context import LARGEST_SEED, PageContext, chosen_seed
from videolavit.demo.repeat_lines import RepeatLines, repeat_call, repeat_curl, repeat_python
from videolavit.demo.result_panel import ResultPanel, caption, explained, image_view, player, stop_button
from videolavit.errors import ConfigError, PromptError
from videolavit.generation_options import option_info

__all__ = ["build", "number_field", "shown_events"]


def build(context: PageContext) -> dict[str, LinkField]:
    """Place inputs, results and their events; the fields that an address can fill."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            prompts = context.examples.prompts
            prompt = gr.Textbox(next(iter(prompts), ""), label="What to draw", lines=2, elem_id="generate-prompt")
            if prompts:
                gr.Examples([[one] for one in prompts], prompt, label="For instance")
            seed = gr.Number(1, label="Seed; -1 is a new one each time", precision=0, elem_id="generate-seed")
            with gr.Accordion("More options", open=False):
                clips = gr.Slider(1, context.services.limits.clips, 1, step=1, label="Clips of 4 seconds (videos)")
                candidates = number_field("Drafts of the tokens, of which the best is drawn")
                keyframe_steps = option_field("keyframe_num_inference_steps")
                keyframe_guidance = option_field("keyframe_guidance_scale")
                steps = option_field("num_inference_steps")
            with gr.Row():
                go_video = gr.Button("Draw a video", variant="primary", elem_id="generate-video-go", min_width=110)
                go_image = gr.Button("Draw an image", elem_id="generate-image-go", min_width=110)
                stop_button(context, "generate")
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "generate", with_link=True)
            image = image_view("generate-image", "What was drawn", elem_classes="pixels")
            video = player("generate-video", "What was drawn", visible=False, elem_classes="pixels")
            tokens = gr.Textbox(
                label="Its tokens: K are codes of the keyframe, M of its motion; the tab Tokens takes them apart",
                lines=2,
                max_lines=6,
                buttons=["copy"],
                interactive=False,
                elem_id="generate-tokens",
                elem_classes="code-lines",
            )
            panel.build_below()
    caption("First the keyframe, then its preview, moved along by the motion just written, then the frames themselves.")

    @explained
    async def generate_image(
        prompt: str,
        seed: int | None,
        candidates: int | None,
        keyframe_num_inference_steps: int | None,
        keyframe_guidance_scale: float | int | None,
        request: gr.Request,
    ) -> AsyncIterator[dict[Any, Any]]:
        """Draw an image of what a text says. The same seed gives the same image."""
        options = _options(
            candidates=candidates,
            keyframe_num_inference_steps=keyframe_num_inference_steps,
            keyframe_guidance_scale=_as_float(keyframe_guidance_scale),
        )
        text, seed = _checked(context, prompt, options), chosen_seed(seed)
        yield {**panel.cleared(), image: gr.Image(visible=True), video: gr.Video(visible=False), tokens: ""}

        def work(model: Any, progress: Any, emit: Any) -> Any:
            return model.generate_image(text, seed=seed, progress=progress, **options)

        async for kind, content, change in panel.told(
            context.calls.events(work, request.session_hash or "", cost=_steps(context, options))
        ):
            if kind == "done":
                path = await asyncio.to_thread(context.files.save, content, "image", ".png")
                lines = image_lines(text, seed, options, context.address(request.headers), context.keys)
                facts = f"{len(content.tokens.keyframe)} codes", f"seed {seed}"
                change = {
                    **panel.shown(content.timings, lines, *facts),
                    image: str(path),
                    tokens: _text((content.tokens,)),
                }
            yield change

    @explained
    async def generate_video(
        prompt: str,
        seed: int | None,
        clips: int,
        candidates: int | None,
        keyframe_num_inference_steps: int | None,
        keyframe_guidance_scale: float | int | None,
        num_inference_steps: int | None,
        request: gr.Request,
    ) -> AsyncIterator[dict[Any, Any]]:
        """Draw a video of what a text says: clips of four seconds. The same seed gives the same video."""
        options = _options(
            clips=int(clips) if clips > 1 else None,
            candidates=candidates,
            keyframe_num_inference_steps=keyframe_num_inference_steps,
            keyframe_guidance_scale=_as_float(keyframe_guidance_scale),
            num_inference_steps=num_inference_steps,
        )
        text, seed = _checked(context, prompt, options), chosen_seed(seed)
        yield {**panel.cleared(), image: gr.Image(None, visible=True), video: gr.Video(None, visible=False), tokens: ""}

        def work(model: Any, progress: Any, emit: Callable[[str, Any], None]) -> Any:
            return model.generate_video(text, seed=seed, progress=progress, **shown_events(emit), **options)

        cost = _steps(context, options) * max(1, int(clips))
        events = context.calls.events(work, request.session_hash or "", lane="videos", cost=cost)
        async for kind, content, change in panel.told(events):
            if kind == "keyframe":
                change = {image: gr.Image(content[0], visible=True), video: gr.Video(visible=False)}
            elif kind == "preview":
                path = await asyncio.to_thread(preview_file, context, content[0])
                change = {image: gr.Image(visible=False), video: gr.Video(path, visible=True)}
            elif kind == "done":
                path = await asyncio.to_thread(context.files.save, content, "video")
                lines = video_lines(text, seed, options, context.address(request.headers), context.keys)
                facts = f"{len(content.ids)} ids with the prompt", f"seed {seed}"
                shown = {image: gr.Image(visible=False), video: gr.Video(str(path), visible=True)}
                change = {**panel.shown(content.timings, lines, *facts), **shown, tokens: _text(content.tokens)}
            yield change

    outputs = [*panel.outputs, image, video, tokens]
    go_image.click(
        generate_image,
        [prompt, seed, candidates, keyframe_steps, keyframe_guidance],
        outputs,
        api_name="generate_image",
        show_progress="hidden",
    )
    for trigger in (go_video.click, prompt.submit):
        trigger(
            generate_video,
            [prompt, seed, clips, candidates, keyframe_steps, keyframe_guidance, steps],
            outputs,
            api_name="generate_video",
            api_visibility="public" if trigger == go_video.click else "private",
            show_progress="hidden",
        )
    limits = context.services.limits
    num_steps = as_number(1, limits.steps, whole=True)
    return {
        "prompt": LinkField(component=prompt, read=as_words(limits.text_characters)),
        "seed": LinkField(component=seed, read=as_number(-1, LARGEST_SEED, whole=True)),
        "clips": LinkField(component=clips, read=as_number(1, limits.clips, whole=True)),
        "candidates": LinkField(component=candidates, read=as_number(1, limits.candidates, whole=True)),
        "keyframe_num_inference_steps": LinkField(component=keyframe_steps, read=num_steps),
        "keyframe_guidance_scale": LinkField(component=keyframe_guidance, read=as_number(0, 100)),
        "num_inference_steps": LinkField(component=steps, read=num_steps),
    }


def number_field(label: str, **options: Any) -> gr.Number:
    """A whole number that may be left empty for the model's own."""
    return gr.Number(None, label=f"{label}; empty: the model's own", precision=0, **options)


def option_field(name: str) -> gr.Number:
    """A field for an option of generation, with the help and range of the library."""
    info = option_info(name)
    precision = 0 if name.endswith("steps") else None
    label = f"{info.help[0].upper()}{info.help[1:]} ({info.range}); empty: the model's own"
    return gr.Number(None, label=label, precision=precision)


def shown_events(emit: Callable[[str, Any], None]) -> dict[str, Any]:
    """Callbacks of `generate_video` that pass on keyframes and previews as events."""
    return {
        "on_keyframe": lambda image, clip: emit("keyframe", (image, clip)),
        "preview": lambda frames, clip: emit("preview", (frames, clip)),
    }


def preview_file(context: PageContext, frames: np.ndarray) -> str:
    """A file of frames that are not final."""
    return str(context.files.video(frames, "preview"))


def image_lines(prompt: str, seed: int, options: dict[str, Any], address: str, needs_key: bool) -> RepeatLines:
    """Lines that draw an image again."""
    fields = {
        "prompt": prompt,
        "seed": seed,
        "candidates": options.get("candidates"),
        "num_inference_steps": options.get("keyframe_num_inference_steps"),
        "guidance_scale": options.get("keyframe_guidance_scale"),
    }
    route = "/v1/images/generations"
    return RepeatLines(
        command=repeat_call("image", prompt, output="image.png", seed=seed, **options),
        python=repeat_python("generate_image", repr(prompt), output="image.png", seed=seed, **options),
        curl=repeat_curl(address, route, fields, output="image.png", needs_key=needs_key, json_image=True),
        link=link_address(f"{address}/demo/", "generate", {"prompt": prompt, "seed": seed, **options}),
    )


def video_lines(prompt: str, seed: int, options: dict[str, Any], address: str, needs_key: bool) -> RepeatLines:
    """Lines that draw a video again."""
    fields = {"prompt": prompt, "seed": seed, **options}
    return RepeatLines(
        command=repeat_call("video", prompt, output="video.mp4", seed=seed, **options),
        python=repeat_python("generate_video", repr(prompt), output="video.mp4", seed=seed, **options),
        curl=repeat_curl(address, "/v1/videos/sync", fields, output="video.mp4", needs_key=needs_key),
        link=link_address(f"{address}/demo/", "generate", fields),
    )


def _as_float(value: float | int | None) -> float | None:
    """Callers by name, and fields, send whole numbers as such."""
    return None if value is None else float(value)


def _options(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _checked(context: PageContext, prompt: str, options: dict[str, Any]) -> str:
    """The words, after all bounds were looked at."""
    limits, words = context.services.limits, prompt.strip()
    if not words:
        raise PromptError("say what to draw, in a few words")
    if len(words) > limits.text_characters:
        raise PromptError(f"the prompt has more than {limits.text_characters} characters")
    for name, most in (("candidates", limits.candidates), ("clips", limits.clips)):
        if not 1 <= options.get(name, 1) <= most:
            raise ConfigError(f"got {name}={options[name]}, expected 1 to {most}")
    for name in ("keyframe_num_inference_steps", "num_inference_steps"):
        if options.get(name, 1) > limits.steps:
            raise ConfigError(f"got {name}={options[name]}, expected at most {limits.steps}")
    return words


def _steps(context: PageContext, options: dict[str, Any]) -> int:
    """Cost in denoising steps, as the server counts it."""
    model = context.services.engine.model
    own = (
        12 if model is None else model.settings.keyframe_num_inference_steps + model.settings.frames.num_inference_steps
    )
    asked = options.get("keyframe_num_inference_steps", 0) + options.get("num_inference_steps", 0)
    return max(own, asked) * options.get("candidates", 1)


def _text(tokens: Any) -> str:
    from videolavit.pipeline.token_text import format_tokens

    return format_tokens(tokens)
