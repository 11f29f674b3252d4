"""Best of several: the model itself reads what it wrote and says which fits the prompt best.

A model that describes videos gives every description a probability. The video under which the prompt's own words are
most likely is the one that shows them. Nothing is decoded for that, so many candidates cost little.

A model that recognises things in what it draws (`tiny/thing_appearance.py`) looks at its drafts instead, if the prompt
names some of these things: keyframes are drawn, and the one in which they are recognised best is kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from videolavit.checkpoints.model_components import Components
from videolavit.generation_options import GenerationOptions
from videolavit.language.grammar import Block, Modality
from videolavit.language.language_model import LanguageModel, left_pad
from videolavit.language.prompts import Ids, Prompt, Text, assemble
from videolavit.pipeline.clip_decoder import ClipDecoder, generated_size
from videolavit.progress import Progress

__all__ = ["best_drawn", "best_of", "caption_log_likelihoods", "named_things", "recognition"]


def best_of(
    model: LanguageModel,
    context: Int[Tensor, "_"],
    drafts: Sequence[Int[Tensor, "_"]],
    blocks: Sequence[Block],
    words: str,
) -> int:
    """Index of the draft that `words` describe best.

    Drafts are the ids that were written of `blocks`, special tokens included, behind `context`; if they begin with
    motion, its keyframe is the last one in there.
    """
    if blocks[0].modality is Modality.MOTION:
        start = int((context == model.vocabulary.image_start).nonzero()[-1])
        drafts = [torch.cat([context[start:], ids]) for ids in drafts]
    return int(caption_log_likelihoods(model, drafts, words).argmax())


@torch.inference_mode()
def caption_log_likelihoods(
    model: LanguageModel, clips: Sequence[Int[Tensor, "_"]], words: str
) -> Float[Tensor, "candidates"]:
    """Log-probability of `words` as the description of each, in the form that pre-training gave descriptions."""
    ending = Ids([model.vocabulary.text_end])
    described = assemble([Text(words), ending], model.vocabulary, model.text_tokenizer).ids
    length = len(described)
    room = model.context_length - length - 1
    start = torch.tensor([model.vocabulary.text_start])
    shown = [Prompt.from_ids(torch.cat([start, ids[:room], described])) for ids in clips]
    embeddings, mask, positions = left_pad([model.embed(prompt) for prompt in shown])
    was_training = model.training
    model.eval()
    try:
        hidden = model.hidden(embeddings, mask, positions)[:, -length - 1 : -1]
        scores = model.logits(hidden, [model.vocabulary.text_range]).float().log_softmax(-1)
    finally:
        model.train(was_training)
    return scores.gather(-1, described.to(scores.device).expand(len(shown), -1)[..., None])[..., 0].sum(-1).cpu()


def named_things(names: Sequence[str], words: str) -> list[int]:
    """Numbers, from 1, of the things that `words` name, in their order.

    Args:
        names: of each thing all its names, as in "dog, puppy".
        words: a prompt. Longer names go first: a "pink bird" is no bird. Plurals count.
    """
    numbers = {name: number for number, all_names in enumerate(names, 1) for name in all_names.lower().split(", ")}
    longest_first = sorted(map(re.escape, numbers), key=len, reverse=True)
    found = re.findall(rf"\b({'|'.join(longest_first)})(?:s|es)?\b", words.lower()) if numbers else []
    return list(dict.fromkeys(numbers[name] for name in found))


def recognition(named: Float[Tensor, "drafts seen kinds"], things: Sequence[int]) -> Float[Tensor, "drafts"]:
    """Sum of the logarithms of the probabilities that as many of what is seen are those things, each another one.

    Things beyond what can be seen at once do not count.
    """
    seen = named.shape[1]
    ways = itertools.permutations(range(seen), min(len(things), seen))
    sums = [sum(named[:, one, thing] for one, thing in zip(way, things, strict=False)) for way in ways]
    return torch.stack(sums).amax(0)  # type: ignore[arg-type]


@torch.inference_mode()
def best_drawn(
    model: Components,
    options: Sequence[GenerationOptions],
    drafts: Sequence[Sequence[Int[Tensor, "_"]]],
    things: Sequence[Sequence[int]],
    clip: int,
) -> list[int]:
    """Index of the draft of each sample in which its things are recognised best.

    Args:
        model: one that knows things.
        options: of each sample; completed ones.
        drafts: of each sample, codes of keyframes.
        things: of each sample, numbers of `named_things`; at least one.
        clip: number of the clip that the keyframes begin, on which the noise depends that they are drawn from.
    """
    each = [one for one, own in zip(options, drafts, strict=True) for _ in own]
    decoder = ClipDecoder(model, each, Progress(), generated_size(model, options[0], moving=False))
    images = 2 * decoder.drawn([codes for own in drafts for codes in own], clip) - 1
    named = model.named(rearrange(images, "b h w c -> b c h w").to(model.components.device))
    seen = iter(named.split([len(own) for own in drafts]))
    return [int(recognition(next(seen), own).argmax()) for own in things]
