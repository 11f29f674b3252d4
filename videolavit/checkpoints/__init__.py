"""Checkpoints in and out: the released layout, the native one, and conversion between them."""

from videolavit.checkpoints.convert import LAYOUTS, convert, open_checkpoint
from videolavit.checkpoints.parts import PARTS, SCHEDULERS, Checkpoint, StoredPart, live_part, load_part

__all__ = [
    "LAYOUTS",
    "PARTS",
    "SCHEDULERS",
    "Checkpoint",
    "StoredPart",
    "convert",
    "live_part",
    "load_part",
    "open_checkpoint",
]
