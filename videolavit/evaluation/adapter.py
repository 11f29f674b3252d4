"""The model as a benchmark sees it: questions in, answers out; texts in, images and videos out.

Benchmarks know nothing else of a model, so that their arithmetic can be tested with an adapter that knows the truth,
and so that a model of another kind needs these few methods to be measured by the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from videolavit.evaluation.media import as_image

__all__ = ["AnsweringModel", "PipelineAnswers"]


@runtime_checkable
class AnsweringModel(Protocol):
    """What a benchmark of questions needs of a model."""

    def missing(self, parts: Sequence[str]) -> list[str]:
        """Which of these parts of a checkpoint it does not have."""
        ...

    def identity(self, parts: Sequence[str]) -> str:
        """Digest that differs if one of these parts does."""
        ...

    def answer(
        self, questions: Sequence[str], *, images: Sequence[Any], videos: Sequence[Any], max_new_tokens: int
    ) -> list[str]:
        """Answers in words.

        Args:
            questions: each about its own image or video.
            images: for each question a path, bytes of an image file or an array, or None.
            videos: for each question a path or an array of frames, or None.
            max_new_tokens: length limit of an answer.

        Raises:
            MediaError: an image or a video cannot be read.
        """
        ...

    def option_losses(
        self, question: str, options: Sequence[str], *, image: Any = None, video: Any = None
    ) -> list[float]:
        """Mean negative log-likelihood per token of each option as the answer."""
        ...


class PipelineAnswers:
    """The answers of a `VideoLaVIT`, in batches of questions on one image or video."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def answer(
        self, questions: Sequence[str], *, images: Sequence[Any], videos: Sequence[Any], max_new_tokens: int
    ) -> list[str]:
        """See `AnsweringModel`."""
        answers = [""] * len(questions)
        for places in _same_media(images, videos):
            asked = [questions[place] for place in places]
            image, video = as_image(images[places[0]]), videos[places[0]]
            found = self.model.answer(asked, image=image, video=video, max_ids=max_new_tokens)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer.text
        return answers


def _same_media(images: Sequence[Any], videos: Sequence[Any]) -> list[list[int]]:
    """Places of the questions on each image or video, in the order in which these first come."""
    found: dict[Any, list[int]] = {}
    for place, media in enumerate(zip(images, videos, strict=True)):
        found.setdefault(tuple(_key(one) for one in media), []).append(place)
    return list(found.values())


def _key(source: Any) -> Any:
    return source if isinstance(source, str | bytes) or hasattr(source, "__fspath__") else id(source)
