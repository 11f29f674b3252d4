"""Where a video begins: with a prompt, with a picture, or where another video ends (reference section 7)."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from videolavit.assembly import Assembly
from videolavit.inputs import DrawOptions, check_video, resize_picture
from videolavit.language.prompts import Prompt
from videolavit.perception import clip_codes, tokens_as_ids
from videolavit.results import GeneratedVideo
from videolavit.tasks.filming import Beginning
from videolavit.tasks.progress import Work
from videolavit.tasks.prompting import drawing_prompt, picture_codes
from videolavit.tasks.sources import as_video
from videolavit.video.front_end import whole_video_clips
from videolavit.video.timeline import pictures_on_ticks

__all__ = ["after_video", "from_prompt"]


def from_prompt(
    model: Assembly,
    prompt: str | Prompt,
    picture: UInt8[np.ndarray, "_ _ 3"] | None,
    size: tuple[int, int],
    options: DrawOptions,
    work: Work,
) -> Beginning:
    """A new video, of which the first keyframe may be given.

    Raises:
        PromptError: there is neither text nor picture.
    """
    if picture is None:
        return Beginning(context=drawing_prompt(model, prompt))
    [codes] = picture_codes(model, [picture], options, work)
    context = drawing_prompt(model, prompt, behind=codes)
    return Beginning(context=context, keyframe=resize_picture(picture, *size), keyframe_codes=codes)


def after_video(model: Assembly, prompt: str | Prompt, video: Any, options: DrawOptions, work: Work) -> Beginning:
    """What comes after a video that was drawn, of which all clips are known, or after any other one's last clip.

    Raises:
        MediaError: the file cannot be read.
    """
    if isinstance(video, GeneratedVideo) and video.tokens:
        context = video.ids if prompt == "" else _context(model, prompt, video.tokens)
        return Beginning(context=context, num_clips=len(video.tokens), last_frame=video.frames[-1], is_continued=True)
    source = as_video(video)
    check_video(source)
    with work.step("perceive"):
        [last] = deque(whole_video_clips(source, model.settings.front_end), maxlen=1)
        tokens = clip_codes(model.visual_tokenizer, model.motion_tokenizer, [last], options.choice, options.seed)
        context = _context(model, prompt, tuple(tokens))
        [last_frame] = deque(pictures_on_ticks(source, fps=last[0].fps), maxlen=1)
    return Beginning(
        context=context, num_clips=1, last_frame=last_frame, is_continued=isinstance(video, GeneratedVideo)
    )


def _context(model: Assembly, prompt: str | Prompt, clips: Any) -> torch.Tensor:
    ids = tokens_as_ids(clips, model.vocabulary)
    return ids if prompt == "" else torch.cat([drawing_prompt(model, prompt), ids])
