"""Checkpoints in and out: the released layout, the native one, and conversion between them."""

from videolavit.checkpoints.convert import LAYOUTS, convert, open_checkpoint
from videolavit.checkpoints.registry import (
    COMPONENTS,
    SCHEDULERS,
    Checkpoint,
    StoredComponent,
    live_component,
    load_component,
)

__all__ = [
    "COMPONENTS",
    "LAYOUTS",
    "SCHEDULERS",
    "Checkpoint",
    "StoredComponent",
    "convert",
    "live_component",
    "load_component",
    "open_checkpoint",
]
