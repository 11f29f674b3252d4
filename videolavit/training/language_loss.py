"""The language model in training: next-token loss on packed rows, and what it tells about each modality.

One number cannot show that a model has learnt to write nothing but "nothing moves": most motion ids say just that. So
loss and accuracy are reported for each kind of id, and once more for motion ids other than the most frequent one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from videolavit.errors import ConfigError
from videolavit.language.language_model import LanguageModel
from videolavit.training.packed_attention import sequence_ends, use_packed_attention
from videolavit.training.packing import attention_mask
from videolavit.training.sequences import LossWeights, Target
from videolavit.vocabulary import Vocabulary

__all__ = ["LanguageModelSizes", "LanguageTraining", "build_causal_lm", "grow_vocabulary"]

_RUNNING_MEMORY = 0.95
"""Share that running means of the report keep from one step to the next: a batch holds only some answers."""
_ROWS_APART = 128
"""Between the numbers of rows that go through a layer outside the blocks, see `_in_few_sizes`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageModelSizes:
    """A Llama, started from random weights. The defaults are those of Llama-2 7B."""

    width: int = 4096
    mlp_width: int = 11008
    layers: int = 32
    heads: int = 32
    context_length: int = 4096
    tied: bool = False
    """One table for reading and for writing ids."""

    def __post_init__(self) -> None:
        if min(self.width, self.mlp_width, self.layers, self.heads, self.context_length) < 1 or self.width % self.heads:
            raise ConfigError(f"sizes must be positive and width a multiple of heads; got {self}")


