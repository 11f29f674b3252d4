"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def videos() -> Path:
    """Folder of real clips that are not part of the project; tests that need it skip where it is missing."""
    folder = Path(os.environ.get("VIDEOLAVIT_VIDEOS", PROJECT.parent / "shared" / "videos"))
    if not folder.is_dir():
        pytest.skip("no folder of real clips; set VIDEOLAVIT_VIDEOS to one")
    return folder


@pytest.fixture(scope="session")
def shipped_model() -> Path:
    """Folder of the model that `VideoLaVIT.from_pretrained()` opens; tests that need it skip where it is missing."""
    from videolavit.shipped import DEFAULT_MODEL, FOLDER

    if not (FOLDER / DEFAULT_MODEL / "config.json").is_file():
        pytest.skip("this checkout has no shipped model; `python recipes/tiny.py --ship` makes it")
    return FOLDER / DEFAULT_MODEL
