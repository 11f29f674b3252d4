"""Ask: a conversation about an image or a video, word by word, with how sure the model was."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from videolavit.demo.answer_view import answer_view
from videolavit.demo.deep_links import LinkField, as_number, as_words, link_address
from videolavit.demo.page_context import PageContext, example_images, example_videos
from videolavit.demo.repeat_lines import RepeatLines, media_kind
from videolavit.demo.result_panel import ResultPanel, explained, stop_button
from videolavit.demo.shape_images import shape_image
from videolavit.errors import MediaError, PromptError
from videolavit.server.request_limits import RequestLimits

__all__ = ["build"]


def build(context: PageContext) -> dict[str, LinkField]:
    """Place inputs, results and their events; the fields that an address can fill."""
    turns = gr.State([])
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            media = gr.File(
                label="An image or a video to talk about; may be empty",
                file_types=["image", "video"],
                type="filepath",
                height=140,
                elem_id="ask-file",
            )
            shape = str(context.files.example(shape_image("square"), "square.png"))
            gr.Examples([shape, *example_videos(), *example_images()[:1]], media, label="Or one of these")
            questions = context.examples.questions
            question = gr.Textbox(questions[0], label="Question", lines=2, elem_id="ask-question")
            gr.Examples([[one] for one in questions], question, label="For instance")
            most = gr.Slider(1, context.services.limits.answer_ids, 128, step=1, label="Most tokens of the answer")
            with gr.Row():
                go = gr.Button("Ask", variant="primary", elem_id="ask-go", min_width=90)
                again = gr.Button("Begin anew", elem_id="ask-anew", min_width=90)
                stop_button(context, "ask")
        with gr.Column(scale=3, min_width=300):
            panel = ResultPanel(context, "ask", with_link=True)
            chat = gr.Chatbot(label="Conversation", height=320, elem_id="ask-chat", buttons=["copy"])
            last_answer = gr.Textbox(label="The last answer", interactive=False, elem_id="ask-answer", visible="hidden")
            sure = gr.HTML("", elem_id="ask-sure")
            panel.build_below()

    @explained
    async def answer(
        media: str | None, question: str, most: int, turns: list[dict[str, Any]], request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        """Answer a question about an image or a video, or go on with the conversation about it."""
        path = await context.check_upload(media, "") if media else None
        text = question.strip()
        if not text:
            raise PromptError("type a question first")
        asked = [*turns, {"question": text, "media": _unseen(path, turns), "answer": None}]
        _check_length(asked, context.services.limits)
        yield {**panel.cleared(), chat: _messages(asked, ""), sure: "", last_answer: ""}
        started, said = time.perf_counter(), ""
        most_ids = min(int(most), context.services.limits.answer_ids)
        answer_request = await asyncio.to_thread(_request, asked, most_ids)  # it reads images
        events = context.calls.answer_events(answer_request, request.session_hash or "", cost=int(most))
        async for kind, content, change in panel.told(events):
            if kind == "text":
                said += content[1]
                change = {chat: _messages(asked, said)}
            elif kind == "done":
                choice = content.choices[0]
                asked[-1]["answer"] = choice.text
                lines = _lines(asked, int(most), context.address(request.headers), context.keys)
                facts = f"{content.num_prompt_ids} positions read, {choice.num_ids} ids written"
                change = {
                    **panel.shown({"answer": time.perf_counter() - started}, lines, facts),
                    chat: _messages(asked, choice.text),
                    turns_state: asked,
                    sure: answer_view(choice.scores),
                    last_answer: choice.text,
                }
            yield change

    def begin_anew() -> tuple[list[Any], list[Any], str, str]:
        """Forget the conversation."""
        return [], [], "", ""

    turns_state = turns
    outputs = [*panel.outputs, chat, turns, sure, last_answer]
    inputs = [media, question, most, turns]
    go.click(answer, inputs, outputs, api_name="answer", show_progress="hidden")
    question.submit(answer, inputs, outputs, api_visibility="private", show_progress="hidden")
    again.click(begin_anew, None, [chat, turns, sure, last_answer], api_visibility="private", show_progress="hidden")
    limits = context.services.limits
    return {
        "question": LinkField(component=question, read=as_words(limits.text_characters)),
        "max_tokens": LinkField(component=most, read=as_number(1, limits.answer_ids, whole=True)),
    }


def _unseen(path: str | None, turns: list[dict[str, Any]]) -> str | None:
    """An upload, or None where it is what the conversation has been about last."""
    last = next((turn["media"] for turn in reversed(turns) if turn["media"]), None)
    return path if path != last else None


def _check_length(turns: list[dict[str, Any]], limits: RequestLimits) -> None:
    """Refuse a conversation that the server would not take as a request.

    Raises:
        PromptError: it has too many messages, media or characters.
    """
    texts = [turn[part] or "" for turn in turns for part in ("question", "answer")]
    counts = {
        "messages": (2 * len(turns) - 1, limits.messages),
        "images and videos": (sum(turn["media"] is not None for turn in turns), limits.media),
        "characters": (sum(map(len, texts)), limits.text_characters),
    }
    for what, (found, most) in counts.items():
        if found > most:
            raise PromptError(f"the conversation has {found} {what}, more than {most}; press Begin anew")


def _messages(turns: list[dict[str, Any]], said: str) -> list[dict[str, Any]]:
    """The conversation as the chat shows it; the last answer is under way."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if turn["media"]:
            messages.append({"role": "user", "content": f"({Path(turn['media']).name})"})
        messages.append({"role": "user", "content": turn["question"]})
        text = said if turn is turns[-1] else turn["answer"]
        messages.append({"role": "assistant", "content": text or "..."})
    return messages


