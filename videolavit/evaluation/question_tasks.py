"""Tasks in which a model answers questions about rendered videos, each with one right answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from videolavit.data.shapes import image_questions, questions
from videolavit.evaluation.adapter import ModelAdapter
from videolavit.evaluation.samples import SceneSample
from videolavit.evaluation.tasks import Result

__all__ = [
    "MAX_NEW_TOKENS",
    "OpenQuestion",
    "answers_about",
    "are_right",
    "by_topic",
    "is_right",
    "motion_questions",
    "order_questions",
    "questions_on_image",
    "shortened_context",
    "video_questions",
]

MAX_NEW_TOKENS = 32
MOTION_TOPICS = ("direction", "speed", "camera")


@runtime_checkable
class OpenQuestion(Protocol):
    """A question of any rendered world, with its one right answer."""

    @property
    def text(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def answer(self) -> str: ...


def video_questions(model: ModelAdapter, sample: SceneSample) -> Result:
    """All questions on a video, by topic."""
    asked = questions(sample.scene, sample.seed)
    return by_topic(asked, answers_about(model, asked, video=sample.frames))


def questions_on_image(model: ModelAdapter, sample: SceneSample) -> Result:
    """All questions on an image, by topic."""
    asked = image_questions(sample.scene, sample.seed)
    return by_topic(asked, answers_about(model, asked, image=sample.first_frame))


def order_questions(model: ModelAdapter, sample: SceneSample) -> Result:
    """Questions on what happens in which part of a video, and after what."""
    asked = [question for question in questions(sample.scene, sample.seed) if question.topic == "order"]
    return {"all": are_right(asked, answers_about(model, asked, video=sample.frames))}


def shortened_context(model: ModelAdapter, sample: SceneSample) -> Result:
    """Questions on the order of events in two clips, about both and about the first alone: what context is good for."""
    asked = [question for question in questions(sample.scene, sample.seed) if question.topic == "order"]
    whole = are_right(asked, answers_about(model, asked, video=sample.frames))
    half = are_right(asked, answers_about(model, asked, video=sample.frames[: len(sample.frames) // 2]))
    fall = [100.0 * (one - other) for one, other in zip(whole, half, strict=True)]
    return {"both clips": whole, "first clip alone": half, "fall in points": fall}


def motion_questions(model: ModelAdapter, sample: SceneSample) -> Result:
    """Questions on motion, about the video and about its keyframe alone: what motion ids are good for."""
    asked = [question for question in questions(sample.scene, sample.seed) if question.topic in MOTION_TOPICS]
    seen = are_right(asked, answers_about(model, asked, video=sample.frames))
    guessed = are_right(asked, answers_about(model, asked, image=sample.first_frame))
    fall = [100.0 * (one - other) for one, other in zip(seen, guessed, strict=True)]
    return {"with motion ids": seen, "without motion ids": guessed, "fall in points": fall}


def answers_about(
    model: ModelAdapter, asked: Sequence[OpenQuestion], *, image: Any = None, video: Any = None
) -> list[str]:
    """Answers to questions on one image or video."""
    texts, count = [question.text for question in asked], len(asked)
    return model.answer(texts, images=[image] * count, videos=[video] * count, max_new_tokens=MAX_NEW_TOKENS)


def by_topic(asked: Sequence[OpenQuestion], answers: Sequence[str]) -> Result:
    """Right and wrong answers of all questions, and of those of each topic."""
    right = are_right(asked, answers)
    topics: dict[str, list[bool]] = defaultdict(list)
    for question, is_right in zip(asked, right, strict=True):
        topics[question.topic].append(is_right)
    return {"all": right, **topics}


def are_right(asked: Sequence[OpenQuestion], answers: Sequence[str]) -> list[bool]:
    """Right and wrong, for each question in turn."""
    return [is_right(answer, question.answer) for question, answer in zip(asked, answers, strict=True)]


def is_right(said: str, answer: str) -> bool:
    """True for the right words, in capitals or with a full stop, too."""
    return said.strip().lower().removesuffix(".") == answer.lower()
