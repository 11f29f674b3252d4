"""Loading bars of transformers stay off the screen where it is to tell errors alone, as on our command line."""

from __future__ import annotations

from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from videolavit.training.language_parts import load_text_model


def test_bars_are_hidden_where_errors_alone_are_told(tmp_path, capfd):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes)).save_pretrained(tmp_path)
    before = logging.get_verbosity()
    try:
        logging.set_verbosity_error()
        capfd.readouterr()
        load_text_model(tmp_path)
        assert "Loading" not in capfd.readouterr().err
        logging.set_verbosity_warning()
        load_text_model(tmp_path)
        assert "Loading" in capfd.readouterr().err, "it is there for people who use transformers themselves"
    finally:
        logging.set_verbosity(before)
