"""Stored tensors into a module: strictly, and one tensor at a time.

The module is built on the meta device, so nothing is allocated before the values come. A tensor that is used on the CPU
as it is stored stays memory-mapped; any other is converted and moved before the next one is read.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from videolavit.checkpoints.files import StoredTensor
from videolavit.errors import CheckpointError
from videolavit.nn.float32 import KeepsFloat32

__all__ = ["Origin", "build_on_meta", "check_tensors", "distinct_tensors", "load_into", "usual_dtype", "with_dtype"]

Origin = Callable[[str], tuple[str, str]]
"""From a key of ours to the file that should hold it and to what it is called there."""

logger = logging.getLogger(__name__)

_MOST_PROBLEMS = 5
_COMPUTED = (".rotary_emb.inv_freq", ".rope_freqs", ".embeddings.position_ids")
"""Buffers that transformers once stored, and now computes from the configuration."""


def build_on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """A module whose tensors have shapes and no memory, in evaluation mode."""
    with torch.device("meta"):
        return build().eval()


def load_into(
    module: nn.Module,
    tensors: Mapping[str, StoredTensor],
    *,
    name: str,
    origin: Origin,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Give a module from `build_on_meta` its values.

    Args:
        module: where the values go.
        tensors: by the module's keys.
        name: of the part, for messages.
        origin: file and stored key of one of the module's keys, for messages about missing ones.
        device: where to.
        dtype: as in `with_dtype`, but for None what is stored in float16 becomes float32 on a CPU.

    Raises:
        CheckpointError: a key is missing, unexpected or of another shape.
    """
    started = time.monotonic()
    check_tensors(module, tensors, name=name, origin=origin)
    aliases = _aliases(module)
    tensors = with_dtype(module, tensors, dtype or usual_dtype(module, tensors, torch.device(device)))
    values: dict[str, Tensor] = {}
    for key in module.state_dict():
        first = aliases[key]
        if first not in values:
            stored = tensors[first if first in tensors else key]
            values[first] = stored.load().to(device)
        values[key] = values[first]
    module.load_state_dict(values, strict=True, assign=True)
    _restore_ties(module, aliases)
    _fill_computed_buffers(module, device)
    logger.info("%s: loaded %d tensors in %.1f s", name, len(values), time.monotonic() - started)
    return module


def with_dtype(
    module: nn.Module, tensors: Mapping[str, StoredTensor], dtype: torch.dtype | None
) -> dict[str, StoredTensor]:
    """Tensors that will be converted when they are read, each to the type it should have in `module`.

    Those of modules that keep float32 become float32. The others become `dtype`; None stands for the type they are
    stored in, the widest if there are several, because modules compute in one.
    """
    exact = _float32_keys(module)
    dtype = dtype or _stored_dtype(module, tensors)
    return {key: _as_dtype(tensor, torch.float32 if key in exact else dtype) for key, tensor in tensors.items()}


def check_tensors(module: nn.Module, tensors: Mapping[str, StoredTensor], *, name: str, origin: Origin) -> None:
    """Raise `CheckpointError` unless `tensors` are exactly those of `module`, by key and shape."""
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    aliases = _aliases(module)
    present = {aliases.get(key, key) for key in tensors}
    problems = [
        f"{origin(key)[0]}: key {origin(key)[1]!r} is missing, expected shape {shape}"
        for key, shape in expected.items()
        if aliases[key] not in present
    ]
    for key, tensor in tensors.items():
        if key not in expected and key.endswith(_COMPUTED):
            continue
        if key not in expected:
            problems.append(f"{tensor.where}: key {tensor.key!r} is unexpected, it has shape {tensor.shape}")
        elif tensor.shape != expected[key]:
            problems.append(f"{tensor.where}: key {tensor.key!r} has shape {tensor.shape}, expected {expected[key]}")
    if problems:
        raise CheckpointError(_report(name, problems))


def distinct_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of a module with each tensor once, under the first of its names."""
    aliases = _aliases(module)
    return {key: value for key, value in module.state_dict().items() if aliases[key] == key}


def _report(name: str, problems: list[str]) -> str:
    shown = [f"\n  {problem}" for problem in problems[:_MOST_PROBLEMS]]
    rest = f"\n  and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
    return (
        f"{name}: weights and configuration do not fit each other, {len(problems)} keys differ:{''.join(shown)}{rest}\n"
        "check that they are of the same model, and that the download is complete"
    )


def _aliases(module: nn.Module) -> dict[str, str]:
    """For each key the first name of its tensor; tied weights have several."""
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {key: first.setdefault(id(value), key) for key, value in state.items()}


def _as_dtype(tensor: StoredTensor, dtype: torch.dtype) -> StoredTensor:
    if not tensor.dtype.is_floating_point or tensor.dtype == dtype:
        return tensor
    return replace(tensor, dtype=dtype, load=lambda: tensor.load().to(dtype))


def usual_dtype(module: nn.Module, tensors: Mapping[str, StoredTensor], device: torch.device) -> torch.dtype:
    """The type to compute in if nobody chose one. CPUs convert at every step what is float16; bfloat16 they know."""
    dtype = _stored_dtype(module, tensors)
    return torch.float32 if device.type == "cpu" and dtype == torch.float16 else dtype


def _stored_dtype(module: nn.Module, tensors: Mapping[str, StoredTensor]) -> torch.dtype:
    """The widest, leaving out what is float32 in any case."""
    exact = _float32_keys(module)
    types = {tensor.dtype for key, tensor in tensors.items() if key not in exact and tensor.dtype.is_floating_point}
    return functools.reduce(torch.promote_types, types) if types else torch.float32


def _float32_keys(module: nn.Module) -> set[str]:
    exact = (name for name, child in module.named_modules() if isinstance(child, KeepsFloat32))
    return {f"{name}.{key}" for name in exact for key in module.get_submodule(name).state_dict()}


def _restore_ties(module: nn.Module, aliases: Mapping[str, str]) -> None:
    """Assigning makes a parameter of its own for each name; make tied ones one parameter again."""
    for key, first in aliases.items():
        if key != first:
            owner, _, name = key.rpartition(".")
            setattr(module.get_submodule(owner), name, module.get_parameter(first))


def _fill_computed_buffers(module: nn.Module, device: str | torch.device) -> None:
    """Rebuild what is computed and not stored: transformers' rotary embeddings, from the configuration they keep."""
    for name, child in list(module.named_modules()):
        if any(buffer.is_meta for buffer in child.buffers(recurse=False)):
            module.set_submodule(name, type(child)(child.config).to(device))  # type: ignore[call-arg, arg-type]
    unfilled = [key for key, value in [*module.named_parameters(), *module.named_buffers()] if value.is_meta]
    assert not unfilled, f"no values for {unfilled}"
