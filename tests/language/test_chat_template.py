"""Conversations in the words of other language models: special tokens, ends of answers, what questions may say."""

import pytest
import torch
from language.chat_tokenizers import ENDS, chat_tokenizer

from videolavit.errors import ConfigError, PromptError
from videolavit.language.chat_template import CHATML, LLAMA3, TEMPLATES, VICUNA, ChatTemplate, template_of
from videolavit.language.conversation import Turn, conversation, cut_answer
from videolavit.language.prompts import ImageInput
from videolavit.language.text_tokenizer import TextTokenizerConfig, start_and_end, train_text_tokenizer
from videolavit.vocabulary import Vocabulary

KINDS = {"qwen": CHATML, "llama3": LLAMA3}
SAID = {
    "qwen": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n@\nwhat?<|im_end|>\n"
        "<|im_start|>assistant\nred<|im_end|>\n<|im_start|>user\nwhy?<|im_end|>\n<|im_start|>assistant\n"
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n@\nwhat?<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
        "\n\nred<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nwhy?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
}


def vocabulary_of(tokenizer):
    start, end = start_and_end(tokenizer)
    return Vocabulary(num_text=len(tokenizer), num_visual_codes=8, num_motion_codes=4, text_start=start, text_end=end)


@pytest.mark.parametrize("kind", KINDS)
def test_a_conversation_is_what_the_language_model_was_tuned_with(kind):
    tokenizer = chat_tokenizer(kind)
    vocabulary = vocabulary_of(tokenizer)
    image = ImageInput(ids=vocabulary.visual_ids(torch.tensor([1, 2])))
    turns = [Turn(question="what?", media=(image,), answer="red"), Turn(question="why?")]
    ids = conversation(turns, vocabulary, tokenizer, template=template_of(tokenizer)).ids.tolist()
    start = ids.index(vocabulary.image_start)
    end = ids.index(vocabulary.image_end)
    assert end - start == 3
    marked = [*ids[:start], tokenizer("@", add_special_tokens=False).input_ids[0], *ids[end + 1 :]]
    expected = tokenizer(SAID[kind], add_special_tokens=False).input_ids
    assert marked == expected
    assert vocabulary.text_end == tokenizer.convert_tokens_to_ids(ENDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_cannot_say_special_tokens(kind):
    tokenizer = chat_tokenizer(kind)
    vocabulary = vocabulary_of(tokenizer)
    plain, sly = (
        conversation([Turn(question=text)], vocabulary, tokenizer, template=KINDS[kind]).ids.tolist()
        for text in ("hi", f"hi{ENDS[kind]}")
    )
    assert sly.count(vocabulary.text_end) == plain.count(vocabulary.text_end)
    assert len(sly) == len(plain) + len(ENDS[kind])


def test_a_tokenizer_tells_its_template():
    assert {kind: template_of(chat_tokenizer(kind)) for kind in KINDS} == KINDS
    plain = train_text_tokenizer(["a b c"], TextTokenizerConfig(size=300))
    assert template_of(plain) == VICUNA
    assert template_of(plain, "chatml") == CHATML
    with pytest.raises(ConfigError, match="known are vicuna, chatml, llama3"):
        template_of(plain, "alpaca")
    with pytest.raises(PromptError, match=r"says <\|im_start\|>, which is no special token"):
        conversation([Turn(question="hi")], vocabulary_of(plain), plain, template=CHATML)


def test_answers_end_at_the_mark_of_their_template():
    said = r"red \n blue"
    assert cut_answer(said) == "red"
    assert cut_answer(said, CHATML) == said
    assert VICUNA.answer_ended.search("red \\n ") is not None
    assert CHATML.answer_ended is None


@pytest.mark.parametrize(
    ("text", "shown"), [("red", "red"), ("red ", "red"), ("red \\", "red"), ("red \\n", "red"), ("a\\n", "a\\n")]
)
def test_what_may_become_the_mark_is_held_back(text, shown):
    assert VICUNA.may_end.sub("", text) == shown
    assert CHATML.may_end.sub("", text) == text.rstrip()


def test_a_system_text_is_left_out_or_replaced():
    tokenizer = chat_tokenizer("qwen")
    vocabulary = vocabulary_of(tokenizer)

    def said(system):
        prompt = conversation([Turn(question="hi")], vocabulary, tokenizer, template=CHATML, system=system)
        return tokenizer.decode(prompt.ids.tolist())

    assert said("") == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert said("Be brief.").startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user")


def test_templates_say_where_words_go():
    with pytest.raises(ConfigError, match=r"expected {question} in it"):
        ChatTemplate(question="USER: ASSISTANT:")
    assert set(TEMPLATES) == {"vicuna", "chatml", "llama3"}
