"""One use of everything, so that the first request is as fast as the next."""

from __future__ import annotations

from typing import Any

__all__ = ["warm_up"]


def warm_up(model: Any) -> Any:
    """The same model after a small video and an answer about it: all its parts are loaded."""
    options = {"keyframe_num_inference_steps": 1, "num_inference_steps": 1, "seed": 0}
    video = model.video("a red circle moves right", candidates=1, **options)
    model.answer("Which colour is it?", video=video, max_new_tokens=4)
    model.memory.forget()
    return model
