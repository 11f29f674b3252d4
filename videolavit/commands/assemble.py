"""Put exports of training and parts of models together to one model.

Every part comes from --base unless an export is named for it. Settings come from --base too, or from --preset.

examples:
  videolavit assemble -o mine --language-model runs/pretraining/export
  videolavit assemble -o mine --preset things --video-compensation runs/learned_compensation/export
  videolavit assemble -o mine --base tiny --video-detokenizer runs/video_detokenizer/export
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from videolavit.commands._shared.console import print_json, tell_written
from videolavit.errors import ConfigError

__all__ = ["Config", "run"]

PARTS = (
    "autoencoder",
    "visual_tokenizer",
    "motion_tokenizer",
    "keyframe_detokenizer",
    "video_detokenizer",
    "language_model",
    "video_compensation",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit assemble`."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="MODEL")]
    """Folder for the model; must not exist, or be empty."""
    base: str = "tiny"
    """Model that gives the parts that are not named, and the settings: a folder, a hub id, tiny or things."""
    autoencoder: str = ""
    """Export of the stage of that name, or a model; so with the others."""
    visual_tokenizer: str = ""
    """Export of the visual tokenizer."""
    motion_tokenizer: str = ""
    """Export of the motion tokenizer."""
    keyframe_detokenizer: str = ""
    """Export of the keyframe detokenizer."""
    video_detokenizer: str = ""
    """Export of the video detokenizer."""
    language_model: str = ""
    """Export of either language stage."""
    video_compensation: str = ""
    """Export of the learned motion compensation; a base that has none goes without."""
    preset: Literal["tiny", "things"] | None = None
    """Settings of the models of this preset, in place of the base's."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Store numbers as this type, but for what needs float32."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Write the model, and say of what."""
    given = {name: getattr(config, name) for name in PARTS if getattr(config, name)}
    if not given:
        raise ConfigError("nothing to put together; name an export, such as --language-model runs/pretraining/export")

    import torch

    from videolavit.checkpoints.artifacts import open_artifact
    from videolavit.training.model_folder import exports_of, write_model
    from videolavit.training.presets import SETTINGS

    exports = replace(exports_of(config.base), **given)
    settings = SETTINGS[config.preset] if config.preset else open_artifact(config.base).settings
    dtype = None if config.dtype is None else getattr(torch, config.dtype)
    write_model(exports, config.output, settings, dtype=dtype)
    if config.json:
        parts = {name: str(where) for name in PARTS if (where := getattr(exports, name))}
        print_json({"model": str(config.output), "parts": parts})
    else:
        told = ", ".join(f"{name.replace('_', ' ')} of {where}" for name, where in given.items())
        is_whole = set(given) == set(PARTS)
        tell_written(f"{config.output}: {told}" + ("" if is_whole else f"; all else of {config.base}"))
    return 0
