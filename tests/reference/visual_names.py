"""Released names of the visual tokenizer's and the condition decoder's parameters.

A table maps a prefix of our keys to the released prefix and to the words that differ behind it. It was written apart
from that of `videolavit.checkpoints.names`, so that tests of either find a mistake in the other.
"""

from __future__ import annotations

Table = dict[str, tuple[str, dict[str, str]]]

VIT_WORDS = {
    "patch_embed.": "patch_embed.proj.",
    ".attention_norm.": ".norm1.",
    ".attention.": ".attn.",
    ".mlp_norm.": ".norm2.",
}
BLOCK_WORDS = {".self_norm.": ".norm0.", ".cross_norm.": ".norm1.", ".mlp_norm.": ".norm2."}

VISUAL_TOKENIZER: Table = {
    "vit.": ("encoder.", VIT_WORDS),
    "selector.norm.": ("token_predictor.in_conv.0.", {}),
    "selector.in_proj.": ("token_predictor.in_conv.1.", {}),
    "selector.half_proj.": ("token_predictor.out_conv.0.", {}),
    "selector.quarter_proj.": ("token_predictor.out_conv.2.", {}),
    "selector.out_proj.": ("token_predictor.out_conv.4.", {}),
    "merger.context_norm.": ("causal_encoder.ln_vision.", {}),
    "merger.": (
        "causal_encoder.",
        BLOCK_WORDS | {".self_attention.": ".token_causal_attn.", ".cross_attention.": ".token_cross_attn."},
    ),
    "code_head.": ("encode_task_layer.", {}),
    "quantizer.codebook": ("quantize.embedding.weight", {}),
    "language_proj.": ("vit_proj.", {}),
}

EVA_VIT: Table = {"vit.": ("", VIT_WORDS)}
"""The file of the ViT alone."""

CONDITION_DECODER: Table = {
    "blocks.": ("blocks.", BLOCK_WORDS | {".self_attention.": ".self_attn.", ".cross_attention.": ".cross_attn."}),
    "feature_head.": ("decode_task_layer.", {}),
    "prompt_projs.0.": ("unet_proj_1.", {}),
    "prompt_projs.1.": ("unet_proj_2.", {}),
    "pool.pos_embed": ("unet_attnpool.positional_embedding", {}),
    "pool.query.": ("unet_attnpool.q_proj.", {}),
    "pool.key.": ("unet_attnpool.k_proj.", {}),
    "pool.value.": ("unet_attnpool.v_proj.", {}),
    "pool.proj.": ("unet_attnpool.c_proj.", {}),
}


def released_name(key: str, table: Table) -> str:
    """Our key under its released name."""
    for ours, (theirs, words) in table.items():
        if key.startswith(ours):
            rest = key.removeprefix(ours)
            for word, released in words.items():
                rest = rest.replace(word, released)
            return theirs + rest
    return key
