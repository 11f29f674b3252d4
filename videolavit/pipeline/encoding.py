"""From images and clips to what the language model reads: codes, ids and continuous features (paper, section 3.1)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.clip import Clip, MotionField
from videolavit.clip_tokens import ClipTokens
from videolavit.config import plain_number
from videolavit.errors import ConfigError, PromptError, VocabularyError
from videolavit.language.prompts import ClipInput, ImageInput, Piece, VideoInput, assemble
from videolavit.nn.random import sample_generators
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer
from videolavit.tokenizers.selector import PatchSelection
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.vocabulary import Vocabulary

__all__ = [
    "clip_codes",
    "ids_as_tokens",
    "keyframe_codes",
    "layered_motion_codes",
    "motion_codes",
    "seen_images",
    "seen_video",
    "tokens_as_ids",
]

RGB = UInt8[np.ndarray, "_ _ 3"]
VisualInput = Literal["continuous", "discrete"]

_CLIPS_AT_A_TIME = 16


def keyframe_codes(
    tokenizer: VisualTokenizer,
    images: Sequence[RGB],
    patch_selection: PatchSelection,
    seed: int | Sequence[int],
    *,
    first: int = 0,
) -> list[Int[Tensor, "_"]]:
    """Codes of each image.

    `seed` is for the choice "gumbel": one for all images, of which `first` counts those of earlier calls, or one for
    each, which then gets the codes that it would get alone.
    """
    pixels = tokenizer.preprocess(list(images)).to(tokenizer.vit.cls_token)
    streams = _streams(patch_selection, seed, len(images), first)
    tokens = tokenizer.encode(pixels, patch_selection=patch_selection, generators=streams, at_least_one=True)
    return [codes.cpu() for codes in tokens.codes]


def clip_codes(
    visual: VisualTokenizer,
    motion: MotionTokenizer,
    clips: Iterable[tuple[Clip, int]],
    patch_selection: PatchSelection,
    seed: int,
    motion_layers: int = 1,
) -> Iterator[ClipTokens]:
    """Codes of clips, each with the number of frames that it shows; a few clips are in memory at a time.

    Raises:
        ConfigError: the motion tokenizer has fewer than `motion_layers` layers of codes.
    """
    clips, first = iter(clips), 0
    while batch := list(itertools.islice(clips, _CLIPS_AT_A_TIME)):
        images = [clip.keyframe for clip, _ in batch if clip.has_keyframe]
        keyframes = iter(keyframe_codes(visual, images, patch_selection, seed, first=first) if images else [])
        moved = layered_motion_codes(motion, [clip.motion for clip, _ in batch], motion_layers)
        for codes, (clip, num_frames) in zip(moved, batch, strict=True):
            seen = next(keyframes) if clip.has_keyframe else None
            further = codes[1:] if len(codes) > 1 else None
            yield ClipTokens(keyframe=seen, motion=codes[0], num_frames=num_frames, motion_layers=further)
        first += len(images)


def motion_codes(tokenizer: MotionTokenizer, fields: Sequence[MotionField]) -> list[Int[Tensor, "_"]]:
    """Codes of the motion of each clip."""
    return [codes[0] for codes in layered_motion_codes(tokenizer, fields, 1)]


def layered_motion_codes(
    tokenizer: MotionTokenizer, fields: Sequence[MotionField], layers: int
) -> list[Int[Tensor, "layers _"]]:
    """Codes of the motion of each clip in the first `layers` layers.

    Raises:
        ConfigError: the motion tokenizer has fewer.
    """
    config, layers = tokenizer.config, plain_number(layers)
    if isinstance(layers, bool) or not isinstance(layers, int) or not 1 <= layers <= config.layers:
        raise ConfigError(
            f"got motion_layers={layers}, expected 1 to {config.layers}, as many as the motion tokenizer has"
        )
    motion = np.stack([field.for_tokenizer(config.rows, config.cols) for field in fields])
    with torch.no_grad():
        seen = torch.from_numpy(motion).to(tokenizer.quantizer.codebook.device)
        return list(tokenizer.encode_layers(seen, layers).cpu())


def seen_images(
    tokenizer: VisualTokenizer,
    images: Sequence[RGB],
    vocabulary: Vocabulary,
    visual_input: VisualInput,
    patch_selection: PatchSelection,
    seed: int,
) -> list[ImageInput]:
    """Input of the language model for images that it is asked about: features, or ids if it was trained on those."""
    if visual_input == "discrete":
        codes = keyframe_codes(tokenizer, images, patch_selection, seed)
        return [ImageInput(ids=vocabulary.visual_ids(row)) for row in codes]
    pixels = tokenizer.preprocess(list(images)).to(tokenizer.vit.cls_token)
    streams = _streams(patch_selection, seed, len(images))
    with torch.no_grad():
        features = tokenizer.language_features(
            pixels, patch_selection=patch_selection, generators=streams, at_least_one=True
        )
    return [ImageInput(features=rows) for rows in features]


def seen_video(
    visual: VisualTokenizer,
    motion: MotionTokenizer,
    clips: Sequence[Clip],
    vocabulary: Vocabulary,
    visual_input: VisualInput,
    patch_selection: PatchSelection,
    seed: int,
) -> VideoInput:
    """Input of the language model for a video that it is asked about: keyframes as images are, motion as ids."""
    images = [clip.keyframe for clip in clips if clip.has_keyframe]
    keyframes = iter(seen_images(visual, images, vocabulary, visual_input, patch_selection, seed) if images else [])
    moved = motion_codes(motion, [clip.motion for clip in clips])
    return VideoInput(
        clips=tuple(
            ClipInput(keyframe=next(keyframes) if clip.has_keyframe else None, motion_ids=vocabulary.motion_ids(codes))
            for clip, codes in zip(clips, moved, strict=True)
        )
    )


def tokens_as_ids(tokens: Sequence[ClipTokens], vocabulary: Vocabulary) -> Int[Tensor, "n"]:
    """Clips in the unified vocabulary, special tokens included.

    Raises:
        VocabularyError: a code is not in its modality.
        PromptError: there is no clip, one has no keyframe codes, or the first goes on from none before it.
    """
    if tokens and tokens[0].keyframe is None:
        raise PromptError("the first clip has motion alone, and there is none before it; begin with a keyframe")
    pieces: list[Piece] = []
    for clip in tokens:
        keyframe = None if clip.keyframe is None else ImageInput(ids=vocabulary.visual_ids(clip.keyframe))
        motion = None if clip.motion is None else vocabulary.motion_ids(clip.motion)
        pieces.append(ClipInput(keyframe=keyframe, motion_ids=motion))
    return assemble(pieces, vocabulary).ids


def ids_as_tokens(ids: Int[Tensor, "n"], vocabulary: Vocabulary) -> tuple[ClipTokens, ...]:
    """The clips among ids: the way back from `tokens_as_ids`. Words before them are left out.

    Raises:
        VocabularyError: special tokens are missing, or stand where they do not belong.
    """
    clips: list[ClipTokens] = []
    rest = ids.tolist()
    special_tokens = {vocabulary.image_start: vocabulary.image_end, vocabulary.motion_start: vocabulary.motion_end}
    while rest and rest[0] not in special_tokens:
        _check_word(rest.pop(0), vocabulary)
    while rest:
        opening = rest[0]
        if opening not in special_tokens or special_tokens[opening] not in rest:
            raise VocabularyError(
                f"got id {opening} where a keyframe or motion should begin and end with its special tokens"
            )
        end = rest.index(special_tokens[opening])
        content, rest = torch.tensor(rest[1:end], dtype=torch.long), rest[end + 1 :]
        if opening == vocabulary.image_start:
            clips.append(ClipTokens(keyframe=vocabulary.visual_codes(content)))
        elif not clips:
            raise VocabularyError("got motion without a keyframe before it")
        elif clips[-1].motion is None:
            clips[-1] = dataclasses.replace(clips[-1], motion=vocabulary.motion_codes(content))
        else:
            clips.append(ClipTokens(keyframe=None, motion=vocabulary.motion_codes(content)))
    return tuple(clips)


def _check_word(word: int, vocabulary: Vocabulary) -> None:
    if word not in vocabulary.text_range:
        raise VocabularyError(f"got id {word} before the first keyframe, expected text ids or [IMG] there")


def _streams(
    patch_selection: PatchSelection, seed: int | Sequence[int], n: int, first: int = 0
) -> list[torch.Generator] | None:
    if patch_selection == "likeliest":
        return None
    if isinstance(seed, int):
        return sample_generators(seed, n, first=first, stream="selector")
    return [stream for own in seed for stream in sample_generators(own, 1, stream="selector")]
