"""Fixtures of the tests of commands."""

from __future__ import annotations

import pytest


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch):
    """A `FakeModel` in the place of every model that a command opens."""
    from commands.fake_model import FakeModel  # not for tests without it: it imports torch

    fake = FakeModel()
    monkeypatch.setattr("videolavit.pipeline.VideoLaVIT.from_pretrained", lambda *_, **__: fake)
    return fake
