"""The native layout: one configuration, one safetensors file for each part (docs/checkpoints.md).

    config.json                         format, vocabulary, settings, configuration of every part and scheduler,
                                        SHA-256 of every other file
    language_model.safetensors ...      weights of a part, under the names of its module
    language_model.tokenizer/           text tokenizer of a language model, as transformers saves it

A part is in config.json exactly if its file is there, or if it is {"same_as": part}: then it has that one's
configuration and weights. Weights of a language model in 8 or 4 bits are stored as they compute (`nn/quantized.py`),
with "videolavit_quantize" beside its configuration. Unknown keys and versions are errors. A stage of training exports
the same layout, with the parts that it has trained (`videolavit.checkpoints.artifacts`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from videolavit.checkpoints.checksums import check_file, damaged_files, file_hashes
from videolavit.checkpoints.files import open_tensors
from videolavit.checkpoints.registry import (
    ANSWERING,
    BETWEEN_STAGES,
    COMPONENTS,
    QUANTIZE,
    SCHEDULERS,
    Checkpoint,
    StoredComponent,
    config_as_json,
    config_from_json,
)
from videolavit.checkpoints.released import TEXT_TOKENIZER_FILES
from videolavit.checkpoints.source import Source, read_json
from videolavit.checkpoints.writing import write_safetensors
from videolavit.config import from_dict, to_dict
from videolavit.errors import CheckpointError
from videolavit.old_names import current_names
from videolavit.settings import ModelSettings
from videolavit.vocabulary import Vocabulary

__all__ = ["CONFIG_FILE", "FORMAT_VERSION", "NativeCheckpoint", "is_native", "write_native"]

CONFIG_FILE = "config.json"
FORMAT, FORMAT_VERSION = "videolavit", 1
HASH_DIGITS = 16
CHECKED_BYTES = 256 * 2**20
"""Larger files are held against their checksums by `videolavit doctor` alone: loading maps them and reads no byte."""


class NativeCheckpoint(Checkpoint):
    """A checkpoint in the native layout."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._config = _checked(read_json(source.fetch(CONFIG_FILE) / CONFIG_FILE), where=f"{self.name}/{CONFIG_FILE}")

    @property
    def vocabulary(self) -> Vocabulary:
        if "vocabulary" not in self._config:
            raise CheckpointError(f"{self.name}: is the export of a stage without a vocabulary; give a whole model")
        return from_dict(Vocabulary, self._config["vocabulary"], where=f"{self.name}/{CONFIG_FILE}: vocabulary")

    @property
    def hash(self) -> str | None:
        # The configuration holds the hashes of all other files.
        if "files" not in self._config:
            return None
        return hashlib.sha256(json.dumps(self._config, sort_keys=True).encode()).hexdigest()[:HASH_DIGITS]

    @property
    def settings(self) -> ModelSettings:
        values = current_names(self._config.get("settings", {}))
        return from_dict(ModelSettings, values, where=f"{self.name}/{CONFIG_FILE}: settings")

    def held(self) -> list[str]:
        return [*self._config["parts"], *self._config["schedulers"]]

    def part(self, name: str) -> StoredComponent:
        values = self._entry("parts", name)
        if "same_as" in values:
            return replace(self.part(values["same_as"]), name=name, same_as=values["same_as"])
        folder = self._source.fetch(f"{name}.safetensors", f"{name}.tokenizer/*")
        path, words = folder / f"{name}.safetensors", folder / f"{name}.tokenizer"
        self._check_files(folder, name)
        values = dict(values)
        quantize = values.pop(QUANTIZE, None)
        return StoredComponent(
            name=name,
            config=config_from_json(name, values, where=f"{self.name}/{CONFIG_FILE}: {name}"),
            tensors=open_tensors(path),
            origin=lambda key: (str(path), key),
            text_tokenizer=words if words.is_dir() else None,
            quantize=quantize,
        )

    def answering(self, name: str) -> str:
        return ANSWERING + name if ANSWERING + name in self._config["parts"] else name

    def scheduler(self, name: str) -> dict[str, Any]:
        return self._entry("schedulers", name)

    def damaged(self) -> dict[str, str]:
        return damaged_files(self._source.fetch(CONFIG_FILE), self._config.get("files", {}))

    def _check_files(self, folder: Path, name: str) -> None:
        """Hold what is read of a part against its checksums, unless that would take longer than reading it."""
        hashes = self._config.get("files", {})
        mine = {file: known for file, known in hashes.items() if file.startswith((f"{name}.safe", f"{name}.token"))}
        for file, known in mine.items():
            if (folder / file).is_file() and (folder / file).stat().st_size <= CHECKED_BYTES:
                check_file(folder / file, known)

    def _entry(self, group: str, name: str) -> dict[str, Any]:
        if name not in self._config[group]:
            raise CheckpointError(
                f"{self.name}: has no {name}; it holds {', '.join(self.held())}. The task needs that part: "
                "take a checkpoint that has it"
            )
        return self._config[group][name]


