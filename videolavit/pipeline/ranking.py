"""Best of several: the model itself reads what it wrote and says which fits the prompt best.

A model that describes videos gives every description a probability. The video under which the prompt's own words are
most likely is the one that shows them. Nothing is decoded for that, so many candidates cost little.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videolavit.language.grammar import Block, Modality
from videolavit.language.language_model import LanguageModel, left_pad
from videolavit.language.prompts import Ids, Prompt, Text, assemble

__all__ = ["best_of", "caption_log_likelihoods"]


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