def _request(turns: list[dict[str, Any]], most: int) -> Any:
    from videolavit.pipeline.media import is_still, read_image
    from videolavit.server.answers import AnswerRequest, AskedTurn

    asked = []
    for turn in turns:
        path = turn["media"]
        if path and not Path(path).is_file():
            name = Path(path).name
            raise MediaError(f"{name} is no longer here: uploads are deleted after two hours; press Begin anew")
        images = (read_image(path),) if path and is_still(path) else ()
        videos = (path,) if path and not images else ()
        asked.append(AskedTurn(question=turn["question"], images=images, videos=videos, answer=turn["answer"]))
    return AnswerRequest(turns=tuple(asked), max_new_tokens=most, top_logprobs=3)


def _lines(turns: list[dict[str, Any]], most: int, address: str, needs_key: bool) -> RepeatLines:
    """Lines that ask again: the whole conversation in Python and by HTTP, its last question as a command."""
    python = ["from videolavit import VideoLaVIT", "", "model = VideoLaVIT.from_pretrained()"]
    for number, turn in enumerate(turns):
        given = "" if not turn["media"] else f", {media_kind(turn['media'])}={Path(turn['media']).name!r}"
        before = "" if not number else ", history=answer"
        python.append(f"answer = model.answer({turn['question']!r}{given}{before}, max_new_tokens={most})")
    shown = [turn["media"] for turn in turns if turn["media"]]
    files = " ".join(f"--{media_kind(path)} {shlex.quote(Path(path).name)}" for path in shown)
    questions = " ".join(shlex.quote(turn["question"]) for turn in turns)
    command = f"videolavit answer {questions} {files}".strip()
    return RepeatLines(
        command=f"{command} --max-new-tokens {most}",
        python="\n".join([*python, "print(answer)", ""]),
        curl=_curl(turns, most, address, needs_key),
        link=link_address(f"{address}/demo/", "ask", {"question": turns[-1]["question"], "max_tokens": most}),
    )


def _curl(turns: list[dict[str, Any]], most: int, address: str, needs_key: bool) -> str:
    if len(turns) > 1:
        return "# a conversation is the list of its messages: docs/serving.md has an example"
    [turn] = turns
    key = ' -H "Authorization: Bearer $KEY"' if needs_key else ""
    url = f"{address}/v1/chat/completions"
    words = json.dumps(turn["question"], ensure_ascii=False).replace("'", "'\\''")
    content = words
    if turn["media"]:
        name, kind = shlex.quote(Path(turn["media"]).name), media_kind(turn["media"])
        type_ = "image/png" if kind == "image" else "video/mp4"
        part = f'{{"type": "{kind}_url", "{kind}_url": {{"url": "data:{type_};base64,\'$(base64 -w0 {name})\'"}}}}'
        content = f'[{part}, {{"type": "text", "text": {words}}}]'
    body = f'{{"messages": [{{"role": "user", "content": {content}}}], "max_tokens": {most}}}'
    return f"curl -s {url}{key} -H 'Content-Type: application/json' -d '{body}'"
