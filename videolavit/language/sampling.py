"""Choosing an id from logits: guidance, temperature, top-k, top-p, one random stream per sample (reference section 7).

The order is that of transformers' processors, which the released model used: guidance, forbidden ids, minimum length,
then temperature, top-k, top-p. Forbidden ids never reach this file: their logits are not computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videolavit.errors import GenerationError, PromptError
from videolavit.language.sampling_options import SamplingOptions

__all__ = ["candidates", "choose", "guided"]


def guided(
    conditional: Float[Tensor, "batch ids"], unconditional: Float[Tensor, "batch ids"], guidance: float
) -> Float[Tensor, "batch ids"]:
    """Classifier-free guidance on plain logits of some of the vocabulary.

    The definition uses log-probabilities over the whole vocabulary: log p_u + g (log p_c - log p_u). With
    log p = z - n, where z are logits and n = logsumexp(z) is one number per row, that is

        z_u + g (z_c - z_u)  -  (n_u + g (n_c - n_u)),

    and the last term is the same for every id of a row. Neither argmax nor softmax nor top-k nor top-p sees it, so
    the normalisers, which would need every row of the output projection, are not computed.
    """
    return torch.lerp(unconditional, conditional, guidance)


def candidates(
    scores: Float[Tensor, "batch ids"], options: SamplingOptions
) -> tuple[Float[Tensor, "batch kept"], Int[Tensor, "batch kept"]]:
    """Probabilities of what temperature, top-k and top-p leave, and the columns of `scores` they belong to.

    Rows that keep fewer columns than others have probability 0 at the end.
    """
    scores = scores / options.temperature
    if 0 < options.top_k < scores.shape[-1]:
        scores, columns = _top_k(scores, options.top_k)
    elif options.top_p < 1:
        scores, columns = scores.sort(dim=-1, descending=True)
    else:
        columns = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape)
    probabilities = scores.softmax(dim=-1)
    if options.top_p < 1:
        likelier = probabilities.cumsum(dim=-1) - probabilities
        kept = likelier < options.top_p
        probabilities = probabilities * kept
        probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True)
    return probabilities, columns


def choose(
    scores: Float[Tensor, "batch ids"],
    options: SamplingOptions,
    generators: Sequence[torch.Generator] | None = None,
) -> Int[Tensor, "batch"]:
    """One column of `scores` per row; -inf stands for an id that is not possible.

    A sampled id takes exactly one uniform number from its row's generator, so a sample's stream does not depend on
    what else is in the batch, nor on the options.

    Raises:
        GenerationError: the best score of a row is not a finite number.
        PromptError: there is not one generator per row.
    """
    best, column = scores.max(dim=-1)
    if not bool(best.isfinite().all()):
        raise GenerationError(
            f"the language model's best logits are {best.tolist()}, expected finite numbers; the weights are damaged "
            "or the numbers overflow: load the model in bfloat16 or float32, and lower the guidance"
        )
    if options.greedy:
        return column
    probabilities, columns = candidates(scores, options)
    cumulative = probabilities.cumsum(dim=-1)
    uniform = _uniform(len(scores), generators).to(cumulative)[:, None]
    total = cumulative[:, -1:]
    # Below the total whatever the rounding, so the first column above it exists and has a probability.
    threshold = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    position = (cumulative <= threshold).sum(dim=-1, keepdim=True)
    return columns.gather(-1, position)[:, 0]


def _top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best and any that tie with the last of them, best first; half-precision logits tie often."""
    values, columns = scores.topk(k, dim=-1)
    least = values[:, -1:].clamp(min=torch.finfo(scores.dtype).min)
    tied = int((scores >= least).sum(dim=-1).max())
    if tied > k:
        values, columns = scores.topk(tied, dim=-1)
        values = values.masked_fill(values < least, -torch.inf)
    return values, columns


def _uniform(batch: int, generators: Sequence[torch.Generator] | None) -> Tensor:
    if generators is None:
        return torch.rand(batch)
    if len(generators) != batch:
        raise PromptError(f"got {len(generators)} generators for {batch} samples, expected one for each")
    return torch.stack([torch.rand((), generator=g, device=g.device) for g in generators])
