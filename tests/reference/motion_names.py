"""Released key names of the motion tokenizer and the motion condition encoder, from ours; and back."""

from __future__ import annotations

BLOCK_NAMES = {"spatial_norm": "norm0", "temporal_norm": "norm1", "mlp_norm": "norm2"}
POSITION_NAMES = {"spatial_position": "pos_embed", "temporal_position": "temp_pos"}
TOKENIZER_NAMES = {
    **BLOCK_NAMES,
    **POSITION_NAMES,
    "downsample": "down_sample_layers",
    "upsample": "up_sample_layers",
    "code_head": "encode_task_layer",
    "motion_head": "decode_task_layer",
    "quantizer.codebook": "quantize.embedding.weight",
}
CONDITION_NAMES = {**BLOCK_NAMES, **POSITION_NAMES}


def replace_words(key: str, names: dict[str, str]) -> str:
    """Replace whole dotted words or runs of words."""
    key = f".{key}."
    for word, replacement in names.items():
        key = key.replace(f".{word}.", f".{replacement}.")
    return key.strip(".")


def released_tokenizer_name(key: str) -> str:
    return replace_words(key, TOKENIZER_NAMES)


def released_condition_name(key: str) -> str:
    return replace_words(key, CONDITION_NAMES)


def native_name(key: str, names: dict[str, str]) -> str:
    return replace_words(key, {theirs: ours for ours, theirs in names.items()})
