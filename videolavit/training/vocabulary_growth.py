"""New words for a trained language model: ids of their own, and embeddings to start from.

A word that the text tokenizer was not trained on falls into pieces. Its pieces are joined by new merges behind all
others, so that every text without new words keeps its ids. The new ids follow those of text, and the rows of images
and motion move up; each new row starts as the mean of the rows of its pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from videolavit.errors import ConfigError
from videolavit.language.unknown_words import has_no_spaces, known_words, unknown_words, words_of
from videolavit.vocabulary import Vocabulary

__all__ = ["grow_text_rows", "grown_tokenizer", "new_words"]


def new_words(texts: Iterable[str], tokenizer: Any) -> list[str]:
    """Words of texts that the tokenizer was not trained on, in their order; none if it keeps no list."""
    return list(dict.fromkeys(word for text in texts for word in unknown_words(text, tokenizer)))


def grown_tokenizer(tokenizer: Any, texts: Iterable[str]) -> tuple[Any, list[tuple[int, ...]]]:
    """A tokenizer that has the new words of texts as one id each, and which ids stood for each new id before.

    Args:
        tokenizer: byte-level BPE, as `train_text_tokenizer` makes it; it stays as it is.
        texts: whatever will be said.

    Raises:
        ConfigError: the tokenizer is of another kind.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    texts = list(texts)
    fresh = new_words(texts, tokenizer)
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    if state["model"]["type"] != "BPE":
        raise ConfigError(f"got a tokenizer of the kind {state['model']['type']}, expected byte-level BPE")
    pieces = _join(state, backend, _written_forms(texts, set(fresh), backend), first_id=len(tokenizer))
    grown = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        unk_token=tokenizer.unk_token,
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        clean_up_tokenization_spaces=False,
        known_words=[*(known_words(tokenizer) or ()), *fresh],
    )
    return grown, pieces


def _written_forms(texts: list[str], fresh: set[str], backend: Any) -> list[str]:
    """Each new word as byte-level BPE meets it: with the space before it, at the start of a text without.

    A letter that is a word by itself is met among others, without a space.
    """
    forms: dict[str, None] = {}
    for text in texts:
        normal = text if backend.normalizer is None else backend.normalizer.normalize_str(text)
        for form, (start, end) in backend.pre_tokenizer.pre_tokenize_str(normal):
            for word in words_of(normal[start:end]):
                if word in fresh:
                    alone = backend.pre_tokenizer.pre_tokenize_str(word)[0][0]
                    forms[alone if has_no_spaces(word) else form] = None
    return list(forms)


def _join(state: dict[str, Any], backend: Any, forms: list[str], *, first_id: int) -> list[tuple[int, ...]]:
    """Add merges and ids for written forms to the state of a tokenizer; for each new id those that it joins."""
    vocabulary, merges = state["model"]["vocab"], state["model"]["merges"]
    for added in state["added_tokens"]:  # phrases: else they would get the first ids behind the grown vocabulary
        vocabulary.setdefault(added["content"], added["id"])
    ids: dict[str, tuple[int, ...]] = {piece: (number,) for piece, number in vocabulary.items()}
    joined: list[tuple[int, ...]] = []
    for form in forms:
        before = _pieces(form, vocabulary, merges)
        while len(before) > 1:
            left, right, *rest = before
            whole = left + right
            merges.append([left, right])
            if whole not in vocabulary:
                vocabulary[whole] = first_id + len(joined)
                ids[whole] = ids[left] + ids[right]
                joined.append(ids[whole])
            before = [whole, *rest]
    return joined


def _pieces(form: str, vocabulary: dict[str, int], merges: list[Any]) -> list[str]:
    """Pieces of a written form under all merges so far."""
    from tokenizers import models

    pairs: Any = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    return [token.value for token in models.BPE(vocab=dict(vocabulary), merges=pairs).tokenize(form)]


@torch.no_grad()
def grow_text_rows(causal_lm: Any, vocabulary: Vocabulary, pieces: list[tuple[int, ...]]) -> Vocabulary:
    """Give a language model the new text ids, in place, and return its new vocabulary.

    Args:
        causal_lm: a transformers model over `vocabulary`.
        vocabulary: as it was.
        pieces: for each new id the ids that stood for it, as `grown_tokenizer` returns them.
    """
    if not pieces:
        return vocabulary
    grown = replace(vocabulary, num_text=vocabulary.num_text + len(pieces))
    tables = [causal_lm.get_input_embeddings().weight]
    head = causal_lm.get_output_embeddings().weight
    tied = head is tables[0]
    if not tied:
        tables.append(head)
    rows = [_with_rows(table.detach(), vocabulary.num_text, pieces) for table in tables]
    causal_lm.resize_token_embeddings(grown.size, mean_resizing=False)
    causal_lm.get_input_embeddings().weight.copy_(rows[0])
    if not tied:
        causal_lm.get_output_embeddings().weight.copy_(rows[1])
    return grown


def _with_rows(table: Tensor, num_text: int, pieces: list[tuple[int, ...]]) -> Tensor:
    new = torch.stack([table[list(ids)].mean(0) for ids in pieces])
    return torch.cat([table[:num_text], new, table[num_text:]])
