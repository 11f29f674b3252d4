"""Videos decoded again: reconstructed, to see what their tokens keep, or with other motion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from videolavit.clip import MotionField
from videolavit.clip_tokens import ClipTokens
from videolavit.errors import PromptError
from videolavit.pipeline.clip_decoder import ClipDecoder, Detokenizer, EncodedClip, as_field
from videolavit.pipeline.encoding import keyframe_codes, layered_motion_codes
from videolavit.pipeline.motion_editing import MotionEdit
from videolavit.pipeline.video_segments import Form, Segment
from videolavit.video.similarity import psnr_db, ssim
from videolavit.vocabulary import Vocabulary

__all__ = ["Similarity", "decode_clips", "edit_motion", "information", "similarity", "tokens_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Similarity:
    """Means over the frames of a video."""

    psnr_db: float
    ssim: float


def decode_clips(
    decoder: ClipDecoder, clips: Iterable[EncodedClip], detokenizer: Detokenizer
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Frames of all clips, one after the other."""
    return np.concatenate(list(_decoded(decoder, clips, detokenizer)))


def _decoded(
    decoder: ClipDecoder, clips: Iterable[EncodedClip], detokenizer: Detokenizer
) -> Iterator[UInt8[np.ndarray, "frames height width 3"]]:
    """Frames of each clip; one without a keyframe goes on from the last frame of the one before."""
    before: EncodedClip | None = None
    last_frame = None
    for index, clip in enumerate(clips):
        start = last_frame
        if clip.keeps_time and before is not None and last_frame is not None:
            start = decoder.next_image(before, last_frame)
        frames = decoder.clip(clip, index, detokenizer, start)
        yield frames
        before, last_frame = clip, frames[-1] if len(frames) else last_frame


def similarity(decoded: UInt8[np.ndarray, "_ _ _ 3"], original: UInt8[np.ndarray, "_ _ _ 3"]) -> Similarity:
    """Similarity of two videos of one size and length."""
    pairs = list(zip(decoded, original, strict=True))
    return Similarity(
        psnr_db=float(np.mean([psnr_db(one, other) for one, other in pairs])),
        ssim=float(np.mean([ssim(one, other) for one, other in pairs])),
    )


def information(clips: Sequence[EncodedClip], vocabulary: Vocabulary) -> tuple[int, float]:
    """Number of ids, special tokens not counted, and of bits that clips take."""
    num_ids, num_bits = 0, 0.0
    for clip in clips:
        for part, num_codes in (
            (clip.keyframe, vocabulary.num_visual_codes),
            (clip.motion, vocabulary.num_motion_codes),
        ):
            if isinstance(part, Tensor):
                num_ids += part.numel()
                num_bits += part.numel() * math.log2(num_codes)
            elif part is not None:
                num_bits += 8 * (part.values.nbytes if isinstance(part, MotionField) else part.nbytes)
    return num_ids, num_bits


def tokens_of(clips: Sequence[EncodedClip]) -> tuple[ClipTokens, ...]:
    """The clips as codes; none if any of them is decoded from something else."""
    tokens = []
    for clip in clips:
        goes_on = clip.keyframe is None and clip.keeps_time
        if not (goes_on or isinstance(clip.keyframe, Tensor)) or not isinstance(clip.motion, Tensor | None):
            return ()
        assert not isinstance(clip.keyframe, np.ndarray)
        motion, further = clip.motion, None
        if motion is not None and motion.ndim == 2:
            motion, further = motion[0], motion[1:] if len(motion) > 1 else None
        tokens.append(
            ClipTokens(keyframe=clip.keyframe, motion=motion, num_frames=clip.num_frames, motion_layers=further)
        )
    return tuple(tokens)


def edit_motion(
    segments: Sequence[Segment],
    motion_of: Sequence[Segment] | None,
    edit: MotionEdit,
    *,
    keyframe: Form,
    motion: Form,
    decoder: ClipDecoder,
    detokenizer: Detokenizer,
) -> list[EncodedClip]:
    """Clips with other motion.

    Motion that comes from elsewhere, goes further or is mirrored leads away from later keyframes: only the first one is
    then kept, each later clip goes on from the last decoded frame. What is played backwards starts from last frames.

    Raises:
        PromptError: motion is taken from something that does not move, or changed where there is none.
    """
    if motion_of is None and not edit.changes_nothing and all(segment.clip.motion is None for segment in segments):
        raise PromptError("an image has no motion to edit; give motion_of=, something that it is to move like")
    if motion_of is not None and any(segment.clip.motion is None for segment in motion_of):
        raise PromptError("motion_of= is an image, or tokens without motion; give something that moves")
    movers = [segment.clip for segment in (segments if motion_of is None else motion_of)]
    movers = movers[::-1] if edit.reverse else movers
    if motion_of is None and edit.reverse:
        keyframes: list[Any] = _last_frames(segments, decoder, detokenizer, keyframe)[::-1]
    else:
        keyframes = [segment.clip.keyframe for segment in segments]
    if motion_of is not None or edit.scale != 1 or edit.mirror:
        keyframes = [keyframes[0], *[None] * (len(movers) - 1)]
        movers = [replace(mover, keeps_time=False) for mover in movers]
    return [
        replace(mover, keyframe=image, motion=_edited_motion(mover, edit, motion, decoder))
        for mover, image in zip(movers, keyframes, strict=True)
    ]


def _edited_motion(
    mover: EncodedClip, edit: MotionEdit, form: Form, decoder: ClipDecoder
) -> Tensor | MotionField | None:
    moved = mover.motion
    if moved is None or (edit.changes_nothing and isinstance(moved, Tensor) == (form == "tokens")):
        return moved
    field = edit.apply(as_field(decoder.model, moved, decoder.size), mover.num_frames)
    if form == "raw":
        return field
    layers = len(moved) if isinstance(moved, Tensor) and moved.ndim == 2 else 1
    [codes] = layered_motion_codes(decoder.model.motion_tokenizer, [field], layers)
    return codes if layers > 1 else codes[0]


def _last_frames(
    segments: Sequence[Segment], decoder: ClipDecoder, detokenizer: Detokenizer, form: Form
) -> list[Tensor | np.ndarray]:
    """The last frame of each segment, of the original where it is there."""
    if any(one.clip.keyframe is None and not one.images for one in segments):
        images = [frames[-1] for frames in _decoded(decoder, [one.clip for one in segments], detokenizer)]
    else:
        images = [one.images[-1] if one.images else decoder.clip(one.clip, 0, detokenizer)[-1] for one in segments]
    if form == "raw":
        return images
    options = decoder.options
    how = options.patch_selection, options.seed
    return [keyframe_codes(decoder.model.visual_tokenizer, [image], *how)[0] for image in images]
