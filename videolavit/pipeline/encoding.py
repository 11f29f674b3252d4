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
from videolavit.errors import VocabularyError
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
    "motion_codes",
    "seen_images",
    "seen_video",
    "tokens_as_ids",
]

RGB = UInt8[np.ndarray, "_ _ 3"]
VisualInput = Literal["continuous", "discrete"]

_CLIPS_AT_A_TIME = 16


def keyframe_codes(
    tokenizer: VisualTokenizer, images: Sequence[RGB], patch_selection: PatchSelection, seed: int, *, first: int = 0
) -> list[Int[Tensor, "_"]]:
    """Codes of each image; `seed` is for the choice "gumbel", and `first` counts images of earlier calls."""
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
) -> Iterator[ClipTokens]:
    """Codes of clips, each with the number of frames that it shows; a few clips are in memory at a time."""
    clips, first = iter(clips), 0
    while batch := list(itertools.islice(clips, _CLIPS_AT_A_TIME)):
        keyframes = keyframe_codes(visual, [clip.keyframe for clip, _ in batch], patch_selection, seed, first=first)
        moved = motion_codes(motion, [clip.motion for clip, _ in batch])
        for seen, codes, (_, num_frames) in zip(keyframes, moved, batch, strict=True):
            yield ClipTokens(keyframe=seen, motion=codes, num_frames=num_frames)
        first += len(batch)


def motion_codes(tokenizer: MotionTokenizer, fields: Sequence[MotionField]) -> list[Int[Tensor, "_"]]:
    """Codes of the motion of each clip."""
    config = tokenizer.config
    motion = np.stack([field.for_tokenizer(config.rows, config.cols) for field in fields])
    with torch.no_grad():
        return list(tokenizer.encode(torch.from_numpy(motion).to(tokenizer.quantizer.codebook.device)).cpu())


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
    keyframes = seen_images(visual, [clip.keyframe for clip in clips], vocabulary, visual_input, patch_selection, seed)
    moved = motion_codes(motion, [clip.motion for clip in clips])
    return VideoInput(
        clips=tuple(
            ClipInput(keyframe=seen, motion_ids=vocabulary.motion_ids(codes))
            for seen, codes in zip(keyframes, moved, strict=True)
        )
    )


def tokens_as_ids(tokens: Sequence[ClipTokens], vocabulary: Vocabulary) -> Int[Tensor, "n"]:
    """Clips in the unified vocabulary, special tokens included.

    Raises:
        VocabularyError: a code is not in its modality.
        PromptError: there is no clip, or one has no keyframe codes.
    """
    pieces: list[Piece] = []
    for clip in tokens:
        keyframe = ImageInput(ids=vocabulary.visual_ids(clip.keyframe))
        motion = None if clip.motion is None else vocabulary.motion_ids(clip.motion)
        pieces.append(keyframe if motion is None else ClipInput(keyframe=keyframe, motion_ids=motion))
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
        elif clips and clips[-1].motion is None:
            clips[-1] = dataclasses.replace(clips[-1], motion=vocabulary.motion_codes(content))
        else:
            raise VocabularyError("got motion without a keyframe before it")
    return tuple(clips)


def _check_word(word: int, vocabulary: Vocabulary) -> None:
    if word not in vocabulary.text_range:
        raise VocabularyError(f"got id {word} before the first keyframe, expected text ids or [IMG] there")


def _streams(patch_selection: PatchSelection, seed: int, n: int, first: int = 0) -> list[torch.Generator] | None:
    return None if patch_selection == "likeliest" else sample_generators(seed, n, first=first, stream="selector")
