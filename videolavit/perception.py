"""From pictures and clips to what the language model reads: codes, ids and continuous features (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.clip import Clip
from videolavit.language.prompts import Picture, Piece, Video, VideoClip, assemble
from videolavit.nn.random import sample_generators
from videolavit.results import ClipTokens
from videolavit.tokenizers.motion import MotionTokenizer
from videolavit.tokenizers.selector import Choice
from videolavit.tokenizers.visual import VisualTokenizer
from videolavit.vocabulary import Vocabulary

__all__ = ["clip_codes", "keyframe_codes", "picture_features", "tokens_as_ids", "video_features"]

RGB = UInt8[np.ndarray, "_ _ 3"]


def keyframe_codes(
    tokenizer: VisualTokenizer, pictures: Sequence[RGB], choice: Choice, seed: int
) -> list[Int[Tensor, "_"]]:
    """Codes of each picture; `seed` is for the choice "gumbel"."""
    pixels = tokenizer.preprocess(list(pictures)).to(tokenizer.vit.cls_token)
    tokens = tokenizer.encode(pixels, choice=choice, generators=_streams(choice, seed, len(pictures)))
    return [codes.cpu() for codes in tokens.codes]


def clip_codes(
    visual: VisualTokenizer, motion: MotionTokenizer, clips: Sequence[tuple[Clip, int]], choice: Choice, seed: int
) -> tuple[ClipTokens, ...]:
    """Codes of clips, each with the number of frames that it shows."""
    keyframes = keyframe_codes(visual, [clip.keyframe for clip, _ in clips], choice, seed)
    moved = _motion_codes(motion, [clip for clip, _ in clips])
    return tuple(
        ClipTokens(keyframe=seen, motion=codes, num_frames=num_frames)
        for seen, codes, (_, num_frames) in zip(keyframes, moved, clips, strict=True)
    )


def picture_features(tokenizer: VisualTokenizer, pictures: Sequence[RGB], choice: Choice, seed: int) -> list[Picture]:
    """What the language model sees of pictures that it is asked about."""
    pixels = tokenizer.preprocess(list(pictures)).to(tokenizer.vit.cls_token)
    with torch.no_grad():
        features = tokenizer.language_features(pixels, choice=choice, generators=_streams(choice, seed, len(pictures)))
    return [Picture(features=rows) for rows in features]


def video_features(
    visual: VisualTokenizer,
    motion: MotionTokenizer,
    clips: Sequence[Clip],
    vocabulary: Vocabulary,
    choice: Choice,
    seed: int,
) -> Video:
    """What the language model sees of a video that it is asked about: keyframes as features, motion as ids."""
    keyframes = picture_features(visual, [clip.keyframe for clip in clips], choice, seed)
    moved = _motion_codes(motion, clips)
    return Video(
        clips=tuple(
            VideoClip(keyframe=seen, motion_ids=vocabulary.motion_ids(codes))
            for seen, codes in zip(keyframes, moved, strict=True)
        )
    )


def tokens_as_ids(tokens: Sequence[ClipTokens], vocabulary: Vocabulary) -> Int[Tensor, "n"]:
    """Clips in the unified vocabulary, marks included.

    Raises:
        VocabularyError: a code is not in its modality.
        PromptError: there is no clip, or one has no keyframe codes.
    """
    pieces: list[Piece] = []
    for clip in tokens:
        keyframe = Picture(ids=vocabulary.visual_ids(clip.keyframe))
        motion = None if clip.motion is None else vocabulary.motion_ids(clip.motion)
        pieces.append(keyframe if motion is None else VideoClip(keyframe=keyframe, motion_ids=motion))
    return assemble(pieces, vocabulary).ids


def _motion_codes(tokenizer: MotionTokenizer, clips: Sequence[Clip]) -> list[Tensor]:
    config = tokenizer.config
    motion = np.stack([clip.motion.for_tokenizer(config.rows, config.cols) for clip in clips])
    with torch.no_grad():
        return list(tokenizer.encode(torch.from_numpy(motion).to(tokenizer.quantizer.codebook.device)).cpu())


def _streams(choice: Choice, seed: int, n: int) -> list[torch.Generator] | None:
    return None if choice == "argmax" else sample_generators(seed, n, stream="selector")
