"""Doubts about the answers of a model of a small world: nothing is shown, or something foreign.

A model whose text tokenizer keeps a list of known words (`unknown_words.py`) was trained on that world alone, and
answers in its words whatever it is shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from videolavit.errors import MediaError
from videolavit.language.unknown_words import has_small_world
from videolavit.video.io.write import EXTENSIONS, read_metadata

__all__ = ["doubts"]


def doubts(tokenizer: Any, media: Sequence[Any], *, has_history: bool) -> Iterator[str]:
    """Reasons not to believe an answer about `media`, as sentences; none for a model of the whole world.

    Args:
        tokenizer: the model's.
        media: images and videos that are shown.
        has_history: whether something may have been shown before.
    """
    if not has_small_world(tokenizer):
        return
    if not media and not has_history:
        yield "nothing is shown, so the answer is a guess; show an image or a video with the question"
    foreign = [source for source in media if isinstance(source, str | os.PathLike) and not _is_ours(Path(source))]
    if foreign:
        yield f"{foreign[0]}: this model knows a drawn world alone, and answers in its words whatever it is shown"


def _is_ours(file: Path) -> bool:
    """True if this package wrote the file, as far as that can be told; what cannot be read is told elsewhere."""
    if not file.is_file() or file.suffix.lower() not in EXTENSIONS:
        return not file.is_file()
    try:
        return str(read_metadata(file).get("made_by", "")).startswith("videolavit")
    except MediaError:
        return True
