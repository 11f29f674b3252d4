"""Devices and types of numbers by their names, refused before anything is loaded."""

from __future__ import annotations

from typing import Any

import torch

from videolavit.errors import ConfigError

__all__ = ["floating_dtype", "usable_device"]


def usable_device(device: str | torch.device) -> torch.device:
    """The device of a name; "auto" is a GPU where there is one.

    Raises:
        ConfigError: no such device, or none that works here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # Assertion: without that backend
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"device={device}: cannot be used here: {reason}; try auto or cpu") from error
    if found.type == "meta":
        raise ConfigError(f"device={device}: holds shapes and no numbers; try auto or cpu")
    return found


def floating_dtype(dtype: Any) -> torch.dtype | None:
    """A floating type, by itself or by its name in torch; None for None.

    Raises:
        ConfigError: it is something else.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise ConfigError(f"got dtype={dtype!r}, expected a floating type such as torch.bfloat16, or None")
    return found
