"""A `VideoLaVIT` as a `ModelAdapter`: batches of the public pipeline, so that what is measured is what users get."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from videolavit.checkpoints.registry import SCHEDULERS
from videolavit.clip import MotionField
from videolavit.detokenizers.vae import decode_latents, encode_images, signed_images, to_uint8, unit_range
from videolavit.errors import CheckpointError
from videolavit.evaluation.adapter import Image, Video
from videolavit.evaluation.media import as_image
from videolavit.generation_options import GenerationOptions
from videolavit.language.chat_template import ChatTemplate
from videolavit.language.conversation import conversation
from videolavit.language.language_model import LanguageModel, left_pad
from videolavit.language.prompts import Prompt
from videolavit.memory.context import ContextOptions
from videolavit.memory.token_memory import RememberedClip, TokenMemory
from videolavit.pipeline import VideoLaVIT
from videolavit.pipeline.answering import PromptBuilder, VisualEncoding
from videolavit.pipeline.clip_decoder import ClipDecoder, as_field, generated_size
from videolavit.pipeline.encoding import keyframe_codes, motion_codes
from videolavit.pipeline.remembering import remembered_clips
from videolavit.progress import Progress
from videolavit.video.processor import whole_video_clips

__all__ = ["PipelineAdapter"]

_ANSWER_IDS = 64


class PipelineAdapter:
    """A model under evaluation, drawing as its own settings say; see `ModelAdapter` for what the methods do."""

    def __init__(self, model: VideoLaVIT) -> None:
        self.model = model
        self._clips: dict[str, RememberedClip] = {}

    def missing(self, parts: Sequence[str]) -> list[str]:
        return [name for name in parts if not self._has(name)]

    def identity(self, parts: Sequence[str]) -> str:
        digest = hashlib.blake2b(json.dumps(asdict(self.model.settings), default=str).encode(), digest_size=8)
        for name in parts:
            if name in SCHEDULERS:
                digest.update(self.model.components.scheduler(name).to_json_string().encode())
            else:
                _add_weights(digest, self.model.components.module(name))
        return digest.hexdigest()

    def num_patches(self) -> int:
        return self.model.visual_tokenizer.config.vit.num_patches

    def num_motion_ids(self) -> int:
        return self.model.motion_tokenizer.config.num_tokens

    def motion_grid(self) -> tuple[int, int]:
        config = self.model.motion_tokenizer.config
        return config.rows, config.cols

    def generate_images(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        return [image.pixels for image in self.model.generate_image(list(prompts), seed=list(seeds))]

    def generate_videos(
        self, prompts: Sequence[str], seeds: Sequence[int], first_frames: Sequence[Image] | None = None
    ) -> list[Video]:
        images = None if first_frames is None else list(first_frames)
        return [video.frames for video in self.model.generate_video(list(prompts), image=images, seed=list(seeds))]

    def generate_long_videos(
        self, prompts: Sequence[str], seeds: Sequence[int], *, clips: int, continuations: Sequence[str]
    ) -> list[dict[str, Video]]:
        options = {"clips": clips, "seed": list(seeds)}
        of_each = [self.model.generate_video(list(prompts), continuation=one, **options) for one in continuations]
        return [
            {one: video.frames for one, video in zip(continuations, videos, strict=True)}
            for videos in zip(*of_each, strict=True)
        ]

    def generate_story(self, prompts: Sequence[str], seed: int, candidates: int) -> Iterator[Video]:
        return (clip.frames for clip in self.model.stream_story(prompts, candidates=candidates, seed=seed))

    def answer(
        self, questions: Sequence[str], *, images: Sequence[Any], videos: Sequence[Any], max_new_tokens: int
    ) -> list[str]:
        answers = [""] * len(questions)
        for places in _same_media(images, videos):
            asked = [questions[place] for place in places]
            image, video = as_image(images[places[0]]), videos[places[0]]
            found: Any = self.model.answer(asked, image=image, video=video, max_new_tokens=max_new_tokens)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer.text
        return answers

    @torch.inference_mode()
    def option_losses(
        self, question: str, options: Sequence[str], *, image: Any = None, video: Any = None
    ) -> list[float]:
        chat = self.model.answering.language_model.chat
        endings = self._endings(question, options, chat, image=image, video=video)
        return [-float(_chosen(scores, wanted).mean()) for scores, wanted in endings]

    @torch.inference_mode()
    def option_likelihood(
        self, question: str, option: str, *, image: Any = None, video: Any = None
    ) -> tuple[float, bool]:
        """Log-probability of an option's words, what ends an answer left out; True if each id is the likeliest."""
        chat = self.model.answering.language_model.chat
        bare = replace(chat, answer=f"{chat.answer.partition('{answer}')[0]}{{answer}}")
        [(scores, wanted)] = self._endings(question, [option], bare, image=image, video=video)
        scores, wanted = scores[:-1], wanted[:-1]  # without the end of text, which follows in every template
        return float(_chosen(scores, wanted).sum()), bool((scores.argmax(-1) == wanted).all())

    def _endings(
        self, question: str, options: Sequence[str], chat: ChatTemplate, *, image: Any, video: Any
    ) -> list[tuple[Tensor, Tensor]]:
        """Of each option as the answer the log-probabilities at its places, (ids, text ids), and its ids."""
        asking = PromptBuilder(self.model, self.model.memory, Progress())
        look = VisualEncoding(max_clips=self.model.settings.max_clips, patch_selection="likeliest", seed=0)
        [turns], [prompt] = asking.prompts([question], as_image(image), video, None, look)
        language = self.model.answering.language_model
        answered = [replace(turns[-1], answer=option) for option in options]
        read = [
            conversation((turn,), self.model.vocabulary, language.text_tokenizer, template=chat) for turn in answered
        ]
        hidden = language.hidden(*left_pad([language.embed(one) for one in read]))
        return [
            _ending(language, states, one, len(one) - len(prompt)) for states, one in zip(hidden, read, strict=True)
        ]

    def answer_about_clips(
        self, question: str, clips: Sequence[tuple[str, Callable[[], Video]]], *, context: Any, notes: Sequence[str]
    ) -> tuple[str, list[int]]:
        options = ContextOptions(context=context, max_clips=self.model.settings.max_clips)
        with tempfile.TemporaryDirectory() as folder:
            features = self._remembered(*clips[0], notes).features
            width = 0 if features is None else features.shape[1]
            memory = TokenMemory.create(folder, self.model.vocabulary, feature_width=width)
            with memory:
                for name, frames in clips:
                    clip = self._remembered(name, frames, notes)
                    seconds = clip.end_seconds - clip.start_seconds
                    start = memory.seconds
                    memory.append(replace(clip, start_seconds=start, end_seconds=start + seconds), sync=False)
                found = self.model.answer(question, video=memory, context=options, max_new_tokens=_ANSWER_IDS)
        return found.text, [moment.clip for moment in found.moments]

    def _remembered(self, name: str, frames: Callable[[], Video], notes: Sequence[str]) -> RememberedClip:
        if name not in self._clips:
            first = itertools.islice(whole_video_clips(frames(), self.model.settings.video_processor), 1)
            [self._clips[name]] = remembered_clips(self.model, first, ask=notes)
        return self._clips[name]

    def visual_counts(self, images: Sequence[Image]) -> list[int]:
        return [len(codes) for codes in self._codes(images)]

    def reconstruct_image(self, image: Image, seed: int) -> Image:
        return self._decoder(seed, moving=False).keyframes(self._codes([image]))[0]

    def reconstruct_video(self, video: Path, seed: int, *, keyframes: str, motion: str) -> Any:
        form: Any = {"keyframe": keyframes, "motion": motion}
        return self.model.reconstruct(video, **form, seed=seed)

    @torch.no_grad()
    def autoencode(self, image: Image) -> Image:
        vae: Any = self.model.components.module("keyframe_vae")
        latents = encode_images(vae, signed_images(image[None], _device(vae)))
        pixels = decode_latents(vae, latents * vae.config["scaling_factor"])
        return np.moveaxis(to_uint8(unit_range(pixels))[0].cpu().numpy(), 0, -1)

    def reconstruct_motion(self, motion: MotionField) -> MotionField:
        [codes] = motion_codes(self.model.motion_tokenizer, [motion])
        return as_field(self.model, codes, (motion.height, motion.width))

    def decode_clip(self, keyframe: Image, motion: MotionField, seed: int) -> Video:
        return self._decoder(seed).frames([keyframe], [motion])[0]

    def _codes(self, images: Sequence[Image]) -> list[Tensor]:
        return keyframe_codes(self.model.visual_tokenizer, list(images), "likeliest", 0)

    def _decoder(self, seed: int, *, moving: bool = True) -> ClipDecoder:
        options = GenerationOptions(seed=seed, continuation="none").completed(self.model.settings)
        return ClipDecoder(self.model, [options], Progress(), generated_size(self.model, options, moving=moving))

    def _has(self, name: str) -> bool:
        parts = self.model.components
        try:
            _ = parts.scheduler(name) if name in SCHEDULERS else parts.config(name)
        except CheckpointError:
            return False
        return True


def _ending(language: LanguageModel, hidden: Tensor, prompt: Prompt, length: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities at the last `length` ids of a prompt, and these ids; `hidden` (positions, width) ends there."""
    scores = language.logits(hidden[-length - 1 : -1], [language.vocabulary.text_range]).float().log_softmax(-1)
    return scores, prompt.parts[-1][-length:].to(scores.device)


def _chosen(scores: Tensor, wanted: Tensor) -> Tensor:
    """The log-probability of the wanted id at each place."""
    return scores.gather(-1, wanted[:, None])[:, 0]


def _add_weights(digest: Any, module: nn.Module) -> None:
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _same_media(images: Sequence[Any], videos: Sequence[Any]) -> list[list[int]]:
    """Places of the questions on each image or video, in the order in which these first come."""
    found: dict[Any, list[int]] = {}
    for place, media in enumerate(zip(images, videos, strict=True)):
        found.setdefault(tuple(_media_key(one) for one in media), []).append(place)
    return list(found.values())


def _media_key(source: Any) -> Any:
    return source if isinstance(source, str | bytes | PathLike) else id(source)
