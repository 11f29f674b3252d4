"""Words of a prompt that a small model has never seen.

A text tokenizer that was trained on the words of a data set (`text_tokenizer.py`) keeps a list of them. Any other word
falls into pieces that the model has met in other words only, and means nothing to it, even where a piece happens to be
a word of another language. Tokenizers without such a list, those of large models, say nothing of words.
"""

from __future__ import annotations

import difflib
import json
import re
from functools import cache, lru_cache
from typing import Any

from videolavit.errors import PromptError
from videolavit.language.near_words import near_words
from videolavit.shipped import FOLDER, RECIPES

__all__ = [
    "OF_A_PROMPT",
    "SPEAKERS",
    "check_words",
    "has_no_spaces",
    "has_small_world",
    "known_words",
    "told_negation",
    "told_unknown",
    "unknown_words",
    "words_of",
]

OF_A_PROMPT = {"of_a_prompt": True}
"""Mark (`extra=`) of log records that hold words of a prompt, by which a server leaves them out of its log."""
SPEAKERS = ("videolavit.language.generation_prompt", "videolavit.pipeline.answering")
"""Loggers that have remarks about prompts and what is shown with them."""

_WORD = re.compile(r"[^\W\d_]+")
_WITHOUT_SPACES = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Japanese and Chinese."""
_NEGATION = re.compile(r"\b(?:no|without|except|not (?:an?|the|any))\b", re.IGNORECASE)
"""Words that leave something out; that something "does not move" is what a caption may say."""
_EXAMPLES = 12
_LEAST_WORDS = 50
"""A list of fewer words is that of a trial, and no reason to refuse anything."""
_COMMON = frozenset(
    "the and that this with its from are was does into out one for not there has have user assistant".split()  # noqa: SIM905
)
"""Words that say nothing of what a model knows."""
_EMPTY = _COMMON | frozenset(
    "a an of to on in at by as or is it its he she they be do we i you my your no not so".split()  # noqa: SIM905
)
"""Words that ask for nothing by themselves."""
_NO_EXAMPLES = _COMMON | frozenset("what which how where when who while then".split())  # noqa: SIM905
"""Words that are no examples of what can be asked for."""


def words_of(text: str) -> list[str]:
    """Words in small letters: what a model is trained on, and what a prompt is compared with.

    Of a script that puts no spaces between words every letter is one, since a run of them may be a whole sentence.
    """
    found = _WORD.findall(text.lower())
    return [part for word in found for part in (word if has_no_spaces(word) else [word])]


def has_no_spaces(word: str) -> bool:
    """True for letters of a script that puts no spaces between words."""
    return _WITHOUT_SPACES.search(word) is not None


def known_words(tokenizer: Any) -> tuple[str, ...] | None:
    """Words that a tokenizer was trained on, the most frequent first; None where that is not told."""
    words = getattr(tokenizer, "init_kwargs", {}).get("known_words")
    return tuple(words) if words else None


def has_small_world(tokenizer: Any) -> bool:
    """True if a model was trained on the listed words alone."""
    return len(known_words(tokenizer) or ()) >= _LEAST_WORDS


def unknown_words(text: str, tokenizer: Any) -> list[str]:
    """Words of a text that the tokenizer was not trained on, each once; none where that cannot be told."""
    known = _set_of_known(tokenizer)
    return [] if known is None else [word for word in dict.fromkeys(words_of(text)) if word not in known]


def check_words(text: str, tokenizer: Any) -> list[str]:
    """The unknown words of a text that has known ones, too.

    Raises:
        PromptError: none of its words that mean something is known, so that it is in another language or of another
            world; or it has signs and no words.
    """
    known = known_words(tokenizer)
    if known is None or not has_small_world(tokenizer):
        return []
    words = set(words_of(text))
    if not words and text.strip():
        raise PromptError(f"{text.strip()!r} has no words; this model was trained on words such as {_examples(known)}")
    unknown = unknown_words(text, tokenizer)
    if unknown and not words - set(unknown) - _EMPTY:
        raise PromptError(
            f"this model knows none of the words {', '.join(map(repr, unknown[:8]))}; "
            f"{_elsewhere(unknown)}{_nearest(unknown, known)}it was "
            f"trained on few, such as {_examples(known)}; use those, or a larger model"
        )
    return unknown


def told_unknown(text: str, unknown: list[str], tokenizer: Any) -> str:
    """A sentence about unknown words: known ones that are spelt nearly so, and what is left of the text."""
    known = known_words(tokenizer) or ()
    left = " ".join(word for word in words_of(text) if word not in unknown)
    return (
        f"the model has never seen the words {', '.join(unknown)}; {_elsewhere(unknown)}{_nearest(unknown, known)}"
        f"it reads {left!r}, and guesses the rest; it knows words such as {_examples(known)}"
    )


def told_negation(text: str, tokenizer: Any) -> str | None:
    """A sentence about what a prompt leaves out: captions of small worlds name what is there. None if it does not."""
    found = _NEGATION.search(text)
    if found is None or not has_small_world(tokenizer):
        return None
    return (
        f"the model knows captions of what is there, and may draw what stands behind {found.group()!r}; name what is "
        "to be seen, and what is not in the negative prompt"
    )


def _nearest(unknown: list[str], known: tuple[str, ...]) -> str:
    """`horse is near to dog, redd may be red; ` for words that mean or are spelt nearly what a known one does.

    One that is spelt so shares the first letter, and has more than three: `dog` is near to `do`, `hat` to `what`.
    """
    told = []
    for word in unknown:
        candidates = [one for one in known if one[0] == word[0]] if len(word) > 3 else []
        if near := near_words(word, known):
            told.append(f"{word} is near to {', '.join(near)}")
        elif close := difflib.get_close_matches(word, candidates, n=1, cutoff=0.75):
            told.append(f"{word} may be {close[0]}")
    return f"{'; '.join(told)}; " if told else ""


def _elsewhere(unknown: list[str]) -> str:
    """`the model things knows dog, runs; ` for words that another model of the package was trained on."""
    told = []
    for name in RECIPES:
        if knows := [word for word in unknown if word in _words_of_shipped(name)]:
            told.append(f"the model {name} knows {', '.join(knows[:8])}")
    return f"{'; '.join(told)}; " if told else ""


@cache
def _words_of_shipped(name: str) -> frozenset[str]:
    """Words that a model of the package was trained on; none if this copy of the package lacks it."""
    file = FOLDER / name / "language_model.tokenizer" / "tokenizer_config.json"
    return frozenset(json.loads(file.read_text(encoding="utf-8"))["known_words"]) if file.is_file() else frozenset()


def _examples(known: tuple[str, ...]) -> str:
    """The most frequent words that mean something."""
    telling = [word for word in known if len(word) > 2 and word not in _NO_EXAMPLES]
    return ", ".join(telling[:_EXAMPLES])


@lru_cache(maxsize=8)  # by the object
def _set_of_known(tokenizer: Any) -> frozenset[str] | None:
    known = known_words(tokenizer)
    return None if known is None else frozenset(known)
