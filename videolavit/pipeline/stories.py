"""Stories: videos of any number of clips, each with a prompt of its own, whose subject stays in view.

Before every clip the language model reads its prompt, the first keyframe of all and the last clips, so that neither its
context nor memory grows with the story. The new keyframe is decoded from the last frame of the clip before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from videolavit.checkpoints.model_components import Components
from videolavit.clip_tokens import ClipTokens
from videolavit.config import plain_number, whole_number
from videolavit.errors import ConfigError, PromptError
from videolavit.generation_options import GenerationOptions
from videolavit.language.generation_prompt import generation_prompt
from videolavit.pipeline.encoding import tokens_as_ids
from videolavit.pipeline.generation_states import (
    first_images,
    own_candidates,
    refuse_lists,
    sample_options,
    video_size,
    video_states,
)
from videolavit.pipeline.media import ImageSource
from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo
from videolavit.pipeline.token_generation import GenerationState, TokenGenerator
from videolavit.pipeline.token_text import check_codes
from videolavit.progress import Progress, ProgressCallback

__all__ = ["Stories", "Story", "with_clip"]


class Stories(Components):
    """Stories of a model that generates clips and says what made them."""

    def generate_story(self, prompts: Sequence[str], **arguments: Any) -> GeneratedVideo:
        """All clips of `stream_story` as one video, with the metadata of the first, which hold all `prompts`."""
        clips = list(self.stream_story(prompts, **arguments))
        return replace(GeneratedVideo.join(clips), metadata=clips[0].metadata)

    def stream_story(
        self,
        prompts: Sequence[str],
        *,
        image: ImageSource | GeneratedImage | None = None,
        recent: int = 1,
        candidates: int | None = None,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> Iterator[GeneratedVideo]:
        """One clip for each prompt, each with its new frames alone, in memory that does not grow with their number.

        For each clip the language model reads its prompt, the first keyframe of all, and the last clips.

        Args:
            prompts: texts, one for each clip.
            image: any image, brought to the size of the video: what is seen first.
            recent: most clips that stay in view besides the first keyframe; fewer where the context is short.
            candidates: best of n, for each clip; None for the model's own number.
            options: by default the model's own.
            progress: is told how far the work on a clip is.
            changes: single options by name.

        Raises:
            PromptError: there is no prompt, or one is empty.
            MediaError: the image cannot be read.
            ConfigError: an option does not exist or is out of range.
        """
        texts, recent, work = *_check_story(prompts, recent), Progress(progress)
        refuse_lists(changes)
        [sample] = sample_options(self, texts[:1], options, changes, after_image=image is not None)
        size = video_size(self, sample, [], None, is_given=sample.height is not None)
        sample = sample.changed(height=size[0], width=size[1])
        story = Story(options=sample, recent=recent)
        started = video_states(self, texts[:1], [sample], first_images(image, 1), None, size, candidates, work)
        return self._tell_story(story, texts, started, size, candidates, work)

    def redraw_clip(
        self,
        video: GeneratedVideo,
        clip: int,
        prompt: str,
        *,
        recent: int = 1,
        candidates: int | None = None,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """A story with one clip generated anew, by another prompt or seed; all others stay as they are.

        Its metadata are those of the story, and `redrawn` lists what was generated anew, clips counted from 1.

        Args:
            video: a story as `generate_story` gives it.
            clip: number of the clip, from 0 on.
            prompt: text of the new clip.
            recent: as in `stream_story`.
            candidates: as in `stream_story`.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name, `seed=` above all.

        Raises:
            ConfigError: there is no such clip, or an option does not exist or is out of range.
            PromptError: the prompt is empty.
            ShapeError: a clip of the story has not as many motion codes as the model makes.
            VocabularyError: a code is not in its codebook.
        """
        [text], recent, work = *_check_story([prompt], recent), Progress(progress)
        clip = _check_clip(video, clip)
        check_codes(video.tokens, self.vocabulary, lambda: self.components.config("motion_tokenizer").num_tokens)
        refuse_lists(changes)
        size = video.frames.shape[1], video.frames.shape[2]
        [sample] = sample_options(self, [text], options, changes)
        story = Story.of_video(video, clip, sample.changed(height=size[0], width=size[1]), recent)
        [new] = self._tell_story(story, [text], [], size, candidates, work)
        return _noted(with_clip(video, clip, new), clip, new.metadata)

    def _tell_story(
        self,
        story: Story,
        prompts: Sequence[str],
        started: Sequence[GenerationState],
        size: tuple[int, int],
        candidates: int | None,
        work: Progress,
    ) -> Iterator[GeneratedVideo]:
        """Clip after clip; `started` is the state of the first one, where it begins the story."""
        generator = TokenGenerator(self, work, constrained=story.options.constrained)
        for number, prompt in enumerate(prompts):
            state = started[0] if started and number == 0 else story.state(self, generator, prompt, candidates)
            ways = {"clip": story.num_clips, "recent": story.recent, "candidates": state.candidates}
            note = self._metadata("story", prompt, story.options, prompts=list(prompts), **ways)
            [[clip]] = self._generate_clips([state], 1, size, [note], work)
            story.add(clip)
            yield clip

    @abstractmethod
    def _generate_clips(
        self,
        states: Sequence[GenerationState],
        count: int,
        size: tuple[int, int],
        metadata: Sequence[Mapping[str, Any]],
        work: Progress,
    ) -> Iterator[list[GeneratedVideo]]:
        """`count` clips of every sample, each as a video of its new frames alone."""

    @abstractmethod
    def _metadata(self, task: str, prompt: str, options: GenerationOptions, **ways: Any) -> dict[str, Any]:
        """Metadata of a result."""


def _check_story(prompts: Any, recent: Any) -> tuple[list[str], int]:
    """The prompts of a story, and how many clips stay in view.

    Raises:
        PromptError: there is none, or one is no text or empty.
        ConfigError: no clip stays in view.
    """
    texts = [] if isinstance(prompts, str) or not isinstance(prompts, Iterable) else list(prompts)
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise PromptError("a story is a list of texts, one for each clip, none of them empty")
    return texts, whole_number("recent", recent, at_least=1)


@dataclass(kw_only=True, slots=True)
class Story:
    """The part of a story that stays in view, however long it is."""

    options: GenerationOptions
    recent: int
    """Clips that stay in view besides the first keyframe."""
    num_clips: int = 0
    first: ClipTokens | None = None
    last: list[ClipTokens] = field(default_factory=list)
    last_frame: UInt8[np.ndarray, "height width 3"] | None = None

    @classmethod
    def of_video(cls, video: GeneratedVideo, num_clips: int, options: GenerationOptions, recent: int) -> Story:
        """The story before clip `num_clips` of a video, which then comes next."""
        story = cls(options=options, recent=recent)
        for number in range(num_clips):
            clip = replace(video, tokens=(video.tokens[number],), frames=video.frames[_places(video, number)])
            story.add(clip)
        return story

    def add(self, clip: GeneratedVideo) -> None:
        """Go on behind a clip."""
        [tokens] = clip.tokens
        self.first = self.first or tokens
        self.last = [*self.last, tokens][-self.recent :]
        self.last_frame = clip.frames[-1]
        self.num_clips += 1

    def state(
        self, model: Components, generator: TokenGenerator, prompt: str, candidates: int | None
    ) -> GenerationState:
        """The point from which the next clip is generated.

        Raises:
            PromptError: not even one clip fits behind the prompt.
        """
        return GenerationState(
            options=self.options,
            context=self._context(model, generator, prompt),
            num_clips=self.num_clips,
            last_frame=self.last_frame,
            is_continued=self.last_frame is not None,
            candidates=own_candidates(model, prompt) if candidates is None else candidates,
            words=prompt,
        )

    def _context(self, model: Components, generator: TokenGenerator, prompt: str) -> Tensor:
        """The prompt, the first keyframe, and as many of the last clips as there is room for."""
        words = generation_prompt(model.language_model, prompt)
        longest = sum(block.max_ids + 2 for block in generator.grammar.video())
        room = model.language_model.context_length - longest
        for left_out in range(len(self.last)):
            shown = self.last[left_out:]
            if shown[0].keyframe is None:
                continue
            is_first_shown = self.num_clips <= len(shown)
            before = [] if is_first_shown or self.first is None else [ClipTokens(keyframe=self.first.keyframe)]
            ids = torch.cat([words, tokens_as_ids([*before, *shown], model.vocabulary)])
            if len(ids) <= room:
                return ids
        if self.last and self.last[-1].keyframe is not None:
            ids = torch.cat([words, tokens_as_ids(self.last[-1:], model.vocabulary)])
            return ids if len(ids) <= room else words
        return words


def with_clip(video: GeneratedVideo, number: int, clip: GeneratedVideo) -> GeneratedVideo:
    """A video with one of its clips replaced by another of the same length.

    Raises:
        ConfigError: the new clip has another number of frames.
    """
    places = _places(video, number)
    if len(clip.frames) != places.stop - places.start:
        raise ConfigError(f"got {len(clip.frames)} frames for clip {number}, expected {places.stop - places.start}")
    frames = np.concatenate([video.frames[: places.start], clip.frames, video.frames[places.stop :]])
    tokens = (*video.tokens[:number], *clip.tokens, *video.tokens[number + 1 :])
    # What goes on from the last clip reads the ids of that clip, and not those of the one that it replaced.
    ids = clip.ids if number == len(video.tokens) - 1 else video.ids
    return replace(video, frames=frames, tokens=tokens, ids=ids, timings=clip.timings)


def _noted(video: GeneratedVideo, number: int, anew: Mapping[str, Any]) -> GeneratedVideo:
    """A story whose metadata say that a clip was generated anew, by the prompt and seed of its own metadata."""
    entry = {"clip": number + 1, "prompt": anew["prompt"], "seed": anew["seed"]}
    redrawn = [*video.metadata.get("redrawn", ()), entry]
    return replace(video, metadata={**video.metadata, "redrawn": redrawn})


def _places(video: GeneratedVideo, number: int) -> slice:
    """Frames of a clip: those behind the first share their first frame with the clip before."""
    count = len(video.tokens)
    later = (len(video.frames) - 1) // count
    if len(video.frames) != 1 + count * later:
        raise ConfigError(f"got {len(video.frames)} frames of {count} clips, expected a story as it was generated")
    return slice(0 if number == 0 else 1 + number * later, 1 + (number + 1) * later)


def _check_clip(video: Any, number: Any) -> int:
    """The number of a clip that a video has.

    Raises:
        ConfigError: there are fewer clips, or it is no video with its tokens.
    """
    if not isinstance(video, GeneratedVideo):
        raise ConfigError(f"got a {type(video).__name__} as the story, expected what generate_story returned")
    number = plain_number(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(video.tokens):
        raise ConfigError(f"got clip {number!r}, expected one from 0 to {len(video.tokens) - 1}")
    return number
