"""Questions about pictures and videos: the part of `VideoLaVIT` that answers (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

from videolavit.inputs import PictureSource
from videolavit.language.conversation import Turn
from videolavit.results import Answer, GeneratedImage, GeneratedVideo
from videolavit.tasks.answering import AnswerStream, Asking, Look
from videolavit.tasks.base import Tasks
from videolavit.tasks.memory import Memory
from videolavit.tasks.progress import Progress, Work
from videolavit.tokenizers.selector import Choice
from videolavit.video.decompose import VideoSource

__all__ = ["Understanding"]

Pictures = PictureSource | GeneratedImage
Videos = VideoSource | GeneratedVideo


class Understanding(Tasks):
    """Answers in words."""

    @cached_property
    def memory(self) -> Memory:
        """What pictures and videos that were asked about look like to the model."""
        return Memory()

    @overload
    def answer(
        self,
        question: str,
        *,
        image: Pictures | Sequence[Pictures] | None = ...,
        video: Videos | Sequence[Videos] | None = ...,
        history: Answer | Sequence[Turn] | None = ...,
        max_ids: int = ...,
        max_clips: int | None = ...,
        choice: Choice = ...,
        seed: int = ...,
        progress: Progress | None = ...,
    ) -> Answer: ...
    @overload
    def answer(
        self,
        question: list[str] | tuple[str, ...],
        *,
        image: Pictures | Sequence[Pictures] | None = ...,
        video: Videos | Sequence[Videos] | None = ...,
        history: Answer | Sequence[Turn] | None = ...,
        max_ids: int = ...,
        max_clips: int | None = ...,
        choice: Choice = ...,
        seed: int = ...,
        progress: Progress | None = ...,
    ) -> list[Answer]: ...
    def answer(
        self,
        question: str | list[str] | tuple[str, ...],
        *,
        image: Pictures | Sequence[Pictures] | None = None,
        video: Videos | Sequence[Videos] | None = None,
        history: Answer | Sequence[Turn] | None = None,
        max_ids: int = 512,
        max_clips: int | None = None,
        choice: Choice = "argmax",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Answer | list[Answer]:
        """Answer a question in words, greedily, about pictures, videos, both or neither; or several at once.

        Pictures and videos are looked at once: what was seen stays in `memory`, and later questions find it there.

        Args:
            question: may say `<image>` and `<video>` where they belong; without, pictures come first, then videos.
                Of several questions each is answered for itself.
            image: one picture or several.
            video: one video or several; a list of pictures is one.
            history: the last answer of a conversation to go on with, or turns.
            max_ids: length limit of the answer.
            max_clips: how many clips of a video are looked at; None for as many as the model was made for.
            choice: which patches become tokens; "gumbel" is how the released model does it.
            seed: for that draw.
            progress: is told how far the work is.

        Raises:
            PromptError: media and question do not fit, a picture is given as a video or the reverse, or all of it is
                longer than the context.
            MediaError: a file cannot be read.
        """
        questions = [question] if isinstance(question, str) else list(question)
        asking = Asking(self, self.memory, Work(progress))
        turns, prompts = asking.prompts(questions, image, video, history, self._look(max_clips, choice, seed))
        answers = asking.answers(turns, prompts, max_ids)
        return answers[0] if isinstance(question, str) else answers

    def stream_answer(
        self,
        question: str,
        *,
        image: Pictures | Sequence[Pictures] | None = None,
        video: Videos | Sequence[Videos] | None = None,
        history: Answer | Sequence[Turn] | None = None,
        max_ids: int = 512,
        max_clips: int | None = None,
        choice: Choice = "argmax",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> AnswerStream:
        """The same answer piece by piece, as it comes; `.answer` of what is returned is the whole of it."""
        asking = Asking(self, self.memory, Work(progress))
        [turns], [prompt] = asking.prompts([question], image, video, history, self._look(max_clips, choice, seed))
        return asking.stream(turns, prompt, max_ids)

    def _look(self, max_clips: int | None, choice: Choice, seed: int) -> Look:
        max_clips = self.settings.max_clips if max_clips is None else max_clips
        return Look(max_clips=max_clips, choice=choice, seed=seed)
