"""What the language model is told before it draws: words and images, as ids (paper, section 3.3)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.errors import PromptError
from videolavit.language.prompts import Ids, ImageInput, Piece, Prompt, Text, assemble
from videolavit.language.unknown_words import check_words
from videolavit.pipeline.encoding import keyframe_codes
from videolavit.pipeline.model_components import Components
from videolavit.pipeline.options import GenerationOptions
from videolavit.pipeline.progress import Work

__all__ = ["generation_prompt", "image_codes"]

logger = logging.getLogger(__name__)

_PLACE = re.compile("(<image>)")


def generation_prompt(
    model: Components,
    prompt: str | Prompt,
    before: Sequence[Int[Tensor, "_"]] = (),
    behind: Int[Tensor, "_"] | None = None,
) -> Int[Tensor, "n"]:
    """Ids of a prompt.

    Args:
        model: whose vocabulary and tokenizers.
        prompt: words, where each `<image>` stands for an image; or ready-made ids.
        before: codes of the images that the prompt speaks of; they come first if it does not say where.
        behind: codes of a keyframe that the words lead to.

    Raises:
        PromptError: there is nothing in it, another number of images than it says, or no word that is known.
    """
    images = [ImageInput(ids=model.vocabulary.visual_ids(codes)) for codes in before]
    pieces = _pieces(prompt.strip(), images) if isinstance(prompt, str) else [*images, Ids(prompt.ids)]
    if behind is not None:
        pieces.append(ImageInput(ids=model.vocabulary.visual_ids(behind)))
    tokenizer = model.language_model.text_tokenizer
    if isinstance(prompt, str) and (unknown := check_words(_PLACE.sub(" ", prompt), tokenizer)):
        logger.warning("the model has never seen the words %s, and takes no notice of them", ", ".join(unknown))
    if not pieces:
        raise PromptError("the prompt is empty; say what to draw, such as 'a red ball', or give an image")
    return assemble(pieces, model.vocabulary, tokenizer).ids


def image_codes(
    model: Components, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], options: GenerationOptions, work: Work
) -> list[Int[Tensor, "_"]]:
    """Codes of images as the model reads them in a prompt."""
    if not images:
        return []
    with work.step("perceive", len(images)) as report:
        codes = keyframe_codes(model.visual_tokenizer, list(images), options.patch_selection, options.seed)
        report(len(images))
    return codes


def _pieces(words: str, images: list[ImageInput]) -> list[Piece]:
    parts = [part for part in _PLACE.split(words) if part.strip()]
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
