"""Words around the turns of a conversation: a value of each model, which its language model was tuned with.

The released model has Vicuna's (reference section 7); language models that one starts from bring their own. Special
tokens, written `<|name|>`, become one id where the template says them, and letters where a question does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from videolavit.errors import ConfigError

__all__ = ["ANSWER_END", "CHATML", "LLAMA3", "SYSTEM", "TEMPLATES", "VICUNA", "ChatTemplate", "template_of"]

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

ANSWER_END = " \\n "
"""End of an answer of the released model, before `</s>`: a backslash and an n."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTemplate:
    """Words of a conversation; the defaults are the released model's. The end of text follows every answer."""

    system: str = SYSTEM
    opening: str = "{system} "
    """Before the first turn, where there is a system text."""
    question: str = "USER: {question} ASSISTANT:"
    answer: str = f" {{answer}}{ANSWER_END}"
    """Tokenized together with the words before it."""
    between: str = ""
    """After the end of text, before the next turn."""
    answer_mark: str = "\\n"
    """Text that ends an answer, between spaces; empty where the end of text alone does."""
    starts: bool = True
    """True if a conversation starts with the text start, `<s>`."""

    def __post_init__(self) -> None:
        for name, place in (("opening", "{system}"), ("question", "{question}"), ("answer", "{answer}")):
            if place not in getattr(self, name):
                raise ConfigError(f"got {name}={getattr(self, name)!r} of a chat template, expected {place} in it")

    @property
    def answer_ended(self) -> re.Pattern[str] | None:
        """Found in a text that goes on after the mark; not in `the operator \\nabla`, which only starts like it."""
        return re.compile(rf"(?:^|\s){re.escape(self.answer_mark)}\s") if self.answer_mark else None

    @property
    def may_end(self) -> re.Pattern[str]:
        """End of a text that may become the mark when more is written."""
        starts = [re.escape(self.answer_mark[:length]) for length in range(len(self.answer_mark), 0, -1)]
        return re.compile(rf"(?:^|\s+)(?:{'|'.join(starts)})?$" if starts else r"\s+$")


VICUNA = ChatTemplate()

CHATML = ChatTemplate(
    system="You are a helpful assistant.",
    opening="<|im_start|>system\n{system}<|im_end|>\n",
    question="<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n",
    answer="{answer}",
    between="\n",
    answer_mark="",
    starts=False,
)
"""Of Qwen and others; their end of text is `<|im_end|>`."""

LLAMA3 = ChatTemplate(
    system="You are a helpful assistant.",
    opening="<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>",
    question=(
        "<|start_header_id|>user<|end_header_id|>\n\n{question}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    answer="{answer}",
    answer_mark="",
)
"""The end of text is `<|eot_id|>`."""

TEMPLATES = {"vicuna": VICUNA, "chatml": CHATML, "llama3": LLAMA3}

_TOLD_BY = {"<|im_start|>": CHATML, "<|start_header_id|>": LLAMA3}


def template_of(text_tokenizer: Any, name: str = "") -> ChatTemplate:
    """The template of a name in `TEMPLATES`, or the one whose special tokens a tokenizer has; else the released one's.

    Raises:
        ConfigError: no template has that name.
    """
    if name:
        if name not in TEMPLATES:
            raise ConfigError(f"got the chat template {name!r}, known are {', '.join(TEMPLATES)}")
        return TEMPLATES[name]
    known = text_tokenizer.get_added_vocab() if hasattr(text_tokenizer, "get_added_vocab") else {}
    return next((template for token, template in _TOLD_BY.items() if token in known), VICUNA)
