"""A video clip after clip: its ids, a preview, its pixels (paper, section 3.2; reference section 7).

    keyframe ids -> keyframe -> motion ids -> preview -> frames -> the next clip's keyframe ids ...

Each clip is handed over when it is drawn, and each step begins as soon as it can: motion is written after its keyframe
is drawn, so that the preview follows the last motion id at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.language.grammar import Modality
from videolavit.pipeline.clip_decoder import ClipDecoder
from videolavit.pipeline.outputs import ClipTokens, GeneratedVideo
from videolavit.pipeline.token_generation import TokenGenerator

__all__ = ["GenerationState", "Preview", "film"]

Preview = Callable[[np.ndarray, int], None]
"""Called with the frames of a clip as motion compensation gives them, (frames, height, width, 3) uint8, and its
number, before diffusion of the frames starts."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GenerationState:
    """What a video goes on from."""

    context: Int[Tensor, "n"]
    """Ids of the prompt and of earlier clips."""
    num_clips: int = 0
    """In the context; the first new clip has this number."""
    keyframe: UInt8[np.ndarray, "_ _ 3"] | None = None
    """The first clip's, if it is given and stands at the end of the context."""
    keyframe_codes: Int[Tensor, "k"] | None = None
    last_frame: UInt8[np.ndarray, "_ _ 3"] | None = None
    """Of the clip before."""
    is_continued: bool = False
    """Whether the new frames come right behind that last frame. The first one shows it again and is left out."""


def film(
    writer: TokenGenerator,
    painter: ClipDecoder,
    beginning: GenerationState,
    count: int,
    *,
    preview: Preview | None = None,
    metadata: Mapping[str, Any],
) -> Iterator[GeneratedVideo]:
    """`count` clips, each as a video of its new frames alone.

    Raises:
        PromptError: not even one clip fits behind the prompt.
    """
    image, codes, last_frame = beginning.keyframe, beginning.keyframe_codes, beginning.last_frame
    is_continued = beginning.is_continued
    blocks = writer.clips(
        beginning.context, count, first=beginning.num_clips, keyframe_is_given=beginning.keyframe is not None
    )
    for block in blocks:
        if block.modality is Modality.KEYFRAME:
            codes, image = block.codes, painter.keyframe(block.codes, block.clip, last_frame)
            continue
        assert image is not None, "a keyframe is given, or written before its motion"
        assert codes is not None
        if preview is not None:
            preview(painter.preview(image, block.codes), block.clip)
        frames = painter.frames(image, block.codes, block.clip)
        yield GeneratedVideo(
            frames=frames[1:] if is_continued else frames,
            fps=painter.options.frames.fps,
            tokens=(ClipTokens(keyframe=codes, motion=block.codes),),
            ids=block.context,
            metadata=metadata,
            timings=painter.work.take_timings(),
        )
        last_frame, is_continued = frames[-1], True
