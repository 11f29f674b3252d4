"""The parts of a model: what each is called, what it is built from, and one part as it lies in a checkpoint."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from videolavit.checkpoints.files import StoredTensor, stored
from videolavit.checkpoints.loading import Origin, build_on_meta, distinct_tensors, load_into, with_dtype
from videolavit.config import from_dict, to_dict
from videolavit.errors import ConfigError
from videolavit.nn.quantized import precision_of, quantize_linears
from videolavit.settings import ModelSettings
from videolavit.vocabulary import Vocabulary

__all__ = [
    "ANSWERING",
    "BETWEEN_STAGES",
    "COMPONENTS",
    "QUANTIZE",
    "SCHEDULERS",
    "Checkpoint",
    "StoredComponent",
    "build_component",
    "built",
    "component_with_dtype",
    "config_as_json",
    "config_from_json",
    "live_component",
    "load_component",
    "quantize_language_model",
    "video_form",
]

ANSWERING = "answering_"
"""The fine-tuned checkpoint has a language model and tokenizers of its own for answering questions."""

QUANTIZE = "videolavit_quantize"
"""Key beside the configuration of a language model whose weights are stored in few bits."""

SCHEDULERS = ("keyframe_scheduler", "video_scheduler")


@dataclass(frozen=True, slots=True)
class _Kind:
    """The classes of a component, as `module:Class`: they are imported when one is built or its configuration read."""

    classes: tuple[str, ...] = ()
    """The first one is built where the configuration names none; none for a causal language model of transformers."""
    config_class: str | None = None
    """Our configuration; None where the configuration is the JSON of transformers or diffusers."""
    always_float32: bool = False

    def build(self, config: Any) -> nn.Module:
        """The module of a configuration."""
        if not self.classes:
            return _causal_lm(config)
        if self.classes == (_LINEAR,):
            return nn.Linear(**config)
        if self.config_class is not None:
            return _imported(self.classes[0])(config)
        return self._build_diffusers_model(config)

    def _build_diffusers_model(self, config: Mapping[str, Any]) -> nn.Module:
        by_name = {entry.partition(":")[2]: entry for entry in self.classes}
        name = config.get("_class_name", next(iter(by_name)))
        if name == "UNetSpatioTemporalConditionModel":  # of which our video UNet is a subclass with the same arguments
            name = "VideoUNet"
        if name not in by_name:
            raise ConfigError(f"got the class {name!r}, expected {' or '.join(by_name)}")
        return _imported(by_name[name]).from_config({**config, "_class_name": name})


def _imported(entry: str) -> Any:
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def _causal_lm(config: Mapping[str, Any]) -> nn.Module:
    from transformers import AutoConfig, AutoModelForCausalLM

    # "auto_map" would ask for code from the checkpoint; the type of the weights is decided when they are loaded.
    skipped = {"model_type", "auto_map", "dtype", "torch_dtype"}
    values = {key: value for key, value in config.items() if key not in skipped}
    library_config = AutoConfig.for_model(config["model_type"], **values)
    return AutoModelForCausalLM.from_config(library_config, trust_remote_code=False, attn_implementation="sdpa")


_LINEAR = "torch.nn:Linear"
_PATCH_VAE = "videolavit.tiny.autoencoder:PatchAutoencoderKL"
_VAE = "diffusers.models.autoencoders.autoencoder_kl:AutoencoderKL"
_TEMPORAL_VAE = "diffusers.models.autoencoders.autoencoder_kl_temporal_decoder:AutoencoderKLTemporalDecoder"

_KINDS: dict[str, _Kind] = {
    "language_model": _Kind(),
    "visual_tokenizer": _Kind(
        ("videolavit.tokenizers.visual_tokenizer:VisualTokenizer",),
        "videolavit.tokenizers.visual_tokenizer:VisualTokenizerConfig",
    ),
    "motion_tokenizer": _Kind(
        ("videolavit.tokenizers.motion_tokenizer:MotionTokenizer",),
        "videolavit.tokenizers.motion_tokenizer:MotionTokenizerConfig",
    ),
    "condition_decoder": _Kind(
        ("videolavit.detokenizers.condition:ConditionDecoder",),
        "videolavit.detokenizers.condition:ConditionDecoderConfig",
    ),
    "keyframe_unet": _Kind(
        (
            "diffusers.models.unets.unet_2d_condition:UNet2DConditionModel",
            "videolavit.tiny.map_unet:MapUNet2DConditionModel",
        )
    ),
    "keyframe_vae": _Kind((_VAE, _PATCH_VAE), always_float32=True),
    "video_compensation": _Kind(
        ("videolavit.tiny.learned_compensation:LearnedCompensation",),
        "videolavit.tiny.learned_compensation:LearnedCompensationConfig",
        always_float32=True,
    ),
    "motion_encoder": _Kind(
        ("videolavit.detokenizers.motion_condition:MotionConditionEncoder",),
        "videolavit.detokenizers.motion_condition:MotionConditionEncoderConfig",
    ),
    "video_unet": _Kind(("videolavit.detokenizers.video_unet:VideoUNet",)),
    "video_vae": _Kind((_TEMPORAL_VAE, _VAE, _PATCH_VAE)),
    "vision_encoder": _Kind(
        ("videolavit.tokenizers.vit:VisionTransformer",), "videolavit.tokenizers.vit:VisionTransformerConfig"
    ),
    "language_proj": _Kind((_LINEAR,)),
}
"""Every kind of component, by its name in a checkpoint."""


def video_form(video_unet_config: Mapping[str, Any]) -> str:
    """Module whose `video_detokenizer` builds the form that a video UNet was trained for."""
    is_residual = bool(video_unet_config.get("residual_scale"))
    return "videolavit.tiny.residual" if is_residual else "videolavit.detokenizers.video_detokenizer"


BETWEEN_STAGES = ("vision_encoder", "language_proj")
"""Modules that stages of training hand to one another, and a whole model holds as a module of its visual tokenizer."""

_ANSWERING_KINDS = ("language_model", "visual_tokenizer", "motion_tokenizer")

COMPONENTS = (
    *(kind for kind in _KINDS if kind not in BETWEEN_STAGES),
    *(ANSWERING + kind for kind in _ANSWERING_KINDS),
)
"""Every part that has weights. One with the prefix `ANSWERING` is of the kind that stands behind the prefix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredComponent:
    """A part in a checkpoint: its configuration, and its tensors under our names, not read yet."""

    name: str
    config: Any
    """One of our dataclasses, or the JSON object of a transformers or diffusers configuration."""
    tensors: dict[str, StoredTensor]
    origin: Origin
    """File that should hold one of our keys, and its name there; for messages."""
    text_tokenizer: Path | None = None
    """Folder of the text tokenizer that belongs to a language model."""
    quantize: str | None = None
    """Bits of the weights of linear layers, where they are stored in so few: "int8", "int4" or "nf4"."""
    same_as: str | None = None
    """Another part with this very configuration and these tensors, which the native layout stores once for both."""

    def __repr__(self) -> str:
        return f"StoredComponent({self.name!r}, {len(self.tensors)} tensors)"


