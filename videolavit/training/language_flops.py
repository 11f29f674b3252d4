"""Operations that a training step of the language model needs, to say what share of a GPU's speed it uses (MFU).

A multiplication and an addition count as two operations. Counted are matrices and attention, on positions that are no
padding: 2 for each weight forward, 2 backward to what enters, 2 more for the gradient of a weight that is trained.
Recomputed activations do not count, so a run that recomputes shows a lower share.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from videolavit.training.language_loss import LanguageTraining

__all__ = ["language_flops", "sequence_lengths"]


def sequence_lengths(segments: Int[Tensor, "rows columns"]) -> Int[Tensor, "sequences"]:
    """Lengths of the sequences in packed rows, padding left out."""
    rows = torch.arange(len(segments), device=segments.device)[:, None]
    numbers = rows * (int(segments.max()) + 1) + segments
    lengths = numbers[segments >= 0].bincount()
    return lengths[lengths > 0]


def language_flops(module: LanguageTraining, lengths: Int[Tensor, "sequences"], *, learnt: int) -> float:
    """Operations of a loss and its gradient, of sequences with those lengths, in which so many ids are learnt."""
    causal_lm = module.model.causal_lm
    config, decoder = causal_lm.config.get_text_config(), causal_lm.get_decoder()
    tokens, squares = float(lengths.sum()), float(lengths.double().square().sum())
    layers = _of_weights(decoder.layers.parameters()) * tokens
    output = _of_weights([causal_lm.get_output_embeddings().weight]) * learnt
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or module.model.width // config.num_attention_heads
    )
    # Scores and their sums: each 2 n^2 d, of which a causal position needs half; backward twice that.
    return layers + output + 6.0 * config.num_hidden_layers * width * squares


def _of_weights(weights: Iterable[nn.Parameter]) -> float:
    """Operations for one position, forward and backward."""
    return float(sum((6 if weight.requires_grad else 4) * weight.numel() for weight in weights if weight.ndim > 1))
