"""Components of a model put together: modules, codebooks and schedulers as the classes that compute with them.

Each is loaded when it is first asked for, and its libraries are imported then: answering reads no diffusers.
`model.py` tells what is done with them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from videolavit.checkpoints.components import ModelComponents
from videolavit.checkpoints.hooks import decode_slices, decode_tiles
from videolavit.checkpoints.registry import video_form
from videolavit.language.language_model import LanguageModel
from videolavit.settings import ModelSettings
from videolavit.vocabulary import Vocabulary

__all__ = ["AnsweringComponents", "Components"]


class AnsweringComponents:
    """The components that answer questions: a fine-tuned checkpoint has its own."""

    def __init__(self, components: ModelComponents) -> None:
        self._components = components

    @cached_property
    def language_model(self) -> LanguageModel:
        return _language_model(self._components, self._components.answering("language_model"))

    @cached_property
    def visual_tokenizer(self) -> Any:
        """A `VisualTokenizer`."""
        return self._components.module(self._components.answering("visual_tokenizer"))

    @cached_property
    def motion_tokenizer(self) -> Any:
        """A `MotionTokenizer`."""
        return self._components.module(self._components.answering("motion_tokenizer"))


class Components:
    """The components of a model, as attributes."""

    def __init__(self, components: ModelComponents) -> None:
        self.components = components
        self.answering = AnsweringComponents(components)

    @cached_property
    def settings(self) -> ModelSettings:
        """Video processing of the model, and its own options of generation."""
        return self.components.settings

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return self.components.vocabulary

    @cached_property
    def language_model(self) -> LanguageModel:
        return _language_model(self.components, "language_model")

    @cached_property
    def visual_tokenizer(self) -> Any:
        """A `VisualTokenizer`."""
        return self.components.module("visual_tokenizer")

    @cached_property
    def motion_tokenizer(self) -> Any:
        """A `MotionTokenizer`."""
        return self.components.module("motion_tokenizer")

    @cached_property
    def keyframe_detokenizer(self) -> Any:
        """A `KeyframeDetokenizer`."""
        from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer

        unet, vae, decoder = map(self.components.module, ("keyframe_unet", "keyframe_vae", "condition_decoder"))
        detokenizer: Any = KeyframeDetokenizer
        return detokenizer(unet, vae, self.components.scheduler("keyframe_scheduler"), decoder)

    @cached_property
    def video_detokenizer(self) -> Any:
        """A `VideoDetokenizer` of the form that the model's UNet was trained for."""
        unet, vae, encoder = map(self.components.module, ("video_unet", "video_vae", "motion_encoder"))
        build = importlib.import_module(self._video_form).video_detokenizer
        return build(unet, vae, self.components.scheduler("video_scheduler"), encoder, **self._compensation)

    @cached_property
    def preview_frames(self) -> Callable[[np.ndarray, Tensor], np.ndarray] | None:
        """Frames of a keyframe under normalised motion, before diffusion, in the form of the model's video detokenizer.

        None where that form has no better preview than warping.
        """
        preview = getattr(importlib.import_module(self._video_form), "preview_frames", None)
        if preview is None:
            return None
        return lambda image, motion: preview(image, motion, self.components.device, **self._compensation)

    @cached_property
    def repainted(self) -> Callable[[Tensor], Tensor] | None:
        """Drawn keyframes, (batch, 3, height, width) of -1..1, with their things painted anew; None for a model that
        has not learnt that."""
        return self._compensation_network.repainted if self.known_things else None

    @cached_property
    def named(self) -> Callable[[Tensor], Tensor]:
        """Logarithms of the probabilities that things in images, (batch, 3, height, width) of -1..1, are none of
        `known_things` (0), or which (from 1): (batch, things, kinds)."""
        return self._compensation_network.named

    @cached_property
    def known_things(self) -> tuple[str, ...]:
        """Names of each thing that the model recognises in what it draws, as in "dog, puppy"; none of most models."""
        if not self.components.holds("video_compensation"):
            return ()
        return tuple(self.components.config("video_compensation").known_things)

    @property
    def _compensation_network(self) -> Any:
        return self.components.module("video_compensation")

    def vae_factor(self, name: str) -> int:
        """Pixels along a side for each latent of "keyframe_vae" or "video_vae", which is not loaded for that."""
        from videolavit.detokenizers.vae import config_vae_factor

        return config_vae_factor(self.components.config(name))

    def enable_model_cpu_offload(self) -> None:
        """Keep the components in the memory of the CPU; each visits the device when it is used, in turns."""
        self.components.offload()

    def enable_vae_slicing(self) -> None:
        """Send images through the autoencoders one by one: less memory for batches, the same pixels."""
        self.components.adapt(decode_slices)

    def enable_vae_tiling(self) -> None:
        """Send large images through the autoencoders in overlapping tiles: less memory, pixels change a little."""
        self.components.adapt(decode_tiles)

    @property
    def _compensation(self) -> dict[str, Any]:
        """The learned motion compensation, as an argument of a residual form, where the checkpoint holds one."""
        if not self.components.holds("video_compensation"):
            return {}
        return {"compensation": self.components.module("video_compensation").compensate}

    @property
    def _video_form(self) -> str:
        return video_form(self.components.config("video_unet"))


def _language_model(components: ModelComponents, name: str) -> LanguageModel:
    causal_lm, tokenizer = components.module(name), components.text_tokenizer(name)
    return LanguageModel(causal_lm, components.vocabulary, tokenizer, components.settings.chat)
