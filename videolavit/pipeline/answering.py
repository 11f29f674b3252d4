"""Answers in words about what is shown (paper, section 3.3; reference section 7).

Images and videos are looked at once each: later questions about the same content, in a batch, in a conversation or
in another call, find what was seen in the model's memory.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from videolavit.checkpoints.model_components import Components
from videolavit.config import plain_number, whole_number
from videolavit.errors import ConfigError, GenerationError, PromptError
from videolavit.language.conversation import Turn, conversation, placeholders
from videolavit.language.generate import NewId
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import ClipInput, ImageInput, Prompt, VideoInput
from videolavit.language.sampling_options import SamplingOptions, text_sampling
from videolavit.language.stream_answer import stream_answer
from videolavit.language.unknown_words import OF_A_PROMPT, check_words, told_unknown
from videolavit.memory.context import ContextOptions
from videolavit.memory.token_memory import TokenMemory
from videolavit.nn.random import sample_generators
from videolavit.pipeline.chat_messages import is_messages, read_messages
from videolavit.pipeline.encoding import seen_images, seen_video
from videolavit.pipeline.encoding_cache import EncodingCache
from videolavit.pipeline.media import ImageSource, as_list_of_images, as_list_of_videos, check_video, read_image
from videolavit.pipeline.moment_times import with_times
from videolavit.pipeline.outputs import Answer
from videolavit.pipeline.remembering import chosen_video, is_memory, open_memory
from videolavit.pipeline.small_world import doubts
from videolavit.progress import Progress
from videolavit.tokenizers.selector import PatchSelection
from videolavit.video.processor import looked_at_clips

__all__ = ["ANSWERS_ELSEWHERE", "AnswerGeneration", "AnswerStream", "PromptBuilder", "VisualEncoding"]

logger = logging.getLogger(__name__)

ANSWERS_ELSEWHERE = {
    "do_sample": "temperature=",
    "num_beams": "temperature= with seed=: there is no beam search",
    "max_length": "max_new_tokens=",
    "images": "image=",
    "videos": "video=",
    "messages": "the first argument",
}
"""Names of options of other libraries, and what stands for them here."""

_LONG_SECONDS = 600

_ROOM_FOR_ANSWER = 24
"""Ids of the context that clips of a video must leave: a short sentence, or what is asked for next."""
_ROOM_FOR_TIMES = 24
"""Ids of the words that say when a moment was."""

History = Answer | Sequence[Turn] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VisualEncoding:
    """Encoding of images and videos for questions."""

    max_clips: int
    patch_selection: PatchSelection
    seed: int
    context: ContextOptions = field(default_factory=ContextOptions)
    """Choice of the clips of a memory that a question is asked about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerGeneration:
    """Writing of answers."""

    max_new_tokens: int = 512
    sampling: SamplingOptions = field(default_factory=text_sampling)
    seed: int = 0
    """Of the random stream of each answer, the same for each: alone it would be the same one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_new_tokens", whole_number("max_new_tokens", self.max_new_tokens, at_least=1))
        object.__setattr__(self, "seed", plain_number(self.seed))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"got seed={self.seed!r}, expected a whole number")

    def generators(self, count: int) -> list[torch.Generator] | None:
        """A random stream for each of `count` answers; None where nothing is left to chance."""
        if self.sampling.greedy:
            return None
        return [one for _ in range(count) for one in sample_generators(self.seed, 1, stream="answer")]


class PromptBuilder:
    """Questions on their way to the language model."""

    def __init__(self, model: Components, memory: EncodingCache, progress: Progress) -> None:
        self.model, self.memory, self.progress = model, memory, progress

    def prompts(
        self, questions: Sequence[str], image: Any, video: Any, history: History, look: VisualEncoding
    ) -> tuple[list[tuple[Turn, ...]], list[Prompt]]:
        """For each question the conversation that ends in it, and that conversation as the model reads it.

        Raises:
            PromptError: a question is empty, has no word that the model knows, or does not fit its images and videos;
                or the history is something else than an answer or turns.
            MediaError: a file cannot be read.
        """
        if not all(isinstance(question, str) for question in questions):
            raise PromptError(
                f"got questions of the types {sorted({type(q).__name__ for q in questions})}, expected texts"
            )
        if not questions or not all(question.strip() for question in questions):
            raise PromptError("got an empty question; ask something, such as 'Which way does it move?'")
        before = _turns_before(history)
        with self.progress.step("load"):
            tokenizer = self._reader.text_tokenizer
        for question in questions:
            words = " ".join(re.split("<image>|<video>", question))
            if unknown := check_words(words, tokenizer):
                logger.warning("%r: %s", question, told_unknown(words, unknown, tokenizer), extra=OF_A_PROMPT)
        shown = [*as_list_of_images(image), *as_list_of_videos(video)]
        for doubt in doubts(tokenizer, shown, has_history=bool(before)):
            logger.warning("%s", doubt)
        images, videos = self._seen(image, video, look)
        turns = [(*before, self._turn(question, images, videos, before, look)) for question in questions]
        fitting = [self._fitting(asked) for asked in turns]
        return [asked for asked, _ in fitting], [prompt for _, prompt in fitting]

    def prompts_of(
        self, question: Any, shared: Mapping[str, Any], look: VisualEncoding
    ) -> tuple[list[tuple[Turn, ...]], list[Prompt]]:
        """`prompts` of a text, a question with its own media, messages, or a list of the first two.

        Args:
            question: what is asked.
            shared: "image", "video" and "history" of all questions; messages bring along their own.
            look: how images and videos are encoded.

        Raises:
            PromptError: besides what `prompts` raises, messages are given with other media.
        """
        if not is_messages(question):
            return self.all_prompts([question] if isinstance(question, str | Mapping) else question, shared, look)
        if any(given is not None for given in shared.values()):
            raise PromptError("messages bring along what they are about; leave out image=, video= and history=")
        return self.message_prompts(question, look)

    def message_prompts(
        self, messages: Sequence[Mapping[str, Any]], look: VisualEncoding
    ) -> tuple[list[tuple[Turn, ...]], list[Prompt]]:
        """The one conversation that a list of messages tells, as `prompts` returns it; errors as there."""
        *before, last = read_messages(messages)
        turns: tuple[Turn, ...] = ()
        for asked in before:
            images, videos = self._seen(asked.images or None, asked.videos or None, look)
            turns += (replace(self._turn(asked.question, images, videos, turns, look), answer=asked.answer or ""),)
        return self.prompts([last.question], last.images or None, last.videos or None, turns, look)

    def all_prompts(
        self, questions: Sequence[str | Mapping[str, Any]], shared: Mapping[str, Any], look: VisualEncoding
    ) -> tuple[list[tuple[Turn, ...]], list[Prompt]]:
        """`prompts` of questions about what they share, and of those that bring along what they ask about.

        Raises:
            PromptError: besides what `prompts` raises, a question is neither a text nor has one.
        """
        if all(isinstance(question, str) for question in questions):
            return self.prompts([str(question) for question in questions], **shared, look=look)
        turns, prompts = [], []
        for own in [_own_media(question) for question in questions]:
            asked, read = self.prompts([own.pop("question")], **{**shared, **own}, look=look)
            turns += asked
            prompts += read
        return turns, prompts

    def _turn(
        self,
        question: str,
        images: list[ImageInput],
        videos: list[VideoInput | TokenMemory],
        before: tuple[Turn, ...],
        look: VisualEncoding,
    ) -> Turn:
        """A question with its media; of each memory those clips that it is asked about."""
        media = _in_order(question, images, videos)
        tiny = ClipInput(motion_ids=torch.tensor([self.model.vocabulary.motion_range.start]))
        stand_in = VideoInput(clips=(tiny,))
        without = tuple(stand_in if isinstance(one, TokenMemory) else one for one in media)
        memories = [one for one in media if isinstance(one, TokenMemory)]
        if not memories:
            return Turn(question=question, media=without)
        taken = len(self._conversation((*before, Turn(question=question, media=without))))
        room = (self._reader.context_length - _ROOM_FOR_ANSWER - taken) // len(memories)
        room -= _ROOM_FOR_TIMES * look.max_clips * look.context.times
        context = look.context if look.context.max_clips else replace(look.context, max_clips=look.max_clips)
        shown = [
            chosen_video(self.model, one, question, context, room=room) if isinstance(one, TokenMemory) else one
            for one in media
        ]
        return with_times(question, shown) if context.times else Turn(question=question, media=tuple(shown))

    def _fitting(self, turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], Prompt]:
        """The conversation with as many clips of every video as the context has room for, evenly spaced."""
        most = max((len(one.clips) for turn in turns for one in turn.media if isinstance(one, VideoInput)), default=1)
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
        reader = self._reader
        return conversation(turns, self.model.vocabulary, reader.text_tokenizer, template=reader.chat)

    def _seen(
        self, image: Any, video: Any, look: VisualEncoding
    ) -> tuple[list[ImageInput], list[VideoInput | TokenMemory]]:
        images, videos = as_list_of_images(image), as_list_of_videos(video)
        total = len(images) + len(videos)
        if not total:
            return [], []
        with self.progress.step("load"):
            _ = self.model.answering.visual_tokenizer, self.model.answering.motion_tokenizer if videos else None
        with self.progress.step("encode", total) as report:
            encoded_images, encoded_videos = [], []
            for done, one in enumerate(images, start=1):
                encode = lambda one=one: self._image(one, look)  # noqa: E731
                encoded_images.append(self.memory.recall(one, ("image", look), encode))
                report(done)
            for done, one in enumerate(videos, start=1 + len(images)):
                encode = lambda one=one: self._video(one, look)  # noqa: E731
                is_read = is_memory(one)
                encoded_videos.append(open_memory(one) if is_read else self.memory.recall(one, ("video", look), encode))
                report(done)
        return encoded_images, encoded_videos

    def _image(self, source: ImageSource, look: VisualEncoding) -> ImageInput:
        parts, settings = self.model.answering, self.model.settings
        how = self.model.vocabulary, settings.visual_input, look.patch_selection, look.seed
        [image] = seen_images(parts.visual_tokenizer, [read_image(source)], *how)
        return image

    def _video(self, source: Any, look: VisualEncoding) -> VideoInput:
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
        clips = looked_at_clips(source, settings.video_processor, max_clips=look.max_clips)
        how = self.model.vocabulary, settings.visual_input, look.patch_selection, look.seed
        return seen_video(parts.visual_tokenizer, parts.motion_tokenizer, clips, *how)

    def answers(
        self, turns: Sequence[tuple[Turn, ...]], prompts: Sequence[Prompt], writing: AnswerGeneration
    ) -> list[Answer]:
        """Answers to all prompts, written together."""
        max_new_tokens = writing.max_new_tokens
        texts, counts = [""] * len(prompts), [0] * len(prompts)
        with self.progress.step("generate", max_new_tokens) as report:

            def count(new: NewId) -> None:
                counts[new.sample] += 1
                report(max(counts))

            for sample, piece in self._pieces(prompts, writing, count):
                texts[sample] += piece
            report(max_new_tokens)
        told = zip(turns, prompts, texts, counts, strict=True)
        return [_answer(*one, self.progress) for one in told]

    def stream(self, turns: tuple[Turn, ...], prompt: Prompt, writing: AnswerGeneration) -> AnswerStream:
        """The answer to one prompt as it comes."""
        written: list[NewId] = []
        pieces = self._pieces([prompt], writing, written.append)
        return AnswerStream(
            (text for _, text in pieces),
            lambda text: _answer(turns, prompt, text, len(written), self.progress),
            self.progress,
        )

    def _pieces(
        self, prompts: Sequence[Prompt], writing: AnswerGeneration, on_id: Callable[[NewId], None]
    ) -> Iterator[tuple[int, str]]:
        return stream_answer(
            self._reader,
            prompts,
            max_new_tokens=writing.max_new_tokens,
            options=writing.sampling,
            generators=writing.generators(len(prompts)),
            on_id=on_id,
            prompt_cache=self.memory.prompt,
        )

    @property
    def _reader(self) -> LanguageModel:
        return self.model.answering.language_model


class AnswerStream(Iterator[str]):
    """Pieces of one answer, as they come; `answer` is the whole of it.

    Raises:
        GenerationError: another piece or the whole is asked for after an error or Ctrl-C cut the answer off.
    """

    def __init__(self, pieces: Generator[str], finish: Callable[[str], Answer], progress: Progress) -> None:
        self._pieces, self._finish, self._progress = pieces, finish, progress
        self._text = ""
        self._answer: Answer | None = None
        self._state: Literal["open", "whole", "cut off", "closed"] = "open"

    def __next__(self) -> str:
        if self._state == "cut off":
            raise self._incomplete()
        with self._progress.step("generate"):
            try:
                piece = next(self._pieces, None)
            except BaseException:  # Ctrl-C, too: what was interrupted cannot go on
                self._state = "cut off"
                raise
        if piece is None:
            self._state = "whole" if self._state == "open" else self._state
            raise StopIteration
        self._text += piece
        return piece

    def close(self) -> None:
        """Stop writing. An answer that was not whole by then is lost."""
        self._pieces.close()
        self._state = "closed" if self._state == "open" else self._state

    @property
    def answer(self) -> Answer:
        """The whole answer; what has not come yet is waited for."""
        if self._answer is None:
            for _ in self:
                pass
            if self._state != "whole":
                raise self._incomplete()
            self._answer = self._finish(self._text)
        return self._answer

    def _incomplete(self) -> GenerationError:
        return GenerationError(f"the answer was {self._state} after {len(self._text)} characters; ask again")


def _answer(turns: tuple[Turn, ...], prompt: Prompt, text: str, num_ids: int, progress: Progress) -> Answer:
    *before, last = turns
    return Answer(
        text=text,
        question=last.question,
        num_prompt_ids=len(prompt),
        num_ids=num_ids,
        turns=(*before, Turn(question=last.question, media=last.media, answer=text)),
        timings=dict(progress.timings),
    )


def _turns_before(history: Any) -> tuple[Turn, ...]:
    """Turns of a conversation to go on with."""
    turns = history.turns if isinstance(history, Answer) else () if history is None else history
    if not isinstance(turns, Sequence) or not all(isinstance(turn, Turn) for turn in turns):
        raise PromptError(
            f"got a history of type {type(history).__name__}, expected the last Answer, or its turns; messages with "
            "roles take the place of the question"
        )
    return tuple(turns)


def _own_media(question: Any) -> dict[str, Any]:
    own: dict[str, Any] = {"question": question} if isinstance(question, str) else {}
    own.update(question if isinstance(question, Mapping) else {})
    if not isinstance(own.get("question"), str) or set(own) - {"question", "image", "video", "history"}:
        raise PromptError(
            f"got the question {question!r}, expected a text, or one with its own media such as "
            '{"question": "What moves?", "video": "video.mp4"}'
        )
    return own


def _with_at_most(limit: int, turn: Turn) -> Turn:
    thinned = (one if isinstance(one, ImageInput) else one.thinned(limit) for one in turn.media)
    return replace(turn, media=tuple(thinned))


def _in_order(
    question: str, images: list[ImageInput], videos: list[VideoInput | TokenMemory]
) -> tuple[ImageInput | VideoInput | TokenMemory, ...]:
    """Media in the order in which the question names them; those that it does not name come behind."""
    waiting: dict[str, list[Any]] = {"<image>": list(images), "<video>": list(videos)}
    named = [waiting[name].pop(0) for name in placeholders(question) if waiting[name]]
    return (*named, *waiting["<image>"], *waiting["<video>"])
