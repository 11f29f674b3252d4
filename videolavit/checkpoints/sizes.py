"""Sizes of our own modules, read off the shapes of their tensors.

The released layout has no configuration files for them, and a checkpoint of any size must load. What shapes cannot
tell, the numbers of attention heads above all, follows the rules of the released model unless `videolavit.json` beside
the folders states it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from videolavit.checkpoints.files import StoredTensor, some
from videolavit.checkpoints.registry import ANSWERING
from videolavit.config import from_dict
from videolavit.detokenizers.condition import ConditionDecoderConfig
from videolavit.detokenizers.motion_condition import MotionConditionEncoderConfig
from videolavit.errors import CheckpointError
from videolavit.tokenizers.motion_tokenizer import MotionTokenizerConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformerConfig

__all__ = ["HEAD_WIDTH", "infer_config"]

HEAD_WIDTH = 88
"""Width of an attention head in the vision transformer, the merger and the condition decoder of the release."""


def infer_config(name: str, tensors: Mapping[str, StoredTensor], stated: Mapping[str, Any], *, where: str) -> Any:
    """Configuration of a part of ours from its tensors under our names; `stated` values win over inferred ones.

    A size whose tensor is missing gets the released value, and the loader then reports the missing key.

    Raises:
        CheckpointError: a size is neither stated, nor told by a shape, nor given by the released rule.
        ConfigError: a stated key is unknown.
    """
    config_class, rule = _RULES[name.removeprefix(ANSWERING)]
    inferred = rule(_Shapes(tensors))
    sizes = _merged(inferred, stated)
    untold = [size for size in _untold(inferred) if size in _untold(sizes)]
    known = {field.name for field in dataclasses.fields(config_class)}
    if untold and known.issuperset(stated):
        raise CheckpointError(
            f"{where}: the shapes of {name} do not tell its {some(untold)}, and it has not the released sizes; state "
            f'it in videolavit.json beside the folders, as {{"{name}": {{...}}}} with the fields of '
            f"{config_class.__name__}"
        )
    return from_dict(config_class, sizes, where=f"{where}: sizes of {name}")


class _Shapes:
    """Sizes by key and axis, with the released size where the key is missing."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self._shapes = {key: tensor.shape for key, tensor in tensors.items()}

    def size(self, key: str, axis: int, released: int) -> int:
        shape = self._shapes.get(key, ())
        return shape[axis] if -len(shape) <= axis < len(shape) else released

    def count(self, prefix: str, released: int) -> int:
        """Number of items of a module list, that is, of different numbers behind `prefix`."""
        items = {key.removeprefix(prefix).split(".")[0] for key in self._shapes if key.startswith(prefix)}
        return len(items) or released

    def has(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for key in self._shapes)

    def mlp_ratio(self, key: str, width: int, released: float) -> float:
        """A ratio whose product with `width`, rounded down, is the hidden width: the released one if that is right."""
        hidden = self.size(key, 0, int(width * released))
        return released if int(width * released) == hidden else (hidden + 0.5) / width


def _visual_tokenizer(shapes: _Shapes) -> dict[str, Any]:
    released = VisualTokenizerConfig()
    vit = _vision_transformer(shapes)
    width = vit["width"]
    ratio = shapes.mlp_ratio("merger.blocks.0.mlp.fc1.weight", width, released.merger_mlp_ratio)
    return {
        "vit": vit,
        "merger_layers": shapes.count("merger.blocks.", released.merger_layers),
        "merger_heads": _heads(width),
        "merger_mlp_ratio": ratio,
        "num_codes": shapes.size("quantizer.codebook", 0, released.num_codes),
        "code_dim": shapes.size("quantizer.codebook", 1, released.code_dim),
        "language_width": shapes.size("language_proj.weight", 0, released.language_width),
    }


def _vision_transformer(shapes: _Shapes) -> dict[str, Any]:
    released = VisionTransformerConfig()
    width = shapes.size("vit.cls_token", 2, released.width)
    patch_size = shapes.size("vit.patch_embed.weight", 3, released.patch_size)
    patches = shapes.size("vit.pos_embed", 1, 1 + released.num_patches) - 1
    head_width = shapes.size("vit.head.weight", 0, released.unused_head_width or 0)
    return {
        "image_size": patch_size * math.isqrt(patches),
        "patch_size": patch_size,
        "width": width,
        "layers": shapes.count("vit.blocks.", released.layers),
        "heads": _heads(width),
        "mlp_ratio": shapes.mlp_ratio("vit.blocks.0.mlp.fc1.weight", width, released.mlp_ratio),
        "unused_head_width": head_width if shapes.has("vit.head.") or shapes.has("vit.norm.") else None,
    }


