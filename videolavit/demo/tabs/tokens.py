"""Tokens: kept patches and their codes on the keyframe, a strip of all of them, and what the model expects of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from videolavit.demo.code_places import CodePlace, replaced
from videolavit.demo.expected_view import expected_view
from videolavit.demo.kept_patches import draw_patches, kept_at
from videolavit.demo.next_tokens import NextToken
from videolavit.demo.page_context import KEPT_SECONDS, PageContext, example_images, example_videos
from videolavit.demo.repeat_lines import RepeatLines, media_kind
from videolavit.demo.result_panel import ResultPanel, caption, explained, image_view, player, stop_button
from videolavit.demo.shape_images import shape_image
from videolavit.demo.token_sight import TokenSight, code_facts, expectations, look_at_tokens, patch_at
from videolavit.demo.token_timeline import token_timeline
from videolavit.errors import PromptError

__all__ = ["build"]


def build(context: PageContext) -> None:
    """Place inputs, results and their events."""
    sight, expected = (gr.State(None, time_to_live=KEPT_SECONDS) for _ in range(2))
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            source = gr.File(
                label="An image or a video",
                file_types=["image", "video"],
                type="filepath",
                height=140,
                elem_id="tokens-file",
            )
            shape = str(context.files.example(shape_image("circle"), "circle.png"))
            gr.Examples([shape, *example_videos(), *example_images()[:1]], source, label="Or one of these")
            with gr.Row():
                go = gr.Button("To tokens", variant="primary", elem_id="tokens-go", min_width=110)
                stop_button(context, "tokens")
            text = gr.Textbox(
                label="Tokens: a line for each clip, K its keyframe, M its motion. Change them, and draw",
                lines=5,
                max_lines=10,
                buttons=["copy"],
                elem_id="tokens-text",
                elem_classes="code-lines",
            )
            draw = gr.Button("Draw these tokens", elem_id="tokens-draw")
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "tokens")
            caption("Patches that became codes have a frame; the darker one is, the less likely it is kept. Choose one")
            patches = image_view("tokens-patches", "Keyframe with the patches that became codes")
            counted = gr.HTML("", elem_id="tokens-counted")
            with gr.Row():
                clip = gr.Slider(
                    0, context.services.limits.clips - 1, 0, step=1, label="Clip", min_width=120, elem_id="tokens-clip"
                )
                threshold = gr.Slider(
                    0,
                    1,
                    0.5,
                    step=0.01,
                    label="Keep from this probability on",
                    min_width=160,
                    elem_id="tokens-threshold",
                )
            with gr.Group():
                number = gr.Slider(0, 1023, 0, step=1, label="Code number (or choose a patch)", elem_id="tokens-number")
                facts = gr.HTML("", elem_id="tokens-code")
                other = gr.Number(None, label="Another code in its place", precision=0, elem_id="tokens-other")
                put = gr.Button("Put it there and draw", elem_id="tokens-put")
            with gr.Row():
                image = image_view("tokens-image", "Keyframe of the tokens", min_width=140, elem_classes="pixels")
                video = player("tokens-video", "What the tokens show", min_width=140, elem_classes="pixels")
            strip = gr.HTML("", elem_id="tokens-strip")
            panel.build_below()
    with gr.Accordion("What the model expected at each place, and what the grammar forbids", open=False):
        with gr.Row():
            words = gr.Textbox(context.examples.tokens, label="Words before the tokens")
            ask = gr.Button("Ask the model", elem_id="tokens-ask", min_width=120, scale=0)
        place = gr.Slider(0, 4095, 0, step=1, label="Place behind the words", elem_id="tokens-place")
        view = gr.HTML("", elem_id="tokens-expected")

    @explained
    async def tokenize(source: str | None, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        """Turn an image or a video into tokens, as text; shows which patches of each keyframe became codes."""
        path = await context.check_upload(source, "an image or a video")
        yield {**panel.cleared(), facts: ""}

        def work(model: Any, progress: Any, emit: Any) -> Any:
            found, timings = look_at_tokens(
                model, path, limits=context.limits, max_clips=context.services.limits.clips, progress=progress
            )
            return found, timings, model.motion_tokenizer.config.code_grid

        async for kind, content, change in panel.told(context.calls.events(work, request.session_hash or "", cost=10)):
            if kind == "done":
                found, timings, grid = content
                change = {
                    **panel.shown(timings, _lines(Path(path).name)),
                    text: found.text,
                    sight: found,
                    clip: gr.Slider(0, max(1, len(found.clips) - 1), 0, interactive=len(found.clips) > 1),
                    number: gr.Slider(0, max(1, len(found.patches[0].codes) - 1), 0),
                    patches: await asyncio.to_thread(draw_patches, found.keyframes[0], found.patches[0]),
                    counted: _counted(found, 0, 0.5),
                    strip: token_timeline(found.clips, player="tokens-video", motion_shape=grid),
                    expected: None,
                    view: "",
                }
            yield change

    @explained
    async def detokenize(text: str, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        """Draw tokens given as text: a line for each clip, such as K 12 877 | M 3 3 17."""
        if not text.strip():
            raise PromptError("there are no tokens; turn an image or a video into some, or type a line such as K 1 2 3")
        if len(context.check_text(text).splitlines()) > context.services.limits.clips + 1:
            raise PromptError(f"expected at most {context.services.limits.clips} clips")
        yield panel.cleared()

        def work(model: Any, progress: Any, emit: Any) -> Any:
            return model.detokenize(text, progress=progress), model.motion_tokenizer.config.code_grid

        events = context.calls.events(work, request.session_hash or "", lane="videos", cost=20)
        async for kind, content, change in panel.told(events):
            if kind == "done":
                result, grid = content
                is_image = len(result.frames) == 1
                shown: dict[Any, Any] = {image: result.frames[0]}
                if not is_image:
                    shown[video] = str(await asyncio.to_thread(context.files.save, result, "tokens"))
                change = {
                    **panel.shown(result.timings, _draw_lines(is_image)),
                    **shown,
                    strip: token_timeline(result.tokens, player="tokens-video", motion_shape=grid),
                }
            yield change

    @explained
    async def replace_code(
        text: str, clip: int, number: int, code: int | None, request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        """Put another code in the place of one of a keyframe, and draw that keyframe again."""
        from videolavit.pipeline.token_text import format_tokens, parse_tokens

        if code is None:
            raise PromptError("name the code that is to stand there")
        changed = replaced(
            parse_tokens(context.check_text(text)),
            CodePlace(clip=int(clip), number=int(number)),
            int(code),
            _num_codes(context),
        )
        new_text = format_tokens(changed)
        yield panel.cleared()

        def work(model: Any, progress: Any, emit: Any) -> Any:
            keyframe = format_tokens([_still(changed[int(clip)])])
            return model.detokenize(keyframe, progress=progress)

        async for kind, content, change in panel.told(context.calls.events(work, request.session_hash or "", cost=12)):
            if kind == "done":
                shown = panel.shown(content.timings, _draw_lines(True), f"code {int(code)} at number {int(number)}")
                change = {**shown, image: content.frames[0], text_box: new_text}
            yield change

    @explained
    async def next_token_probabilities(
        prompt: str, text: str, place_number: int, request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        """Tell what the model expects behind words at each place of tokens: the likeliest ids, and the forbidden."""
        from videolavit.pipeline.token_text import parse_tokens

        words, clips = context.check_text(prompt), parse_tokens(context.check_text(text))
        yield {panel.status: panel.cleared()[panel.status]}

        def work(model: Any, progress: Any, emit: Any) -> Any:
            return expectations(model, words, clips), model.motion_tokenizer.config.code_grid

        async for kind, content, change in panel.told(context.calls.events(work, request.session_hash or "", cost=5)):
            if kind == "done":
                found, grid = content
                index = min(int(place_number), len(found) - 1)
                bits = [one.surprise_bits for one in found if one.name.startswith(("K ", "M "))]
                mean = sum(bits) / max(1, len(bits))
                change = {
                    **panel.shown({}, _draw_lines(False), f"{mean:.2f} bits for each code, behind these words"),
                    expected: found,
                    place: gr.Slider(0, max(1, len(found) - 1), index),
                    view: expected_view(found[index]),
                    strip: token_timeline(clips, player="tokens-video", motion_shape=grid, surprises=bits),
                }
            yield change

    text_box = text
    keep: Any = {"api_visibility": "private", "show_progress": "hidden"}
    outputs = [*panel.outputs, text, sight, clip, number, patches, counted, strip, expected, view, facts]
    go.click(tokenize, source, outputs, api_name="tokenize", show_progress="hidden")
    draw.click(detokenize, text, [*panel.outputs, image, video, strip], api_name="detokenize", show_progress="hidden")
    put.click(
        replace_code,
        [text, clip, number, other],
        [*panel.outputs, image, text],
        api_name="replace_code",
        show_progress="hidden",
    )
    ask.click(
        next_token_probabilities,
        [words, text, place],
        [*panel.outputs, expected, place, view, strip],
        api_name="next_token_probabilities",
        show_progress="hidden",
    )

    def look(sight: TokenSight | None, clip: float | int, threshold: float | int) -> Any:
        if sight is None:
            return gr.skip(), gr.skip(), gr.skip()
        index = _clip_number(sight, clip)
        drawn = draw_patches(sight.keyframes[index], sight.patches[index], threshold=threshold)
        codes = gr.Slider(0, max(1, len(sight.patches[index].codes) - 1), 0)
        return drawn, _counted(sight, index, threshold), codes

    def inspect(sight: TokenSight | None, clip: float | int, number: float | int) -> Any:
        if sight is None or context.services.engine.model is None:
            return gr.skip(), gr.skip()
        index = _clip_number(sight, clip)
        number = min(int(number), len(sight.patches[index].codes) - 1)
        drawn = draw_patches(sight.keyframes[index], sight.patches[index], chosen=number)
        return drawn, _facts(context, sight, index, number)

    def choose(sight: TokenSight | None, clip: float | int, event: gr.SelectData) -> Any:
        if sight is None:
            return gr.skip(), gr.skip(), gr.skip()
        index = _clip_number(sight, clip)
        shown = draw_patches(sight.keyframes[index], sight.patches[index])
        found = patch_at(sight.patches[index], event.index[0] / shown.shape[1], event.index[1] / shown.shape[0])
        if found is None:
            return gr.skip(), "<p>No code stands there: what that patch shows is told by its neighbours.</p>", gr.skip()
        return *inspect(sight, clip, found), found

    def show_place(expected: list[NextToken] | None, number: float | int) -> Any:
        return gr.skip() if not expected else expected_view(expected[min(int(number), len(expected) - 1)])

    clip.input(look, [sight, clip, threshold], [patches, counted, number], **keep)
    threshold.input(look, [sight, clip, threshold], [patches, counted, number], **keep)
    number.input(inspect, [sight, clip, number], [patches, facts], **keep)
    patches.select(choose, [sight, clip], [patches, facts, number], **keep)
    place.input(show_place, [expected, place], view, **keep)


def _counted(sight: TokenSight, index: int, threshold: float | int) -> str:
    patches = sight.patches[index]
    kept = int(patches.keep.sum() if threshold == 0.5 else kept_at(patches, threshold).sum())
    total = sum(sum(one.num_codes) for one in sight.clips)
    rate = "" if not sight.seconds else f"; {total / sight.seconds:.1f} ids per second of video with the motion"
    return f'<p>Kept: <b id="kept-count">{kept}</b> of {patches.keep.size} patches{rate}.</p>'


def _facts(context: PageContext, sight: TokenSight, clip: int, number: int) -> str:
    found = code_facts(context.services.engine.model, sight, clip, number)
    row, col = sight.patches[clip].place(number)
    places = ", ".join(f"clip {one} row {r} column {c}" for one, r, c in found.places[:12])
    more = f" and {len(found.places) - 12} more" if len(found.places) > 12 else ""
    near = ", ".join(f"{code} ({distance:.2f})" for code, distance in found.neighbours)
    return (
        f'<p>Code <b id="chosen-code">{found.code}</b> at row {row}, column {col}; there are {len(found.places)}: '
        f"{escape(places)}{more}.<br>Nearest codes and their distances: {escape(near)}.</p>"
    )


def _clip_number(sight: TokenSight, chosen: float | int) -> int:
    return min(int(chosen), len(sight.clips) - 1)


def _num_codes(context: PageContext) -> int:
    model = context.services.engine.model
    return 2**31 if model is None else model.vocabulary.num_visual_codes


def _still(clip: Any) -> Any:
    from videolavit.clip_tokens import ClipTokens

    return ClipTokens(keyframe=clip.keyframe)


def _lines(name: str) -> RepeatLines:
    from videolavit.demo.repeat_lines import repeat_call

    python = (
        "from videolavit import VideoLaVIT\n\n"
        f"tokens = VideoLaVIT.from_pretrained().tokenize({media_kind(name)}={name!r})\nprint(tokens.text)\n"
    )
    return RepeatLines(command=repeat_call("tokenize", name, output="tokens.txt"), python=python)


def _draw_lines(is_image: bool) -> RepeatLines:
    output = "tokens.png" if is_image else "tokens.mp4"
    python = (
        "from pathlib import Path\n\nfrom videolavit import VideoLaVIT\n\n"
        f"result = VideoLaVIT.from_pretrained().detokenize(Path('tokens.txt').read_text())\nresult.save({output!r})\n"
    )
    return RepeatLines(command=f"videolavit detokenize tokens.txt -o {output}", python=python)
