"""Count how often media are taken apart for questions."""

from __future__ import annotations

import pytest

from videolavit.pipeline import VideoLaVIT, answering


def watched_looks(monkeypatch: pytest.MonkeyPatch, model: VideoLaVIT) -> list[object]:
    """Sources that are taken apart from now on; the model has forgotten all it saw before."""
    seen: list[object] = []
    take_apart = answering.looked_at_clips

    def look(source, *arguments, **options):
        seen.append(source)
        return take_apart(source, *arguments, **options)

    monkeypatch.setattr(answering, "looked_at_clips", look)
    model.memory.forget()
    return seen
