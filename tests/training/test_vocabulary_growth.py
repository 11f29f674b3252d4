"""New words: ids of their own, old texts unchanged, embeddings from the pieces."""

from __future__ import annotations

import pytest
import torch

from videolavit.language.text_tokenizer import TextTokenizerConfig, load_text_tokenizer, train_text_tokenizer
from videolavit.language.unknown_words import unknown_words
from videolavit.training.language_loss import LanguageModelSizes, build_causal_lm
from videolavit.training.vocabulary_growth import grow_text_rows, grown_tokenizer, new_words
from videolavit.vocabulary import Vocabulary

OLD = [
    "a red ball moves left",
    "USER: \nWhat moves? ASSISTANT: a ball",
    "the ball is red and it moves to the left",
] * 20
NEW = ["a hand takes peppers", "USER: \nWho wrestles? ASSISTANT: two men"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer(OLD, TextTokenizerConfig(size=420))


@pytest.fixture(scope="module")
def grown(tokenizer):
    return grown_tokenizer(tokenizer, [*OLD, *NEW])


def test_new_words_become_one_id_each_and_can_be_read_back(tokenizer, grown):
    new, _ = grown
    assert new_words(NEW, tokenizer) == ["hand", "takes", "peppers", "who", "wrestles", "two", "men"]
    for word in (" hand", " takes", " peppers", " wrestles", " two", " men", "who"):
        assert len(new.encode(word, add_special_tokens=False)) == 1, word
    for text in NEW:
        assert new.decode(new.encode(text, add_special_tokens=False)) == text.replace("Who", "who").replace(
            "USER", "user"
        ).replace("ASSISTANT", "assistant")
    assert unknown_words(" ".join(NEW), new) == []


def test_texts_without_new_words_keep_their_ids(tokenizer, grown):
    for text in OLD:
        assert grown[0].encode(text) == tokenizer.encode(text)


def test_what_was_grown_survives_the_way_through_a_folder(grown, tmp_path):
    new, pieces = grown
    new.save_pretrained(tmp_path)
    again = load_text_tokenizer(tmp_path)
    assert len(again) == len(new)
    assert [again.encode(text) for text in NEW] == [new.encode(text) for text in NEW]
    assert max(max(again.encode(text)) for text in NEW) == len(new) - 1
    assert len(pieces) > 0


def test_growing_twice_adds_nothing(grown):
    again, pieces = grown_tokenizer(grown[0], [*OLD, *NEW])
    assert pieces == []
    assert len(again) == len(grown[0])


@pytest.mark.parametrize("tied", [True, False])
def test_rows_of_images_and_motion_move_up_and_new_ones_are_means_of_their_pieces(tokenizer, grown, tied):
    _, pieces = grown
    old = Vocabulary(num_text=len(tokenizer), num_visual_codes=6, num_motion_codes=5)
    sizes = LanguageModelSizes(width=16, mlp_width=16, layers=1, heads=2, context_length=32, tied=tied)
    model = build_causal_lm(sizes, old)
    ids = torch.tensor([[1, 5, old.visual_range.start, old.motion_range.stop - 1]])
    with torch.no_grad():
        before, rows = model(ids).logits, model.get_input_embeddings().weight.clone()
    new = grow_text_rows(model, old, pieces)
    assert new.num_text == old.num_text + len(pieces) == len(grown[0])
    shift = new.num_text - old.num_text
    with torch.no_grad():
        after = model(torch.where(ids < old.num_text, ids, ids + shift)).logits
    kept = [*range(old.num_text), *range(new.num_text, new.size)]
    torch.testing.assert_close(after[..., kept], before)
    row = model.get_input_embeddings().weight[old.num_text]
    torch.testing.assert_close(row, rows[list(pieces[0])].mean(0))


def test_scripts_without_spaces_grow_by_letters_that_new_sentences_share(tokenizer):
    texts = ["一个红色的圆向左移动", "一个方块向上移动", "圆向右移动 a ball"]
    new, pieces = grown_tokenizer(tokenizer, texts)
    letters = {letter for text in texts for letter in text if ord(letter) > 127}
    assert set(new_words(texts, tokenizer)) == letters
    assert len(new.encode("红色的方块向右", add_special_tokens=False)) == 7
    assert len(new.encode(" 圆", add_special_tokens=False)) == 2, "a space and the letter"
    assert unknown_words("红色的方块向右移动", new) == []
    assert unknown_words("红色的星", new) == ["星"]
    assert len(pieces) <= 2 * len(letters), "bytes that are joined on the way, and the letter"
    for text in texts:
        assert new.decode(new.encode(text, add_special_tokens=False)) == text
    for text in OLD:
        assert new.encode(text) == tokenizer.encode(text)
