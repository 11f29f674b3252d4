"""The small models that are part of the package, so that everything works without a download."""

from __future__ import annotations

from pathlib import Path

from videolavit.errors import CheckpointError

__all__ = ["DEFAULT_MODEL", "FOLDER", "RECIPES", "named_model", "shipped_model"]

FOLDER = Path(__file__).parent / "assets"
"""Holds a checkpoint in the native layout for each of the models."""

RECIPES = {"tiny": "recipes/tiny.py", "things": "recipes/things.py"}
"""By name of a model: what trains it and, with `--ship`, writes it into the package."""

DEFAULT_MODEL = "tiny"


def named_model(name: str) -> str:
    """Folder or hub id by the name of a model: the name itself, or the folder of a model of the package.

    A folder of the name comes first.

    Raises:
        CheckpointError: the package was built without the model.
    """
    return shipped_model(name) if name in RECIPES and not Path(name).is_dir() else name


def shipped_model(name: str = DEFAULT_MODEL) -> str:
    """Folder of a model of the package.

    Raises:
        CheckpointError: the package was built without it.
    """
    folder = FOLDER / name
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: this copy of the package has no model of that name; name another one, or train it with "
            f"`python {RECIPES[name]} --ship` in a checkout"
        )
    return str(folder)
