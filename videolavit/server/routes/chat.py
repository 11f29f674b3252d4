"""`/v1/chat/completions`: answers about text, images and videos, whole or as they come."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from videolavit.language.prompts import Moment
from videolavit.language.sampling_options import SamplingOptions, text_sampling
from videolavit.memory.context import ContextOptions
from videolavit.pipeline.chat_messages import question_with_media
from videolavit.server.answers import AnswerChoice, AnswerRequest, AnswerResult, AskedTurn, TokenScore
from videolavit.server.api_error import ApiError
from videolavit.server.engine import Event, Ticket
from videolavit.server.schemas import ChatBody, ImagePart, Message, TextPart
from videolavit.server.services import Services, services_of
from videolavit.server.sse import EventStream

__all__ = ["router"]


router = APIRouter()

_VISUAL_COST = 64
"""Ids that looking at an image or a video counts as, for admission."""


@router.post("/v1/chat/completions")
async def create_chat_completion(body: ChatBody, request: Request) -> Response:
    """Answer the last message of a conversation."""
    services = services_of(request)
    services.check_model(body.model)
    asked = await _request(body, services)
    media = sum(len(turn.images) + len(turn.videos) for turn in asked.turns)
    cost = asked.n * asked.max_new_tokens + _VISUAL_COST * media

    def submit(listener: Callable[[Event], None]) -> Ticket:
        return services.submit_answer(asked, cost=cost, listener=listener)

    head = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": services.model_name,
        "system_fingerprint": services.fingerprint,
    }
    if body.stream:
        options = body.stream_options
        with_usage = options is not None and options.include_usage
        events = services.events(request, submit)
        return await EventStream(_chunks(events, head, asked, with_usage)).start()
    result: AnswerResult = await services.run(request, submit)
    choices = [_choice(index, choice, asked) for index, choice in enumerate(result.choices)]
    moments = {"moments": list(map(_moment, result.moments))} if result.moments else {}
    return JSONResponse({**head, "object": "chat.completion", "choices": choices, "usage": _usage(result), **moments})


async def _request(body: ChatBody, services: Services) -> AnswerRequest:
    """The body as the engine takes it; all media are read."""
    limits = services.limits
    if len(body.messages) > limits.messages:
        raise _bad(f"got {len(body.messages)} messages, expected at most {limits.messages}", "messages")
    if (body.n or 1) > limits.answers:
        raise _bad(f"got n={body.n}, expected at most {limits.answers}", "n")
    if body.top_logprobs is not None and not body.logprobs:
        raise _bad("top_logprobs needs logprobs to be true", "top_logprobs")
    system, turns = await _turns(body.messages, services)
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stops) > 4 or not all(stops):
        raise _bad("expected at most 4 stop strings, none of them empty", "stop")
    return AnswerRequest(
        turns=turns,
        system=system,
        max_new_tokens=min(body.max_completion_tokens or body.max_tokens or 512, limits.answer_ids),
        sampling=_sampling(body),
        seed=secrets.randbits(48) if body.seed is None else body.seed,
        stop=stops,
        n=body.n or 1,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        context=ContextOptions(context=body.context or "retrieval"),
    )


def _sampling(body: ChatBody) -> SamplingOptions:
    """As asked for; without temperature and top_p the model's own way, which is greedy."""
    temperature = max(float(body.temperature), 1e-3) if body.temperature else body.temperature
    return text_sampling(temperature, top_p=None if body.top_p is None else float(body.top_p))


async def _turns(messages: list[Message], services: Services) -> tuple[str | None, tuple[AskedTurn, ...]]:
    """System text, and questions with their answers. Questions that follow one another are one."""
    system: list[str] = []
    turns: list[AskedTurn] = []
    questions: list[tuple[int, Message]] = []
    _check_size(messages, services)
    for index, message in enumerate(messages):
        if message.role in ("system", "developer"):
            system.append(_words(message, index))
        elif message.role == "user":
            questions.append((index, message))
        else:
            if not questions:
                raise _bad("an assistant's message must follow a user's", f"messages[{index}]")
            turns.append(await _turn(questions, services, _words(message, index)))
            questions = []
    if not questions:
        raise _bad("the last message must be a user's", "messages")
    turns.append(await _turn(questions, services, None))
    return "\n".join(system) if system else None, tuple(turns)


def _check_size(messages: list[Message], services: Services) -> None:
    parts = [part for one in messages if isinstance(one.content, list) for part in one.content]
    texts = [one.content for one in messages if isinstance(one.content, str)]
    texts += [part.text for part in parts if isinstance(part, TextPart)]
    media = sum(not isinstance(part, TextPart) for part in parts)
    if media > services.limits.media:
        raise _bad(f"got {media} images and videos, expected at most {services.limits.media}", "messages")
    if (length := sum(map(len, texts))) > services.limits.text_characters:
        raise _bad(f"got {length} characters, expected at most {services.limits.text_characters}", "messages")