def build_causal_lm(sizes: LanguageModelSizes, vocabulary: Vocabulary) -> Any:
    """A Llama with random weights over the whole vocabulary."""
    from transformers import LlamaConfig, LlamaForCausalLM

    make_config: Any = LlamaConfig  # passes on what it has no field for
    config = make_config(
        vocab_size=vocabulary.size,
        hidden_size=sizes.width,
        intermediate_size=sizes.mlp_width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.context_length,
        tie_word_embeddings=sizes.tied,
        bos_token_id=vocabulary.text_start,
        eos_token_id=vocabulary.text_end,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


@torch.no_grad()
def grow_vocabulary(causal_lm: Any, vocabulary: Vocabulary) -> None:
    """Give a text model the ids of images and motion, their rows drawn like those of words.

    Each new row has the mean and the deviation that the rows of words have in each of their dimensions, so that no
    layer meets inputs, and no softmax logits, unlike those it knows.

    Raises:
        ConfigError: the model has other text ids than the vocabulary.
    """
    rows, old = causal_lm.get_input_embeddings().weight.shape[0], vocabulary.num_text
    if rows < old:  # more are padding, which text models have to make their tables even
        raise ConfigError(f"the text model has {rows} ids, the vocabulary {old} text ids; take its own")
    causal_lm.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    tables = [causal_lm.get_input_embeddings().weight]
    if (head := causal_lm.get_output_embeddings().weight) is not tables[0]:
        tables.append(head)
    for table in tables:
        words = table[:old].float()
        rows = torch.randn(vocabulary.size - old, table.shape[1], device=table.device)
        table[old:] = (words.mean(0) + rows * words.std(0)).to(table.dtype)


class LanguageTraining(nn.Module):
    """Loss of one batch of packed sequences (`videolavit.training.packing`)."""

    weights: Tensor
    tallies: Tensor
    motion_counts: Tensor

    def __init__(
        self,
        model: LanguageModel,
        feature_width: int,
        weights: LossWeights,
        reported: tuple[Target, ...],
        *,
        packed_attention: bool = False,
    ) -> None:
        super().__init__()
        self._packed = packed_attention
        if packed_attention:
            use_packed_attention(model.causal_lm)
        self.model = model
        self.projection = nn.Linear(feature_width, model.width) if feature_width else None
        """From visual features to embeddings: the visual tokenizer's `language_proj`."""
        self.reported = reported
        self.register_buffer("weights", torch.tensor(weights.by_target()), persistent=False)
        # nats, hits and number of each kind of id; the last row is for motion ids other than the most frequent one
        self.register_buffer("tallies", torch.zeros(len(Target) + 1, 4))
        self.register_buffer("motion_counts", torch.zeros(model.vocabulary.num_motion_codes))

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, and for each kind of id nats and accuracy.

        These are running means over the last batches; in evaluation mode they are those of this batch, NaN for a kind
        that it has not.
        """
        ids, targets = batch["ids"][:, 1:], batch["targets"][:, 1:]
        weights = self.weights[targets]
        learnt = weights > 0
        logits = _in_few_sizes(self.model.logits, self.hidden(batch)[:, :-1][learnt]).float()
        nats = F.cross_entropy(logits, ids[learnt], reduction="none")
        total = weights[learnt].sum().clamp(min=torch.finfo(torch.float32).tiny)
        loss = (weights[learnt] * nats).sum() / total
        tallies = self._counted(nats.detach(), logits.detach().argmax(-1), ids[learnt], targets[learnt])
        packing = {name: batch[name] for name in ("filled", "left_out") if name in batch}
        return {"loss": loss, **packing, **self._report(tallies)}

    def hidden(self, batch: dict[str, Tensor]) -> Float[Tensor, "rows columns width"]:
        """Hidden states of packed rows."""
        embeddings = self.model.causal_lm.get_input_embeddings()(batch["ids"])
        if self.projection is not None:
            # Also without a feature: every process must take part in every layer.
            projected = _in_few_sizes(self.projection, batch["features"]).to(embeddings.dtype)
            flat = embeddings.flatten(0, 1).index_copy(0, batch["feature_places"], projected)
            embeddings = flat.view_as(embeddings)
        if self._packed:
            return self.model.hidden(embeddings, None, batch["positions"], packed=sequence_ends(batch["segments"]))
        return self.model.hidden(embeddings, attention_mask(batch["segments"]), batch["positions"])

    @torch.no_grad()
    def _counted(
        self, nats: Float[Tensor, "n"], guessed: Int[Tensor, "n"], ids: Int[Tensor, "n"], targets: Int[Tensor, "n"]
    ) -> Float[Tensor, "kinds 4"]:
        """Tallies with this batch, or of it alone where nothing is trained."""
        vocabulary = self.model.vocabulary
        motion = targets == Target.MOTION
        codes = ids[motion] - vocabulary.motion_range.start
        tallies, counts = self.tallies, self.motion_counts
        if not self.training:  # what held-out data show is no part of what the run remembers
            tallies, counts = torch.zeros_like(tallies), counts.clone()
        counts.mul_(_RUNNING_MEMORY).index_add_(0, codes, torch.ones_like(nats[motion]))
        still = counts.argmax() + vocabulary.motion_range.start
        moving = motion & (ids != still)
        values = torch.stack([nats, (guessed == ids).float(), torch.ones_like(nats), (guessed == still).float()], dim=1)
        tallies.mul_(_RUNNING_MEMORY).index_add_(0, targets, values)
        tallies[-1] += values[moving].sum(0)
        return tallies

    def _report(self, tallies: Float[Tensor, "kinds 4"]) -> dict[str, Tensor]:
        """Means of what was counted; of a kind that has not come yet 0 in training, and NaN in evaluation."""
        means = tallies / (tallies[:, 2:3].clamp(min=1e-6) if self.training else tallies[:, 2:3])
        vocabulary = self.model.vocabulary
        uniform = {Target.KEYFRAME: vocabulary.num_visual_codes + 1, Target.MOTION: vocabulary.num_motion_codes}
        report = {}
        for target in self.reported:
            name = target.name.lower()
            report |= {f"{name}_nats": means[target, 0], f"{name}_accuracy": means[target, 1]}
            if target in uniform:
                report[f"{name}_of_uniform"] = means[target, 0] / math.log(uniform[target])
        if Target.MOTION in self.reported:
            report |= {"moving_nats": means[-1, 0], "moving_accuracy": means[-1, 1], "moving_as_still": means[-1, 3]}
        return report


def _in_few_sizes(layer: Callable[[Tensor], Tensor], rows: Float[Tensor, "n width"]) -> Float[Tensor, "n out"]:
    """`layer(rows)`, computed with some empty rows behind them.

    Every batch has another number of rows, and on a CPU every number of rows gets a bf16 kernel of its own, which stays
    in memory: gigabytes after some thousand steps.
    """
    padding = -len(rows) % _ROWS_APART
    return layer(F.pad(rows, (0, 0, 0, padding)))[: len(rows)]
