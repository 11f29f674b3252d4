"""Answers for many conversations at once, an id of each at a time: what the engine runs between everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from videolavit.errors import PromptError
from videolavit.language.conversation import Turn, conversation
from videolavit.language.engine import DecodingEngine, GenerationRequest, RunningRequest
from videolavit.language.grammar import Block, NewId
from videolavit.language.prompts import ClipInput, ImageInput, Moment, Prompt, VideoInput
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.language.stream_answer import AnswerText
from videolavit.memory.context import ContextOptions
from videolavit.nn.random import sample_generators
from videolavit.pipeline.answering import PromptBuilder, VisualEncoding
from videolavit.progress import Progress
from videolavit.server.engine import Ticket
from videolavit.server.stops import StopText

__all__ = ["AnswerChoice", "AnswerRequest", "AnswerResult", "AnswerWriter", "AskedTurn", "TokenScore"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedTurn:
    """A question as a client sends it; media stand where it says `<image>` and `<video>`."""

    question: str
    images: tuple[np.ndarray, ...] = ()
    """RGB, each (height, width, 3) of uint8."""
    videos: tuple[Any, ...] = ()
    """Anything that `VideoLaVIT.answer` takes as one video."""
    answer: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRequest:
    """A conversation that ends in a question, and how it is answered."""

    turns: tuple[AskedTurn, ...]
    system: str | None = None
    """In place of the model's own."""
    max_new_tokens: int = 512
    sampling: SamplingOptions = field(default_factory=lambda: SamplingOptions(greedy=True))
    seed: int = 0
    stop: tuple[str, ...] = ()
    n: int = 1
    """Answers to the same conversation."""
    context: ContextOptions = field(default_factory=ContextOptions)
    """Choice of the clips of long videos that are looked at."""
    top_logprobs: int | None = None
    """Most likely ids whose scores are told with each id; None for no scores at all."""


_ADMIT_EVERY = 3
"""Steps between two times at which answers begin while others are written: their prompts are then read together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenScore:
    """One id of an answer and its score."""

    text: str
    logprob: float | int
    top: tuple[tuple[str, float], ...]
    """The likeliest ids in its place, likeliest first."""


@dataclass(kw_only=True, slots=True)
class AnswerChoice:
    """One answer."""

    text: str = ""
    finish_reason: Literal["stop", "length"] = "length"
    num_ids: int = 0
    scores: list[TokenScore] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerResult:
    """All answers to a request."""

    choices: tuple[AnswerChoice, ...]
    num_prompt_ids: int
    """Positions that the conversation takes, features of images included."""
    num_image_ids: int
    num_video_ids: int
    moments: tuple[Moment, ...] = ()
    """Clips of long videos that were looked at."""


class AnswerWriter:
    """The answers under way. Events of their tickets: ("text", (choice, piece, scores))."""

    def __init__(self, model: Any, *, slots: int = 16) -> None:
        self.model, self._slots = model, slots
        self._decoder = DecodingEngine(model.answering.language_model, slots=slots, admit_every=_ADMIT_EVERY)
        self._writing: dict[int, _Writing] = {}
        """By the decoder's number of the request."""
        self._jobs: dict[Ticket, _Job] = {}

    @property
    def slots(self) -> int:
        """Most answers that are under way at once."""
        return self._slots

    @property
    def active(self) -> int:
        """Answers under way."""
        return len(self._writing)

    def submit(self, request: AnswerRequest, ticket: Ticket) -> None:
        """Look at the media, and begin all answers of a request.

        Raises:
            PromptError: media and questions do not fit, or all of it is longer than the context.
        """
        turns, prompt = _conversation(self.model, request)
        generators = sample_generators(request.seed, request.n, stream="answer")
        job = _Job(ticket, prompt, turns, [AnswerChoice() for _ in range(request.n)])
        running = [
            self._decoder.submit(
                GenerationRequest(
                    prompt=prompt,
                    blocks=(Block.text(request.max_new_tokens),),
                    sampling=Sampling(text=request.sampling),
                    generator=generator,
                    logprobs=request.top_logprobs,
                )
            )
            for generator in generators
        ]
        for index, one in enumerate(running):
            self._writing[one.number] = _Writing(self._decoder.model, one, job, index, request)
        self._jobs[ticket] = job

    def cancel(self, ticket: Ticket) -> None:
        """Drop all answers of a request."""
        self._jobs.pop(ticket, None)
        for writing in [one for one in self._writing.values() if one.job.ticket is ticket]:
            self._drop(writing)

    def step(self) -> None:
        """One id of each answer under way."""
        for new in self._decoder.step():
            writing = self._writing.get(new.sample)
            if writing is not None and writing.take(new):
                self._drop(writing)
                self._end(writing.job)
        for writing in list(self._writing.values()):
            if writing.running.error is not None:
                self.cancel(writing.job.ticket)
                writing.job.ticket.fail(writing.running.error)

    def _drop(self, writing: _Writing) -> None:
        self._decoder.cancel(writing.running)
        self._writing.pop(writing.running.number, None)

    def _end(self, job: _Job) -> None:
        job.left -= 1
        if not job.left and self._jobs.pop(job.ticket, None) is not None:
            job.ticket.succeed(job.result())


