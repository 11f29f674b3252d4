"""Answers in words: decoding with a text block, text as it comes, and the end token cut off (reference section 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from videolavit.errors import PromptError
from videolavit.language.conversation import cut_answer
from videolavit.language.generate import NewId, stream
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompt_cache import PromptCache
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling, SamplingOptions

__all__ = ["AnswerText", "answer", "stream_answer"]

_GREEDY = SamplingOptions(greedy=True)


def answer(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int = 512,
    options: SamplingOptions = _GREEDY,
    generators: Sequence[torch.Generator] | None = None,
) -> list[str]:
    """Answer every prompt, usually a `conversation`, without its end token.

    Raises:
        PromptError: the model has no text tokenizer, or what `generate.stream` says.
    """
    answers = [""] * len(prompts)
    for sample, text in stream_answer(
        model, prompts, max_new_tokens=max_new_tokens, options=options, generators=generators
    ):
        answers[sample] += text
    return answers


def stream_answer(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int = 512,
    options: SamplingOptions = _GREEDY,
    generators: Sequence[torch.Generator] | None = None,
    on_id: Callable[[NewId], None] | None = None,
    prompt_cache: PromptCache | None = None,
) -> Iterator[tuple[int, str]]:
    """(index of the prompt, more of its answer), as words come; the pieces of one prompt join to what `answer` gives.

    `on_id` is called with every id that is written, the end token included. For `prompt_cache` see `generate.stream`.

    Raises:
        PromptError: the model has no text tokenizer, or what `generate.stream` says.
    """
    if model.text_tokenizer is None:
        raise PromptError("answers need a text tokenizer; give the language model one")
    texts = [AnswerText(model) for _ in prompts]

    def has_ended(new: NewId) -> bool:
        if on_id is not None:
            on_id(new)
        return texts[new.sample].ended

    new_ids = stream(
        model,
        prompts,
        [Block.text(max_new_tokens)],
        Sampling(text=options),
        generators,
        should_stop=has_ended,
        prompt_cache=prompt_cache,
    )
    for new in new_ids:
        if more := texts[new.sample].push(new.id):
            yield new.sample, more
    for sample, text in enumerate(texts):
        if more := text.rest():
            yield sample, more


class AnswerText:
    """Text of the ids so far. What may still become the end token, or half a character, is held back."""

    def __init__(self, model: LanguageModel):
        self.tokenizer, self.end = model.text_tokenizer, model.vocabulary.text_end
        self.chat, self.mark, self.may_end = model.chat, model.chat.answer_ended, model.chat.may_end
        self.ids: list[int] = []
        self.shown = ""

    @property
    def ended(self) -> bool:
        return self.mark is not None and self.mark.search(self._text()) is not None

    def push(self, new_id: int) -> str:
        if new_id == self.end:
            return self.rest()
        self.ids.append(new_id)
        text = self._text()
        if text.endswith("\N{REPLACEMENT CHARACTER}"):  # bytes of a character that is not complete
            return ""
        return self._show(cut_answer(text, self.chat) if self.ended else self.may_end.sub("", text.lstrip()))

    def rest(self) -> str:
        return self._show(cut_answer(self._text(), self.chat))

    def _show(self, text: str) -> str:
        more = text[len(self.shown) :]
        self.shown = text
        return more

    def _text(self) -> str:
        assert self.tokenizer is not None
        return self.tokenizer.decode(self.ids, skip_special_tokens=True)
