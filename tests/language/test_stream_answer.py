"""Answers in words, at once and as they come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from videolavit.errors import PromptError
from videolavit.language.generate import generate
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import Prompt, Text, assemble
from videolavit.language.sampling_options import SamplingOptions
from videolavit.language.stream_answer import answer, stream_answer
from videolavit.nn.random import sample_generators

SAMPLED = SamplingOptions(top_k=0, temperature=0.5)


def prompts_of(model: LanguageModel) -> list[Prompt]:
    return [assemble([Text(text)], model.vocabulary, model.text_tokenizer, start=True) for text in ("a", "b a 3", "x")]


def recite(model: LanguageModel, text: str) -> None:
    """Make a model say `text` after a prompt of one id, whatever that is."""
    ids = [*model.text_tokenizer(text, add_special_tokens=False).input_ids, model.vocabulary.text_end, 3]
    length = torch.arange(model.vocabulary.size)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        said = model.said = getattr(model, "said", -1) + 1
        return torch.where(length == ids[said], 1.0, 0.0).expand(*hidden.shape[:-1], -1)

    model.causal_lm.lm_head.__class__ = type(
        "Reciting", (torch.nn.Linear,), {"forward": lambda _, hidden: head(hidden)}
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A cat \\n ", "A cat"),
        ("A cat \\n and much more", "A cat"),
        ("the \\nabla of f", "the \\nabla of f"),
        ("a\nb  c ", "a\nb  c"),
        ("héllo", "héllo"),
        ("\\n ", ""),
        ("", ""),
    ],
)
def test_what_the_model_says_is_cut_and_streamed(talker: LanguageModel, text: str, expected: str):
    recite(talker, text)
    pieces = [more for _, more in stream_answer(talker, [Prompt.from_ids([1])])]
    assert "".join(pieces) == expected
    assert len(pieces) <= max(len(expected), 1)
    assert all(pieces)


def test_nothing_is_computed_after_the_end(talker: LanguageModel):
    recite(talker, "A \\n and much more")
    assert answer(talker, [Prompt.from_ids([1])]) == ["A"]
    assert talker.said == len(talker.text_tokenizer("A \\n ", add_special_tokens=False).input_ids) - 1


def test_streamed_pieces_join_to_the_answer(talker: LanguageModel):
    prompts = prompts_of(talker)
    streamed = [""] * 3
    options = {"max_new_tokens": 40, "options": SAMPLED}
    for sample, more in stream_answer(talker, prompts, generators=sample_generators(0, 3), **options):
        streamed[sample] += more
    answers = answer(talker, prompts, generators=sample_generators(0, 3), **options)
    assert streamed == answers
    assert len(set(answers)) == 3
    alone = [
        answer(talker, [prompt], generators=sample_generators(0, 1, first=index), **options)[0]
        for index, prompt in enumerate(prompts)
    ]
    assert alone == answers


def test_greedy_ids_of_answers_are_transformers_own(talker: LanguageModel):
    prompts = prompts_of(talker)
    for prompt, drawn in zip(prompts, generate(talker, prompts, [Block.text(20)]), strict=True):
        expected = talker.causal_lm.generate(
            prompt.ids[None],
            attention_mask=torch.ones(1, len(prompt)),
            do_sample=False,
            max_new_tokens=20,
            suppress_tokens=[*range(talker.vocabulary.num_text, talker.vocabulary.size)],
            eos_token_id=talker.vocabulary.text_end,
            pad_token_id=0,
        )
        assert drawn.ids.tolist()[:20] == expected[0, len(prompt) :].tolist()


def test_answers_need_a_tokenizer(make_model: Callable[..., LanguageModel]):
    model = make_model()
    model.text_tokenizer = None
    with pytest.raises(PromptError, match="tokenizer"):
        answer(model, [Prompt.from_ids([1])])
