"""Names of parameters in the released checkpoint, and here. No other file knows the foreign ones.

A renaming is a list of pairs of dotted prefixes, released and native; `*` stands for a number. The longest prefix that
fits a key is replaced and the rest of the key stays, so every pair below says one thing about one module.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "CONDITION_DECODER",
    "EVA_VIT",
    "MOTION_ENCODER",
    "MOTION_TOKENIZER",
    "UNCHANGED",
    "VISUAL_TOKENIZER",
    "Renaming",
]


class Renaming:
    """A one-to-one renaming of keys."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs
        self._released = _sorted((old.split("."), new.split(".")) for old, new in pairs)
        self._native = _sorted((new.split("."), old.split(".")) for old, new in pairs)

    def native(self, released_key: str) -> str:
        """Our name of a released key; a key that no prefix fits keeps its name, and is then found to be unexpected."""
        return _replace(released_key, self._released)

    def released(self, native_key: str) -> str:
        """The released name of one of our keys."""
        return _replace(native_key, self._native)

    def under(self, released_prefix: str, native_prefix: str) -> list[tuple[str, str]]:
        """The same pairs for the module as a part of a larger one."""
        both = [(released_prefix, native_prefix)]
        return both + [(f"{released_prefix}.{old}", f"{native_prefix}.{new}") for old, new in self.pairs]


_Rules = list[tuple[list[str], list[str]]]


def _sorted(rules: Iterable[tuple[list[str], list[str]]]) -> _Rules:
    return sorted(rules, key=lambda rule: -len(rule[0]))


def _replace(key: str, rules: _Rules) -> str:
    words = key.split(".")
    for old, new in rules:
        if len(old) <= len(words) and all(_fits(pattern, word) for pattern, word in zip(old, words, strict=False)):
            numbers = iter(word for pattern, word in zip(old, words, strict=False) if pattern == "*")
            return ".".join([next(numbers) if word == "*" else word for word in new] + words[len(old) :])
    return key


def _fits(pattern: str, word: str) -> bool:
    return word.isdigit() if pattern == "*" else pattern == word


UNCHANGED = Renaming()
"""Of the modules that transformers and diffusers define."""

EVA_VIT = Renaming(
    ("patch_embed.proj", "patch_embed"),
    ("blocks.*.norm1", "blocks.*.attention_norm"),
    ("blocks.*.attn", "blocks.*.attention"),
    ("blocks.*.norm2", "blocks.*.mlp_norm"),
)
"""The file of the vision transformer alone."""

VISUAL_TOKENIZER = Renaming(
    *EVA_VIT.under("encoder", "vit"),
    ("token_predictor.in_conv.0", "selector.norm"),
    ("token_predictor.in_conv.1", "selector.in_proj"),
    ("token_predictor.out_conv.0", "selector.half_proj"),
    ("token_predictor.out_conv.2", "selector.quarter_proj"),
    ("token_predictor.out_conv.4", "selector.out_proj"),
    ("causal_encoder", "merger"),
    ("causal_encoder.ln_vision", "merger.context_norm"),
    ("causal_encoder.blocks.*.norm0", "merger.blocks.*.self_norm"),
    ("causal_encoder.blocks.*.token_causal_attn", "merger.blocks.*.self_attention"),
    ("causal_encoder.blocks.*.norm1", "merger.blocks.*.cross_norm"),
    ("causal_encoder.blocks.*.token_cross_attn", "merger.blocks.*.cross_attention"),
    ("causal_encoder.blocks.*.norm2", "merger.blocks.*.mlp_norm"),
    ("encode_task_layer", "code_head"),
    ("quantize.embedding.weight", "quantizer.codebook"),
    ("vit_proj", "language_proj"),
)

CONDITION_DECODER = Renaming(
    ("blocks.*.norm0", "blocks.*.self_norm"),
    ("blocks.*.self_attn", "blocks.*.self_attention"),
    ("blocks.*.norm1", "blocks.*.cross_norm"),
    ("blocks.*.cross_attn", "blocks.*.cross_attention"),
    ("blocks.*.norm2", "blocks.*.mlp_norm"),
    ("decode_task_layer", "feature_head"),
    ("unet_proj_1", "prompt_projs.0"),
    ("unet_proj_2", "prompt_projs.1"),
    ("unet_attnpool.positional_embedding", "pool.pos_embed"),
    ("unet_attnpool.q_proj", "pool.query"),
    ("unet_attnpool.k_proj", "pool.key"),
    ("unet_attnpool.v_proj", "pool.value"),
    ("unet_attnpool.c_proj", "pool.proj"),
)

_SPACE_TIME_BLOCKS = (
    ("blocks.*.norm0", "blocks.*.spatial_norm"),
    ("blocks.*.norm1", "blocks.*.temporal_norm"),
    ("blocks.*.norm2", "blocks.*.mlp_norm"),
)

MOTION_ENCODER = Renaming(*_SPACE_TIME_BLOCKS, ("pos_embed", "spatial_position"))
"""The motion condition encoder."""

MOTION_TOKENIZER = Renaming(
    *Renaming(
        *_SPACE_TIME_BLOCKS,
        ("pos_embed", "spatial_position"),
        ("temp_pos", "temporal_position"),
        ("down_sample_layers", "downsample"),
    ).under("encoder", "encoder"),
    *Renaming(*_SPACE_TIME_BLOCKS, ("up_sample_layers", "upsample")).under("decoder", "decoder"),
    ("encode_task_layer", "code_head"),
    ("decode_task_layer", "motion_head"),
    ("quantize.embedding.weight", "quantizer.codebook"),
)
