"""Trained parts: what a stage of training exports, and what tasks and further stages load, in one form.

An artifact is a folder in the native layout (`videolavit.checkpoints.native`) with some of a model's parts, or with all
of them. Wherever one is asked for, it may be the export of a stage, a whole model as a folder or a hub id, or "tiny"
for the model in the package. Folders that earlier versions exported, and single models as diffusers saves them, are
read as if they had been written in the native layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from videolavit.checkpoints.checksums import check_folder
from videolavit.checkpoints.convert import open_checkpoint
from videolavit.checkpoints.files import StoredTensor, find_tensors, open_tensors
from videolavit.checkpoints.native import CONFIG_FILE, write_native
from videolavit.checkpoints.registry import (
    BETWEEN_STAGES,
    COMPONENTS,
    SCHEDULERS,
    Checkpoint,
    StoredComponent,
    config_from_json,
    live_component,
    load_component,
)
from videolavit.checkpoints.source import read_json
from videolavit.config import load_config
from videolavit.errors import CheckpointError
from videolavit.language import text_tokenizer
from videolavit.settings import ModelSettings
from videolavit.shipped import named_model
from videolavit.vocabulary import Vocabulary

__all__ = [
    "is_artifact",
    "load_artifact",
    "load_autoencoder",
    "load_text_tokenizer",
    "open_artifact",
    "read_artifact",
    "weights_files",
    "write_artifact",
]

_DIFFUSERS_WEIGHTS = "diffusion_pytorch_model"
_STAGE_OF = {
    "keyframe_vae": "autoencoder",
    "condition_decoder": "visual_tokenizer",
    "keyframe_unet": "keyframe_detokenizer",
    "motion_encoder": "video_detokenizer",
    "video_unet": "video_detokenizer",
    "video_compensation": "learned_compensation",
    "language_model": "pretraining",
    "language_proj": "pretraining",
}
"""Stages that export a part first, where their name is another one."""


def open_artifact(where: str | Path) -> Checkpoint:
    """The parts in a folder, a hub repository or the package ("tiny"), to be read one by one.

    Raises:
        CheckpointError: there are none, or a newer version wrote them.
    """
    name = named_model(str(where))
    earlier = _EarlierExport(Path(name))
    return earlier if earlier.held() else open_checkpoint(name)


def is_artifact(where: str | Path) -> bool:
    """True if `open_artifact` finds something, without asking the hub."""
    folder = Path(named_model(str(where)))
    return _is_native(folder) or bool(_files_of(folder))


def read_artifact(name: str, where: str | Path) -> StoredComponent:
    """One part, its tensors not read yet.

    Args:
        name: one of `registry.COMPONENTS` or `registry.BETWEEN_STAGES`.
        where: the export of a stage, a whole model, or "tiny".

    Raises:
        CheckpointError: there is no such part, or a file is missing or damaged.
    """
    if not str(where):
        raise CheckpointError(f"no folder is given for the {name}; name an export, a model, or tiny")
    artifact = open_artifact(where)
    held = artifact.held()
    if name in BETWEEN_STAGES and name not in held and "visual_tokenizer" in held:
        return _inside(artifact.part("visual_tokenizer"), name)
    if name not in held:
        stage = _STAGE_OF.get(name, name)
        raise CheckpointError(
            f"{where}: holds no {name}; train the stage that makes it first ({stage}), or check the folder"
        )
    return artifact.part(name)


def load_artifact(name: str, where: str | Path, *, dtype: torch.dtype | None = None) -> Any:
    """The module of one part with its weights; arguments and errors are those of `read_artifact`."""
    return load_component(read_artifact(name, where), dtype=dtype).eval()


def load_autoencoder(where: str | Path) -> Any:
    """The autoencoder of a model or an export, or any VAE that diffusers saved, in float32.

    Raises:
        CheckpointError: files are missing or damaged, or the class is none of a VAE.
    """
    # As a video VAE, of which there are more classes.
    return load_component(replace(read_artifact("keyframe_vae", where), name="video_vae"), dtype=torch.float32).eval()


def load_text_tokenizer(where: str | Path) -> Any:
    """The text tokenizer of an export or a whole model, or one in a folder of its own."""
    if is_artifact(where) and "language_model" in (artifact := open_artifact(where)).held():
        own = artifact.part("language_model").text_tokenizer
        return text_tokenizer.load_text_tokenizer(where if own is None else own)
    return text_tokenizer.load_text_tokenizer(where)


def weights_files(name: str, where: str | Path) -> list[Path]:
    """Files with the weights of one part: what they hold decides what the part does. Errors: see `read_artifact`."""
    part = read_artifact(name, where)
    return sorted({Path(part.origin(key)[0]) for key in part.tensors})


def write_artifact(
    folder: Path,
    components: Mapping[str, nn.Module | StoredComponent],
    *,
    schedulers: Mapping[str, Any] | None = None,
    vocabulary: Vocabulary | None = None,
    settings: ModelSettings | None = None,
) -> None:
    """Write parts, diffusers schedulers and the vocabulary of a language model into a folder, in the native layout."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        part if isinstance(part, StoredComponent) else live_component(name, part) for name, part in components.items()
    ]
    configs = {name: json.loads(scheduler.to_json_string()) for name, scheduler in (schedulers or {}).items()}
    write_native(folder, vocabulary, parts, configs, settings)


