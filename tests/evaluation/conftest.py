"""Scenes that several tests look at, rendered once."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from videolavit.evaluation.samples import ShapesWorld


@pytest.fixture(scope="module")
def kept_samples() -> Iterator[None]:
    """A sample that was asked for is kept: all models and many tasks look at the same, and rendering takes longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShapesWorld, "sample", functools.cache(ShapesWorld.sample))
        yield
