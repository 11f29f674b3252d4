"""Names that options and settings had in earlier versions: in `config.json` files, in the metadata of results, in the
checkpoints of a training run, and in command lines of training.

Whatever reads stored options passes them through a function of this file; no other file knows an old name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["current_flags", "current_names", "current_run"]

_KEYS = {
    "front_end": "video_processor",
    "sampling_after_picture": "sampling_after_image",
    "keyframe_steps": "keyframe_num_inference_steps",
    "keyframe_guidance": "keyframe_guidance_scale",
    "min_guidance": "min_guidance_scale",
    "max_guidance": "max_guidance_scale",
    "motion_bucket": "motion_bucket_id",
    "noise_augmentation": "noise_aug_strength",
    "decode_chunk": "decode_chunk_size",
    "steps": "num_inference_steps",
    "noise": "continuation",
    "choice": "patch_selection",
}
_STAGE_KEYS = {
    "draw_image": "generate_image",
    "draw_video": "generate_video",
    "draw_steps": "num_inference_steps",
    "mark": "special_token",
}
"""Options of stages of training, by the last part of their dotted name."""
_PATCH_SELECTION = {"argmax": "likeliest"}


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored options or settings under the names of this version; keys that are current stay as they are."""
    renamed: dict[str, Any] = {}
    for key, value in values.items():
        if key == "released":
            renamed["constrained"] = not value
            continue
        name = _KEYS.get(key, key)
        if name == "patch_selection" and isinstance(value, str):
            value = _PATCH_SELECTION.get(value, value)
        renamed[name] = current_names(value) if isinstance(value, Mapping) else value
    return renamed


def current_run(options: Mapping[str, str]) -> dict[str, str]:
    """Options of a training run by dotted names, such as `shares.generate_video`, under the names of this version."""
    return {_dotted(name): value for name, value in options.items()}


def current_flags(arguments: Sequence[str]) -> list[str]:
    """A command line of training, such as `--shares.generate-video 1`, with the options of this version."""
    return [_flag(argument) if argument.startswith("--") else argument for argument in arguments]


def _dotted(name: str) -> str:
    *groups, last = name.split(".")
    return ".".join([*groups, _STAGE_KEYS.get(last, last)])


def _flag(argument: str) -> str:
    name, equals, value = argument.removeprefix("--").partition("=")
    renamed = _dotted(name.replace("-", "_"))
    return argument if renamed == name.replace("-", "_") else f"--{renamed.replace('_', '-')}{equals}{value}"
