"""Tiny language models and a tiny text tokenizer."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

from videolavit.language.language_model import LanguageModel
from videolavit.vocabulary import Vocabulary

SYMBOLS = "▁" + string.ascii_letters + string.digits + string.punctuation
MERGES = [("U", "S"), ("E", "R"), ("US", "ER"), ("▁", "USER"), ("▁", "b"), ("▁", "a")]


@pytest.fixture(scope="session")
def text_tokenizer() -> LlamaTokenizer:
    """Llama's kind of tokenizer: a space before every piece, bytes for what it has no symbol for, `<s>` in front."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *SYMBOLS]
    words += ["".join(pair) for pair in MERGES]
    return LlamaTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=MERGES, add_bos_token=True)


@pytest.fixture
def make_model(text_tokenizer: LlamaTokenizer) -> Callable[..., LanguageModel]:
    """A random Llama of 2 layers x 16; in float64, so that another batch rounds too little to change a choice."""

    def make(seed: int = 0, context: int = 512, dtype: torch.dtype = torch.float64, **sizes: int) -> LanguageModel:
        vocabulary = Vocabulary(**{"num_text": 12, "num_visual_codes": 24, "num_motion_codes": 16, **sizes})
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=vocabulary.size,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=context,
            initializer_range=0.5,  # wide, so that choices differ between prompts
        )
        return LanguageModel(LlamaForCausalLM(config).eval().to(dtype), vocabulary, text_tokenizer)

    return make


@pytest.fixture
def model(make_model: Callable[..., LanguageModel]) -> LanguageModel:
    return make_model()


@pytest.fixture
def talker(make_model: Callable[..., LanguageModel], text_tokenizer: LlamaTokenizer) -> LanguageModel:
    """A model whose text ids are the tokenizer's."""
    return make_model(num_text=len(text_tokenizer))