def _condition_decoder(shapes: _Shapes) -> dict[str, Any]:
    released = ConditionDecoderConfig()
    width = shapes.size("in_proj.weight", 0, released.width)
    prompt_widths = [
        shapes.size(f"prompt_projs.{i}.weight", 0, released_width)
        for i, released_width in enumerate(released.prompt_widths)
    ]
    return {
        "code_dim": shapes.size("in_proj.weight", 1, released.code_dim),
        "num_positions": shapes.size("pos_embed", 1, released.num_positions),
        "width": width,
        "layers": shapes.count("blocks.", released.layers),
        "heads": _heads(width),
        "mlp_ratio": shapes.mlp_ratio("blocks.0.mlp.fc1.weight", width, released.mlp_ratio),
        "feature_width": shapes.size("feature_head.2.weight", 0, released.feature_width),
        "prompt_widths": prompt_widths,
        "pooled_width": shapes.size("pool.proj.weight", 0, released.pooled_width),
    }


def _motion_tokenizer(shapes: _Shapes) -> dict[str, Any]:
    released = MotionTokenizerConfig()
    width = shapes.size("encoder.in_proj.weight", 0, released.width)
    cells = shapes.size("encoder.spatial_position", 1, released.rows * released.cols)
    is_released_grid = cells == released.rows * released.cols
    groups = shapes.count("encoder.downsample.", len(released.strides))
    return {
        "frames": shapes.size("encoder.temporal_position", 1, released.frames),
        "rows": released.rows if is_released_grid else None,
        "cols": released.cols if is_released_grid else None,
        "width": width,
        "mlp_ratio": shapes.mlp_ratio("encoder.blocks.0.mlp.fc1.weight", width, released.mlp_ratio),
        "num_codes": shapes.size("quantizer.codebook", 0, released.num_codes),
        "code_dim": shapes.size("quantizer.codebook", 1, released.code_dim),
        "strides": released.strides if groups == len(released.strides) else None,
        "blocks": (shapes.count("encoder.blocks.", sum(released.blocks)) // groups,) * groups,
    }


def _motion_encoder(shapes: _Shapes) -> dict[str, Any]:
    released = MotionConditionEncoderConfig()
    width = shapes.size("in_proj.weight", 0, released.width)
    side = math.isqrt(shapes.size("spatial_position", 1, released.num_positions))
    return {
        "rows": side,
        "cols": side,
        "width": width,
        "depth": shapes.count("blocks.", released.depth),
        "mlp_ratio": shapes.mlp_ratio("blocks.0.mlp.fc1.weight", width, released.mlp_ratio),
        "out_width": shapes.size("out_proj.weight", 0, released.out_width),
    }


def _heads(width: int) -> int | None:
    return None if width % HEAD_WIDTH else width // HEAD_WIDTH


def _untold(sizes: Mapping[str, Any]) -> list[str]:
    """Dotted names of the sizes that are None, but for the one that may be."""
    may_be_none = "unused_head_width"
    inner = [f"{key}.{name}" for key, value in sizes.items() if isinstance(value, dict) for name in _untold(value)]
    return inner + [key for key, value in sizes.items() if value is None and key != may_be_none]


def _merged(sizes: dict[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """`sizes` with `stated` ones in their place, nested objects field by field."""
    merged = {**sizes, **stated}
    for key, value in sizes.items():
        if isinstance(value, dict) and isinstance(stated.get(key), dict):
            merged[key] = _merged(value, stated[key])
    return merged


_RULES: dict[str, tuple[type, Callable[[_Shapes], dict[str, Any]]]] = {
    "visual_tokenizer": (VisualTokenizerConfig, _visual_tokenizer),
    "motion_tokenizer": (MotionTokenizerConfig, _motion_tokenizer),
    "condition_decoder": (ConditionDecoderConfig, _condition_decoder),
    "motion_encoder": (MotionConditionEncoderConfig, _motion_encoder),
}
"""The motion modules have the released number of heads, which no rule ties to their width."""
