"""A model that draws at once and remembers what it was asked, for what commands do around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from videolavit.pipeline.outputs import Answer, ClipTokens, GeneratedImage, GeneratedVideo
from videolavit.pipeline.token_text import Tokens

NOISE = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
TOKENS = ClipTokens(keyframe=torch.tensor([5, 6]), motion=torch.tensor([7, 8]))


class FakeModel:
    """Every task of the pipeline, without a network."""

    components = SimpleNamespace(hash="1234")

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.steps: Callable[[str, int, int], None] | None = None
        """Called instead of the caller's progress."""

    def image(self, *arguments: Any, **options: Any) -> GeneratedImage:
        self._called("image", arguments, options)
        return GeneratedImage(pixels=NOISE[0], tokens=TOKENS, ids=torch.arange(9), metadata=self._note("image"))

    def video(self, *arguments: Any, preview: Any = None, **options: Any) -> GeneratedVideo:
        self._called("video", arguments, options)
        if preview is not None:
            preview(NOISE[:3], 0)
            preview(NOISE[:9], 1)
        return self._video("video")

    def continue_video(self, *arguments: Any, **options: Any) -> GeneratedVideo:
        self._called("continue_video", arguments, options)
        return self._video("continue_video")

    def detokenize(self, *arguments: Any, **options: Any) -> GeneratedVideo:
        self._called("detokenize", arguments, options)
        return self._video("detokenize")

    def edit(self, *arguments: Any, **options: Any) -> GeneratedVideo:
        self._called("edit", arguments, options)
        return self._video("edit")

    def tokenize(self, *arguments: Any, **options: Any) -> Tokens:
        self._called("tokenize", arguments, options)
        return Tokens(clips=(TOKENS,), ids=torch.arange(6), metadata=self._note("tokenize"))

    def answer(self, questions: list[str], **options: Any) -> list[Answer]:
        self._called("answer", (questions,), options)
        return [self._answer(question) for question in questions]

    def stream_answer(self, question: str, **options: Any) -> FakeStream:
        self._called("stream_answer", (question,), options)
        return FakeStream(self._answer(question))

    def _called(self, task: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        progress = self.steps or options.pop("progress")
        for done in range(3):
            progress("generate", done, 2)
        self.calls.append((task, arguments, options))

    def _video(self, task: str) -> GeneratedVideo:
        ids = torch.arange(9)
        return GeneratedVideo(frames=NOISE, fps=6.0, tokens=(TOKENS,), ids=ids, metadata=self._note(task))

    def _note(self, task: str) -> dict[str, Any]:
        run = {"task": task, "prompt": "ä ball", "clips": 2, "options": {"seed": 7}}
        return {"made_by": "videolavit 0", "model_hash": "1234", **run}

    def _answer(self, question: str) -> Answer:
        text = f"{question.upper()}!"
        return Answer(text=text, question=question, num_prompt_ids=3, num_ids=2, turns=(), timings={"generate": 0.5})


class FakeStream:
    """An answer, letter by letter."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def __iter__(self) -> Iterator[str]:
        yield from self.answer.text
