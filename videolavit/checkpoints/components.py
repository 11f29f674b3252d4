"""The parts of one model in use: each is loaded when it is first asked for, and then kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from videolavit.checkpoints.hooks import Adaptation
from videolavit.checkpoints.native import write_native
from videolavit.checkpoints.registry import (
    ANSWERING,
    COMPONENTS,
    SCHEDULERS,
    Checkpoint,
    StoredComponent,
    live_component,
    load_component,
)
from videolavit.checkpoints.writing import new_folder
from videolavit.errors import CheckpointError, ConfigError
from videolavit.nn.offload import Offload
from videolavit.settings import ModelSettings
from videolavit.tokenizers.quantizer import VectorQuantizer
from videolavit.vocabulary import Vocabulary

__all__ = ["ModelComponents"]


class ModelComponents:
    """Modules, schedulers and text tokenizers by name, from a checkpoint, from memory, or from both.

    What is in memory wins: a training script may replace a part of a checkpoint by its own and save the whole.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None = None,
        *,
        vocabulary: Vocabulary | None = None,
        settings: ModelSettings | None = None,
        modules: Mapping[str, nn.Module] | None = None,
        schedulers: Mapping[str, Any] | None = None,
        text_tokenizers: Mapping[str, Any] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self._adaptations: list[Adaptation] = []
        self._offload: Offload | None = None
        self._checkpoint = checkpoint
        self._stored: dict[str, StoredComponent] = {}
        self._modules = dict(modules or {})
        self._replaced = bool(modules)
        self._schedulers = dict(schedulers or {})
        self._text_tokenizers = dict(text_tokenizers or {})
        self._vocabulary, self._settings = vocabulary, settings
        unknown = [name for name in self._modules if name not in COMPONENTS] + [
            name for name in self._schedulers if name not in SCHEDULERS
        ]
        if unknown:
            raise CheckpointError(f"got the parts {unknown}; known are {', '.join((*COMPONENTS, *SCHEDULERS))}")

    def __repr__(self) -> str:
        return f"ModelComponents({self._checkpoint!r}, loaded={sorted(self._modules)})"

    @property
    def name(self) -> str:
        """Folder or hub id, for messages."""
        return "<model in memory>" if self._checkpoint is None else self._checkpoint.name

    @property
    def vocabulary(self) -> Vocabulary:
        """Sizes of the modalities."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary() if self._checkpoint is None else self._checkpoint.vocabulary
        return self._vocabulary

    @cached_property
    def settings(self) -> ModelSettings:
        """Settings by which the model sees and generates."""
        if self._settings is not None:
            return self._settings
        return ModelSettings() if self._checkpoint is None else self._checkpoint.settings

    @cached_property
    def hash(self) -> str | None:
        """Tells models apart whatever their names; None where nobody has looked at all weights."""
        return None if self._checkpoint is None or self._replaced else self._checkpoint.hash

    @property
    def loaded(self) -> list[str]:
        """Names of the parts that are in memory."""
        return sorted(self._modules)

    def answering(self, name: str) -> str:
        """The part that answers questions in the place of `name`."""
        if self._checkpoint is not None:
            return self._checkpoint.answering(name)
        return ANSWERING + name if ANSWERING + name in self._modules else name

    def module(self, name: str) -> nn.Module:
        """A part with its weights, in evaluation mode.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        if name not in self._modules:
            part = self.stored(name)
            # The types may differ: the decoder of keyframes is float32 whatever was asked for.
            shared = part.same_as is not None and self.dtype in (None, torch.float32)
            self._modules[name] = self.module(str(part.same_as)) if shared else self._load(part)
        return self._modules[name]

    def adapt(self, adaptation: Adaptation) -> None:
        """Change every part: those in memory now, the others when they are loaded."""
        for name, module in self._modules.items():
            adaptation(name, module)
        self._adaptations.append(adaptation)

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        """Move the parts that are in memory, and load the others there.

        Raises:
            ConfigError: parts are in memory already in another type, or take turns on a device.
        """
        if self._offload is not None:
            raise ConfigError("the parts of the model take turns on its device (offloading), and cannot be moved")
        if dtype is not None and dtype != self.dtype:
            if self._modules:
                raise ConfigError(
                    f"{', '.join(self.loaded)}: loaded already, in {self.dtype or 'the type that they are stored in'}; "
                    f"give dtype={dtype} to from_pretrained"
                )
            self.dtype = dtype
        if device is not None:
            self.device = device
            for module in self._modules.values():
                module.to(device)

    def offload(self) -> None:
        """Let parts wait in the memory of the CPU, and visit the device one at a time."""
        self._offload = self._offload or Offload(self.device)
        for module in self._modules.values():
            self._offload.manage(module)

    def config(self, name: str) -> Any:
        """Configuration of a part, without loading it."""
        return self._modules[name].config if name in self._modules else self.stored(name).config

    def quantizer(self, name: str) -> VectorQuantizer:
        """The codebook of a tokenizer, without loading the rest of it."""
        if name in self._modules and self._offload is None:
            return getattr(self._modules[name], "quantizer")  # noqa: B009 - a module's attribute has no known type
        if name in self._modules:
            codebook = self._modules[name].get_buffer("quantizer.codebook").detach().to(self.device)
        else:
            codebook = self.stored(name).tensors["quantizer.codebook"].load().float().to(self.device)
        with torch.device("meta"):  # its own rows would be drawn from the random numbers of whoever generates
            quantizer = VectorQuantizer(*codebook.shape)
        quantizer.codebook = codebook
        return quantizer

    def scheduler(self, name: str) -> Any:
        """A diffusers scheduler."""
        if name not in self._schedulers:
            self._schedulers[name] = _scheduler(self._need_checkpoint(name).scheduler(name), self.name)
        return self._schedulers[name]

    def text_tokenizer(self, name: str) -> Any | None:
        """The transformers tokenizer of a language model, None if it has none."""
        if name not in self._text_tokenizers:
            folder = self.stored(name).text_tokenizer if self._checkpoint is not None else None
            self._text_tokenizers[name] = None if folder is None else _text_tokenizer(folder)
        return self._text_tokenizers[name]

    def holds(self, name: str) -> bool:
        """True if there is such a part, in memory or in the checkpoint."""
        return name in self._modules or (self._checkpoint is not None and name in self._checkpoint.held())

    def stored(self, name: str) -> StoredComponent:
        """A part in the checkpoint.

        Raises:
            CheckpointError: there is none.
        """
        if name not in self._stored:
            self._stored[name] = self._need_checkpoint(name).part(name)
        return self._stored[name]

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write everything in the native layout: loaded parts as they are in memory, others from the checkpoint.

        Raises:
            CheckpointError: the folder exists and is not empty, and `overwrite` is False.
        """
        held = [] if self._checkpoint is None else self._checkpoint.held()
        part_names = [name for name in COMPONENTS if name in self._modules or name in held]
        schedulers = {
            name: json.loads(self.scheduler(name).to_json_string())
            for name in SCHEDULERS
            if name in self._schedulers or name in held
        }
        if self._adaptations:  # what is to change when it is loaded, as weights of fewer bits, is written so
            for name in part_names:
                if name.endswith("language_model"):
                    self.module(name)
        with new_folder(folder, overwrite=overwrite) as target, tempfile.TemporaryDirectory() as words:
            write_native(target, self.vocabulary, self._writable(part_names, Path(words)), schedulers, self.settings)

    def _load(self, part: StoredComponent) -> nn.Module:
        on_cpu = self._offload is not None or bool(self._adaptations)  # so that a device never holds what becomes less
        module = load_component(part, device="cpu" if on_cpu else self.device, dtype=self.dtype)
        for adaptation in self._adaptations:
            adaptation(part.name, module)
        if self._offload is None:
            return module.to(self.device)
        self._offload.manage(module)
        return module

    def _writable(self, part_names: list[str], words: Path) -> Iterator[StoredComponent]:
        for name in part_names:
            if name not in self._modules:
                part = self.stored(name)
                yield replace(part, same_as=None) if part.same_as in self._modules else part
                continue
            if (twin := self._twin(name, part_names)) is not None:
                yield replace(live_component(name, self._modules[name]), same_as=twin)
                continue
            tokenizer = self.text_tokenizer(name) if name.endswith("language_model") else None
            if tokenizer is not None:
                tokenizer.save_pretrained(words / name)
            yield live_component(name, self._modules[name], None if tokenizer is None else words / name)

    def _twin(self, name: str, part_names: list[str]) -> str | None:
        """An earlier part that is the very same module."""
        earlier = part_names[: part_names.index(name)]
        return next((other for other in earlier if self._modules.get(other) is self._modules[name]), None)

    def _need_checkpoint(self, name: str) -> Checkpoint:
        if self._checkpoint is None:
            raise CheckpointError(f"the model in memory has no {name}; it has {', '.join(self.loaded)}")
        return self._checkpoint


def _scheduler(config: dict[str, Any], where: str) -> Any:
    import diffusers

    class_name = str(config.get("_class_name"))
    scheduler_class: Any = getattr(diffusers, class_name, None)
    if not (isinstance(scheduler_class, type) and issubclass(scheduler_class, diffusers.SchedulerMixin)):
        raise CheckpointError(f"{where}: got the scheduler class {class_name!r}, which diffusers does not have")
    return getattr(scheduler_class, "from_config")(config)  # noqa: B009 - from a mixin that the check does not name


def _text_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: the text tokenizer cannot be loaded: {error}") from error
