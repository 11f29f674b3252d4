"""Expectations of the language model at each place of a row of ids, and what the grammar forbids there.

One pass over all ids gives every place at once: causal attention sees at each what it saw while it wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from videolavit.errors import PromptError
from videolavit.language.grammar import Block, Walk
from videolavit.language.prompts import Prompt
from videolavit.vocabulary import Vocabulary

__all__ = ["NextToken", "name_of", "next_tokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NextToken:
    """One place and what was expected there, without guidance and at temperature 1."""

    position: int
    id: int
    """The one that stands there."""
    name: str
    probability: float
    """Of that id, among those that the grammar allows; 1 where it leaves no choice."""
    top: tuple[tuple[str, float], ...]
    """The likeliest allowed ids by name, the best first."""
    entropy_bits: float
    """Of the choice among allowed ids."""
    forbidden: tuple[tuple[str, float], ...]
    """Share of the model's whole probability that the grammar takes from each kind of id, the largest first."""

    @property
    def surprise_bits(self) -> float:
        """-log2 of the probability."""
        return -torch.log2(torch.tensor(self.probability).clamp(min=1e-30)).item()


@torch.inference_mode()
def next_tokens(
    model: Any, ids: Int[Tensor, "n"], num_prompt: int, blocks: Sequence[Block], *, top: int = 5
) -> list[NextToken]:
    """Expectations of a `LanguageModel` at each id behind a prompt.

    Args:
        model: the language model.
        ids: prompt and what was written behind it.
        num_prompt: length of the prompt.
        blocks: what was written, as the grammar has it.
        top: how many of the likeliest ids are told.

    Raises:
        PromptError: there is no prompt, or nothing behind it, or the ids do not follow the blocks.
    """
    if not 0 < num_prompt < len(ids):
        raise PromptError(f"got {len(ids)} ids with a prompt of {num_prompt}, expected both to be there")
    hidden = model.hidden(model.embed(Prompt.from_ids(ids))[None])[0, num_prompt - 1 : -1]
    logits = model.logits(hidden).float()
    walk = Walk(blocks, model.vocabulary, model.context_length - num_prompt)
    found = []
    for position, (row, new_id) in enumerate(zip(logits, ids[num_prompt:].tolist(), strict=True)):
        if walk.finished:
            break
        allowed = _allowed(walk, model.vocabulary)
        if not any(new_id in part for part in allowed):
            raise PromptError(f"id {new_id} at {num_prompt + position} does not follow the grammar")
        found.append(_look(model, row, num_prompt + position, new_id, allowed, top))
        walk.take(new_id)
    return found


def name_of(new_id: int, vocabulary: Vocabulary, text_tokenizer: Any = None) -> str:
    """An id in words: K 12 for a keyframe code, M 3 for a motion code, a special token, or a piece of text."""
    special = {
        vocabulary.image_start: "[IMG]",
        vocabulary.image_end: "[/IMG]",
        vocabulary.motion_start: "[MOV]",
        vocabulary.motion_end: "[/MOV]",
    }
    if new_id in special:
        return special[new_id]
    if new_id in vocabulary.visual_range:
        return f"K {new_id - vocabulary.visual_range.start}"
    if new_id in vocabulary.motion_range:
        return f"M {new_id - vocabulary.motion_range.start}"
    return f"text {new_id}" if text_tokenizer is None else repr(text_tokenizer.decode([new_id]))


def _allowed(walk: Walk, vocabulary: Vocabulary) -> list[range]:
    if walk.forced is not None:
        return [range(walk.forced, walk.forced + 1)]
    closing = walk.block.closing(vocabulary)
    parts = list(walk.choices)
    if walk.at_opening or walk.may_close:
        return parts
    return [part for whole in parts for part in _without(whole, closing)]


def _without(whole: range, one: int) -> list[range]:
    if one not in whole:
        return [whole]
    return [part for part in (range(whole.start, one), range(one + 1, whole.stop)) if part]


def _look(model: Any, logits: Tensor, position: int, new_id: int, allowed: list[range], top: int) -> NextToken:
    vocabulary, tokenizer = model.vocabulary, model.text_tokenizer
    everything = logits.softmax(-1)
    mask = torch.zeros_like(everything, dtype=torch.bool)
    for part in allowed:
        mask[part.start : part.stop] = True
    among = logits.masked_fill(~mask, -torch.inf).softmax(-1)
    best = among.topk(min(top, int(mask.sum())))
    entropy = -torch.special.xlogy(among, among).sum() / torch.log(torch.tensor(2.0))
    names = [name_of(one, vocabulary, tokenizer) for one in best.indices.tolist()]
    return NextToken(
        position=position,
        id=new_id,
        name=name_of(new_id, vocabulary, tokenizer),
        probability=float(among[new_id]),
        top=tuple(zip(names, best.values.tolist(), strict=True)),
        entropy_bits=abs(float(entropy)),
        forbidden=_forbidden(everything.masked_fill(mask, 0), vocabulary),
    )


def _forbidden(shares: Tensor, vocabulary: Vocabulary) -> tuple[tuple[str, float], ...]:
    kinds = {
        "text": [vocabulary.text_range],
        "keyframe codes": [vocabulary.visual_range],
        "motion codes": [vocabulary.motion_range],
        "special tokens": [
            range(vocabulary.image_start, vocabulary.image_end + 1),
            range(vocabulary.motion_start, vocabulary.motion_end + 1),
        ],
    }
    sums = {kind: sum(float(shares[part.start : part.stop].sum()) for part in parts) for kind, parts in kinds.items()}
    return tuple(sorted(sums.items(), key=lambda pair: -pair[1]))