class Checkpoint(ABC):
    """A checkpoint in either layout: what is in it, to be read part by part."""

    name: str
    """Folder or hub id."""

    def __reduce__(self) -> Any:
        raise TypeError(
            f"a model that was opened cannot be pickled; open it where it is needed, by from_pretrained({self.name!r})"
        )

    def __deepcopy__(self, memo: Any) -> Checkpoint:
        return self  # it is only read

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """Sizes of the modalities."""

    @property
    @abstractmethod
    def settings(self) -> ModelSettings:
        """Settings by which the model sees and generates."""

    @property
    @abstractmethod
    def hash(self) -> str | None:
        """Hash of configuration and weights in hexadecimal, None if they are not known without reading all of them."""

    @abstractmethod
    def held(self) -> list[str]:
        """Names of the parts and schedulers that the checkpoint holds."""

    @abstractmethod
    def part(self, name: str) -> StoredComponent:
        """One of `COMPONENTS`, its tensors not read yet.

        Raises:
            CheckpointError: the checkpoint has no such part, or its files are damaged.
        """

    @abstractmethod
    def answering(self, name: str) -> str:
        """The part that answers questions in the place of `name`."""

    def damaged(self) -> dict[str, str]:
        """Files that are not as they were written, with what is wrong; reads all of them. Empty without checksums."""
        return {}

    @abstractmethod
    def scheduler(self, name: str) -> dict[str, Any]:
        """Configuration of one of `SCHEDULERS`, with diffusers' name of its class.

        Raises:
            CheckpointError: the checkpoint has no such scheduler.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def build_component(name: str, config: Any) -> nn.Module:
    """The module of a part on the meta device: shapes, no memory.

    Raises:
        ConfigError: the configuration cannot be built.
    """
    kind = _kind(name)
    try:
        return build_on_meta(lambda: kind.build(config))
    except ConfigError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise ConfigError(f"{name}: cannot be built from its configuration: {type(error).__name__}: {error}") from error


def built(part: StoredComponent) -> nn.Module:
    """The module of a part on the meta device, with its layers in the bits that they are stored in."""
    module = build_component(part.name, part.config)
    if part.quantize is not None:
        quantize_language_model(module, part.quantize)
    return module


def quantize_language_model(causal_lm: Any, precision: str) -> None:
    """Quantise all linear layers but the output projection, of which a step that draws computes a few rows only."""
    quantize_linears(causal_lm, precision, keep=(causal_lm.get_output_embeddings(),))


def load_component(
    part: StoredComponent, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> nn.Module:
    """The module of a part with its weights.

    `dtype` None keeps the stored type, the widest if a part is stored in several; only float16, which is for storage
    on a CPU, becomes float32 there. The decoder of keyframes is always float32, as in the reference: half precision
    shows in the images.

    Raises:
        CheckpointError: files and configuration do not fit each other.
        ConfigError: the configuration cannot be built.
    """
    module = built(part)
    dtype = torch.float32 if _kind(part.name).always_float32 else dtype
    return load_into(module, part.tensors, name=part.name, origin=part.origin, device=device, dtype=dtype)


def component_with_dtype(part: StoredComponent, dtype: torch.dtype) -> StoredComponent:
    """A part whose tensors are converted when they are read.

    They get the types in which `load_component` computes; only float16, which is enough to store any weight, is also
    taken for the decoder of keyframes.
    """
    dtype = torch.float32 if _kind(part.name).always_float32 and dtype != torch.float16 else dtype
    return replace(part, tensors=with_dtype(built(part), part.tensors, dtype))


def live_component(name: str, module: nn.Module, text_tokenizer: Path | None = None) -> StoredComponent:
    """A module in memory as a part that can be written."""
    if isinstance(module, nn.Linear):
        config: Any = {"in_features": module.in_features, "out_features": module.out_features}
    else:
        config = module.config
    if _kind(name).config_class is None and not isinstance(module, nn.Linear):
        describes_itself: Any = config if hasattr(config, "to_json_string") else module
        config = json.loads(describes_itself.to_json_string())
    tensors = stored(distinct_tensors(module), where="memory")
    return StoredComponent(
        name=name,
        config=config,
        tensors=tensors,
        origin=lambda key: ("memory", key),
        text_tokenizer=text_tokenizer,
        quantize=precision_of(module),
    )


def config_as_json(part: StoredComponent) -> dict[str, Any]:
    """The configuration of a part for a JSON file."""
    values = dict(part.config) if _kind(part.name).config_class is None else to_dict(part.config)
    return values if part.quantize is None else {**values, QUANTIZE: part.quantize}


def config_from_json(name: str, values: dict[str, Any], *, where: str) -> Any:
    """Configuration of a part from a JSON file.

    Raises:
        ConfigError: a key is unknown or missing.
    """
    config_class = _kind(name).config_class
    return values if config_class is None else from_dict(_imported(config_class), values, where=where)


def _kind(name: str) -> _Kind:
    return _KINDS[name.removeprefix(ANSWERING)]
