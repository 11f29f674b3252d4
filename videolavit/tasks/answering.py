"""Answers in words about what is shown (paper, section 3.3; reference section 7).

Pictures and videos are looked at once each: later questions about the same content, in a batch, in a conversation or
in another call, find what was seen in the model's memory.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from videolavit.assembly import Assembly
from videolavit.errors import PromptError
from videolavit.inputs import PictureSource, check_video, read_picture
from videolavit.language.answer import stream_answer
from videolavit.language.conversation import Turn, conversation, placeholders
from videolavit.language.generate import NewId
from videolavit.language.model import LanguageModel
from videolavit.language.prompts import Picture, Prompt, Video
from videolavit.language.words import check_words
from videolavit.perception import seen_pictures, seen_video
from videolavit.results import Answer
from videolavit.tasks.memory import Memory
from videolavit.tasks.progress import Work
from videolavit.tasks.sources import as_list_of_pictures, as_list_of_videos
from videolavit.tokenizers.selector import Choice
from videolavit.video.front_end import looked_at_clips

__all__ = ["AnswerStream", "Asking", "Look"]

logger = logging.getLogger(__name__)

_LONG_SECONDS = 600

_ROOM_FOR_ANSWER = 24
"""Ids of the context that clips of a video must leave: a short sentence, or what is asked for next."""

History = Answer | Sequence[Turn] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How pictures and videos are looked at."""

    max_clips: int
    choice: Choice
    seed: int


class Asking:
    """Questions on their way to the language model."""

    def __init__(self, model: Assembly, memory: Memory, work: Work) -> None:
        self.model, self.memory, self.work = model, memory, work

    def prompts(
        self, questions: Sequence[str], image: Any, video: Any, history: History, look: Look
    ) -> tuple[list[tuple[Turn, ...]], list[Prompt]]:
        """For each question the conversation that ends in it, and that conversation as the model reads it.

        Raises:
            PromptError: a question is empty, has no word that the model knows, or does not fit its pictures and videos.
            MediaError: a file cannot be read.
        """
        if not questions or not all(question.strip() for question in questions):
            raise PromptError("got an empty question; ask something, such as 'What happens here?'")
        with self.work.step("load"):
            tokenizer = self._reader.text_tokenizer
        for question in questions:
            check_words(" ".join(re.split("<image>|<video>", question)), tokenizer)
        pictures, videos = self._seen(image, video, look)
        before = history.turns if isinstance(history, Answer) else tuple(history or ())
        turns = [
            (*before, Turn(question=question, media=_in_order(question, pictures, videos))) for question in questions
        ]
        fitting = [self._fitting(asked) for asked in turns]
        return [asked for asked, _ in fitting], [prompt for _, prompt in fitting]

    def _fitting(self, turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], Prompt]:
        """The conversation with as many clips of every video as the context has room for, evenly spaced."""
        most = max((len(one.clips) for turn in turns for one in turn.media if isinstance(one, Video)), default=1)
        room, limit = self._reader.context_length - _ROOM_FOR_ANSWER, most
        shown, prompt = turns, self._conversation(turns)
        while len(prompt) > room and limit > 1:
            limit -= 1
            shown = tuple(_with_at_most(limit, turn) for turn in turns)
            prompt = self._conversation(shown)
        if limit < most:
            logger.warning("the context has room for %d of the %d clips of the video that were looked at", limit, most)
        return shown, prompt

    def _conversation(self, turns: tuple[Turn, ...]) -> Prompt:
        return conversation(turns, self.model.vocabulary, self._reader.text_tokenizer)

    def _seen(self, image: Any, video: Any, look: Look) -> tuple[list[Picture], list[Video]]:
        images, videos = as_list_of_pictures(image), as_list_of_videos(video)
        total = len(images) + len(videos)
        if not total:
            return [], []
        with self.work.step("load"):
            _ = self.model.answering.visual_tokenizer, self.model.answering.motion_tokenizer if videos else None
        with self.work.step("perceive", total) as report:
            pictures, clips = [], []
            for done, one in enumerate(images, start=1):
                pictures.append(self.memory.recall(one, ("picture", look), lambda one=one: self._picture(one, look)))
                report(done)
            for done, one in enumerate(videos, start=1 + len(images)):
                clips.append(self.memory.recall(one, ("video", look), lambda one=one: self._video(one, look)))
                report(done)
        return pictures, clips

    def _picture(self, source: PictureSource, look: Look) -> Picture:
        parts, settings = self.model.answering, self.model.settings
        how = self.model.vocabulary, settings.visual_input, look.choice, look.seed
        [picture] = seen_pictures(parts.visual_tokenizer, [read_picture(source)], *how)
        return picture

    def _video(self, source: Any, look: Look) -> Video:
        info = check_video(source)
        if info is not None and (info.duration_seconds or 0) > _LONG_SECONDS:
            logger.warning(
                "%s: lasts %.0f minutes, and all of it is read to look at %d clips; cut out what you ask about to be "
                "quicker",
                info.source,
                (info.duration_seconds or 0) / 60,
                look.max_clips,
            )
        parts, settings = self.model.answering, self.model.settings
        clips = looked_at_clips(source, settings.front_end, max_clips=look.max_clips)
        how = self.model.vocabulary, settings.visual_input, look.choice, look.seed
        return seen_video(parts.visual_tokenizer, parts.motion_tokenizer, clips, *how)

    def answers(self, turns: Sequence[tuple[Turn, ...]], prompts: Sequence[Prompt], max_ids: int) -> list[Answer]:
        """Answers to all prompts, written together."""
        texts, counts = [""] * len(prompts), [0] * len(prompts)
        with self.work.step("write", max_ids) as report:

            def count(new: NewId) -> None:
                counts[new.sample] += 1
                report(max(counts))

            for sample, piece in self._pieces(prompts, max_ids, count):
                texts[sample] += piece
            report(max_ids)
        told = zip(turns, prompts, texts, counts, strict=True)
        return [_answer(*one, self.work) for one in told]

    def stream(self, turns: tuple[Turn, ...], prompt: Prompt, max_ids: int) -> AnswerStream:
        """The answer to one prompt as it comes."""
        written: list[NewId] = []
        pieces = self._pieces([prompt], max_ids, written.append)
        return AnswerStream(
            (text for _, text in pieces), lambda text: _answer(turns, prompt, text, len(written), self.work), self.work
        )

    def _pieces(
        self, prompts: Sequence[Prompt], max_ids: int, on_id: Callable[[NewId], None]
    ) -> Iterator[tuple[int, str]]:
        cache = self.memory.prompt
        return stream_answer(self._reader, prompts, max_ids=max_ids, on_id=on_id, prompt_cache=cache)

    @property
    def _reader(self) -> LanguageModel:
        return self.model.answering.language_model


