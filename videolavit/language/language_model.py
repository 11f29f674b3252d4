"""The language model: a transformers causal LM over the unified vocabulary (paper section 3.3, reference section 7).

The transformer, its caches and its text tokenizer are transformers' own. What is added is what one token language of
three modalities needs: prompts become embeddings, because images may enter as continuous features between ids, and
the output projection is computed for chosen ids only, because a step that samples motion never looks at the other 98 %
of the vocabulary. Sampling ids is left to `videolavit.language.generate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from videolavit.errors import ConfigError, PromptError, VocabularyError
from videolavit.language.cache_argument import cache_argument
from videolavit.language.chat_template import VICUNA, ChatTemplate
from videolavit.language.prompts import Prompt, TextTokenizer
from videolavit.nn.offload import compute_device
from videolavit.vocabulary import Vocabulary

__all__ = ["LanguageModel", "left_pad"]


class LanguageModel(nn.Module):
    """A causal LM, the vocabulary it speaks and, if it is to read and write words, a text tokenizer."""

    def __init__(
        self,
        causal_lm: Any,
        vocabulary: Vocabulary,
        text_tokenizer: TextTokenizer | None = None,
        chat: ChatTemplate = VICUNA,
    ):
        """Wrap `causal_lm`, a transformers causal LM whose attention is "sdpa" or "eager" (it gets ready-made masks).

        Raises:
            ConfigError: the model's vocabulary has another size, or its attention takes no mask.
        """
        super().__init__()
        self.causal_lm = causal_lm
        self.vocabulary = vocabulary
        self.text_tokenizer = text_tokenizer
        self.chat = chat
        self.training = causal_lm.training
        _check(causal_lm, vocabulary)

    @property
    def context_length(self) -> int:
        """Number of positions, prompt and answer together."""
        return self.causal_lm.config.get_text_config().max_position_embeddings

    @property
    def width(self) -> int:
        return self.causal_lm.get_input_embeddings().weight.shape[1]

    @property
    def num_layers(self) -> int:
        return self.causal_lm.config.get_text_config().num_hidden_layers

    @property
    def device(self) -> torch.device:
        return compute_device(self.causal_lm)

    @property
    def dtype(self) -> torch.dtype:
        return self.causal_lm.get_input_embeddings().weight.dtype

    def embed_ids(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape width"]:
        """Rows of the embedding table.

        Raises:
            VocabularyError: an id is not in the vocabulary.
        """
        self._check_ids(ids)
        return self.causal_lm.get_input_embeddings()(ids.to(self.device))

    def embed(self, prompt: Prompt) -> Float[Tensor, "length width"]:
        """Embeddings of a prompt: ids through the table, continuous features as they are.

        Raises:
            PromptError: features have another width than the model.
        """
        return torch.cat([self._embed_part(part) for part in prompt.parts])

    def check(self, prompt: Prompt) -> None:
        """Raise an error if a prompt cannot be embedded.

        Raises:
            PromptError: features have another width than the model.
            VocabularyError: an id is not in the vocabulary.
        """
        for part in prompt.parts:
            if part.is_floating_point():
                self._check_features(part)
            else:
                self._check_ids(part)

    def hidden(
        self,
        embeddings: Float[Tensor, "batch length width"],
        attention_mask: Tensor | None = None,
        position_ids: Int[Tensor, "batch length"] | None = None,
        cache: Any = None,
        **attention: Any,
    ) -> Float[Tensor, "batch length width"]:
        """Hidden states before the output projection.

        `attention_mask` is (batch, keys), 1 where a position is real, or an additive (batch, 1, length, keys).
        `attention` goes on to the attention of every layer, where the model has one that takes more than a mask.
        """
        decoder = self.causal_lm.get_decoder()
        output = decoder(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=cache is not None,
            **cache_argument(decoder, cache),
            **attention,
        )
        return output.last_hidden_state

    def logits(
        self, hidden: Float[Tensor, "*shape width"], ids: Sequence[range] | None = None
    ) -> Float[Tensor, "*shape ids"]:
        """Output projection to the ids in `ids` (consecutive ranges, in that order), or to the whole vocabulary.

        Each range is a view of the projection's rows: nothing is copied and no other row is read.
        """
        head = self.causal_lm.get_output_embeddings()
        if ids is None:
            return head(hidden)
        if type(head) is not nn.Linear:  # quantised or adapted heads hold no plain rows
            everything = head(hidden)
            return torch.cat([everything[..., part.start : part.stop] for part in ids], dim=-1)
        parts = [_project(head, hidden, part) for part in ids]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _embed_part(self, part: Tensor) -> Tensor:
        if not part.is_floating_point():
            return self.embed_ids(part)
        self._check_features(part)
        return part.to(self.device, self.dtype)

    def _check_ids(self, ids: Tensor) -> None:
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary.size:
            raise VocabularyError(
                f"got ids from {int(ids.min())} to {int(ids.max())}, expected 0 to {self.vocabulary.size - 1}; "
                "check that ids and model belong together"
            )

    def _check_features(self, features: Tensor) -> None:
        if features.shape[-1] != self.width:
            raise PromptError(
                f"got image features of width {features.shape[-1]}, expected the language model's {self.width}; "
                "take the visual tokenizer's `language_features`, which end in the projection to that width"
            )


def left_pad(
    sequences: Sequence[Float[Tensor, "_ width"]],
) -> tuple[Float[Tensor, "batch longest width"], Bool[Tensor, "batch longest"] | None, Int[Tensor, "batch longest"]]:
    """Batch of sequences of different lengths, aligned at their ends: (embeddings, mask, position ids).

    Every sequence has positions 0, 1, 2, ... of its own, so it is computed as if it were alone. The mask is None where
    nothing is padded, which lets attention take its faster causal form.
    """
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=sequences[0].device)
    longest = int(lengths.max())
    columns = torch.arange(longest, device=lengths.device)
    positions = columns - (longest - lengths)[:, None]
    padded = torch.stack([F.pad(sequence, (0, 0, longest - len(sequence), 0)) for sequence in sequences])
    mask = None if bool((lengths == longest).all()) else positions >= 0
    return padded, mask, positions.clamp(min=0)


def _project(head: nn.Linear, hidden: Tensor, ids: range) -> Tensor:
    bias = None if head.bias is None else head.bias[ids.start : ids.stop]
    return F.linear(hidden, head.weight[ids.start : ids.stop], bias)


def _check(causal_lm: Any, vocabulary: Vocabulary) -> None:
    table, head = causal_lm.get_input_embeddings(), causal_lm.get_output_embeddings()
    sizes = table.weight.shape[0], getattr(head, "out_features", table.weight.shape[0])
    if sizes != (vocabulary.size, vocabulary.size):
        raise ConfigError(
            f"the language model has {sizes[0]} input and {sizes[1]} output ids, the vocabulary {vocabulary.size}; "
            "resize the model or give it the vocabulary that it was trained with"
        )
    attention = causal_lm.config._attn_implementation
    if attention not in ("sdpa", "eager"):
        raise ConfigError(
            f"the language model's attention is {attention!r}, which takes no mask of its own per sample; "
            'load it with attn_implementation="sdpa"'
        )
