"""Prompts of generation: words and images in front of the clips that follow (paper, section 3.3)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from videolavit.errors import PromptError
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import Ids, ImageInput, Piece, Prompt, Text, assemble
from videolavit.language.unknown_words import OF_A_PROMPT, check_words, told_negation, told_unknown

__all__ = ["generation_prompt"]

logger = logging.getLogger(__name__)

_PLACEHOLDER = re.compile("(<image>)")


def generation_prompt(
    language_model: LanguageModel,
    prompt: str | Prompt,
    images: Sequence[Int[Tensor, "_"]] = (),
    keyframe: Int[Tensor, "_"] | None = None,
) -> Int[Tensor, "n"]:
    """Ids of a prompt.

    Args:
        language_model: its vocabulary and text tokenizer.
        prompt: words, where each `<image>` stands for an image; or ready-made ids.
        images: codes of the images that the prompt speaks of; they come first if it does not say where.
        keyframe: codes of a keyframe that the words lead to; it stands at the end.

    Raises:
        PromptError: the prompt is empty, says another number of images, or has no word that is known.
    """
    vocabulary, tokenizer = language_model.vocabulary, language_model.text_tokenizer
    inputs = [ImageInput(ids=vocabulary.visual_ids(codes)) for codes in images]
    pieces = _pieces(prompt.strip(), inputs) if isinstance(prompt, str) else [*inputs, Ids(prompt.ids)]
    if keyframe is not None:
        pieces.append(ImageInput(ids=vocabulary.visual_ids(keyframe)))
    words = _PLACEHOLDER.sub(" ", prompt) if isinstance(prompt, str) else ""
    if words and (unknown := check_words(words, tokenizer)):
        logger.warning("%s", told_unknown(words, unknown, tokenizer), extra=OF_A_PROMPT)
    if told := told_negation(words, tokenizer):
        logger.warning("%s", told, extra=OF_A_PROMPT)
    if not pieces:
        raise PromptError("the prompt is empty; say what to generate, such as 'a red ball', or give an image")
    return assemble(pieces, vocabulary, tokenizer).ids


def _pieces(words: str, images: list[ImageInput]) -> list[Piece]:
    parts = [part for part in _PLACEHOLDER.split(words) if part.strip()]
    places = parts.count("<image>")
    if not places:
        return [*images, *map(Text, parts)]
    if places != len(images):
        raise PromptError(
            f"the prompt says <image> {places} times and {len(images)} images were given; write it once for each, "
            "or not at all"
        )
    waiting = iter(images)
    return [next(waiting) if part == "<image>" else Text(part.strip()) for part in parts]
