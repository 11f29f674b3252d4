"""Language models of other families, with vocabularies of 150 000, from token shards to videos and answers."""

import numpy as np
import pytest
import torch
from language.chat_tokenizers import chat_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from videolavit import VideoLaVIT
from videolavit.cli import main
from videolavit.data.tokens import TokenReader
from videolavit.language.chat_template import CHATML, LLAMA3
from videolavit.language.conversation import Turn, conversation
from videolavit.training.model_folder import ModelExports, write_model
from videolavit.training.presets import TINY_SETTINGS

SIZE = 150_000
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
TEMPLATE = {"qwen": CHATML, "llama3": LLAMA3}


def backbone(kind):
    """Random weights; Qwen's table has rows that no id has, to be a multiple of 64."""
    torch.manual_seed(0)
    if kind == "qwen":
        return Qwen2ForCausalLM(Qwen2Config(vocab_size=SIZE + 16, tie_word_embeddings=True, **SHAPE))
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 512,
    }
    return LlamaForCausalLM(LlamaConfig(vocab_size=SIZE, rope_scaling=scaling, rope_theta=500_000.0, **SHAPE))


def run(*words):
    assert main([str(word) for word in words]) == 0, words


def train(stage, folder, *more):
    settings = {"steps": 2, "batch-size": 2, "warmup-steps": 1, "images-every": 0, "log-every": 1}
    training = [word for name, value in settings.items() for word in (f"--training.{name}", str(value))]
    shared = ["--data", folder / "tokens", "--text-tokenizer", folder / "text", "-o", folder / stage, "--quiet"]
    run("train", stage, *shared, *training, *more)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["qwen", "llama3"])
def test_another_backbone_is_trained_draws_and_answers(shipped_model, tmp_path, kind):
    chat_tokenizer(kind, SIZE).save_pretrained(tmp_path / "text")
    backbone(kind).save_pretrained(tmp_path / "backbone")
    run("prepare", "shapes", "-o", tmp_path / "data", "--num-videos", "4")
    tokenizers = ("--visual-tokenizer", "tiny", "--motion-tokenizer", "tiny", "--text-tokenizer", tmp_path / "text")
    run("prepare", "tokens", tmp_path / "data", "-o", tmp_path / "tokens", *tokenizers)
    reader = TokenReader(tmp_path / "tokens")
    assert {shard.id_bits for shard in reader.shards} == {32}
    assert reader.vocabulary.num_text == SIZE
    train("pretraining", tmp_path, "--start-from", tmp_path / "backbone")
    train("instruction_tuning", tmp_path, "--start-from", tmp_path / "pretraining" / "export")
    others = dict.fromkeys(
        ("autoencoder", "visual_tokenizer", "motion_tokenizer", "keyframe_detokenizer", "video_detokenizer"), "tiny"
    )
    exports = ModelExports(language_model=tmp_path / "instruction_tuning" / "export", **others)
    write_model(exports, tmp_path / "model", TINY_SETTINGS)
    model = VideoLaVIT.from_pretrained(tmp_path / "model")
    assert model.settings.chat == TEMPLATE[kind]
    video = model.generate_video("a red circle moves right", seed=0, num_inference_steps=1)
    assert video.frames.shape[-1] == 3
    answer = model.answer("What moves?", video=np.stack(video.frames), max_new_tokens=4)
    assert isinstance(answer.text, str)
    language = model.answering.language_model
    asked = conversation([Turn(question="What?")], reader.vocabulary, language.text_tokenizer, template=language.chat)
    assert language.text_tokenizer.decode(asked.ids.tolist()).startswith(
        {"qwen": "<|im_start|>system", "llama3": "<|begin_of_text|><|start_header_id|>system"}[kind]
    )
