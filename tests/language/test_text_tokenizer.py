import pytest
from hypothesis import given
from hypothesis import strategies as st

from videolavit.errors import CheckpointError, ConfigError
from videolavit.language.chat_template import ANSWER_END, SYSTEM
from videolavit.language.prompts import encode_text
from videolavit.language.text_tokenizer import TextTokenizerConfig, load_text_tokenizer, train_text_tokenizer
from videolavit.vocabulary import Vocabulary

TEXTS = ["a small red circle moves to the left", "What colour is the object?", "USER: ASSISTANT:"] * 3
TOKENIZER = train_text_tokenizer(TEXTS, TextTokenizerConfig(size=400))
EXACT = train_text_tokenizer(TEXTS, TextTokenizerConfig(size=400, lowercase=False))


def ids(text, tokenizer=TOKENIZER):
    return encode_text(text, Vocabulary(num_text=len(tokenizer)), tokenizer).tolist()


@given(st.text(max_size=40))
def test_any_text_comes_back(text):
    assert EXACT.decode(ids(text, EXACT), skip_special_tokens=True) == text


def test_words_that_were_seen_are_one_id_each_and_capitals_are_read_as_small():
    assert len(ids("a small red circle moves")) == 5
    assert ids("A Small RED circle") == ids("a small red circle")
    assert ids("A", EXACT) != ids("a", EXACT)


def test_phrases_of_every_conversation_are_one_id():
    text = f"{SYSTEM} USER: red{ANSWER_END}"
    assert len(ids(SYSTEM)) == len(ids(ANSWER_END)) == 1
    assert ids(text)[0] == ids(SYSTEM)[0]
    assert ids(text)[-1] == ids(ANSWER_END)[0]
    assert EXACT.decode(ids(text, EXACT), skip_special_tokens=True) == text


def test_marks_in_a_text_are_letters():
    assert not {0, 1, 2} & set(ids("<s> </s> <unk>"))
    assert [TOKENIZER.unk_token_id, TOKENIZER.bos_token_id, TOKENIZER.eos_token_id] == [0, 1, 2]


def test_it_is_saved_and_loaded(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    again = load_text_tokenizer(tmp_path)
    assert ids(f"{SYSTEM} USER: é?", again) == ids(f"{SYSTEM} USER: é?")
    assert len(again) == len(TOKENIZER)
    with pytest.raises(CheckpointError, match="no such folder"):
        load_text_tokenizer(tmp_path / "nothing")


def test_a_size_without_room_for_bytes_is_refused():
    with pytest.raises(ConfigError, match="at least 261"):
        TextTokenizerConfig(size=200)
