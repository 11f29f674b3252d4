"""Names that options and settings had in earlier versions: in `config.json` files and in the metadata of results.

Whatever reads stored options passes them through `current_names`; no other file knows an old name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["current_names"]

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
_PATCH_SELECTION = {"argmax": "likeliest"}


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored options or settings under the names of this version; keys that are current stay as they are."""
    renamed: dict[str, Any] = {}
    for key, value in values.items():
        if key == "released":
            renamed["constrained"] = not value
            continue
        name = _KEYS.get(key, key)
        if name == "patch_selection":
            value = _PATCH_SELECTION.get(value, value)
        renamed[name] = current_names(value) if isinstance(value, Mapping) else value
    return renamed
