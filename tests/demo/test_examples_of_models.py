"""What the page offers as examples is what its model knows."""

from __future__ import annotations

import pytest

from videolavit.demo.examples import EXAMPLES, NO_EXAMPLES
from videolavit.language.text_tokenizer import load_text_tokenizer
from videolavit.language.unknown_words import unknown_words
from videolavit.shipped import FOLDER, RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_word_of_the_examples_is_known_to_the_model(name):
    if not (FOLDER / name).is_dir():
        pytest.skip(f"this checkout has no model {name}; `python {RECIPES[name]} --ship` makes it")
    tokenizer = load_text_tokenizer(FOLDER / name / "language_model.tokenizer")
    shown = EXAMPLES[name]
    texts = [*shown.prompts, *shown.clips, shown.animation, shown.tokens, *shown.questions]
    assert len(texts) >= 5
    assert {text: unknown_words(text, tokenizer) for text in texts} == {text: [] for text in texts}


def test_other_models_have_no_prompts_of_ours():
    assert (NO_EXAMPLES.prompts, NO_EXAMPLES.clips, NO_EXAMPLES.animation) == ((), (), "")
    assert NO_EXAMPLES.real_keyframes == "tokens"
