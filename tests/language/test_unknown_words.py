"""A tokenizer that was trained on few words tells which others a prompt has."""

from __future__ import annotations

import pytest

from videolavit.data.shapes import captions, sample_scene
from videolavit.errors import PromptError
from videolavit.language.text_tokenizer import TextTokenizerConfig, train_text_tokenizer
from videolavit.language.unknown_words import check_words, unknown_words


@pytest.fixture(scope="module")
def tokenizer() -> object:
    texts = [caption for seed in range(600) for caption in captions(sample_scene(seed), seed)]
    return train_text_tokenizer(texts, TextTokenizerConfig(size=1000))


def test_words_of_the_training_texts_are_known(tokenizer):
    for seed in range(600):
        for caption in captions(sample_scene(seed), seed):
            assert unknown_words(caption, tokenizer) == []


def test_other_words_are_named_once_each(tokenizer):
    assert unknown_words("A red ELEPHANT moves left, an elephant; 3 violins!", tokenizer) == ["elephant", "violins"]
    assert check_words("a red elephant", tokenizer) == ["elephant"]


@pytest.mark.parametrize("text", ["rote Kugel rollt", "\u7ea2\u7403", "\u043a\u0440\u0430\u0441\u043d\u044b\u0439"])
def test_another_language_is_refused(tokenizer, text):
    with pytest.raises(PromptError, match="knows none of the words") as caught:
        check_words(text, tokenizer)
    examples = str(caught.value).partition("such as ")[2].partition(";")[0].split(", ")
    assert len(examples) >= 8
    assert unknown_words(" ".join(examples), tokenizer) == []


def test_numbers_and_nothing_are_no_unknown_words(tokenizer):
    assert check_words("12 + 3", tokenizer) == []
    assert check_words("", tokenizer) == []


def test_nothing_is_said_of_tokenizers_that_learnt_pieces():
    pieces = train_text_tokenizer(["a red ball moves left"], TextTokenizerConfig(size=300))
    assert check_words("purple", pieces) == []
    assert check_words("purple", None) == []
