"""Videos drawn again: reconstructed, to see what the model sees of them, or with other motion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from videolavit.clip import MotionField
from videolavit.errors import PromptError
from videolavit.pipeline.clip_decoder import ClipDecoder, Detokenizer, EncodedClip, as_field
from videolavit.pipeline.encoding import keyframe_codes, motion_codes
from videolavit.pipeline.model_components import Components
from videolavit.pipeline.motion_editing import MotionEdit
from videolavit.pipeline.outputs import ClipTokens
from videolavit.pipeline.segments import Form, Segment
from videolavit.video.similarity import psnr_db, ssim

__all__ = ["Similarity", "decoded_frames", "edited", "information", "similarity", "tokens_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Similarity:
    """Means over the frames of a video."""

    psnr_db: float
    ssim: float


def decoded_frames(
    painter: ClipDecoder, sketches: Iterable[EncodedClip], detokenizer: Detokenizer
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Frames of all sketches, one after the other."""
    clips: list[np.ndarray] = []
    last_frame = None
    for index, sketch in enumerate(sketches):
        clips.append(painter.sketch(sketch, index, detokenizer, last_frame))
        last_frame = clips[-1][-1] if len(clips[-1]) else last_frame
    return np.concatenate(clips)


def similarity(drawn: UInt8[np.ndarray, "_ _ _ 3"], original: UInt8[np.ndarray, "_ _ _ 3"]) -> Similarity:
    """Of two videos of one size and length."""
    pairs = list(zip(drawn, original, strict=True))
    return Similarity(
        psnr_db=float(np.mean([psnr_db(one, other) for one, other in pairs])),
        ssim=float(np.mean([ssim(one, other) for one, other in pairs])),
    )


def information(sketches: Sequence[EncodedClip], model: Components) -> tuple[int, float]:
    """Number of ids, marks not counted, and of bits that sketches take."""
    vocabulary = model.vocabulary
    num_ids, num_bits = 0, 0.0
    for sketch in sketches:
        for part, num_codes in (
            (sketch.keyframe, vocabulary.num_visual_codes),
            (sketch.motion, vocabulary.num_motion_codes),
        ):
            if isinstance(part, Tensor):
                num_ids += len(part)
                num_bits += len(part) * math.log2(num_codes)
            elif part is not None:
                num_bits += 8 * (part.values.nbytes if isinstance(part, MotionField) else part.nbytes)
    return num_ids, num_bits


def tokens_of(sketches: Sequence[EncodedClip]) -> tuple[ClipTokens, ...]:
    """The sketches as codes; none if any of them is drawn from something else."""
    clips = []
    for sketch in sketches:
        if not isinstance(sketch.keyframe, Tensor) or not isinstance(sketch.motion, Tensor | None):
            return ()
        clips.append(ClipTokens(keyframe=sketch.keyframe, motion=sketch.motion, num_frames=sketch.num_frames))
    return tuple(clips)


def edited(
    passages: Sequence[Segment],
    motion_of: Sequence[Segment] | None,
    edit: MotionEdit,
    *,
    keyframe: Form,
    motion: Form,
    painter: ClipDecoder,
    detokenizer: Detokenizer,
) -> list[EncodedClip]:
    """Sketches with other motion.

    Motion that comes from elsewhere, or goes further, leads away from later keyframes: only the first one is then kept,
    and each later clip goes on from the last frame that was drawn. What is played backwards starts from last frames.

    Raises:
        PromptError: motion is taken from something that does not move.
    """
    if motion_of is not None and any(passage.sketch.motion is None for passage in motion_of):
        raise PromptError("motion_of= is an image, or tokens without motion; give something that moves")
    movers = [passage.sketch for passage in (passages if motion_of is None else motion_of)]
    movers = movers[::-1] if edit.reverse else movers
    if motion_of is None and edit.reverse:
        keyframes = [_last_frame(passage, painter, detokenizer, keyframe) for passage in reversed(passages)]
    else:
        keyframes = [passage.sketch.keyframe for passage in passages]
    if motion_of is not None or edit.scale != 1:
        keyframes = [keyframes[0], *[None] * (len(movers) - 1)]
    return [
        replace(mover, keyframe=image, motion=_edited_motion(mover.motion, edit, motion, painter))
        for mover, image in zip(movers, keyframes, strict=True)
    ]


def _edited_motion(
    moved: Tensor | MotionField | None, edit: MotionEdit, form: Form, painter: ClipDecoder
) -> Tensor | MotionField | None:
    if moved is None or (edit.changes_nothing and isinstance(moved, Tensor) == (form == "tokens")):
        return moved
    field = edit.apply(as_field(painter.model, moved, painter.size))
    if form == "raw":
        return field
    return motion_codes(painter.model.motion_tokenizer, [field])[0]


def _last_frame(passage: Segment, painter: ClipDecoder, detokenizer: Detokenizer, form: Form) -> Tensor | np.ndarray:
    image = passage.images[-1] if passage.images else painter.sketch(passage.sketch, 0, detokenizer)[-1]
    if form == "raw":
        return image
    options = painter.options
    return keyframe_codes(painter.model.visual_tokenizer, [image], options.patch_selection, options.seed)[0]
