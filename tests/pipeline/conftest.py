"""The small model, made once."""

from __future__ import annotations

import pytest
from pipeline.small_model import small_model

from videolavit.pipeline import VideoLaVIT


@pytest.fixture(scope="session")
def model() -> VideoLaVIT:
    return small_model()