def _inside(visual: StoredComponent, name: str) -> StoredComponent:
    """A module of a visual tokenizer as a part of its own."""
    prefix = {"vision_encoder": "vit.", "language_proj": "language_proj."}[name]
    tensors = {key.removeprefix(prefix): value for key, value in visual.tensors.items() if key.startswith(prefix)}
    config = visual.config.vit if name == "vision_encoder" else _sizes_of_linear(tensors)
    return StoredComponent(
        name=name, config=config, tensors=tensors, origin=lambda key: visual.origin(f"{prefix}{key}")
    )


class _EarlierExport(Checkpoint):
    """A folder of single models: what earlier versions exported, or what diffusers saves."""

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = str(folder), folder
        self._files = _files_of(folder)

    @property
    def vocabulary(self) -> Vocabulary:
        if not (self._folder / "vocabulary.json").is_file():
            raise CheckpointError(f"{self.name}: is the export of a stage without a vocabulary; give a whole model")
        return load_config(Vocabulary, self._folder / "vocabulary.json")

    @property
    def settings(self) -> ModelSettings:
        return ModelSettings()  # exports of that time had none

    @property
    def hash(self) -> str | None:
        return None

    def held(self) -> list[str]:
        return list(self._files)

    def part(self, name: str) -> StoredComponent:
        config, weights = self._files[name]
        check_folder(self._folder)
        tensors = open_tensors(weights)
        own_words = self._folder / "text_tokenizer"
        return StoredComponent(
            name=name,
            config=_config(name, config, tensors),
            tensors=tensors,
            origin=lambda key: (str(weights), key),
            text_tokenizer=own_words if name == "language_model" and own_words.is_dir() else None,
        )

    def answering(self, name: str) -> str:
        return name

    def scheduler(self, name: str) -> dict[str, Any]:
        return read_json(self._files[name][0])


def _config(name: str, file: Path, tensors: Mapping[str, StoredTensor]) -> Any:
    if name == "language_proj":  # had no configuration
        return _sizes_of_linear(tensors)
    return config_from_json(name, read_json(file), where=str(file))


def _sizes_of_linear(tensors: Mapping[str, StoredTensor]) -> dict[str, int]:
    width, features = tensors["weight"].shape
    return {"in_features": features, "out_features": width}


def _files_of(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Configuration and weights of every part in a folder of an earlier form, none if it has the native layout."""
    if not folder.is_dir() or _is_native(folder):
        return {}
    named = {
        name: (folder / f"{name}.json", folder / f"{name}.safetensors") for name in (*COMPONENTS, "vision_encoder")
    }
    found = {name: files for name, files in named.items() if all(file.is_file() for file in files)}
    found |= {name: _twice(folder / f"{name}.json") for name in SCHEDULERS if (folder / f"{name}.json").is_file()}
    alone = folder / "config.json"
    if alone.is_file() and (folder / "motion_tokenizer.safetensors").is_file():
        found["motion_tokenizer"] = alone, folder / "motion_tokenizer.safetensors"
    if alone.is_file() and (weights := find_tensors(folder, _DIFFUSERS_WEIGHTS)) is not None:
        found["keyframe_vae"] = alone, weights
    if (folder / "language_proj.safetensors").is_file():
        found["language_proj"] = _twice(folder / "language_proj.safetensors")
    return found


def _twice(file: Path) -> tuple[Path, Path]:
    return file, file


def _is_native(folder: Path) -> bool:
    config = folder / CONFIG_FILE
    return config.is_file() and "format" in read_json(config)