class AnswerStream(Iterator[str]):
    """Pieces of one answer, as they come; `answer` is the whole of it."""

    def __init__(self, pieces: Iterator[str], finish: Callable[[str], Answer], work: Work) -> None:
        self._pieces, self._finish, self._work = pieces, finish, work
        self._text = ""
        self._answer: Answer | None = None

    def __next__(self) -> str:
        with self._work.step("write"):
            piece = next(self._pieces, None)
        if piece is None:
            raise StopIteration
        self._text += piece
        return piece

    @property
    def answer(self) -> Answer:
        """The whole answer; what has not come yet is waited for."""
        if self._answer is None:
            for _ in self:
                pass
            self._answer = self._finish(self._text)
        return self._answer


def _answer(turns: tuple[Turn, ...], prompt: Prompt, text: str, num_ids: int, work: Work) -> Answer:
    *before, last = turns
    return Answer(
        text=text,
        question=last.question,
        num_prompt_ids=len(prompt),
        num_ids=num_ids,
        turns=(*before, Turn(question=last.question, media=last.media, answer=text)),
        timings=dict(work.timings),
    )


def _with_at_most(limit: int, turn: Turn) -> Turn:
    def thinned(one: Picture | Video) -> Picture | Video:
        if isinstance(one, Picture) or len(one.clips) <= limit:
            return one
        return Video(clips=tuple(one.clips[i * len(one.clips) // limit] for i in range(limit)))

    return replace(turn, media=tuple(thinned(one) for one in turn.media))


def _in_order(question: str, pictures: list[Picture], videos: list[Video]) -> tuple[Picture | Video, ...]:
    """Media in the order in which the question names them; those that it does not name come behind."""
    waiting: dict[str, list[Any]] = {"<image>": list(pictures), "<video>": list(videos)}
    named = [waiting[name].pop(0) for name in placeholders(question) if waiting[name]]
    return (*named, *waiting["<image>"], *waiting["<video>"])
