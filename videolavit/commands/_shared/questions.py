"""Questions on the command line: files among them are refused, and a small model says what it cannot know."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from videolavit.errors import ConfigError, MediaError
from videolavit.video.io.write import EXTENSIONS, read_metadata

__all__ = ["check_questions", "warn_of_small_model"]

logger = logging.getLogger(__name__)

_SMALL = (None, "tiny")
"""Names by which a command line means the model of the package."""

_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".heic", ".avif", ".tif", ".tiff")
_VIDEOS = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif", ".m4v", ".mpg", ".mpeg")


def check_questions(questions: Sequence[str]) -> None:
    """Refuse files where questions are expected.

    Raises:
        ConfigError: a question is the name of a file.
    """
    for question in questions:
        is_word = len(question.split()) == 1
        extension = Path(question).suffix.lower() if is_word else ""
        if extension in _IMAGES + _VIDEOS or (0 < len(question) < 255 and Path(question).is_file()):
            option = "--image" if extension in _IMAGES else "--video"
            raise ConfigError(f"{question} is a file where a question is expected; show it with {option} {question}")


def warn_of_small_model(model: str | None, files: Sequence[str]) -> None:
    """Tell that the model of the package guesses where it is shown nothing, or what it was not trained on."""
    if model not in _SMALL:
        return
    if not files:
        logger.warning("nothing is shown, so the answer is a guess; show something with --image FILE or --video FILE")
        return
    foreign = [file for file in files if not _is_ours(file)]
    if foreign:
        logger.warning(
            "%s: the small model knows a drawn world alone, and answers in its words whatever it is shown", foreign[0]
        )


def _is_ours(file: str) -> bool:
    """True if this package wrote the file, as far as that can be told; what cannot be read is told elsewhere."""
    if not Path(file).is_file() or Path(file).suffix.lower() not in EXTENSIONS:
        return not Path(file).is_file()
    try:
        return str(read_metadata(file).get("made_by", "")).startswith("videolavit")
    except MediaError:
        return True
