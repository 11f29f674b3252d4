"""What stages hand to one another: one part of a model as two files, `NAME.json` and `NAME.safetensors`.

Names of parts are those of `videolavit.checkpoints.parts`; the same files, with one configuration for all, make a
checkpoint in the native layout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from videolavit.checkpoints.files import find_tensors, open_tensors
from videolavit.checkpoints.parts import StoredPart, config_as_json, config_from_json, live_part, load_part
from videolavit.checkpoints.source import read_json
from videolavit.checkpoints.writing import write_safetensors
from videolavit.config import load_config
from videolavit.errors import CheckpointError
from videolavit.tokenizers.motion import MotionTokenizer, MotionTokenizerConfig

__all__ = [
    "load_autoencoder",
    "load_trained",
    "read_trained",
    "read_trained_scheduler",
    "save_trained",
    "save_trained_scheduler",
]


def save_trained(name: str, module: nn.Module, folder: Path) -> None:
    """Write a part of that name, its configuration and its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    part = live_part(name, module)
    (folder / f"{name}.json").write_text(json.dumps(config_as_json(part), indent=2) + "\n")
    write_safetensors(folder / f"{name}.safetensors", part.tensors)


def read_trained(name: str, folder: str | Path) -> StoredPart:
    """A part that `save_trained` wrote, its tensors not read yet.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    folder = Path(folder)
    config, weights = folder / f"{name}.json", folder / f"{name}.safetensors"
    if not config.is_file():
        raise CheckpointError(f"{folder}: holds no {name}; train the stage that makes it first, or check the folder")
    return StoredPart(
        name=name,
        config=config_from_json(name, read_json(config), where=str(config)),
        tensors=open_tensors(weights),
        origin=lambda key: (str(weights), key),
    )


def load_trained(name: str, folder: str | Path) -> Any:
    """The module of a part that `save_trained` wrote, with its weights; errors are those of `read_trained`."""
    return load_part(read_trained(name, folder))


def save_trained_scheduler(name: str, scheduler: Any, folder: Path) -> None:
    """Write a diffusers scheduler as it will stand in the configuration of a native checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(scheduler.to_json_string())


def read_trained_scheduler(name: str, folder: str | Path) -> dict[str, Any]:
    """What `save_trained_scheduler` wrote."""
    return read_json(Path(folder) / f"{name}.json")


def load_autoencoder(folder: str | Path) -> Any:
    """A VAE in diffusers' own layout, of the class that its configuration names.

    Raises:
        CheckpointError: files are missing or damaged, or the class is none of a VAE.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    path = find_tensors(folder, "diffusion_pytorch_model")
    if path is None:
        raise CheckpointError(f"{folder}: holds no diffusion_pytorch_model.safetensors; train the autoencoder first")
    part = StoredPart(name="video_vae", config=config, tensors=open_tensors(path), origin=lambda key: (str(path), key))
    return load_part(part, dtype=torch.float32)


def load_motion_tokenizer(folder: str | Path) -> MotionTokenizer:
    """What the stage of that name exported.

    Raises:
        CheckpointError: the folder does not hold one.
    """
    config, weights = Path(folder) / "config.json", Path(folder) / "motion_tokenizer.safetensors"
    if not config.is_file() or not weights.is_file():
        raise CheckpointError(f"{folder}: holds no motion tokenizer; train that stage first, or check the folder")
    tokenizer = MotionTokenizer(load_config(MotionTokenizerConfig, config))
    tokenizer.load_state_dict(load_file(weights))
    return tokenizer.eval()
