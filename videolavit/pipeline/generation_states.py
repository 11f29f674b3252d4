"""Starts of generation: with a prompt, with an image, or where another video ends (paper, section 3.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from videolavit.checkpoints.model_components import Components
from videolavit.clip_tokens import ClipTokens
from videolavit.errors import ConfigError, PromptError
from videolavit.generation_options import GenerationOptions, check_of_image
from videolavit.language.generation_prompt import generation_prompt
from videolavit.language.prompts import Prompt
from videolavit.pipeline.array_media import is_array
from videolavit.pipeline.clip_decoder import generated_size, size_for_shape
from videolavit.pipeline.encoding import clip_codes, keyframe_codes, tokens_as_ids
from videolavit.pipeline.media import as_list_of_images, as_video, check_video, read_image
from videolavit.pipeline.motion_only import check_motion_only, processor_with
from videolavit.pipeline.outputs import GeneratedVideo
from videolavit.pipeline.token_generation import GenerationState
from videolavit.progress import Progress
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.pixels import resize_image
from videolavit.video.processor import whole_video_clips

__all__ = [
    "first_images",
    "image_codes",
    "image_states",
    "refuse_lists",
    "sample_options",
    "shared_image_codes",
    "video_size",
    "video_states",
]


def sample_options(
    model: Components,
    prompts: Sequence[Any],
    options: GenerationOptions | None,
    changes: dict[str, Any],
    *,
    after_image: bool = False,
    writes: Sequence[Literal["keyframe", "motion"]] = ("keyframe", "motion"),
) -> list[GenerationOptions]:
    """Complete options of each prompt; they differ in seeds, generators and negative prompts alone.

    Raises:
        ConfigError: an option does not exist, has no effect or is out of range, there is another number of seeds,
            generators or negative prompts than of prompts, or a negative prompt where nothing of what the language
            model `writes` is guided.
        PromptError: an empty list of prompts, or something else than words or a Prompt.
    """
    if not prompts:
        raise PromptError("got an empty list of prompts, expected at least one")
    for prompt in prompts:
        if not isinstance(prompt, str | Prompt):
            raise PromptError(f"got a prompt of type {type(prompt).__name__}, expected a text, or a list of texts")
    if "motion" not in writes:
        check_of_image(changes)
    lists = _lists(changes)
    for name, values in lists.items():
        if len(values) != len(prompts):
            count = "1 prompt" if len(prompts) == 1 else f"{len(prompts)} prompts"
            raise ConfigError(f"got {len(values)} values of {name} for {count}, expected one for each")
    base = GenerationOptions.given(options, {name: one for name, one in changes.items() if name not in lists})
    own = [base.changed(**{name: values[k] for name, values in lists.items()}) for k in range(len(prompts))]
    samples = [one.completed(model.settings, after_image=after_image) for one in own]
    for sample in samples:
        _check_guided(sample, writes)
    return samples


def refuse_lists(changes: Mapping[str, Any]) -> None:
    """Refuse options with one value for each of several prompts in a story, which has one for all of them.

    Raises:
        ConfigError: there is one.
    """
    for name, values in _lists(changes).items():
        raise ConfigError(f"got {len(values)} values of {name}, expected one, which holds for all clips of a story")


def _lists(changes: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Options that have a value for each prompt."""
    lists = {}
    for name in ("seed", "generator", "negative_prompt"):
        value: Any = changes.get(name)
        if isinstance(value, list | tuple | range):
            lists[name] = list(value)
        elif is_array(value) and value.ndim == 1:
            lists[name] = value.tolist()
    return lists


def _check_guided(options: GenerationOptions, writes: Sequence[str]) -> None:
    """Refuse a negative prompt that nothing is steered away from."""
    if options.negative_prompt and all(getattr(options.sampling, name).guidance == 1 for name in writes):
        raise ConfigError(
            f"got negative_prompt={options.negative_prompt!r}, but the guidance scale of {' and '.join(writes)} ids is "
            "1, which is no guidance; choose another one, or leave the negative prompt out"
        )


def image_states(
    model: Components,
    prompts: Sequence[str | Prompt],
    samples: Sequence[GenerationOptions],
    images: Sequence[Sequence[Tensor]],
    candidates: int | None,
) -> list[GenerationState]:
    """The beginnings of images after prompts that may each speak of other images, which come as codes."""
    return [
        _state(model, one, generation_prompt(model.language_model, prompt, own), prompt, candidates)
        for one, prompt, own in zip(samples, prompts, images, strict=True)
    ]


