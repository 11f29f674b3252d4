"""The template of conversations."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaTokenizer

from videolavit.errors import PromptError
from videolavit.language.chat_template import SYSTEM
from videolavit.language.conversation import Turn, conversation, cut_answer
from videolavit.language.prompts import ClipInput, ImageInput, Prompt, VideoInput
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=500, num_visual_codes=24, num_motion_codes=16)
IMAGE = ImageInput(ids=torch.tensor([*VOCABULARY.visual_range][:2]))
VIDEO = VideoInput(clips=(ClipInput(keyframe=IMAGE, motion_ids=torch.tensor([*VOCABULARY.motion_range][:3])),))


def written(prompt: Prompt, tokenizer: LlamaTokenizer) -> str:
    """A prompt as text: marks and codes by short names, and | between tokens of words that were joined there."""
    names = {
        VOCABULARY.image_start: "[IMG]",
        VOCABULARY.image_end: "[/IMG]",
        VOCABULARY.motion_start: "[MOV]",
        VOCABULARY.motion_end: "[/MOV]",
    }
    names |= dict.fromkeys(VOCABULARY.visual_range, "v") | dict.fromkeys(VOCABULARY.motion_range, "m")
    tokens = [names.get(new_id) or tokenizer.convert_ids_to_tokens(new_id) for new_id in prompt.ids.tolist()]
    return "".join("\n" if token == "<0x0A>" else token for token in tokens).replace("▁", " ")


def test_a_question_about_a_video(text_tokenizer: LlamaTokenizer):
    prompt = conversation([Turn(question="What is it?", media=(VIDEO,))], VOCABULARY, text_tokenizer)
    assert written(prompt, text_tokenizer) == (
        f"<s> {SYSTEM} USER: [IMG]vv[/IMG][MOV]mmm[/MOV] \nWhat is it? ASSISTANT:"
    )


def test_text_beside_a_placeholder_is_tokenized_on_its_own_and_starts_once(text_tokenizer: LlamaTokenizer):
    prompt = conversation([Turn(question="What?", media=(IMAGE,))], VOCABULARY, text_tokenizer, system="Talk.")
    ids = prompt.ids.tolist()
    before = text_tokenizer("Talk. USER: ").input_ids
    after = text_tokenizer("\nWhat? ASSISTANT:").input_ids
    assert before[0] == after[0] == VOCABULARY.text_start
    assert ids == [*before, VOCABULARY.image_start, *IMAGE.ids, VOCABULARY.image_end, *after[1:]]
    assert ids.count(VOCABULARY.text_start) == 1


def test_several_media_where_the_question_puts_them(text_tokenizer: LlamaTokenizer):
    question = "Is <image> in <video> or <image>?"
    turn = Turn(question=question, media=(IMAGE, VIDEO, IMAGE))
    assert written(conversation([turn], VOCABULARY, text_tokenizer, system=""), text_tokenizer) == (
        "<s> USER: Is [IMG]vv[/IMG] in [IMG]vv[/IMG][MOV]mmm[/MOV] or [IMG]vv[/IMG] ? ASSISTANT:"
    )


def test_several_media_without_placeholders_come_first(text_tokenizer: LlamaTokenizer):
    turn = Turn(question="Which?", media=(IMAGE, VIDEO))
    assert written(conversation([turn], VOCABULARY, text_tokenizer, system=""), text_tokenizer) == (
        "<s> USER: [IMG]vv[/IMG] \n[IMG]vv[/IMG][MOV]mmm[/MOV] \nWhich? ASSISTANT:"
    )


def test_turns_end_in_a_backslash_an_n_and_the_mark(text_tokenizer: LlamaTokenizer):
    turns = [Turn(question="One?", media=(IMAGE,), answer="Yes."), Turn(question="Two?")]
    assert written(conversation(turns, VOCABULARY, text_tokenizer, system=""), text_tokenizer) == (
        "<s> USER: [IMG]vv[/IMG] \nOne? ASSISTANT: Yes. \\n </s> USER: Two? ASSISTANT:"
    )


def test_a_whole_conversation_ends_in_the_mark(text_tokenizer: LlamaTokenizer):
    prompt = conversation([Turn(question="One?", answer="Yes.")], VOCABULARY, text_tokenizer)
    assert prompt.ids[-1] == VOCABULARY.text_end


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (Turn(question="<image> and <image>", media=(IMAGE,)), r"names 2 media \(<image>, <image>\) and 1"),
        (Turn(question="<image>?"), "names 1 media"),
        (Turn(question="<image>?", media=(IMAGE, IMAGE)), "names 1 media"),
        (
            Turn(question="<video>?", media=(IMAGE,)),
            "says <video> at place 1, and an image is shown there",
        ),
        (Turn(question="<image> <image>", media=(IMAGE, VIDEO)), "says <image> at place 2, and a video is"),
    ],
)
def test_media_that_do_not_fit_the_question_are_refused(turn: Turn, message: str, text_tokenizer: LlamaTokenizer):
    with pytest.raises(PromptError, match=message):
        conversation([turn], VOCABULARY, text_tokenizer)


def test_only_the_last_turn_may_be_unanswered(text_tokenizer: LlamaTokenizer):
    with pytest.raises(PromptError, match="needs an answer"):
        conversation([Turn(question="One?"), Turn(question="Two?")], VOCABULARY, text_tokenizer)
    with pytest.raises(PromptError, match="at least one turn"):
        conversation([], VOCABULARY, text_tokenizer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" A cat. \\n ", "A cat."),
        ("A cat. \\n", "A cat."),
        ("A cat. \\n and more", "A cat."),
        ("the operator \\nabla of f", "the operator \\nabla of f"),
        ("print('\\n')", "print('\\n')"),
        ("\\n ", ""),
        ("two\nlines", "two\nlines"),
    ],
)
def test_answers_are_cut_at_their_mark(text: str, expected: str):
    assert cut_answer(text) == expected
