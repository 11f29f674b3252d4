"""A trained language model between stages: model, vocabulary, text tokenizer, projection of visual features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from videolavit.checkpoints.registry import load_component
from videolavit.config import load_config, save_config
from videolavit.errors import CheckpointError
from videolavit.language.text_tokenizer import load_text_tokenizer
from videolavit.training.exports import load_trained, save_trained, whole_model
from videolavit.training.language_loss import LanguageTraining
from videolavit.vocabulary import Vocabulary

__all__ = ["TrainedLanguage", "has_language", "load_language", "load_text_model", "save_language"]

_PROJECTION = "language_proj.safetensors"
_PROJECTED_BY = "language_proj"
"""The same in the visual tokenizer of a whole model."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainedLanguage:
    """What a language stage exported."""

    causal_lm: Any
    vocabulary: Vocabulary
    text_tokenizer: Any
    projection: dict[str, Tensor] | None
    """State of the visual tokenizer's `language_proj`; None where images enter as ids."""


def save_language(module: LanguageTraining, folder: Path) -> None:
    """Write what `load_language` reads. Adapters are merged into the weights they adapt."""
    causal_lm = module.model.causal_lm
    if hasattr(causal_lm, "merge_and_unload"):
        causal_lm = causal_lm.merge_and_unload()
    save_trained("language_model", causal_lm, folder)
    save_config(module.model.vocabulary, folder / "vocabulary.json")
    tokenizer: Any = module.model.text_tokenizer
    tokenizer.save_pretrained(folder / "text_tokenizer")
    if module.projection is not None:
        save_file(
            {name: value.contiguous() for name, value in module.projection.state_dict().items()}, folder / _PROJECTION
        )


def has_language(folder: str | Path) -> bool:
    """Whether `load_language` finds something there."""
    return (Path(folder) / "language_model.json").is_file() or whole_model(folder) is not None


def load_language(folder: str | Path) -> TrainedLanguage:
    """What a language stage exported, or what a whole model has of it; "tiny" is the one in the package.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    if (model := whole_model(folder)) is not None:
        part = model.part("language_model")
        visual = model.part("visual_tokenizer").tensors
        projection = {name: visual[f"{_PROJECTED_BY}.{name}"].load().float() for name in ("weight", "bias")}
        return TrainedLanguage(
            causal_lm=load_component(part, dtype=torch.float32),
            vocabulary=model.vocabulary,
            text_tokenizer=load_text_tokenizer(part.text_tokenizer or folder),
            projection=projection,
        )
    folder = Path(folder)
    causal_lm = load_trained("language_model", folder)
    projection = folder / _PROJECTION
    return TrainedLanguage(
        causal_lm=causal_lm,
        vocabulary=load_config(Vocabulary, folder / "vocabulary.json"),
        text_tokenizer=load_text_tokenizer(folder / "text_tokenizer"),
        projection=load_file(projection) if projection.is_file() else None,
    )


def load_text_model(folder: str | Path) -> Any:
    """A transformers causal LM from a folder on this machine, in float32.

    Raises:
        CheckpointError: there is none.
    """
    from transformers import AutoModelForCausalLM

    if not Path(folder).is_dir():
        raise CheckpointError(f"{folder}: no such folder; download a text model first")
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="sdpa",
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: the text model cannot be loaded: {error}") from error
