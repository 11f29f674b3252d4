"""Small checkpoints in the released layout, written once."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints.small_release import write_small_release


@pytest.fixture(scope="session")
def small_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the release comes: `.bin` files, and the vision transformer in a file of its own."""
    return write_small_release(tmp_path_factory.mktemp("small_release"))
