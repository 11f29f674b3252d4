"""Writing the released layout, file by file as in the release (reference section 8)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from videolavit.checkpoints import names
from videolavit.checkpoints.files import StoredTensor
from videolavit.checkpoints.native import copy_text_tokenizer
from videolavit.checkpoints.registry import StoredComponent, config_as_json
from videolavit.checkpoints.released import EVA_STEM, LOCATIONS, SCHEDULER_FOLDERS, SIZES_FILE
from videolavit.checkpoints.sizes import infer_config
from videolavit.checkpoints.writing import write_pickled, write_safetensors
from videolavit.config import to_dict
from videolavit.errors import CheckpointError
from videolavit.settings import ModelSettings
from videolavit.vocabulary import Vocabulary

__all__ = ["write_released"]

_VIT = "vit."


def write_released(
    folder: Path,
    vocabulary: Vocabulary,
    parts: Iterable[StoredComponent],
    schedulers: Mapping[str, Mapping[str, Any]],
    settings: ModelSettings,
) -> None:
    """Write a checkpoint into an empty folder, one tensor in memory at a time.

    Our own modules' files end in `.bin` as in the release; folders of transformers and diffusers hold safetensors.
    """
    stated = {} if vocabulary == Vocabulary() else {"vocabulary": to_dict(vocabulary)}
    stated |= {} if settings == ModelSettings() else {"settings": to_dict(settings)}
    files: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    for part in parts:
        for key, tensor in part.tensors.items():
            stem, released_key = _home(part.name, key)
            files[stem][released_key] = tensor
        _write_config(folder, part, stated)
    for stem, tensors in files.items():
        (folder / stem).parent.mkdir(parents=True, exist_ok=True)
        if stem.endswith("model"):
            write_safetensors(folder / f"{stem}.safetensors", tensors)
        else:
            write_pickled(folder / f"{stem}.bin", tensors)
    for name, values in schedulers.items():
        _write_json(folder / SCHEDULER_FOLDERS[name] / "scheduler_config.json", values)
    if stated:
        _write_json(folder / SIZES_FILE, stated)


def _home(name: str, key: str) -> tuple[str, str]:
    """File without ending, and released key, of one of our keys."""
    place = LOCATIONS[name]
    if name == "visual_tokenizer" and key.startswith(_VIT):
        return EVA_STEM, names.EVA_VIT.released(key.removeprefix(_VIT))
    return place.stems[0], place.prefix + place.names.released(key)


def _write_config(folder: Path, part: StoredComponent, stated: dict[str, Any]) -> None:
    """The configuration of a library's model beside it; of ours, in `stated`, only where shapes do not tell it."""
    place = LOCATIONS[part.name]
    if place.config_folder is not None:
        _write_json(folder / place.config_folder / "config.json", config_as_json(part))
        if part.text_tokenizer is not None:
            copy_text_tokenizer(part.text_tokenizer, folder / place.config_folder)
        return
    try:
        is_told = infer_config(part.name, part.tensors, {}, where=part.name) == part.config
    except CheckpointError:
        is_told = False
    if not is_told:
        stated[part.name] = config_as_json(part)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n")
