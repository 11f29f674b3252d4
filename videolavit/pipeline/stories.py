"""Stories: videos of any number of clips, each with a prompt of its own, whose subject stays in view.

Before every clip the language model reads its prompt, the first keyframe of all and the last clips, so that neither its
context nor memory grows with the story. The new keyframe is decoded from the last frame of the clip before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from videolavit.checkpoints.model_components import Components
from videolavit.clip_tokens import ClipTokens
from videolavit.errors import ConfigError, PromptError
from videolavit.generation_options import GenerationOptions
from videolavit.language.generation_prompt import generation_prompt
from videolavit.pipeline.encoding import tokens_as_ids
from videolavit.pipeline.outputs import GeneratedVideo
from videolavit.pipeline.token_generation import GenerationState, TokenGenerator

__all__ = ["Story", "check_clip", "check_story", "with_clip"]


def check_story(prompts: Any, recent: int) -> list[str]:
    """The prompts of a story.

    Raises:
        PromptError: there is none, or one is no text or empty.
        ConfigError: no clip stays in view.
    """
    if isinstance(prompts, str) or not prompts or not all(isinstance(one, str) and one.strip() for one in prompts):
        raise PromptError("a story is a list of texts, one for each clip, none of them empty")
    if recent < 1:
        raise ConfigError(f"got recent={recent}, expected at least 1")
    return list(prompts)


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
            candidates=model.settings.candidates if candidates is None else candidates,
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
    return replace(video, frames=frames, tokens=tokens, timings=clip.timings)


def _places(video: GeneratedVideo, number: int) -> slice:
    """Frames of a clip: those behind the first share their first frame with the clip before."""
    count = len(video.tokens)
    later = (len(video.frames) - 1) // count
    if len(video.frames) != 1 + count * later:
        raise ConfigError(f"got {len(video.frames)} frames of {count} clips, expected a story as it was generated")
    return slice(0 if number == 0 else 1 + number * later, 1 + (number + 1) * later)


def check_clip(video: GeneratedVideo, number: int) -> None:
    """Refuse a clip that a video does not have.

    Raises:
        ConfigError: there are fewer clips.
    """
    if not 0 <= number < len(video.tokens):
        raise ConfigError(f"got clip {number}, expected one from 0 to {len(video.tokens) - 1}")
