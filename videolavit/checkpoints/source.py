"""Sources of the files of a checkpoint: a folder, or a hub repository fetched piece by piece.

Readers ask for the files of one part at a time, so answering a question never downloads a UNet.
"""

from __future__ import annotations

import difflib
import json
import logging
from pathlib import Path
from typing import Any

from videolavit.checkpoints.files import SUFFIXES, VARIANT_SUFFIXES
from videolavit.checkpoints.hub import HubAccess
from videolavit.errors import CheckpointError, MediaError
from videolavit.shipped import RECIPES
from videolavit.video.io.sources import local_path

__all__ = ["Source", "read_json", "weight_patterns"]

logger = logging.getLogger(__name__)


class Source:
    """Files of a local folder, or of a model on the hub, which are downloaded when asked for and cached."""

    def __init__(
        self, folder_or_hub_id: str | Path, revision: str | None = None, access: HubAccess | None = None
    ) -> None:
        self._access = access or HubAccess()
        self.name = str(folder_or_hub_id)
        self._revision = revision
        try:
            self._folder = Path(local_path(folder_or_hub_id))
        except MediaError as error:
            raise CheckpointError(f"{error} (or give the id of a model on the hub, owner/name)") from error
        self._on_hub = not self._folder.is_dir()
        if self._on_hub and not _may_be_hub_id(self.name):
            raise CheckpointError(
                f"{self.name}: no such folder, and not the id of a model on the hub (owner/name); {_advice(self.name)}"
            )
        if not self._on_hub and revision is not None:
            raise CheckpointError(f"{self.name}: is a folder, and revision={revision!r} is for models on the hub only")

    @property
    def commit(self) -> str | None:
        """Of the hub, from which all files come; None for a folder."""
        return self._revision if self._on_hub else None

    def fetch(self, *patterns: str) -> Path:
        """The folder, after all its files that match one of `patterns` (shell style) have arrived.

        Raises:
            CheckpointError: the hub has no such model or revision, or cannot be reached and the cache is empty.
        """
        if self._on_hub:
            self._folder = self._download(list(patterns))
            # Further parts come from the same commit, also when the branch moves on in between.
            self._revision = self._folder.name
        return self._folder

    def _download(self, patterns: list[str]) -> Path:
        import huggingface_hub
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
        )

        logger.info("fetching %s of %s", ", ".join(patterns), self.name)
        try:
            own = self._access.arguments()
            return Path(
                huggingface_hub.snapshot_download(self.name, revision=self._revision, allow_patterns=patterns, **own)
            )
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
            at = f" at revision {self._revision!r}" if self._revision else ""
            reason = (str(error).splitlines() or [""])[0]
            raise CheckpointError(
                f"{self.name}: no such folder, and the hub did not give a model of this id{at} "
                f"({type(error).__name__}: {reason}); check the path or the id, the connection, and, for a model "
                "behind a licence, that you are logged in and have accepted it"
            ) from error


def weight_patterns(stem: str, *, variants: bool = False) -> list[str]:
    """Patterns for all forms in which the tensors of `stem` (a path without ending) may be stored.

    Variants are files whose names tell a type of numbers, `.fp16.` for instance; they are not fetched beside others.
    """
    if variants:
        return [stem + suffix for suffix in VARIANT_SUFFIXES] + [f"{stem}.*-*-of-*", f"{stem}-*-of-*"]
    return [stem + suffix for suffix in SUFFIXES] + [f"{stem}-*-of-*"]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: no such file, or not a JSON object.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; the checkpoint is incomplete, download it again")
    try:
        values = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error}); download it again") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: got a JSON {type(values).__name__}, expected an object")
    return values


def _may_be_hub_id(name: str) -> bool:
    owner, _, model = name.partition("/")
    return bool(owner and model) and "/" not in model and not name.startswith((".", "~")) and "\\" not in name


def _advice(name: str) -> str:
    """The model of the package that a name may mean, or where to look."""
    close = difflib.get_close_matches(name.lower(), RECIPES, n=1)
    return f"did you mean {close[0]}?" if close else f"check the path; the package holds {' and '.join(RECIPES)}"
