"""A tokenizer that was trained on few words tells which others a prompt has."""

from __future__ import annotations

import pytest

from videolavit.data.shapes import captions, sample_scene
from videolavit.errors import PromptError
from videolavit.language.near_words import near_words
from videolavit.language.text_tokenizer import TextTokenizerConfig, load_text_tokenizer, train_text_tokenizer
from videolavit.language.unknown_words import check_words, known_words, told_negation, told_unknown, unknown_words


@pytest.fixture(scope="module")
def tokenizer() -> object:
    texts = [caption for seed in range(600) for caption in captions(sample_scene(seed), seed)]
    return train_text_tokenizer(texts, TextTokenizerConfig(size=1000))


def told(text: str, tokenizer: object) -> str:
    return told_unknown(text, unknown_words(text, tokenizer), tokenizer)


def test_words_of_the_training_texts_are_known(tokenizer):
    for seed in range(600):
        for caption in captions(sample_scene(seed), seed):
            assert unknown_words(caption, tokenizer) == []


def test_other_words_are_named_once_each(tokenizer):
    assert unknown_words("A red ELEPHANT moves left, the elephant; 3 violins!", tokenizer) == ["elephant", "violins"]
    assert check_words("a red elephant", tokenizer) == ["elephant"]


@pytest.mark.parametrize(
    "text",
    [
        "Welche Farbe hat es",
        "le chat se moque",
        "rote Kugel rollt",
        "\u7ea2\u7403",
        "\u043a\u0440\u0430\u0441\u043d\u044b\u0439",
    ],
)
def test_another_language_is_refused(tokenizer, text):
    with pytest.raises(PromptError, match="knows none of the words") as caught:
        check_words(text, tokenizer)
    examples = str(caught.value).partition("such as ")[2].partition(";")[0].split(", ")
    assert len(examples) >= 8
    assert unknown_words(" ".join(examples), tokenizer) == []


@pytest.mark.parametrize("text", ["a dog on the beach", "Who is it?", "He is my brother"])
def test_words_that_ask_for_nothing_are_no_reason_to_draw(tokenizer, text):
    with pytest.raises(PromptError, match="knows none of the words"):
        check_words(text, tokenizer)


def test_what_is_left_of_a_text_is_told(tokenizer):
    assert "it reads 'a moves left', and guesses the rest" in told("a dog moves left", tokenizer)
    assert "such as " in told("a dog moves left", tokenizer)


@pytest.mark.parametrize("text", ["12 + 3", "\U0001f534\u27a1"])
def test_signs_without_words_are_refused(tokenizer, text):
    with pytest.raises(PromptError, match="has no words"):
        check_words(text, tokenizer)
    assert check_words("", tokenizer) == []


def test_words_that_are_nearly_known_are_named(tokenizer):
    assert "leftt may be left" in told("a ball goes leftt", tokenizer)
    with pytest.raises(PromptError, match="redd may be red"):
        check_words("redd", tokenizer)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("crimson", "red"),
        ("sphere", "circle, ball, disc"),
        ("enormous", "large, big, huge"),
        ("circles", "circle"),
        ("lime", "green"),  # spelt nearly as `like`
    ],
)
def test_words_that_mean_nearly_what_a_known_one_does_are_named(tokenizer, word, near):
    assert f"{word} is near to {near}; " in told(f"a {word} moves left", tokenizer)


def test_what_no_known_word_is_near_to_has_no_neighbours(tokenizer):
    assert "is near to" not in told("a violin moves left", tokenizer)
    assert near_words("horse", ("red", "dog", "cat")) == ["dog"]
    assert near_words("horse", ()) == []


def test_another_model_of_the_package_that_knows_words_is_named(tokenizer):
    assert "the model things knows elephant, flies; " in told("a red elephant flies to the violin", tokenizer)
    with pytest.raises(PromptError, match="'violin'; the model things knows dog, runs; "):
        check_words("dog runs violin", tokenizer)
    assert "the model things" not in told("a red violin", tokenizer)


@pytest.mark.parametrize("word", ["dog", "farbe", "hat", "elephant"])
def test_words_that_share_but_some_letters_are_not_named(tokenizer, word):
    assert "may be" not in told(f"a {word} moves left", tokenizer)


def test_the_list_is_kept_with_the_tokenizer_and_starts_with_what_is_frequent(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = load_text_tokenizer(tmp_path)
    assert known_words(again) == known_words(tokenizer)
    assert "the" in known_words(again)[:5]
    assert check_words("a red elephant", again) == ["elephant"]


def test_nothing_is_said_by_tokenizers_without_a_list():
    assert check_words("purple", object()) == []
    assert check_words("12 + 3", None) == []


@pytest.mark.parametrize(
    "text", ["not a circle", "No star, a red square", "a square without a star", "red, not the blue"]
)
def test_what_a_prompt_leaves_out_is_told(text, tokenizer):
    message = told_negation(text, tokenizer)
    assert message is not None
    assert "negative prompt" in message


@pytest.mark.parametrize("text", ["a red circle", "it does not move", "", "nothing", "a knot", "another square"])
def test_what_is_there_is_no_negation(text, tokenizer):
    assert told_negation(text, tokenizer) is None


def test_larger_models_are_taken_to_know_what_not_means():
    assert told_negation("not a circle", object()) is None


def test_captions_of_the_worlds_leave_nothing_out(tokenizer):
    for seed in range(200):
        for caption in captions(sample_scene(seed), seed):
            assert told_negation(caption, tokenizer) is None
