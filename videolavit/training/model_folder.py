"""The exports of all stages as one model in the native layout, ready for `VideoLaVIT.from_pretrained`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_artifact, load_autoencoder, open_artifact, read_artifact
from videolavit.checkpoints.native import write_native
from videolavit.checkpoints.registry import StoredComponent, component_with_dtype, live_component
from videolavit.checkpoints.writing import new_folder
from videolavit.errors import CheckpointError
from videolavit.settings import ModelSettings
from videolavit.shipped import FOLDER
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.training.language_parts import load_language

__all__ = ["ModelExports", "exports_of", "ship", "with_projection", "write_model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelExports:
    """Folders that the stages exported. Any of them may be a whole model, of which that part stays as it is."""

    autoencoder: Path | str
    visual_tokenizer: Path | str
    motion_tokenizer: Path | str
    keyframe_detokenizer: Path | str
    video_detokenizer: Path | str
    language_model: Path | str
    """Of either language stage; that of the last one answers as well as it draws if both were in its mixture."""
    video_compensation: Path | str = ""
    """Learned motion compensation, for a model whose UNet draws residuals to it, or that uses it without diffusion."""


def exports_of(model: Path | str) -> ModelExports:
    """All parts of a model, its learned motion compensation too where it has one.

    Raises:
        CheckpointError: there is no such model.
    """
    parts = [one.name for one in fields(ModelExports)]
    if "video_compensation" not in open_artifact(model).held():
        parts.remove("video_compensation")
    return ModelExports(**dict.fromkeys(parts, model))


def write_model(
    exports: ModelExports,
    folder: Path,
    settings: ModelSettings,
    *,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model folder; `dtype` converts what need not stay in float32.

    How the language model sees images, which words stand around questions and whether it knows clips of motion alone
    is its own, whatever `settings` say.

    Raises:
        CheckpointError: an export is missing, the language model has another vocabulary than the tokenizers have
            codes, or the folder exists and is not to be overwritten.
    """
    language = load_language(exports.language_model)
    visual = load_artifact("visual_tokenizer", exports.visual_tokenizer)
    motion = load_artifact("motion_tokenizer", exports.motion_tokenizer)
    told = language.vocabulary.num_visual_codes, language.vocabulary.num_motion_codes
    if told != (visual.config.num_codes, motion.config.num_codes):
        raise CheckpointError(
            f"{exports.language_model} was trained for {told} visual and motion codes, the tokenizers have "
            f"{(visual.config.num_codes, motion.config.num_codes)}; tokenize the data anew, and train it again"
        )
    if language.projection is not None:
        visual = with_projection(visual, language.projection)
    visual_input = "discrete" if language.projection is None else "continuous"
    processor = settings.video_processor
    settings = replace(
        settings,
        visual_input=visual_input,
        chat=language.chat,
        motion_only_clips=language.motion_only_clips,
        video_processor=processor if language.motion_only_clips else replace(processor, keyframes="every"),
    )
    parts = _parts(exports, visual, motion)
    schedulers = {
        "keyframe_scheduler": open_artifact(exports.keyframe_detokenizer).scheduler("keyframe_scheduler"),
        "video_scheduler": open_artifact(exports.video_detokenizer).scheduler("video_scheduler"),
    }
    with new_folder(folder, overwrite=overwrite) as target:
        converted = (part if dtype is None else component_with_dtype(part, dtype) for part in parts)
        write_native(target, language.vocabulary, converted, schedulers, settings)


def ship(model: Path, name: str) -> None:
    """Put a model folder into the package under a name of `videolavit.shipped.RECIPES`, whole or not at all."""
    with new_folder(FOLDER / name, overwrite=True) as target:
        shutil.copytree(model, target, dirs_exist_ok=True)


def with_projection(visual: VisualTokenizer, projection: dict[str, Tensor]) -> VisualTokenizer:
    """A visual tokenizer whose features go to the language model as it learnt them."""
    width = projection["weight"].shape[0]
    whole = VisualTokenizer(replace(visual.config, language_width=width))
    learnt = {f"language_proj.{name}": value for name, value in projection.items()}
    whole.load_state_dict(visual.state_dict() | learnt)
    return whole.eval()


def _parts(exports: ModelExports, visual: nn.Module, motion: nn.Module) -> Iterator[StoredComponent]:
    yield read_artifact("language_model", exports.language_model)
    yield live_component("visual_tokenizer", visual)
    yield live_component("motion_tokenizer", motion)
    yield read_artifact("condition_decoder", exports.keyframe_detokenizer)
    yield read_artifact("keyframe_unet", exports.keyframe_detokenizer)
    autoencoder = live_component("keyframe_vae", load_autoencoder(exports.autoencoder))
    yield autoencoder
    yield read_artifact("motion_encoder", exports.video_detokenizer)
    yield read_artifact("video_unet", exports.video_detokenizer)
    yield replace(autoencoder, name="video_vae", same_as="keyframe_vae")
    if exports.video_compensation:
        yield read_artifact("video_compensation", exports.video_compensation)
