"""Words of a prompt that a small model has never seen.

A text tokenizer of few ids, trained on the words of a data set (`text_tokenizer.py`), has learnt those words whole: one
id each. Any other word falls into pieces that the model has met in other words only, and means nothing to it. Large
tokenizers cut known words as well, so nothing can be said of theirs.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from videolavit.errors import PromptError

__all__ = ["check_words", "unknown_words"]

_WORD = re.compile(r"[^\W\d_]+")
_MOST_IDS = 4096
_LEAST_WORDS = 50
"""With fewer words among its ids a tokenizer has learnt pieces of words."""
_SPACE = "\u0120"  # as byte-level BPE writes a space


def unknown_words(text: str, tokenizer: Any) -> list[str]:
    """Words of a text that the tokenizer does not have as a whole, each once; none where that cannot be told."""
    known = _whole_words(tokenizer)
    return [] if known is None else [word for word in dict.fromkeys(_words(text)) if word not in known]


def check_words(text: str, tokenizer: Any) -> list[str]:
    """The unknown words of a text that has known ones, too.

    Raises:
        PromptError: it has words, and none of them is known: it may be in another language.
    """
    unknown = unknown_words(text, tokenizer)
    if unknown and len(unknown) == len(set(_words(text))):
        raise PromptError(
            f"this model knows none of the words {', '.join(map(repr, unknown[:8]))}; it was trained on few, such as "
            f"{', '.join(_examples(tokenizer))}; use those, or a larger model"
        )
    return unknown


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _examples(tokenizer: Any) -> list[str]:
    """Some known words, from all over the alphabet; no beginnings of others."""
    words = sorted(_behind_spaces(tokenizer))
    whole = [word for word, following in zip(words, [*words[1:], ""], strict=True) if not following.startswith(word)]
    return whole[:: max(1, len(whole) // 12)]


@lru_cache(maxsize=8)  # by the object: asking for the vocabulary copies all of it
def _whole_words(tokenizer: Any) -> frozenset[str] | None:
    """Words that are one id, None for a tokenizer that has not learnt words."""
    if not hasattr(tokenizer, "get_vocab") or len(tokenizer) > _MOST_IDS:
        return None
    if len(_behind_spaces(tokenizer)) < _LEAST_WORDS:
        return None
    return frozenset(entry.removeprefix(_SPACE).lower() for entry in tokenizer.get_vocab())


def _behind_spaces(tokenizer: Any) -> set[str]:
    entries = {entry[1:] for entry in tokenizer.get_vocab() if entry.startswith(_SPACE)}
    return {entry for entry in entries if len(entry) > 2 and entry.isalpha()}
