"""Accuracy of short answers against ten human ones, as the official script of VQA computes it, quirks included.

Each human answer is left out once, and an answer scores min(1, equal ones among the other nine / 3); the mean of the
ten counts. So four equal answers give 1, three 0.9, two 0.6, one 0.3. Two scorers:

    official   answers are normalised only where the ten human ones are not all the same string, as in the script
    evalai     both sides are always normalised, and first as the processor of EvalAI does it (as LLaVA and lmms-eval)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from videolavit.errors import ConfigError

__all__ = ["VqaScorer", "check_scorer", "normalize", "normalize_evalai", "vqa_accuracy"]

VqaScorer = Literal["official", "evalai"]

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_MOST_FULL_STOPS = 32
"""The official script passes the value of a flag where `re.sub` takes the number of replacements."""
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBER_WORDS)}
_ARTICLES = {"a", "an", "the"}

_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place, letter in enumerate(word) if letter == "'"]


_CONTRACTIONS = {short: word for word in _CONTRACTED.split() for short in _without_one_apostrophe(word)}
_CONTRACTIONS["somebody'd"] = "somebodyd"  # the wrong way round in the official table


def vqa_accuracy(answer: str, human_answers: Sequence[str], *, scorer: VqaScorer = "official") -> float:
    """Accuracy of one answer, 0 to 1.

    Args:
        answer: of the model.
        human_answers: usually ten.
        scorer: see the text of this module.

    Raises:
        ConfigError: there is no such scorer, or fewer than two human answers.
    """
    check_scorer(scorer)
    if len(human_answers) < 2:
        raise ConfigError(f"got {len(human_answers)} human answers, expected ten (and at least 2 to leave one out)")
    said, known = _on_one_line(answer), [_on_one_line(human) for human in human_answers]
    if scorer == "evalai":
        said, known = normalize_evalai(said), [normalize_evalai(human) for human in known]
    elif len(set(known)) > 1:
        said, known = normalize(said), [normalize(human) for human in known]
    equal = [human == said for human in known]
    left_out = [min(1.0, (sum(equal) - one) / 3) for one in equal]
    return sum(left_out) / len(left_out)


def normalize(text: str) -> str:
    """Text as the official script compares it: punctuation, numbers, articles, contractions.

    A mark is deleted if it touches a space anywhere in the text, or if the text has a comma between digits; else it
    becomes a space.
    """
    has_thousands = _DIGIT_COMMA_DIGIT.search(text) is not None
    cleaned = text
    for mark in _PUNCTUATION:
        touches_space = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if touches_space or has_thousands else " ")
    cleaned = _FULL_STOP.sub("", cleaned, count=_MOST_FULL_STOPS)
    words = [_NUMBERS.get(word, word) for word in cleaned.lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def normalize_evalai(text: str) -> str:
    """Text as the processor of EvalAI hands it to the same normaliser."""
    lowered = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return normalize(_on_one_line(lowered))


def check_scorer(scorer: str) -> None:
    """Raise ConfigError unless there is a scorer of this name."""
    if scorer not in get_args(VqaScorer):
        raise ConfigError(f"got the scorer {scorer!r}, expected one of {', '.join(get_args(VqaScorer))}")


def _on_one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
