"""Questions about images and videos: the part of `VideoLaVIT` that answers (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

from videolavit.language.conversation import Turn
from videolavit.pipeline.answering import AnswerStream, PromptBuilder, VisualEncoding
from videolavit.pipeline.base import Tasks
from videolavit.pipeline.encoding_cache import Memory
from videolavit.pipeline.options import ImageSource
from videolavit.pipeline.outputs import Answer, GeneratedImage, GeneratedVideo
from videolavit.pipeline.progress import Progress, Work
from videolavit.tokenizers.selector import PatchSelection
from videolavit.video.clips.decompose import VideoSource

__all__ = ["Understanding"]

Images = ImageSource | GeneratedImage
Videos = VideoSource | GeneratedVideo


class Understanding(Tasks):
    """Answers in words."""

    @cached_property
    def memory(self) -> Memory:
        """What images and videos that were asked about look like to the model."""
        return Memory()

    @overload
    def answer(
        self,
        question: str,
        *,
        image: Images | Sequence[Images] | None = ...,
        video: Videos | Sequence[Videos] | None = ...,
        history: Answer | Sequence[Turn] | None = ...,
        max_new_tokens: int = ...,
        max_clips: int | None = ...,
        patch_selection: PatchSelection = ...,
        seed: int = ...,
        progress: Progress | None = ...,
    ) -> Answer: ...
    @overload
    def answer(
        self,
        question: list[str] | tuple[str, ...],
        *,
        image: Images | Sequence[Images] | None = ...,
        video: Videos | Sequence[Videos] | None = ...,
        history: Answer | Sequence[Turn] | None = ...,
        max_new_tokens: int = ...,
        max_clips: int | None = ...,
        patch_selection: PatchSelection = ...,
        seed: int = ...,
        progress: Progress | None = ...,
    ) -> list[Answer]: ...
    def answer(
        self,
        question: str | list[str] | tuple[str, ...],
        *,
        image: Images | Sequence[Images] | None = None,
        video: Videos | Sequence[Videos] | None = None,
        history: Answer | Sequence[Turn] | None = None,
        max_new_tokens: int = 512,
        max_clips: int | None = None,
        patch_selection: PatchSelection = "likeliest",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Answer | list[Answer]:
        """Answer a question in words, greedily, about images, videos, both or neither; or several at once.

        Images and videos are looked at once: what was seen stays in `memory`, and later questions find it there.

        Args:
            question: may say `<image>` and `<video>` where they belong; without, images come first, then videos.
                Of several questions each is answered for itself.
            image: one image or several.
            video: one video or several; a list of images is one.
            history: the last answer of a conversation to go on with, or turns.
            max_new_tokens: length limit of the answer.
            max_clips: how many clips of a video are looked at; None for as many as the model was made for.
            patch_selection: which patches become tokens; "gumbel" is how the released model does it.
            seed: for that draw.
            progress: is told how far the work is.

        Raises:
            PromptError: media and question do not fit, an image is given as a video or the reverse, or all of it is
                longer than the context.
            MediaError: a file cannot be read.
        """
        questions = [question] if isinstance(question, str) else list(question)
        asking = PromptBuilder(self, self.memory, Work(progress))
        turns, prompts = asking.prompts(questions, image, video, history, self._look(max_clips, patch_selection, seed))
        answers = asking.answers(turns, prompts, max_new_tokens)
        return answers[0] if isinstance(question, str) else answers

    def stream_answer(
        self,
        question: str,
        *,
        image: Images | Sequence[Images] | None = None,
        video: Videos | Sequence[Videos] | None = None,
        history: Answer | Sequence[Turn] | None = None,
        max_new_tokens: int = 512,
        max_clips: int | None = None,
        patch_selection: PatchSelection = "likeliest",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> AnswerStream:
        """The same answer piece by piece, as it comes; `.answer` of what is returned is the whole of it."""
        asking = PromptBuilder(self, self.memory, Work(progress))
        [turns], [prompt] = asking.prompts(
            [question], image, video, history, self._look(max_clips, patch_selection, seed)
        )
        return asking.stream(turns, prompt, max_new_tokens)

    def _look(self, max_clips: int | None, patch_selection: PatchSelection, seed: int) -> VisualEncoding:
        max_clips = self.settings.max_clips if max_clips is None else max_clips
        return VisualEncoding(max_clips=max_clips, patch_selection=patch_selection, seed=seed)
