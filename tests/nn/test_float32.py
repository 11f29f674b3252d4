import pytest
import torch
from torch import nn

from videolavit.nn.mlp import CodeHead, TanhHead


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_casting_a_model_leaves_its_code_head_in_float32(device):
    with torch.device(device):
        model = nn.ModuleDict({"body": TanhHead(4, 2), "head": CodeHead(4, 2)}).to(torch.bfloat16)
    assert {tensor.dtype for tensor in model["body"].state_dict().values()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in model["head"].state_dict().values()} == {torch.float32}


def test_casting_keeps_every_bit_and_double_still_works():
    head = CodeHead(4, 2)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head.half()
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())
    assert {tensor.dtype for tensor in head.double().state_dict().values()} == {torch.float64}


def test_code_head_computes_in_float32_under_autocast():
    head, x = CodeHead(4, 2), torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = head(x)
    assert under_autocast.dtype == torch.float32
    assert torch.equal(under_autocast, head(x))