def video_states(
    model: Components,
    prompts: Sequence[str | Prompt],
    samples: Sequence[GenerationOptions],
    first_images: Sequence[np.ndarray],
    after: Any,
    size: tuple[int, int],
    candidates: int | None,
    progress: Progress,
) -> list[GenerationState]:
    """The beginnings of videos: after prompts, with first images at (height, width), or after another video.

    Raises:
        PromptError: there is neither text nor image.
        MediaError: the video before cannot be read.
    """
    if after is not None:
        return [_after_video(model, samples[0], prompts[0], after, 1 if candidates is None else candidates, progress)]
    if not first_images:
        return image_states(model, prompts, samples, [()] * len(samples), candidates)
    with progress.step("encode", len(first_images)) as report:
        seeds = [one.seed for one in samples]
        codes = keyframe_codes(model.visual_tokenizer, first_images, samples[0].patch_selection, seeds)
        report(len(first_images))
    return [
        _state(
            model,
            one,
            generation_prompt(model.language_model, prompt, keyframe=row),
            prompt,
            candidates,
            keyframe=resize_image(image, *size),
            keyframe_codes=row,
        )
        for one, prompt, image, row in zip(samples, prompts, first_images, codes, strict=True)
    ]


def first_images(image: Any, count: int) -> list[np.ndarray]:
    """The images that `count` videos start with: one for all, or one for each; none if there is none.

    Raises:
        PromptError: another number of images.
        MediaError: one of them cannot be read.
    """
    if image is None:
        return []
    images = [read_image(one) for one in as_list_of_images(image)]
    if images and len(images) not in (1, count):
        raise PromptError(f"got {len(images)} images for {count} prompts, expected one for all or one for each")
    return images * (count if len(images) == 1 else 1)


def video_size(
    model: Components, options: GenerationOptions, keyframes: Sequence[np.ndarray], after: Any, *, is_given: bool
) -> tuple[int, int]:
    """(height, width) that was asked for, that of the video before, or one with the shape of given keyframes.

    Raises:
        ConfigError: the autoencoders cannot make that size, or keyframes of a batch have different shapes.
    """
    if isinstance(after, GeneratedVideo) and not is_given:
        return after.frames.shape[1], after.frames.shape[2]
    sizes = set() if is_given else {size_for_shape(model, keyframe, options) for keyframe in keyframes}
    if len(sizes) > 1:
        raise ConfigError(f"the keyframes of a batch ask for the sizes {sorted(sizes)}; give height= and width=")
    return sizes.pop() if sizes else generated_size(model, options, moving=True)


def image_codes(
    model: Components, images: Sequence[np.ndarray], options: GenerationOptions, progress: Progress
) -> list[Tensor]:
    """Codes of images as the model reads them in a prompt."""
    if not images:
        return []
    with progress.step("encode", len(images)) as report:
        codes = keyframe_codes(model.visual_tokenizer, list(images), options.patch_selection, options.seed)
        report(len(images))
    return codes


def shared_image_codes(
    model: Components, images: Sequence[np.ndarray], samples: Sequence[GenerationOptions], progress: Progress
) -> list[list[Tensor]]:
    """Codes of the images that all prompts speak of, for each sample: where chance chooses patches, by its own seed."""
    seeds = [one.seed if one.patch_selection == "gumbel" else samples[0].seed for one in samples]
    by_seed = dict(zip(seeds, samples, strict=True))
    codes = {seed: image_codes(model, images, one, progress) for seed, one in by_seed.items()}
    return [codes[seed] for seed in seeds]


def _state(
    model: Components,
    options: GenerationOptions,
    context: Tensor,
    prompt: str | Prompt,
    candidates: int | None,
    **state: Any,
) -> GenerationState:
    words = _words(prompt)
    if candidates is None:
        candidates = model.settings.candidates if words else 1
    return GenerationState(options=options, context=context, candidates=candidates, words=words, **state)


def _words(prompt: str | Prompt) -> str:
    """Words that several drafts are compared by."""
    return prompt.replace("<image>", " ").strip() if isinstance(prompt, str) else ""


def _after_video(
    model: Components, options: GenerationOptions, prompt: str | Prompt, video: Any, candidates: int, progress: Progress
) -> GenerationState:
    """The end of a generated video, of which all clips are known, or of any other one's last clip."""
    drafts: Any = {"candidates": candidates, "words": _words(prompt)}

    def context(tokens: Sequence[ClipTokens]) -> Tensor:
        ids = tokens_as_ids(tokens, model.vocabulary)
        return ids if prompt == "" else torch.cat([generation_prompt(model.language_model, prompt), ids])

    if isinstance(video, GeneratedVideo) and video.tokens:
        if any(clip.keyframe is None for clip in video.tokens):
            check_motion_only(model.settings, "the video before")
        return GenerationState(
            options=options,
            context=video.ids if prompt == "" else context(video.tokens),
            num_clips=len(video.tokens),
            last_frame=video.frames[-1],
            is_continued=True,
            **drafts,
        )
    source = as_video(video)
    check_video(source)
    with progress.step("encode"):
        [last] = deque(whole_video_clips(source, processor_with(model.settings, "every")), maxlen=1)
        how = options.patch_selection, options.seed
        tokens = tuple(clip_codes(model.visual_tokenizer, model.motion_tokenizer, [last], *how))
        [last_frame] = deque(images_on_ticks(source, fps=last[0].fps), maxlen=1)
    return GenerationState(
        options=options,
        context=context(tokens),
        num_clips=1,
        last_frame=last_frame,
        is_continued=isinstance(video, GeneratedVideo),
        **drafts,
    )
