"""Facts of a model in the native layout, read from its small files: parts, sizes, and the words that it knows."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videolavit.commands._shared.console import readable_size
from videolavit.errors import CheckpointError
from videolavit.old_names import current_names
from videolavit.shipped import RECIPES, shipped_model

__all__ = ["ModelInfo", "look_at_model", "model_folder"]

_CONFIG = "config.json"
_WIDTH = 80
_ROLES = {"user", "assistant"}
"""Words of the template of conversations, which are known and mean nothing in a prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A model: what it is made of and what it can be asked for."""

    num_bytes: int
    components: tuple[str, ...]
    num_text: int
    num_visual_codes: int
    num_motion_codes: int
    height: int | None
    """Of what it generates by default; None where only its networks know it."""
    width: int | None
    frames_per_clip: int
    fps: float
    known_words: tuple[str, ...]
    """In alphabetical order; empty for a model that was not trained on a list of words."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Names and values, for people."""
        yield "model", f"{len(self.components)} parts, {readable_size(self.num_bytes)}"
        yield from _wrapped("parts", ", ".join(self.components))
        if not self.num_text:
            return  # what a stage exported: parts alone
        ids = f"{self.num_text:,} of text, {self.num_visual_codes:,} of images, {self.num_motion_codes:,} of motion"
        yield "ids", ids
        if self.height is not None:
            yield "images", f"{self.width} x {self.height}"
        seconds = self.frames_per_clip / self.fps
        yield "clips", f"{self.frames_per_clip} frames, {self.fps:g} a second: {seconds:g} s"
        if self.known_words:
            yield "words", f"{len(self.known_words)}, and no others:"
            yield from _wrapped("", " ".join(self.known_words))


def _wrapped(name: str, text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(textwrap.wrap(text, _WIDTH)):
        yield ("" if number else name), line


def model_folder(name: str) -> Path | None:
    """Folder of a model by its name, if it is one; a file or folder comes before a model of the package.

    Raises:
        CheckpointError: the package was built without the model of that name.
    """
    path = Path(name)
    if name in RECIPES and not path.exists():
        return Path(shipped_model(name))
    return path if (path / _CONFIG).is_file() else None


def look_at_model(folder: Path) -> ModelInfo:
    """Facts of a model.

    Raises:
        CheckpointError: it is no model in the native layout, or a file is damaged.
    """
    config = current_names(_read(folder / _CONFIG))
    try:
        processor = config.get("settings", {}).get("video_processor", {})
        vocabulary = config.get("vocabulary") or {}
        return ModelInfo(
            num_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            components=tuple(config["parts"]),
            **{name: vocabulary.get(name, 0) for name in ("num_text", "num_visual_codes", "num_motion_codes")},
            height=processor.get("height"),
            width=processor.get("width"),
            frames_per_clip=processor.get("frames_per_clip", 24),
            fps=processor.get("fps", 6.0),
            known_words=tuple(sorted(_known_words(folder))),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / _CONFIG}: is not that of a model in the native layout ({error} is missing or wrong); "
            "`videolavit convert` makes one of a released model"
        ) from error


def _known_words(folder: Path) -> list[str]:
    files = sorted(folder.glob("language_model.tokenizer/tokenizer_config.json"))
    words = [word for file in files for word in _read(file).get("known_words") or ()]
    return [word for word in words if word not in _ROLES]


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: is no JSON object")
    return values
