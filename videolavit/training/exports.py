"""What stages hand to one another: one part of a model as two files, `NAME.json` and `NAME.safetensors`.

Where a stage takes the export of another one, a whole model in the native layout does as well, and "tiny" stands for
the model in the package: what is trained anew then fits the parts that stay.

Names of parts are those of `videolavit.checkpoints.registry`; the same files, with one configuration for all, make a
checkpoint in the native layout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from videolavit.checkpoints.checksums import check_folder
from videolavit.checkpoints.files import find_tensors, open_tensors
from videolavit.checkpoints.loading import check_tensors
from videolavit.checkpoints.native import CONFIG_FILE, NativeCheckpoint, is_native
from videolavit.checkpoints.registry import (
    StoredComponent,
    config_as_json,
    config_from_json,
    live_component,
    load_component,
)
from videolavit.checkpoints.shipped import named_model
from videolavit.checkpoints.source import Source, read_json
from videolavit.checkpoints.writing import write_safetensors
from videolavit.config import load_config
from videolavit.errors import CheckpointError
from videolavit.language import text_tokenizer
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig

__all__ = [
    "load_autoencoder",
    "load_motion_tokenizer",
    "load_text_tokenizer",
    "load_trained",
    "load_weights",
    "read_trained",
    "read_trained_scheduler",
    "save_trained",
    "save_trained_scheduler",
    "weights_file",
    "whole_model",
]


def save_trained(name: str, module: nn.Module, folder: Path) -> None:
    """Write a part of that name, its configuration and its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    part = live_component(name, module)
    (folder / f"{name}.json").write_text(json.dumps(config_as_json(part), indent=2) + "\n")
    write_safetensors(folder / f"{name}.safetensors", part.tensors)


def read_trained(name: str, folder: str | Path) -> StoredComponent:
    """A part that `save_trained` wrote, or that of a whole model, its tensors not read yet.

    Args:
        name: of the part.
        folder: of an export or of a model in the native layout; "tiny" for the model in the package.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    if (model := whole_model(folder)) is not None:
        return model.part(name)
    folder = Path(folder)
    config, weights = folder / f"{name}.json", folder / f"{name}.safetensors"
    if not config.is_file():
        raise CheckpointError(f"{folder}: holds no {name}; train the stage that makes it first, or check the folder")
    check_folder(folder)
    return StoredComponent(
        name=name,
        config=config_from_json(name, read_json(config), where=str(config)),
        tensors=open_tensors(weights),
        origin=lambda key: (str(weights), key),
    )


def load_trained(name: str, folder: str | Path) -> Any:
    """The module of a part that `save_trained` wrote, with its weights; errors are those of `read_trained`."""
    return load_component(read_trained(name, folder))


def save_trained_scheduler(name: str, scheduler: Any, folder: Path) -> None:
    """Write a diffusers scheduler as it will stand in the configuration of a native checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(scheduler.to_json_string())


def read_trained_scheduler(name: str, folder: str | Path) -> dict[str, Any]:
    """What `save_trained_scheduler` wrote, or the scheduler of a whole model."""
    if (model := whole_model(folder)) is not None:
        return model.scheduler(name)
    return read_json(Path(folder) / f"{name}.json")


def load_autoencoder(folder: str | Path) -> Any:
    """A VAE in diffusers' own layout, of the class that its configuration names; or that of a whole model.

    Raises:
        CheckpointError: files are missing or damaged, or the class is none of a VAE.
    """
    if (model := whole_model(folder)) is not None:
        return load_component(model.part("keyframe_vae"), dtype=torch.float32)
    folder = Path(folder)
    config = read_json(folder / "config.json")
    path = find_tensors(folder, "diffusion_pytorch_model")
    if path is None:
        raise CheckpointError(f"{folder}: holds no diffusion_pytorch_model.safetensors; train the autoencoder first")
    check_folder(folder)
    part = StoredComponent(
        name="video_vae", config=config, tensors=open_tensors(path), origin=lambda key: (str(path), key)
    )
    return load_component(part, dtype=torch.float32)


def load_motion_tokenizer(folder: str | Path) -> MotionTokenizer:
    """What the stage of that name exported, or that of a whole model.

    Raises:
        CheckpointError: the folder does not hold one.
    """
    if (model := whole_model(folder)) is not None:
        tokenizer: Any = load_component(model.part("motion_tokenizer"))
        return tokenizer
    folder = Path(folder)
    config, weights = folder / "config.json", folder / "motion_tokenizer.safetensors"
    if not config.is_file() or not weights.is_file():
        raise CheckpointError(f"{folder}: holds no motion tokenizer; train that stage first, or check the folder")
    check_folder(folder)
    tokenizer = MotionTokenizer(load_config(MotionTokenizerConfig, config))
    load_weights(tokenizer, weights, name="motion_tokenizer")
    return tokenizer.eval()


def load_weights(module: nn.Module, weights: Path, *, name: str) -> None:
    """Copy the tensors of one file into a module that has values already.

    Raises:
        CheckpointError: the file is damaged, or has other keys or shapes than the module; the message names them.
    """
    tensors = open_tensors(weights)
    check_tensors(module, tensors, name=name, origin=lambda key: (str(weights), key))
    module.load_state_dict({key: tensor.load() for key, tensor in tensors.items()})


def weights_file(name: str, folder: str | Path) -> Path:
    """The file with the weights of a part, in an export or a whole model; it need not be there.

    The name "autoencoder" stands for what a stage of that name exports.
    """
    folder = Path(named_model(str(folder)))
    if name == "autoencoder":
        name = "diffusion_pytorch_model" if whole_model(folder) is None else "keyframe_vae"
    return folder / f"{name}.safetensors"


def load_text_tokenizer(folder: str | Path) -> Any:
    """The text tokenizer in a folder of its own or in a whole model."""
    model = whole_model(folder)
    own = None if model is None else model.part("language_model").text_tokenizer
    return text_tokenizer.load_text_tokenizer(folder if own is None else own)


def whole_model(folder: str | Path) -> NativeCheckpoint | None:
    """The model in a folder, or the one in the package if it is called "tiny"; None where a folder holds no model."""
    folder = Path(named_model(str(folder)))
    if not (folder / CONFIG_FILE).is_file() or not is_native(source := Source(folder)):
        return None
    return NativeCheckpoint(source)
