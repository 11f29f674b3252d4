"""What the language model is told before it draws: words and pictures, as ids (paper, section 3.3)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.assembly import Assembly
from videolavit.errors import PromptError
from videolavit.inputs import DrawOptions
from videolavit.language.prompts import Ids, Picture, Piece, Prompt, Text, assemble
from videolavit.language.words import check_words
from videolavit.perception import keyframe_codes
from videolavit.tasks.progress import Work

__all__ = ["drawing_prompt", "picture_codes"]

logger = logging.getLogger(__name__)

_PLACE = re.compile("(<image>)")


def drawing_prompt(
    model: Assembly,
    prompt: str | Prompt,
    before: Sequence[Int[Tensor, "_"]] = (),
    behind: Int[Tensor, "_"] | None = None,
) -> Int[Tensor, "n"]:
    """Ids of a prompt.

    Args:
        model: whose vocabulary and tokenizers.
        prompt: words, where each `<image>` stands for a picture; or ready-made ids.
        before: codes of the pictures that the prompt speaks of; they come first if it does not say where.
        behind: codes of a keyframe that the words lead to.

    Raises:
        PromptError: there is nothing in it, another number of pictures than it says, or no word that is known.
    """
    pictures = [Picture(ids=model.vocabulary.visual_ids(codes)) for codes in before]
    pieces = _pieces(prompt.strip(), pictures) if isinstance(prompt, str) else [*pictures, Ids(prompt.ids)]
    if behind is not None:
        pieces.append(Picture(ids=model.vocabulary.visual_ids(behind)))
    tokenizer = model.language_model.text_tokenizer
    if isinstance(prompt, str) and (unknown := check_words(_PLACE.sub(" ", prompt), tokenizer)):
        logger.warning("the model has never seen the words %s, and takes no notice of them", ", ".join(unknown))
    if not pieces:
        raise PromptError("the prompt is empty; say what to draw, such as 'a red ball', or give a picture")
    return assemble(pieces, model.vocabulary, tokenizer).ids


def picture_codes(
    model: Assembly, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], options: DrawOptions, work: Work
) -> list[Int[Tensor, "_"]]:
    """Codes of pictures as the model reads them in a prompt."""
    if not pictures:
        return []
    with work.step("perceive", len(pictures)) as report:
        codes = keyframe_codes(model.visual_tokenizer, list(pictures), options.choice, options.seed)
        report(len(pictures))
    return codes


def _pieces(words: str, pictures: list[Picture]) -> list[Piece]:
    parts = [part for part in _PLACE.split(words) if part.strip()]
    places = parts.count("<image>")
    if not places:
        return [*pictures, *map(Text, parts)]
    if places != len(pictures):
        raise PromptError(
            f"the prompt says <image> {places} times and {len(pictures)} pictures were given; write it once for each, "
            "or not at all"
        )
    waiting = iter(pictures)
    return [next(waiting) if part == "<image>" else Text(part.strip()) for part in parts]
