"""A code of the visual codebook: where it stands in a video, its neighbours, and another one in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import VocabularyError

__all__ = ["CodePlace", "nearest_codes", "places_of", "replaced"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodePlace:
    """A place at which a code stands."""

    clip: int
    number: int
    """Index among the clip's keyframe codes."""


def places_of(code: int, clips: Sequence[ClipTokens]) -> list[CodePlace]:
    """Every place of a code among the keyframes of clips."""
    return [
        CodePlace(clip=index, number=number)
        for index, clip in enumerate(clips)
        for number, other in enumerate([] if clip.keyframe is None else clip.keyframe.tolist())
        if other == code
    ]


def nearest_codes(codebook: Float[Tensor, "codes dim"], code: int, count: int = 6) -> list[tuple[int, float]]:
    """The codes nearest to one, without itself, each with its distance, the nearest first.

    Raises:
        VocabularyError: there is no such code.
    """
    _check(code, len(codebook))
    distances = torch.linalg.vector_norm(codebook.float() - codebook[code].float(), dim=-1)
    distances[code] = torch.inf
    best = distances.topk(min(count, len(codebook) - 1), largest=False)
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def replaced(clips: Sequence[ClipTokens], place: CodePlace, code: int, num_codes: int) -> tuple[ClipTokens, ...]:
    """The clips with another code at one place.

    Raises:
        VocabularyError: there is no such code, or no such place.
    """
    _check(code, num_codes)
    old = clips[place.clip].keyframe if 0 <= place.clip < len(clips) else None
    if old is None or not 0 <= place.number < len(old):
        raise VocabularyError(f"clip {place.clip} has no keyframe code number {place.number}")
    keyframe = old.clone()
    keyframe[place.number] = code
    changed: Any = list(clips)
    changed[place.clip] = replace(clips[place.clip], keyframe=keyframe)
    return tuple(changed)


def _check(code: int, num_codes: int) -> None:
    if not 0 <= code < num_codes:
        raise VocabularyError(f"got code {code}, expected 0 to {num_codes - 1}")
