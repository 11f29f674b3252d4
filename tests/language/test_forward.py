"""Our decoding step gives transformers' numbers, for every kind of backbone it takes, and leaves weights in place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from videolavit.language.forward import LlamaForward, is_llama_shaped, llama_forward
from videolavit.language.language_model import LanguageModel
from videolavit.language.slots import Slot, Slots
from videolavit.language.transformers_forward import TransformersForward
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=12, num_visual_codes=24, num_motion_codes=16)
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY.size,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "llama 3, grouped": LlamaConfig(**SIZES, num_key_value_heads=2, rope_parameters=LLAMA3),
    "llama, wide heads, biases": LlamaConfig(**SIZES, head_dim=8, attention_bias=True, mlp_bias=True),
    "llama, yarn, gelu": LlamaConfig(**SIZES, num_key_value_heads=1, rope_parameters=YARN, hidden_act="gelu"),
    "llama, linear": LlamaConfig(**SIZES, rope_parameters={"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0}),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=3, sliding_window=None),
    "qwen 2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen 3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8),
}
OTHERS = {
    "gemma": GemmaConfig(**SIZES, num_key_value_heads=2, head_dim=4),
    "llama, dynamic": LlamaConfig(
        **SIZES, rope_parameters={"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}
    ),
}


def build(config: Any, dtype: torch.dtype = torch.float32) -> LanguageModel:
    torch.manual_seed(0)
    causal_lm = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    for name, parameter in causal_lm.named_parameters():
        if "norm" in name or "bias" in name:  # ones and zeros would hide a mistake
            nn.init.normal_(parameter, mean=1.0, std=0.3)
    return LanguageModel(causal_lm.to(dtype), VOCABULARY)


def expected(model: LanguageModel, ids: list[int]) -> Tensor:
    with torch.no_grad():
        return model.causal_lm.get_decoder()(torch.tensor([ids])).last_hidden_state[0, -1]


@torch.inference_mode()
def check(model: LanguageModel, kind: type) -> None:
    """Three prompts, one that comes later, one that goes; with unconditional branches that start at other times."""
    slots = Slots(model, 4)
    texts = {name: [3, 4, 5, *range(14, 14 + length)] for name, length in zip("abcd", (4, 4, 11, 1), strict=True)}
    unconditional: dict[str, list[int]] = {}
    running = {name: Slot(owner=name) for name in texts}

    def read(*names: str) -> None:
        slots.read([(running[name], model.embed_ids(torch.tensor(texts[name]))) for name in names])

    def go_on(starting: str = "") -> None:
        for slot in slots.running:
            slot.next_id = 17 + (5 * len(texts[slot.owner]) + ord(slot.owner)) % 30
            texts[slot.owner].append(slot.next_id)
            if slot.owner in starting:
                slot.restarts, unconditional[slot.owner] = True, []
            if slot.owner in unconditional:
                unconditional[slot.owner].append(slot.next_id)
        slots.go_on()
        compare()

    def compare() -> None:
        for slot in slots.running:
            torch.testing.assert_close(slot.hidden, expected(model, texts[slot.owner]), atol=2e-5, rtol=1e-5)
        for slot in slots.guided:
            expected_hidden = expected(model, unconditional[slot.owner])
            torch.testing.assert_close(slot.unconditional_hidden, expected_hidden, atol=2e-5, rtol=1e-5)

    read("a", "b", "c")
    compare()
    assert isinstance(slots._forward_of_step, kind)
    go_on()
    go_on(starting="ac")
    go_on(starting="b")
    read("d")
    go_on(starting="a")
    slots.release(running["b"])
    go_on()
    slots.end_guidance(running["a"])
    go_on(starting="d")
    slots.release(running["a"])
    go_on()
    assert [slot.owner for slot in slots.running] == ["c", "d"]
    assert {slot.owner for slot in slots.guided} == {"c", "d"}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_steps_give_the_numbers_of_whole_sequences(config: Any):
    check(build(config), LlamaForward)


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_other_backbones_go_through_transformers(config: Any):
    check(build(config), TransformersForward)


def test_short_rows_with_an_attention_of_their_own_give_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("videolavit.language.static_cache.LEAST_WASTE", 0)
    check(build(CONFIGS["llama 3, grouped"]), LlamaForward)


def test_a_hooked_decoder_is_left_to_transformers():
    model = build(CONFIGS["llama"])
    seen = []
    model.causal_lm.model.layers[1].register_forward_hook(lambda *_: seen.append(1))
    check(model, TransformersForward)
    assert seen


def test_a_window_is_left_to_transformers():
    windowed = build(MistralConfig(**SIZES, num_key_value_heads=3, sliding_window=8))
    assert not is_llama_shaped(windowed.causal_lm.model)


@pytest.mark.parametrize("name", ["q_proj", "v_proj", "o_proj", "down_proj", "up_proj"])
def test_a_projection_that_is_not_a_plain_one_is_called(name: str):
    class Doubled(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return 2 * super().forward(inputs)

    model = build(CONFIGS["qwen 2"])
    layer = model.causal_lm.model.layers[1]
    getattr(layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp, name).__class__ = Doubled
    check(model, LlamaForward)


def test_weights_that_are_replaced_or_changed_are_noticed():
    model = build(CONFIGS["llama"])
    check(model, LlamaForward)
    first = llama_forward(model.causal_lm.model)
    with torch.no_grad():
        model.causal_lm.model.layers[0].mlp.up_proj.weight.mul_(3)
    assert llama_forward(model.causal_lm.model) is first
    check(model, LlamaForward)
    model.causal_lm.model.layers[1].self_attn.k_proj.weight = nn.Parameter(torch.randn(24, 24))
    assert llama_forward(model.causal_lm.model) is not first
    check(model, LlamaForward)


def test_joined_weights_take_no_memory_of_their_own_and_can_be_saved_and_trained(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    model = build(CONFIGS["qwen 2"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    forward = llama_forward(model.causal_lm.model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    attention = model.causal_lm.model.layers[0].self_attn
    assert attention.q_proj.weight.data_ptr() == forward.layers[0].attention_in._weight.data_ptr()
    safetensors.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    loaded = safetensors.load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(loaded[name], before[name]) for name in before)
    model.causal_lm(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not torch.equal(attention.k_proj.weight, before["causal_lm.model.layers.0.self_attn.k_proj.weight"])
    check(model, LlamaForward)


def test_bfloat16_stays_near_transformers():
    model = build(CONFIGS["llama 3, grouped"], torch.bfloat16)
    reference = build(CONFIGS["llama 3, grouped"])
    ids = [3, 4, 5, *range(14, 30)]
    with torch.inference_mode():
        slots, slot = Slots(model, 1), Slot(owner=None)
        slots.read([(slot, model.embed_ids(torch.tensor(ids[:-1])))])
        slot.next_id = ids[-1]
        slots.go_on()
        exact = expected(reference, ids)
        ours = (slot.hidden.float() - exact).norm() / exact.norm()
        theirs = (expected(model, ids).float() - exact).norm() / exact.norm()
    assert ours < 1.5 * theirs + 0.01


def test_a_decoder_is_not_kept_alive():
    import gc
    import weakref

    model = build(CONFIGS["llama"])
    llama_forward(model.causal_lm.model)
    gone = weakref.ref(model.causal_lm.model)
    del model
    gc.collect()
    assert gone() is None
