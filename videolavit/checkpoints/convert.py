"""From one layout to the other, tensor by tensor: memory stays flat however large the checkpoint is."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from videolavit.checkpoints.hub import HubAccess
from videolavit.checkpoints.native import NativeCheckpoint, is_native, write_native
from videolavit.checkpoints.registry import COMPONENTS, Checkpoint, component_with_dtype
from videolavit.checkpoints.released import ReleasedCheckpoint
from videolavit.checkpoints.released_writing import write_released
from videolavit.checkpoints.source import Source
from videolavit.checkpoints.writing import new_folder
from videolavit.errors import CheckpointError, ConfigError

__all__ = ["LAYOUTS", "convert", "open_checkpoint"]

LAYOUTS = {"native": write_native, "released": write_released}

logger = logging.getLogger(__name__)


def open_checkpoint(
    folder_or_hub_id: str | Path, *, revision: str | None = None, access: HubAccess | None = None
) -> Checkpoint:
    """A checkpoint in either layout, from a folder or from the hub. Weights are read when a part is asked for.

    Raises:
        CheckpointError: no such folder, and no such model on the hub.
    """
    source = Source(folder_or_hub_id, revision, access)
    return NativeCheckpoint(source) if is_native(source) else ReleasedCheckpoint(source)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    layout: str = "native",
    dtype: torch.dtype | None = None,
    revision: str | None = None,
) -> list[str]:
    """Write the checkpoint at `source` to the new folder `target`, and return the names of what was written.

    `layout` is "native" or "released". Without `dtype` every tensor keeps its bits, so converting there and back gives
    the same tensors. With it, floating-point tensors are converted, but for codebooks and others that must stay
    float32.

    Raises:
        CheckpointError: `source` is no checkpoint, or damaged; `target` exists and is not empty.
        ConfigError: there is no such layout.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"got layout {layout!r}, expected {' or '.join(LAYOUTS)}")
    checkpoint = open_checkpoint(source, revision=revision)
    held = checkpoint.held()
    if not any(name in COMPONENTS for name in held):
        raise CheckpointError(
            f"{source}: holds no part of a model in the native or the released layout; check the path"
        )
    with new_folder(target) as folder:
        parts = (checkpoint.part(name) for name in held if name in COMPONENTS)
        schedulers = {name: checkpoint.scheduler(name) for name in held if name not in COMPONENTS}
        if dtype is not None:
            parts = (component_with_dtype(part, dtype) for part in parts)
        LAYOUTS[layout](folder, checkpoint.vocabulary, parts, schedulers, checkpoint.settings)
    logger.info("wrote %s to %s", ", ".join(held), target)
    return held
