"""Questions on the command line: files among them are refused, and questions without quotes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from videolavit.errors import ConfigError

__all__ = ["check_questions"]

_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".heic", ".avif", ".tif", ".tiff")
_VIDEOS = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif", ".m4v", ".mpg", ".mpeg")


def check_questions(questions: Sequence[str]) -> None:
    """Refuse files where questions are expected, and words that are one question without quotes.

    Raises:
        ConfigError: a question is the name of a file, or there are several of a single word each.
    """
    for question in questions:
        is_word = len(question.split()) == 1
        extension = Path(question).suffix.lower() if is_word else ""
        if extension in _IMAGES + _VIDEOS or (0 < len(question) < 255 and Path(question).is_file()):
            option = "--image" if extension in _IMAGES else "--video"
            raise ConfigError(f"{question} is a file where a question is expected; show it with {option} {question}")
    if len(questions) > 1 and all(len(question.split()) == 1 for question in questions):
        line = f'videolavit answer "{" ".join(questions)}" ...'
        raise ConfigError(f"the question has several words and no quotes around them; write: {line}")
