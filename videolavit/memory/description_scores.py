"""Scores of clips for a question by the words that the model found for them when it read the video."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from videolavit.memory.token_memory import TokenMemory

__all__ = ["description_scores"]

logger = logging.getLogger(__name__)


def description_scores(memory: TokenMemory, question: str) -> Float[np.ndarray, " clips"]:
    """Share of the descriptions of each clip that have the words of a question, rare words counting most.

    The model has described each clip by itself when it was read, so a question costs no look at any clip. Several
    sampled descriptions make a score a measure of how sure it was, too.
    """
    asked, descriptions = set(_words(question)), memory.descriptions()
    if not any(descriptions):
        logger.warning(
            "%s: nothing was noted about its clips, so that no words find them and the last ones are looked at; choose "
            "scorer='likelihood' (in a command: --scorer likelihood), or read the video again",
            memory.folder,
        )
    shares = np.array([[share.get(word, 0.0) for word in asked] for share in map(_shares, descriptions)])
    shares = shares.reshape(len(memory), len(asked))
    mean = shares.mean(axis=0)
    return shares @ np.array([math.log((1 + 1 / len(memory)) / (one + 1 / len(memory))) for one in mean])


def _shares(descriptions: Sequence[str]) -> dict[str, float]:
    counts = Counter(word for text in descriptions for word in set(_words(text)))
    return {word: count / len(descriptions) for word, count in counts.items()}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
