"""Layers on the kernels of a library: a stand-in where no GPU is, and the library itself where it is installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from videolavit.checkpoints.hooks import quantizer_of
from videolavit.nn import quantized_kernels
from videolavit.nn.nf4 import NF4_VALUES, Nf4Linear
from videolavit.nn.quantized import Int8Linear
from videolavit.nn.quantized_kernels import LibraryKernels, kernels_for

WITH_GPU = pytest.param("cuda", marks=[pytest.mark.gpu])


@pytest.fixture
def fresh():
    """The library is looked for again."""
    quantized_kernels._loaded.cache_clear()
    yield
    quantized_kernels._loaded.cache_clear()


@pytest.fixture
def stand_in(monkeypatch, fresh):
    """A library with the functions of bitsandbytes that are called, computing in float32; it counts its calls."""
    calls: list[str] = []

    def matmul(inputs, weight, *, state, bias):
        calls.append("int8")
        assert inputs.dtype == torch.float16
        whole = state.CB.float() * state.SCB[:, None] / 127
        return F.linear(inputs.float(), whole, None if bias is None else bias.float()).half()

    def matmul_4bit(inputs, packed, *, quant_state, bias):
        calls.append("nf4")
        assert packed.shape[1] == 1
        rows, columns = quant_state.shape
        codes = torch.cat([packed >> 4, packed & 15], dim=1).reshape(-1, quant_state.blocksize)
        whole = quant_state.code[codes.int()] * quant_state.absmax[:, None]
        return F.linear(inputs, whole.reshape(rows, columns).to(inputs.dtype), bias)

    library = SimpleNamespace(
        MatmulLtState=SimpleNamespace,
        matmul=matmul,
        matmul_4bit=matmul_4bit,
        functional=SimpleNamespace(
            QuantState=SimpleNamespace, get_4bit_type=lambda name, device: torch.tensor(NF4_VALUES, device=device)
        ),
    )
    monkeypatch.setitem(sys.modules, "bitsandbytes", library)
    monkeypatch.setattr(quantized_kernels, "has_library", lambda: True)
    monkeypatch.setattr(quantized_kernels, "DEVICES", {"cpu"})
    return calls


def layers(columns: int = 128, rows: int = 24, dtype: torch.dtype = torch.bfloat16) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    linear = nn.Linear(columns, rows, dtype=dtype)
    return {"int8": Int8Linear(linear), "nf4": Nf4Linear(linear)}


@pytest.mark.parametrize("kind", ["int8", "nf4"])
@pytest.mark.parametrize("shape", [(128,), (3, 128), (2, 5, 128)])
def test_the_library_computes_what_plain_layers_compute(kind, shape, stand_in, monkeypatch):
    layer, inputs = layers()[kind], torch.randn(shape, dtype=torch.bfloat16)
    ours = layer(inputs)
    assert stand_in == [kind]
    monkeypatch.setattr(quantized_kernels, "DEVICES", {"cuda"})
    plain = layer(inputs)
    assert stand_in == [kind]  # not asked a second time
    assert ours.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(ours, plain, atol=0.03, rtol=0.02)  # 8 bits of a mantissa


def test_float32_and_other_devices_are_left_to_plain_layers(stand_in):
    for layer in layers(dtype=torch.float32).values():
        layer(torch.randn(2, 128))
    assert kernels_for(torch.zeros(1, device="meta", dtype=torch.bfloat16)) is None
    assert stand_in == []


def test_without_the_library_plain_layers_compute(monkeypatch, fresh):
    monkeypatch.setattr(quantized_kernels, "has_library", lambda: False)
    monkeypatch.setattr(quantized_kernels, "DEVICES", {"cpu"})
    for layer in layers().values():
        assert layer(torch.randn(2, 128, dtype=torch.bfloat16)).shape == (2, 24)


def test_a_library_that_cannot_be_imported_is_told_and_left_alone(monkeypatch, fresh, caplog):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # importing it raises ImportError
    monkeypatch.setattr(quantized_kernels, "has_library", lambda: True)
    monkeypatch.setattr(quantized_kernels, "DEVICES", {"cpu"})
    for layer in layers().values():
        assert layer(torch.randn(2, 128, dtype=torch.bfloat16)).shape == (2, 24)
    assert caplog.text.count("bitsandbytes cannot be used") == 1


@pytest.mark.parametrize(
    ("precision", "installed", "told"),
    [("int8", True, None), ("nf4", True, None), ("int4", True, "saves memory"), ("nf4", False, "videolavit[quantize]")],
)
def test_what_is_slow_on_a_gpu_is_said(precision, installed, told, monkeypatch, caplog):
    monkeypatch.setattr("videolavit.checkpoints.hooks.has_library", lambda: installed)
    with caplog.at_level("WARNING"):
        quantizer_of(precision, torch.device("cuda"))
    assert (told in caplog.text) if told else not caplog.records


@pytest.mark.parametrize("device", ["cpu", WITH_GPU])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_numbers_are_those_of_bitsandbytes(device, dtype):
    library = pytest.importorskip("bitsandbytes", reason="the extra `quantize` is not installed")
    torch.manual_seed(1)
    linear = nn.Linear(192, 40, dtype=getattr(torch, dtype), device=device)
    layer = Nf4Linear(linear)
    packed, state = library.functional.quantize_4bit(linear.weight.detach(), blocksize=64, quant_type="nf4")
    assert torch.equal(layer.weight.flatten(), packed.flatten())
    assert torch.equal(layer.largest.values.flatten(), state.absmax)
    codes, scale, _ = library.functional.int8_vectorwise_quant(linear.weight.detach().half())
    eight = Int8Linear(linear.half())
    torch.testing.assert_close(127 * eight.scale.float(), scale.float(), atol=0, rtol=1e-3)  # a scale of 16 bits
    assert (eight.weight.int() - codes.int()).abs().max() <= 1


@pytest.mark.parametrize("device", ["cpu", WITH_GPU])
@pytest.mark.parametrize("kind", ["int8", "nf4"])
@pytest.mark.parametrize("rows", [1, 2, 50])
def test_products_are_those_of_plain_layers(device, kind, rows):
    library = pytest.importorskip("bitsandbytes", reason="the extra `quantize` is not installed")
    layer = layers(256, 96)[kind].to(device)
    inputs = torch.randn(rows, 256, generator=torch.Generator().manual_seed(rows)).to(torch.bfloat16).to(device)
    kernels = LibraryKernels(library)
    if kind == "int8":
        ours = kernels.int8(inputs, layer.weight, layer.scale, layer.bias)
    else:
        ours = kernels.nf4(inputs, layer.weight, layer.largest.values, layer.bias)
    plain = layer.float()(inputs.float())
    error = ((ours.float() - plain).norm() / plain.norm()).item()
    assert ours.dtype == torch.bfloat16
    assert error < (0.02 if kind == "int8" else 0.01)  # 8 bits quantise the inputs, too
