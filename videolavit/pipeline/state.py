"""Where a video begins: with a prompt, with an image, or where another video ends (reference section 7)."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from videolavit.language.prompts import Prompt
from videolavit.pipeline.clip_generation import GenerationState
from videolavit.pipeline.encoding import clip_codes, tokens_as_ids
from videolavit.pipeline.media import as_video
from videolavit.pipeline.model_components import Components
from videolavit.pipeline.options import GenerationOptions, check_video, resize_image
from videolavit.pipeline.outputs import GeneratedVideo
from videolavit.pipeline.progress import Work
from videolavit.pipeline.prompt_building import generation_prompt, image_codes
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.processor import whole_video_clips

__all__ = ["after_video", "from_prompt"]


def from_prompt(
    model: Components,
    prompt: str | Prompt,
    image: UInt8[np.ndarray, "_ _ 3"] | None,
    size: tuple[int, int],
    options: GenerationOptions,
    work: Work,
) -> GenerationState:
    """A new video, of which the first keyframe may be given.

    Raises:
        PromptError: there is neither text nor image.
    """
    if image is None:
        return GenerationState(context=generation_prompt(model, prompt))
    [codes] = image_codes(model, [image], options, work)
    context = generation_prompt(model, prompt, behind=codes)
    return GenerationState(context=context, keyframe=resize_image(image, *size), keyframe_codes=codes)


def after_video(
    model: Components, prompt: str | Prompt, video: Any, options: GenerationOptions, work: Work
) -> GenerationState:
    """What comes after a video that was drawn, of which all clips are known, or after any other one's last clip.

    Raises:
        MediaError: the file cannot be read.
    """
    if isinstance(video, GeneratedVideo) and video.tokens:
        context = video.ids if prompt == "" else _context(model, prompt, video.tokens)
        return GenerationState(
            context=context, num_clips=len(video.tokens), last_frame=video.frames[-1], is_continued=True
        )
    source = as_video(video)
    check_video(source)
    with work.step("perceive"):
        [last] = deque(whole_video_clips(source, model.settings.video_processor), maxlen=1)
        tokens = clip_codes(
            model.visual_tokenizer, model.motion_tokenizer, [last], options.patch_selection, options.seed
        )
        context = _context(model, prompt, tuple(tokens))
        [last_frame] = deque(images_on_ticks(source, fps=last[0].fps), maxlen=1)
    return GenerationState(
        context=context, num_clips=1, last_frame=last_frame, is_continued=isinstance(video, GeneratedVideo)
    )


def _context(model: Components, prompt: str | Prompt, clips: Any) -> torch.Tensor:
    ids = tokens_as_ids(clips, model.vocabulary)
    return ids if prompt == "" else torch.cat([generation_prompt(model, prompt), ids])
