"""Components of a model that wait in the memory of the CPU and visit the accelerator when they compute.

At most one component is there at a time: it comes when one of its public methods is called, and the one that was there
goes back. So the accelerator needs to hold the largest component, not their sum.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Offload", "compute_device", "in_float32", "is_offloaded"]

_STATED = "compute_device"
"""Attribute of a module whose weights are not where it computes."""
_BRING = "bring_to_device"
"""Its method that takes them there."""


def compute_device(module: nn.Module) -> torch.device:
    """Device on which `module` computes and its inputs belong: not where its weights wait, if it is offloaded."""
    stated = getattr(module, _STATED, None)
    return next(module.parameters()).device if stated is None else stated


def is_offloaded(module: nn.Module) -> bool:
    """True if the weights of `module` come to its device only while it computes."""
    return hasattr(module, _STATED)


@contextmanager
def in_float32(module: nn.Module) -> Iterator[None]:
    """Weights of `module` in float32 inside the block, and in the type of its first one again behind it.

    Those of an offloaded module come to its device first: a cast of the weights at home would outlast the visit.
    """
    getattr(module, _BRING, lambda: None)()
    dtype = next(module.parameters()).dtype
    module.float()
    try:
        yield
    finally:
        nn.Module.to(module, dtype)  # as `module.to`, but for a warning of diffusers about modules that keep float32


class Offload:
    """The one place on an accelerator that parts take in turns."""

    def __init__(self, device: torch.device, home: torch.device | None = None) -> None:
        self.device, self.home = device, home or torch.device("cpu")
        self.present: nn.Module | None = None
        """The part that is on the device; it stays until another one comes."""
        self._at_home: list[tuple[nn.Module, str, Tensor]] = []

    def manage(self, part: nn.Module) -> None:
        """Send a part home, and let it come by itself from now on."""
        if hasattr(part, _STATED):
            return
        part.to(self.home)
        for module in _entered(part):
            setattr(module, _STATED, self.device)
            setattr(module, _BRING, lambda: self.bring(part))
            for name in _public_methods(type(module)):
                setattr(module, name, self._bringing(part, getattr(module, name)))

    def bring(self, part: nn.Module) -> None:
        """Make `part` the one on the device."""
        if self.present is part:
            return
        self.send_home()
        at_home = list(_tensors(part))
        visiting = {id(tensor): _copy(tensor, self.device) for _, _, tensor in at_home}  # once for tied ones
        for owner, name, tensor in at_home:
            setattr(owner, name, visiting[id(tensor)])
        self.present, self._at_home = part, at_home

    def send_home(self) -> None:
        """Leave the device empty. Nothing is copied back: use does not change values, so those at home are good."""
        for owner, name, tensor in self._at_home:
            setattr(owner, name, tensor)
        self.present, self._at_home = None, []

    def _bringing(self, part: nn.Module, method: Callable) -> Callable:
        @functools.wraps(method)
        def bring_and_call(*arguments, **options):
            self.bring(part)
            placed = [self._placed(argument) for argument in arguments]
            return method(*placed, **{name: self._placed(option) for name, option in options.items()})

        return bring_and_call

    def _placed(self, argument: Any) -> Any:
        return argument.to(self.device) if isinstance(argument, Tensor) else argument


def _public_methods(kind: type[nn.Module]) -> Iterator[str]:
    """`forward`, and the methods that a class adds to those of every module; getters compute nothing."""
    for name in dir(kind):
        is_own = not hasattr(nn.Module, name) and not name.startswith(("_", "get_", "set_"))
        if (is_own or name == "forward") and inspect.isfunction(inspect.getattr_static(kind, name)):
            yield name


def _entered(part: nn.Module) -> Iterator[nn.Module]:
    """The part, and for a language model also what is called without it: its embedding table and its decoder."""
    yield part
    for getter in ("get_input_embeddings", "get_decoder"):
        inner = getattr(part, getter, lambda: None)()
        if isinstance(inner, nn.Module):
            yield inner


def _tensors(part: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Parameters and buffers with their owners and names."""
    for owner in part.modules():
        for tensors in (owner.named_parameters(recurse=False), owner.named_buffers(recurse=False)):
            yield from ((owner, name, tensor) for name, tensor in tensors)


def _copy(tensor: Tensor, device: torch.device) -> Tensor:
    copy = tensor.detach().to(device)
    return nn.Parameter(copy, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
