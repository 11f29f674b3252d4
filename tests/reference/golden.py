"""Golden numbers of the reference implementation, and the rule that makes its weights (`golden/README.md`)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "golden"
_EMBEDDINGS = {"pos_embed", "query_embed", "temp_pos", "cls_token", "positional_embedding"}


def golden(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of one golden file."""
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["config"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weight_rule(key: str, shape: tuple[int, ...]) -> Tensor:
    """The reference weight of a released key."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    last = key.rsplit(".", 1)[-1]
    if key.endswith("quantize.embedding.weight"):
        return noise / noise.norm(dim=-1, keepdim=True)
    if last == "weight" and noise.ndim == 1:
        return 1 + 0.1 * noise
    if last in _EMBEDDINGS:
        return 0.2 * noise
    if noise.ndim >= 2:
        return noise / (noise.numel() / noise.shape[0]) ** 0.5
    return 0.1 * noise


def fill(module: nn.Module, released_name: Callable[[str], str] = lambda key: key) -> nn.Module:
    """Give every floating-point tensor of a module its reference weight; `released_name` renames our key to theirs."""
    state = module.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            value.copy_(weight_rule(released_name(key), tuple(value.shape)))
    return module


def assert_close(actual: Tensor, expected: Tensor, share: float = 1e-4) -> None:
    """Largest difference as a share of the largest expected value, as the golden files state their agreement."""
    assert actual.shape == expected.shape, f"{tuple(actual.shape)} is not {tuple(expected.shape)}"
    difference = (actual.double() - expected.double()).abs().max() if expected.numel() else torch.tensor(0.0)
    scale = expected.abs().max() if expected.numel() else torch.tensor(1.0)
    assert difference <= share * scale, f"differs by {difference / scale:.2e} of the largest value"
