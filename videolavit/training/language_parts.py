"""A trained language model between stages: model, vocabulary, text tokenizer, projection of visual features."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from videolavit.checkpoints.artifacts import is_artifact, open_artifact, read_artifact, write_artifact
from videolavit.checkpoints.registry import build_component, live_component, load_component
from videolavit.errors import CheckpointError
from videolavit.language.chat_template import VICUNA, ChatTemplate
from videolavit.language.loading_bars import without_bars
from videolavit.language.text_tokenizer import load_text_tokenizer
from videolavit.settings import ModelSettings
from videolavit.training.language_loss import LanguageTraining
from videolavit.vocabulary import Vocabulary

__all__ = ["TrainedLanguage", "load_language", "load_text_model", "save_language", "sketch_language"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainedLanguage:
    """Export of a language stage."""

    causal_lm: Any
    vocabulary: Vocabulary
    text_tokenizer: Any
    projection: dict[str, Tensor] | None
    """State of the visual tokenizer's `language_proj`; None where images enter as ids."""
    chat: ChatTemplate = VICUNA
    motion_only_clips: bool = False
    """Trained on clips that have motion alone."""


def save_language(module: LanguageTraining, folder: Path, *, motion_only_clips: bool = False) -> None:
    """Write what `load_language` reads. Adapters are merged into the weights they adapt."""
    causal_lm = module.model.causal_lm
    if hasattr(causal_lm, "merge_and_unload"):
        causal_lm = causal_lm.merge_and_unload()
    projection = {} if module.projection is None else {"language_proj": module.projection}
    tokenizer: Any = module.model.text_tokenizer
    with tempfile.TemporaryDirectory() as words:
        tokenizer.save_pretrained(words)
        language = live_component("language_model", causal_lm, text_tokenizer=Path(words))
        settings = ModelSettings(chat=module.model.chat, motion_only_clips=motion_only_clips)
        parts = {"language_model": language, **projection}
        stated = None if settings == ModelSettings() else settings
        write_artifact(folder, parts, vocabulary=module.model.vocabulary, settings=stated)


def load_language(folder: str | Path) -> TrainedLanguage:
    """Export of a language stage, or the same parts of a whole model; "tiny" is the one in the package.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    artifact, language = open_artifact(folder), read_artifact("language_model", folder)
    has_projection = bool({"language_proj", "visual_tokenizer"} & set(artifact.held()))
    projection = read_artifact("language_proj", folder).tensors if has_projection else {}
    return TrainedLanguage(
        causal_lm=load_component(language, dtype=torch.float32),
        vocabulary=artifact.vocabulary,
        text_tokenizer=load_text_tokenizer(language.text_tokenizer or folder),
        projection={name: value.load().float() for name, value in projection.items()} or None,
        chat=artifact.settings.chat,
        motion_only_clips=artifact.settings.motion_only_clips,
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
        with without_bars():
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


def sketch_language(folder: str | Path) -> Any | None:
    """A causal LM with the form of what `load_language` or `load_text_model` would load, and random weights.

    None where there is nothing yet.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if is_artifact(folder):
        return build_component("language_model", read_artifact("language_model", folder).config)
    if not Path(folder).is_dir():
        return None
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return AutoModelForCausalLM.from_config(config, trust_remote_code=False, attn_implementation="sdpa")