async def _turn(questions: list[tuple[int, Message]], services: Services, answer: str | None) -> AskedTurn:
    images, videos, pieces = [], [], []
    for index, message in questions:
        if message.content is None:
            raise _bad("a user's message needs content", f"messages[{index}].content")
        parts = [message.content] if isinstance(message.content, str) else message.content
        for number, part in enumerate(parts):
            param = f"messages[{index}].content[{number}]"
            if isinstance(part, str | TextPart):
                pieces.append(_plain(part if isinstance(part, str) else part.text, param))
            elif isinstance(part, ImagePart):
                images.append(await services.gate.image(part.image_url.url, param))
                pieces.append("<image>")
            else:
                videos.append(await _video(part.video_url.url, param, services))
                pieces.append("<video>")
    return AskedTurn(question=question_with_media(pieces), images=tuple(images), videos=tuple(videos), answer=answer)


async def _video(url: str, param: str, services: Services) -> Any:
    """Frames of a video, or the folder of one that was read before, by `memory:NAME`."""
    if url.startswith("memory:"):
        return services.memory(url.removeprefix("memory:"), param)
    return await services.gate.video(url, param, services.engine.model.settings.video_processor)


def _plain(text: str, param: str) -> str:
    if "<image>" in text or "<video>" in text:
        raise _bad("<image> and <video> stand for media and cannot be words; send media as parts", param)
    return text


def _words(message: Message, index: int) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = message.content or []
    if not all(isinstance(part, TextPart) for part in parts):
        raise _bad("images and videos belong to a user's message", f"messages[{index}].content")
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


async def _chunks(
    events: AsyncIterator[Event], head: dict[str, Any], asked: AnswerRequest, with_usage: bool
) -> AsyncIterator[dict[str, Any]]:
    """Objects of a stream."""
    rest: dict[str, Any] = {"usage": None} if with_usage else {}

    def chunk(index: int, delta: dict[str, Any], reason: str | None, scores: list[TokenScore]) -> dict[str, Any]:
        logprobs = {"content": list(map(_score, scores)), "refusal": None} if scores else None
        choice = {"index": index, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        return {**head, "object": "chat.completion.chunk", "choices": [choice], **rest}

    try:
        async for kind, content in events:
            if kind == "started":
                for index in range(asked.n):
                    yield chunk(index, {"role": "assistant", "content": ""}, None, [])
            elif kind == "text":
                index, piece, scores = content
                yield chunk(index, {"content": piece}, None, scores)
            elif kind == "done":
                for index, choice in enumerate(content.choices):
                    yield chunk(index, {}, choice.finish_reason, [])
                if with_usage:
                    usage = {"choices": [], "usage": _usage(content)}
                    usage |= {"moments": list(map(_moment, content.moments))} if content.moments else {}
                    yield {**head, "object": "chat.completion.chunk", **usage}
    finally:
        await events.aclose()  # type: ignore[attr-defined] - a generator


def _moment(moment: Moment) -> dict[str, Any]:
    """A moment of a long video for a client: its memory by name, and not where it lies."""
    return {**asdict(moment), "source": Path(moment.source).name}


def _choice(index: int, choice: AnswerChoice, asked: AnswerRequest) -> dict[str, Any]:
    scored = asked.top_logprobs is not None
    return {
        "index": index,
        "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "finish_reason": choice.finish_reason,
        "logprobs": {"content": list(map(_score, choice.scores)), "refusal": None} if scored else None,
    }


def _score(score: TokenScore) -> dict[str, Any]:
    top = [_token(text, logprob) for text, logprob in score.top]
    return {**_token(score.text, score.logprob), "top_logprobs": top}


def _token(text: str, logprob: float | int) -> dict[str, Any]:
    return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(text.encode())}


def _usage(result: AnswerResult) -> dict[str, Any]:
    """Positions count, whatever stands there: ids of words, features of images, ids of motion."""
    written = sum(choice.num_ids for choice in result.choices)
    visual = result.num_image_ids + result.num_video_ids
    return {
        "prompt_tokens": result.num_prompt_ids,
        "completion_tokens": written,
        "total_tokens": result.num_prompt_ids + written,
        "prompt_tokens_details": {
            "cached_tokens": 0,
            "text_tokens": result.num_prompt_ids - visual,
            "image_tokens": result.num_image_ids,
            "video_tokens": result.num_video_ids,
        },
    }


def _bad(message: str, param: str) -> ApiError:
    return ApiError(f"{param}: {message}", code="invalid_value", param=param)
