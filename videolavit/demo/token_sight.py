"""An image or a video as its tokens, with all that the page shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.clip_tokens import ClipTokens
from videolavit.demo.code_places import nearest_codes, places_of
from videolavit.demo.kept_patches import KeptPatches, look_at_patches
from videolavit.demo.next_tokens import NextToken, next_tokens
from videolavit.errors import LimitError, PromptError
from videolavit.language.generation_prompt import generation_prompt
from videolavit.language.grammar import Block
from videolavit.pipeline.encoding import tokens_as_ids
from videolavit.pipeline.media import is_still, read_image
from videolavit.video import Limits
from videolavit.video.processor import whole_video_clips

__all__ = ["CodeFacts", "TokenSight", "code_facts", "expectations", "look_at_tokens", "patch_at"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenSight:
    """Tokens of an image or a video, and how the tokenizer looked at each keyframe."""

    text: str
    """As `VideoLaVIT.tokenize` writes them."""
    clips: tuple[ClipTokens, ...]
    keyframes: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    patches: tuple[KeptPatches, ...]
    seconds: float
    """Of video; 0 for an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeFacts:
    """One code and where else it is found."""

    code: int
    places: tuple[tuple[int, int, int], ...]
    """(clip, row, col) of every patch with that code, this one included."""
    neighbours: tuple[tuple[int, float], ...]
    """The nearest codes of the codebook and their distances."""


def look_at_tokens(
    model: Any, path: str, *, limits: Limits, max_clips: int, progress: Any = None
) -> tuple[TokenSight, dict[str, float]]:
    """Tokens of a file and the sight of them, and the seconds that the tokenizer took.

    Raises:
        MediaError: it cannot be read.
        LimitError: it has more clips than `max_clips`.
    """
    if is_still(path):
        image = read_image(path)
        tokens, keyframes, seconds = model.tokenize(image=image, progress=progress), (image,), 0.0
    else:
        read = list(whole_video_clips(path, model.settings.video_processor, limits=limits))
        if len(read) > max_clips:
            raise LimitError(f"has {len(read)} clips, more than the {max_clips} that this page shows; cut it")
        tokens = model.tokenize(video=path, progress=progress)
        keyframes = tuple(clip.keyframe for clip, _ in read)
        seconds = sum(count for _, count in read) / model.settings.video_processor.fps
    sight = TokenSight(
        text=tokens.text,
        clips=tokens.clips,
        keyframes=keyframes,
        patches=tuple(look_at_patches(model, keyframe) for keyframe in keyframes),
        seconds=seconds,
    )
    return sight, dict(tokens.timings)


def patch_at(patches: KeptPatches, x: float, y: float) -> int | None:
    """The code's number at a place, given as shares of the image's width and height; None where no code stands."""
    rows, cols = patches.grid
    return patches.number(min(rows - 1, int(y * rows)), min(cols - 1, int(x * cols)))


def code_facts(model: Any, sight: TokenSight, clip: int, number: int) -> CodeFacts:
    """Facts about the code of that number in a clip's keyframe.

    Raises:
        PromptError: the clip has no keyframe.
    """
    keyframe = sight.clips[clip].keyframe
    if keyframe is None:
        raise PromptError(f"clip {clip} has motion alone; choose one that has a keyframe")
    code = int(keyframe[number])
    places = places_of(code, sight.clips)
    codebook = model.visual_tokenizer.quantizer.codebook.detach().cpu()
    return CodeFacts(
        code=code,
        places=tuple((one.clip, *sight.patches[one.clip].place(one.number)) for one in places),
        neighbours=tuple(nearest_codes(codebook, code)),
    )


def expectations(model: Any, prompt: str, clips: Sequence[ClipTokens]) -> list[NextToken]:
    """Expectations of the language model at each id of clips behind a prompt, special tokens included.

    Raises:
        PromptError: prompt and clips are longer than the context, or their blocks have other lengths than the model's.
    """
    language_model = model.language_model
    before = generation_prompt(language_model, prompt)
    ids = _joined(before, tokens_as_ids(clips, model.vocabulary))
    if len(ids) >= language_model.context_length:
        raise PromptError(
            f"{len(ids)} ids do not fit into a context of {language_model.context_length}; take fewer clips"
        )
    return next_tokens(language_model, ids, len(before), _blocks(model, clips))


def _joined(before: Int[Tensor, "n"], after: Int[Tensor, "m"]) -> Int[Tensor, "_"]:
    import torch

    return torch.cat([before, after.to(before)])


def _blocks(model: Any, clips: Sequence[ClipTokens]) -> list[Block]:
    """Blocks that allow what the model may write, and codes of images, which may be fewer."""
    most = model.components.config("condition_decoder").num_positions
    blocks: list[Block] = []
    for clip in clips:
        if clip.keyframe is not None:
            blocks.append(Block.keyframe(1, max(most, len(clip.keyframe))))
        if clip.motion is not None:
            blocks.append(Block.motion(len(clip.motion)))
    return blocks