def is_native(source: Source) -> bool:
    """True if a checkpoint is in the native layout, by the `format` in its config.json."""
    path = source.fetch(CONFIG_FILE) / CONFIG_FILE
    return path.is_file() and read_json(path).get("format") == FORMAT


def write_native(
    folder: Path,
    vocabulary: Vocabulary | None,
    parts: Iterable[StoredComponent],
    schedulers: Mapping[str, Mapping[str, Any]],
    settings: ModelSettings | None,
) -> None:
    """Write a checkpoint into an empty folder, one tensor in memory at a time.

    What a stage exports has no settings, and a vocabulary only with a language model.
    """
    configs: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part.same_as is not None:
            configs[part.name] = {"same_as": part.same_as}
            continue
        configs[part.name] = config_as_json(part)
        # In order, so that the same tensors are the same file whatever they were read from, and have the same hash.
        write_safetensors(folder / f"{part.name}.safetensors", dict(sorted(part.tensors.items())))
        if part.text_tokenizer is not None:
            copy_text_tokenizer(part.text_tokenizer, folder / f"{part.name}.tokenizer")
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **({} if vocabulary is None else {"vocabulary": to_dict(vocabulary)}),
        **({} if settings is None else {"settings": to_dict(settings)}),
        "parts": configs,
        "schedulers": {name: dict(values) for name, values in schedulers.items()},
        "files": file_hashes(folder),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")


def copy_text_tokenizer(source: Path, target: Path) -> None:
    """Copy the files of a transformers tokenizer, and nothing else that lies beside them."""
    target.mkdir(exist_ok=True)
    for file in TEXT_TOKENIZER_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, target / file)


def _check_object(values: Any, what: str) -> None:
    if not isinstance(values, dict):
        raise CheckpointError(f"{what} is {values!r}, expected an object with names and values")


def _checked(config: dict[str, Any], where: str) -> dict[str, Any]:
    version = config.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{where}: format version {version!r}, expected {FORMAT_VERSION}; a newer videolavit may have written it, "
            "update yours"
        )
    needed = {"format", "format_version", "parts", "schedulers"}
    may_lack = {"vocabulary", "settings", "files"}
    if set(config) - may_lack != needed:
        raise CheckpointError(f"{where}: has the keys {sorted(config)}, expected {sorted(needed | may_lack)}")
    for name in ("parts", "schedulers", "settings"):
        _check_object(config.get(name, {}), f"{where}: {name}")
    for name, values in config["parts"].items():
        _check_object(values, f"{where}: parts: {name}")
        if not isinstance(values.get("same_as", ""), str):
            raise CheckpointError(f"{where}: {name} is the same as {values['same_as']!r}, expected the name of a part")
    unknown = [name for name in config["parts"] if name not in (*COMPONENTS, *BETWEEN_STAGES)]
    unknown += [name for name in config["schedulers"] if name not in SCHEDULERS]
    if unknown:
        raise CheckpointError(
            f"{where}: unknown part {', '.join(unknown)}; known are {', '.join((*COMPONENTS, *SCHEDULERS))}"
        )
    for name, values in config["parts"].items():
        other = values.get("same_as")
        if other is not None and (len(values) > 1 or "same_as" in config["parts"].get(other, {"same_as": ""})):
            raise CheckpointError(f"{where}: {name} is the same as {other!r}, which has no configuration of its own")
    return config
