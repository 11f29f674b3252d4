"""A model from a folder or the hub and back, and the device that it is on: names and behaviour of transformers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.components import ModelComponents
from videolavit.checkpoints.hooks import compile_steps, quantizer_of
from videolavit.checkpoints.hub import CARD_FILE, HubAccess, model_card, upload
from videolavit.checkpoints.model_components import Components
from videolavit.checkpoints.placement import floating_dtype, usable_device
from videolavit.config import options_of, refuse_unknown
from videolavit.shipped import named_model, shipped_model

if TYPE_CHECKING:
    from typing import Self
else:
    Self = Any  # checkers of types at run time know it in whole classes alone

__all__ = ["PretrainedModel"]

_ELSEWHERE = {
    "torch_dtype": "dtype=",
    "device_map": 'device="auto"',
    "load_in_8bit": 'quantize="int8"',
    "load_in_4bit": 'quantize="nf4"',
    "quantization_config": 'quantize="int8", "int4" or "nf4"',
}
"""Names of options of other libraries, and what stands for them here."""


class PretrainedModel(Components):
    """Components that are opened, saved, shared and moved as one."""

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | os.PathLike[str] | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        quantize: str | None = None,
        compile: bool = False,  # noqa: A002 - named as in torch
        **unknown: Any,
    ) -> Self:
        """Open a checkpoint in the released or the native layout; components are loaded, or downloaded, when needed.

        Args:
            folder_or_hub_id: a folder, `owner/name` on the hub, or "tiny" (also None) or "things" of this package.
            device: where the components go; "auto" is a GPU where there is one.
            dtype: of their weights, such as `torch.bfloat16`; None for the type that they are stored in, but float32
                for what is float16 on a CPU. Codebooks and the decoder of keyframes stay float32.
            revision: branch, tag or commit on the hub.
            token: of the hub, for models that are not public.
            cache_dir: folder for downloads.
            local_files_only: take what was downloaded before.
            quantize: "int8", "int4" or "nf4" for language models whose weights take so few bits; see docs/memory.md.
            compile: compile the steps of the UNets with `torch.compile`, when each is first used.
            unknown: names of other libraries, to be answered with those of this one.

        Raises:
            CheckpointError: no such folder, and no such model on the hub; or the package was built without a model.
            ConfigError: an option that does not exist, another kind of quantisation, or a device or type that cannot be
                used here.
        """
        refuse_unknown(unknown, options_of(cls.from_pretrained), _ELSEWHERE)
        source = shipped_model() if folder_or_hub_id is None else named_model(os.fspath(folder_or_hub_id))
        cache = None if cache_dir is None else os.fspath(cache_dir)
        access = HubAccess(token=token, cache_dir=cache, local_files_only=local_files_only)
        checkpoint = open_checkpoint(source, revision=revision, access=access)
        model = cls(ModelComponents(checkpoint, device=usable_device(device), dtype=floating_dtype(dtype)))
        if quantize is not None:
            model.components.adapt(quantizer_of(quantize, model.components.device))
        if compile:
            model.components.adapt(compile_steps)
        return model

    def save_pretrained(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the whole model in the native layout.

        Raises:
            CheckpointError: the folder exists and is not empty, and `overwrite` is False.
        """
        self.components.save(Path(folder), overwrite=overwrite)
        card = model_card(self.vocabulary, self.settings, Path(folder).name)
        (Path(folder) / CARD_FILE).write_text(card, encoding="utf-8")

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        commit_message: str = "Upload a Video-LaVIT model",
    ) -> str:
        """Send the whole model with its card to a repository of the hub, and return the address of the commit.

        Raises:
            CheckpointError: the hub refuses it or cannot be reached, or a component is quantised.
        """
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "model"
            self.save_pretrained(target)
            (target / CARD_FILE).write_text(model_card(self.vocabulary, self.settings, repo_id), encoding="utf-8")
            return upload(target, repo_id, token=token, private=private, message=commit_message)

    @property
    def device(self) -> torch.device:
        """Device where the components are, or will be when they are loaded."""
        return self.components.device

    @property
    def dtype(self) -> torch.dtype | None:
        """Type that was asked for; None for the one that the weights are stored in."""
        return self.components.dtype

    def to(self, *where: str | torch.device | torch.dtype) -> Self:
        """Move the model to a device, or choose the type of components that are not loaded yet; returns itself.

        Raises:
            ConfigError: a device or type that cannot be used here, or a type that comes too late.
        """
        for one in where:
            if isinstance(one, torch.dtype) or isinstance(getattr(torch, str(one), None), torch.dtype):
                self.components.to(dtype=floating_dtype(one))
            else:
                self.components.to(device=usable_device(one))
        return self
