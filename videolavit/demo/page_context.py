"""Parts that all tabs share: the engine, limits, files of results, and small helpers of their events."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videolavit.demo.examples import EXAMPLES, NO_EXAMPLES, Examples
from videolavit.demo.model_calls import ModelCalls
from videolavit.demo.saved_results import SavedResults
from videolavit.errors import MediaError, PromptError
from videolavit.server.api_error import public_message
from videolavit.server.services import Services
from videolavit.video import Limits

__all__ = ["PageContext", "chosen_seed", "plain_message"]

LARGEST_SEED = 2**48
KEPT_SECONDS = 3600
"""Time that clips and frames of a visitor's last result stay in memory, to be looked at further."""


@dataclass(frozen=True, kw_only=True)
class PageContext:
    """Shared by all tabs of one page."""

    services: Services
    calls: ModelCalls
    files: SavedResults = field(default_factory=SavedResults)

    @property
    def limits(self) -> Limits:
        """Bounds of a video: the server's own bounds."""
        own = self.services.limits
        return Limits(
            max_bytes=own.video_bytes,
            max_pixels=own.video_pixels,
            max_duration_seconds=own.video_seconds,
            max_index_entries=10 * own.video_frames + 100_000,
        )

    @property
    def keys(self) -> bool:
        """True if the API asks for a key."""
        return self.services.has_keys

    @property
    def examples(self) -> Examples:
        """Texts for what the model knows."""
        return EXAMPLES.get(self.services.model_name, NO_EXAMPLES)

    async def check_upload(self, path: str | None, what: str) -> str:
        """The path of an upload that the server's gate for media has read as a whole, in a process of its own.

        Raises:
            MediaError: there is none.
            ApiError: it cannot be read, or not within the server's limits.
        """
        if not path:
            raise MediaError(f"choose {what} first: drop a file, or take one of the examples")
        await self.services.gate.try_upload(Path(path))
        return path

    def check_text(self, text: str) -> str:
        """Words or tokens of a visitor, as they are.

        Raises:
            PromptError: there are more of them than the server takes.
        """
        most = self.services.limits.text_characters
        if len(text) > most:
            raise PromptError(f"got {len(text)} characters, expected at most {most}; send less at once")
        return text

    def address(self, headers: Mapping[str, str] | Any) -> str:
        """The server's address as the visitor sees it, for the lines that repeat a result."""
        scheme = headers.get("x-forwarded-proto", "http").partition(",")[0]
        return f"{scheme}://{headers.get('host', '127.0.0.1:7860')}"


def chosen_seed(seed: float | int | None) -> int:
    """A visitor's seed, or a new one where the field is empty or -1."""
    return secrets.randbelow(LARGEST_SEED) if seed is None or seed < 0 else int(seed)


def plain_message(error: BaseException, *paths: str | None) -> str:
    """An error's words without the server's folders: of `paths` the names stay."""
    text = str(error) or type(error).__name__
    for path in filter(None, paths):
        text = text.replace(str(path), Path(str(path)).name)
    return public_message(text)


def example_videos() -> list[str]:
    """Videos that gradio's wheel ships, where they are."""
    return _shipped_media("videos", ("world.mp4",))


def example_images() -> list[str]:
    """Images that gradio's wheel ships, where they are."""
    return _shipped_media("images", ("cheetah1.jpg", "lion.jpg"))


def _shipped_media(kind: str, names: tuple[str, ...]) -> list[str]:
    found = importlib.util.find_spec("gradio")
    folder = Path((found.origin if found and found.origin else "") or ".").parent / "media_assets" / kind
    return [str(folder / name) for name in names if (folder / name).is_file()]
