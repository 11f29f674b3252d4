import pytest
import torch
from diffusers.models.attention_processor import Attention

from videolavit.errors import ConfigError
from videolavit.nn import attention
from videolavit.nn.attention import AttendProcessor, CrossAttention, SelfAttention, attend


def heads(seed: int, *, keys: int = 7, requires_grad: bool = False) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 2, 5, 4), (3, 2, keys, 4), (3, 2, keys, 4)]
    return [torch.randn(*shape, generator=generator).requires_grad_(requires_grad) for shape in shapes]


def masks() -> dict[str, torch.Tensor]:
    allowed = torch.rand(3, 1, 1, 7, generator=torch.Generator().manual_seed(9)) > 0.3
    return {"boolean": allowed, "additive": torch.where(allowed, 0.0, -10000.0)}


@pytest.mark.parametrize("kind", ["none", "boolean", "additive", "causal"])
def test_plain_and_fused_attention_agree(kind):
    queries, keys, values = heads(0, keys=5 if kind == "causal" else 7)
    mask = masks().get(kind)
    fused = attend(queries, keys, values, mask, causal=kind == "causal")
    plain = attention._plain(queries, keys, values, mask, kind == "causal")
    torch.testing.assert_close(fused, plain)


@pytest.mark.parametrize("additive", [False, True])
def test_what_may_attend_to_nothing_gets_0_either_way(additive):
    queries, keys, values = heads(0, requires_grad=True)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[1] = False
    mask = torch.where(mask, 0.0, -torch.inf) if additive else mask
    plain = attention._plain(queries, keys, values, mask, False)
    torch.testing.assert_close(plain, attend(queries, keys, values, mask))
    assert not plain[..., 1, :].any()
    plain.sum().backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in (queries, keys, values))


@pytest.mark.parametrize("context", [None, 7])
def test_the_processor_is_diffusers_attention(context):
    torch.manual_seed(3)
    layer = Attention(query_dim=8, cross_attention_dim=None if context is None else 6, heads=2, dim_head=4)
    positions, states = torch.randn(3, 5, 8), None if context is None else torch.randn(3, context, 6)
    expected = layer(positions, encoder_hidden_states=states)
    layer.set_processor(AttendProcessor())
    torch.testing.assert_close(layer(positions, encoder_hidden_states=states), expected)


def test_causal_attention_does_not_see_later_positions():
    queries, keys, values = heads(1, keys=5)
    before = attend(queries, keys, values, causal=True)
    values[:, :, -1] += 1
    after = attend(queries, keys, values, causal=True)
    assert torch.equal(before[:, :, :-1], after[:, :, :-1])
    assert not torch.equal(before[:, :, -1], after[:, :, -1])


def test_half_precision_gradients_on_a_cpu_take_the_plain_way_and_are_right():
    tensors = heads(2, requires_grad=True)
    half = [tensor.detach().bfloat16().requires_grad_() for tensor in tensors]
    assert attention._fused_backward_is_slow(*half)
    assert not attention._fused_backward_is_slow(*tensors)
    assert not attention._fused_backward_is_slow(*(tensor.detach() for tensor in half))
    attend(*tensors).square().sum().backward()
    attend(*half).square().sum().backward()
    for exact, rounded in zip(tensors, half, strict=True):
        torch.testing.assert_close(rounded.grad.float(), exact.grad, rtol=0.05, atol=0.05)  # 8 bits of mantissa


@pytest.mark.parametrize("key_bias", [False, True])
def test_self_attention_is_the_textbook_formula_in_both_layouts(key_bias):
    torch.manual_seed(0)
    module = SelfAttention(8, 2, key_bias=key_bias).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    bias = (
        module.qkv.bias if key_bias else torch.cat((module.q_bias, torch.zeros(8, dtype=torch.float64), module.v_bias))
    )
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    per_head = []
    for head in range(2):
        rows = [slice(part * 8 + head * 4, part * 8 + head * 4 + 4) for part in range(3)]
        q, k, v = (x @ module.qkv.weight[part].T + bias[part] for part in rows)
        per_head.append((q @ k.mT / 4**0.5).softmax(-1) @ v)
    torch.testing.assert_close(module(x), module.proj(torch.cat(per_head, -1)))


def test_released_layouts_have_their_parameters():
    assert set(SelfAttention(8, 2, key_bias=False).state_dict()) == {
        "qkv.weight", "q_bias", "v_bias", "proj.weight", "proj.bias",
    }  # fmt: skip
    assert set(SelfAttention(8, 2, key_bias=True).state_dict()) == {
        "qkv.weight", "qkv.bias", "proj.weight", "proj.bias",
    }  # fmt: skip


def test_masked_context_does_not_reach_cross_attention():
    torch.manual_seed(0)
    module = CrossAttention(8, 2)
    x, context = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    allowed = torch.tensor([True, True, False, True, False])[None, None, None]
    cut = module(x, context[:, allowed[0, 0, 0]])
    torch.testing.assert_close(module(x, context, allowed), cut)


def test_width_must_be_a_multiple_of_heads():
    with pytest.raises(ConfigError, match="width 10 for 4 heads"):
        SelfAttention(10, 4, key_bias=True)
    with pytest.raises(ConfigError, match="width 10 for 4 heads"):
        CrossAttention(10, 4)
