"""The parts of a model put together: modules, codebooks and schedulers as the classes that compute with them.

Each is loaded when it is first asked for. `pipeline.py` tells what is done with them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

from torch import nn

from videolavit.checkpoints.components import ModelComponents
from videolavit.checkpoints.hooks import decode_slices, decode_tiles
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer
from videolavit.detokenizers.video_detokenizer import VideoDetokenizer
from videolavit.language.language_model import LanguageModel
from videolavit.settings import ModelSettings
from videolavit.tiny.residual import video_detokenizer
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.vocabulary import Vocabulary

__all__ = ["AnsweringComponents", "Components"]

Module = TypeVar("Module", bound=nn.Module)


class AnsweringComponents:
    """The parts that answer questions: a fine-tuned checkpoint has its own."""

    def __init__(self, parts: ModelComponents) -> None:
        self._parts = parts

    @cached_property
    def language_model(self) -> LanguageModel:
        return _language_model(self._parts, self._parts.answering("language_model"))

    @cached_property
    def visual_tokenizer(self) -> VisualTokenizer:
        return _module(self._parts, self._parts.answering("visual_tokenizer"), VisualTokenizer)

    @cached_property
    def motion_tokenizer(self) -> MotionTokenizer:
        return _module(self._parts, self._parts.answering("motion_tokenizer"), MotionTokenizer)


class Components:
    """The assembled parts, as attributes."""

    def __init__(self, parts: ModelComponents) -> None:
        self.parts = parts
        self.answering = AnsweringComponents(parts)

    @property
    def settings(self) -> ModelSettings:
        """How the model sees and draws."""
        return self.parts.settings

    @property
    def vocabulary(self) -> Vocabulary:
        return self.parts.vocabulary

    @cached_property
    def language_model(self) -> LanguageModel:
        return _language_model(self.parts, "language_model")

    @cached_property
    def visual_tokenizer(self) -> VisualTokenizer:
        return _module(self.parts, "visual_tokenizer", VisualTokenizer)

    @cached_property
    def motion_tokenizer(self) -> MotionTokenizer:
        return _module(self.parts, "motion_tokenizer", MotionTokenizer)

    @cached_property
    def keyframe_detokenizer(self) -> KeyframeDetokenizer:
        parts: Any = [self.parts.module(name) for name in ("keyframe_unet", "keyframe_vae", "condition_decoder")]
        return KeyframeDetokenizer(parts[0], parts[1], self.parts.scheduler("keyframe_scheduler"), parts[2])

    @cached_property
    def video_detokenizer(self) -> VideoDetokenizer:
        parts: Any = [self.parts.module(name) for name in ("video_unet", "video_vae", "motion_encoder")]
        return video_detokenizer(parts[0], parts[1], self.parts.scheduler("video_scheduler"), parts[2])

    def enable_model_cpu_offload(self) -> None:
        """Keep the parts in the memory of the CPU; each visits the device when it is used, in turns."""
        self.parts.offload()

    def enable_vae_slicing(self) -> None:
        """Send images through the autoencoders one by one: less memory for batches, the same pixels."""
        self.parts.adapt(decode_slices)

    def enable_vae_tiling(self) -> None:
        """Send large images through the autoencoders in overlapping tiles: less memory, pixels change a little."""
        self.parts.adapt(decode_tiles)


def _language_model(parts: ModelComponents, name: str) -> LanguageModel:
    return LanguageModel(parts.module(name), parts.vocabulary, parts.text_tokenizer(name))


def _module(parts: ModelComponents, name: str, kind: type[Module]) -> Module:
    module = parts.module(name)
    assert isinstance(module, kind)
    return module
