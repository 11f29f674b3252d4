"""The small model that is part of the package, so that everything works without a download."""

from __future__ import annotations

from pathlib import Path

from videolavit.checkpoints.native import CONFIG_FILE
from videolavit.errors import CheckpointError

__all__ = ["SHIPPED_MODEL", "named_model", "shipped_model"]

SHIPPED_MODEL = Path(__file__).parent.parent / "assets" / "tiny"
"""A checkpoint in the native layout; `python recipes/tiny.py --ship` writes it."""

SHIPPED_NAME = "tiny"
"""Stands for it where stages and commands of training take a model."""


def named_model(name: str) -> str:
    """Folder or hub id of a model that training starts from or builds on: itself, or the shipped one's folder."""
    return shipped_model() if name == SHIPPED_NAME and not Path(name).is_dir() else name


def shipped_model() -> str:
    """Folder of the model.

    Raises:
        CheckpointError: the package was built without one.
    """
    if not (SHIPPED_MODEL / CONFIG_FILE).is_file():
        raise CheckpointError(
            f"{SHIPPED_MODEL}: this copy of the package has no model; name one, or train it with "
            "`python recipes/tiny.py --ship` in a checkout"
        )
    return str(SHIPPED_MODEL)
