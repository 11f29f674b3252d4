"""The native layout: one configuration, one safetensors file for each part (docs/checkpoints.md).

    config.json                         format, vocabulary, configuration of every part and scheduler
    language_model.safetensors ...      weights of a part, under the names of its module
    language_model.tokenizer/           text tokenizer of a language model, as transformers saves it

A part is in config.json exactly if its file is there. Unknown keys and versions are errors.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from videolavit.checkpoints.files import open_tensors
from videolavit.checkpoints.parts import (
    ANSWERING,
    PARTS,
    SCHEDULERS,
    Checkpoint,
    StoredPart,
    config_as_json,
    config_from_json,
)
from videolavit.checkpoints.released import TEXT_TOKENIZER_FILES
from videolavit.checkpoints.source import Source, read_json
from videolavit.checkpoints.writing import write_safetensors
from videolavit.config import from_dict, to_dict
from videolavit.errors import CheckpointError
from videolavit.vocabulary import Vocabulary

__all__ = ["CONFIG_FILE", "FORMAT_VERSION", "NativeCheckpoint", "is_native", "write_native"]

CONFIG_FILE = "config.json"
FORMAT, FORMAT_VERSION = "videolavit", 1


class NativeCheckpoint(Checkpoint):
    """A checkpoint in the native layout."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._config = _checked(read_json(source.fetch(CONFIG_FILE) / CONFIG_FILE), where=f"{self.name}/{CONFIG_FILE}")

    @property
    def vocabulary(self) -> Vocabulary:
        return from_dict(Vocabulary, self._config["vocabulary"], where=f"{self.name}/{CONFIG_FILE}: vocabulary")

    def held(self) -> list[str]:
        return [*self._config["parts"], *self._config["schedulers"]]

    def part(self, name: str) -> StoredPart:
        values = self._entry("parts", name)
        folder = self._source.fetch(f"{name}.safetensors", f"{name}.tokenizer/*")
        path, words = folder / f"{name}.safetensors", folder / f"{name}.tokenizer"
        return StoredPart(
            name=name,
            config=config_from_json(name, values, where=f"{self.name}/{CONFIG_FILE}: {name}"),
            tensors=open_tensors(path),
            origin=lambda key: (str(path), key),
            text_tokenizer=words if words.is_dir() else None,
        )

    def answering(self, name: str) -> str:
        return ANSWERING + name if ANSWERING + name in self._config["parts"] else name

    def scheduler(self, name: str) -> dict[str, Any]:
        return self._entry("schedulers", name)

    def _entry(self, group: str, name: str) -> dict[str, Any]:
        if name not in self._config[group]:
            raise CheckpointError(
                f"{self.name}: has no {name}; it holds {', '.join(self.held())}. The task needs that part: "
                "take a checkpoint that has it"
            )
        return self._config[group][name]


def is_native(source: Source) -> bool:
    """Whether a checkpoint is in the native layout, by the `format` in its config.json."""
    path = source.fetch(CONFIG_FILE) / CONFIG_FILE
    return path.is_file() and read_json(path).get("format") == FORMAT


def write_native(
    folder: Path,
    vocabulary: Vocabulary,
    parts: Iterable[StoredPart],
    schedulers: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write a checkpoint into an empty folder, one tensor in memory at a time."""
    configs = {}
    for part in parts:
        configs[part.name] = config_as_json(part)
        write_safetensors(folder / f"{part.name}.safetensors", part.tensors)
        if part.text_tokenizer is not None:
            copy_text_tokenizer(part.text_tokenizer, folder / f"{part.name}.tokenizer")
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vocabulary": to_dict(vocabulary),
        "parts": configs,
        "schedulers": {name: dict(values) for name, values in schedulers.items()},
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")


def copy_text_tokenizer(source: Path, target: Path) -> None:
    """Copy the files of a transformers tokenizer, and nothing else that lies beside them."""
    target.mkdir(exist_ok=True)
    for file in TEXT_TOKENIZER_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, target / file)


def _checked(config: dict[str, Any], where: str) -> dict[str, Any]:
    version = config.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{where}: format version {version!r}, expected {FORMAT_VERSION}; a newer videolavit may have written it, "
            "update yours"
        )
    known = {"format", "format_version", "vocabulary", "parts", "schedulers"}
    if set(config) != known:
        raise CheckpointError(f"{where}: has the keys {sorted(config)}, expected {sorted(known)}")
    unknown = [name for name in config["parts"] if name not in PARTS]
    unknown += [name for name in config["schedulers"] if name not in SCHEDULERS]
    if unknown:
        raise CheckpointError(
            f"{where}: unknown part {', '.join(unknown)}; known are {', '.join((*PARTS, *SCHEDULERS))}"
        )
    return config
