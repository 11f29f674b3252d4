"""Feature vectors of real videos and images, kept between runs: they do not depend on the model that is measured.

One small file for each vector, named by the SHA-256 of all that decides it: the content of the real file, the network's
own file and the recipe of its input, the frames that are compared. So nothing is found that another file, network or
protocol gave, and several processes may write into one folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from videolavit.errors import OutputError
from videolavit.evaluation.files import file_sha256
from videolavit.evaluation.metrics.networks import Networks
from videolavit.jobs.partial_files import partial_path

__all__ = ["RealFeatures"]

_REVISION = 2
"""To be raised when frames are read, chosen or resized in another way."""


class RealFeatures:
    """Features of real files by several networks, from a folder where they are there already.

    Args:
        folder: where they are kept; None keeps none.
        networks: what computes them.
    """

    def __init__(self, folder: Path | None, networks: Networks) -> None:
        self._folder, self._networks = folder, networks
        self._recipes: dict[str, Any] = {}

    def of(
        self, path: Path, names: Iterable[str], chosen: Mapping[str, Any], read: Callable[[], np.ndarray]
    ) -> dict[str, Float32[np.ndarray, "..."]]:
        """Features of one file by each of these networks.

        Args:
            path: the real video or image.
            names: of networks.
            chosen: what decides which of its frames are seen, as JSON values.
            read: gives these frames, (frames, height, width, 3) of uint8; called at most once, if something is missing.

        Raises:
            MediaError: the file cannot be read, or is too short.
            OutputError: the folder cannot be written.
        """
        frames: np.ndarray | None = None
        found: dict[str, np.ndarray] = {}
        for name in names:
            place = self._place(path, name, chosen)
            stored = None if place is None else _load(place)
            if stored is None:
                frames = read() if frames is None else frames
                stored = self._networks[name].features(frames)
                if place is not None:
                    _save(place, stored)
            found[name] = stored
        return found

    def _place(self, path: Path, name: str, chosen: Mapping[str, Any]) -> Path | None:
        if self._folder is None or not path.is_file():
            return None  # a file that is missing is told by what reads it
        if name not in self._recipes:
            self._recipes[name] = self._networks[name].recipe()
        key = {"revision": _REVISION, "file": file_sha256(path), "network": self._recipes[name], "chosen": dict(chosen)}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self._folder / name / digest[:2] / f"{digest}.npy"


def _load(place: Path) -> np.ndarray | None:
    """A stored vector; None where there is none, or a damaged one."""
    try:
        found = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == np.float32 and np.isfinite(found).all() else None


def _save(place: Path, values: np.ndarray) -> None:
    partial = partial_path(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        os.replace(partial, place)
    except OSError as error:
        raise OutputError(f"{place}: features cannot be kept: {error}; name another folder with --features") from error
    finally:
        partial.unlink(missing_ok=True)