class _Job:
    """All answers to one request."""

    def __init__(self, ticket: Ticket, prompt: Prompt, turns: Sequence[Turn], choices: list[AnswerChoice]) -> None:
        self.ticket, self.prompt, self.turns, self.choices = ticket, prompt, turns, choices
        self.left = len(choices)

    def result(self) -> AnswerResult:
        """Results for the ticket."""
        media = [one for turn in self.turns for one in turn.media]
        videos = [one for one in media if isinstance(one, VideoInput)]
        return AnswerResult(
            choices=tuple(self.choices),
            num_prompt_ids=len(self.prompt),
            num_image_ids=sum(_length(one) for one in media if isinstance(one, ImageInput)),
            num_video_ids=sum(_clip_length(clip) for one in videos for clip in one.clips),
            moments=tuple(clip.moment for one in videos for clip in one.clips if clip.moment is not None),
        )


class _Writing:
    """One answer under way."""

    def __init__(self, model: Any, running: RunningRequest, job: _Job, index: int, request: AnswerRequest) -> None:
        self.running, self.job, self.index = running, job, index
        self._text, self._stop = AnswerText(model), StopText(request.stop)
        self._tokenizer, self._choice = model.text_tokenizer, job.choices[index]
        self._end_id = model.vocabulary.text_end
        self._scored = request.top_logprobs is not None
        self._most = min(request.max_new_tokens, model.context_length - len(job.prompt) - 1)
        self._untold: list[TokenScore] = []

    def take(self, new: NewId) -> bool:
        """Take an id. True if it was the last one."""
        self._choice.num_ids += 1
        piece = self._stop.push(self._text.push(new.id))
        is_end = new.id == self._end_id or self._text.ended
        if self._scored and not is_end:
            self._untold.append(self._score(new))
        ended = self.running.finished or is_end or self._stop.found
        if ended:
            piece += self._stop.push(self._text.rest()) + self._stop.rest()
            self._choice.finish_reason = self._reason(is_end)
        self._tell(piece)
        return ended

    def _reason(self, is_end: bool) -> Literal["stop", "length"]:
        """An end that comes after as many ids as there may be was forced, and is no id of the model's own."""
        if is_end and self._choice.num_ids > self._most and not self._stop.found:
            self._choice.num_ids -= 1
            return "length"
        return "stop" if is_end or self._stop.found else "length"

    def _tell(self, piece: str) -> None:
        if not piece:
            return
        self._choice.text += piece
        self._choice.scores += self._untold
        self.job.ticket.emit("text", (self.index, piece, self._untold))
        self._untold = []

    def _score(self, new: NewId) -> TokenScore:
        def text(one: int) -> str:
            return self._tokenizer.decode([one], skip_special_tokens=False)

        top = tuple((text(one), score) for one, score in new.top)
        return TokenScore(text=text(new.id), logprob=new.logprob or 0.0, top=top)


def _conversation(model: Any, request: AnswerRequest) -> tuple[tuple[Turn, ...], Prompt]:
    """The conversation as the model reads it; each question's media are looked at."""
    *before, last = request.turns
    builder = PromptBuilder(model, model.memory, Progress(None))
    # The likeliest patches need no seed, and media that were looked at before are known by all of this.
    look = VisualEncoding(
        max_clips=model.settings.max_clips, patch_selection="likeliest", seed=0, context=request.context
    )
    history: list[Turn] = []
    for turn in before:
        [[*_, seen]], _ = builder.prompts([turn.question], list(turn.images), _videos(turn), (), look)
        history.append(Turn(question=turn.question, media=seen.media, answer=turn.answer or ""))
    [turns], [prompt] = builder.prompts([last.question], list(last.images), _videos(last), history, look)
    if request.system is not None:
        language = model.answering.language_model
        prompt = conversation(
            turns, model.vocabulary, language.text_tokenizer, template=language.chat, system=request.system
        )
    _check_room(model, prompt)
    return turns, prompt


def _videos(turn: AskedTurn) -> list[Any] | None:
    return list(turn.videos) or None


def _check_room(model: Any, prompt: Prompt) -> None:
    length = model.answering.language_model.context_length
    if len(prompt) >= length:
        raise PromptError(f"the conversation takes {len(prompt)} positions of a context of {length}; shorten it")


def _clip_length(clip: ClipInput) -> int:
    keyframe = 0 if clip.keyframe is None else _length(clip.keyframe)
    return keyframe + (0 if clip.motion_ids is None else len(clip.motion_ids) + 2)


def _length(image: ImageInput) -> int:
    content = image.ids if image.ids is not None else image.features
    return 2 + (0 if content is None else len(content))
