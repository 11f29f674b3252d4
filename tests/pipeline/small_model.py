"""A whole model in memory whose parts are as small as they may be: every task takes a moment."""

from __future__ import annotations

import numpy as np
import torch
from checkpoints.small_components import small_modules
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from transformers import LlamaConfig, LlamaForCausalLM

from videolavit.checkpoints.components import ModelComponents
from videolavit.detokenizers.video_detokenizer import VideoOptions
from videolavit.language.text_tokenizer import TextTokenizerConfig, train_text_tokenizer
from videolavit.pipeline import VideoLaVIT
from videolavit.settings import ModelSettings
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformerConfig
from videolavit.video.processor import VideoProcessorConfig
from videolavit.vocabulary import Vocabulary

WORDS = ["a red ball moves left", "a green square moves right", "what moves?", "which way does it move?"]
SIDE = 16
VOCABULARY = Vocabulary(num_text=300, num_visual_codes=24, num_motion_codes=16)
MOTION = MotionTokenizerConfig(
    rows=4, cols=4, patch=(2, 4, 4), strides=((2, 1, 1), (2, 1, 1)), blocks=(1, 1), width=16, heads=2, num_codes=16
)
CONTEXT = 160
"""Ids; a clip takes at most 11."""


def small_model(*, motion_only_clips: bool = False) -> VideoLaVIT:
    """The same weights each time; draws 16 x 16 pixels and sees the discrete codes of 4 patches.

    With `motion_only_clips` it is as if it had been trained on clips of motion alone.
    """
    torch.manual_seed(0)
    vit = VisionTransformerConfig(image_size=SIDE, patch_size=8, width=16, layers=1, heads=2, unused_head_width=None)
    visual = VisualTokenizerConfig(
        vit=vit, merger_layers=1, merger_heads=2, num_codes=24, code_dim=4, language_width=32
    )
    language = LlamaConfig(
        vocab_size=VOCABULARY.size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
    )
    modules = small_modules() | {
        "language_model": LlamaForCausalLM(language).eval(),
        "visual_tokenizer": VisualTokenizer(visual).eval(),
        "motion_tokenizer": MotionTokenizer(MOTION).eval(),
    }
    settings = ModelSettings(
        video_processor=VideoProcessorConfig(
            height=SIDE,
            width=SIDE,
            motion_scale=4,
            slices=1,
            look_at="timeline",
            keyframes="adaptive" if motion_only_clips else "every",
        ),
        motion_only_clips=motion_only_clips,
        visual_input="discrete",
        min_keyframe_ids=2,
        keyframe_num_inference_steps=2,
        keyframe_guidance_scale=1.0,
        frames=VideoOptions(num_inference_steps=1, max_guidance_scale=1.0),
    )
    parts = ModelComponents(
        vocabulary=VOCABULARY,
        settings=settings,
        modules=modules,
        schedulers={
            "keyframe_scheduler": DDIMScheduler(),
            "video_scheduler": EulerDiscreteScheduler(prediction_type="v_prediction", timestep_type="continuous"),
        },
        text_tokenizers={"language_model": train_text_tokenizer(WORDS, TextTokenizerConfig(size=300))},
    )
    return VideoLaVIT(parts)


def image(height: int = 24, width: int = 32) -> np.ndarray:
    rows, cols = np.indices((height, width))
    return ((rows + cols)[..., None] * np.array([3, 5, 7]) % 256).astype(np.uint8)


def moving(num_frames: int) -> np.ndarray:
    """Frames of an image that drifts to the right."""
    return np.stack([np.roll(image(), i, axis=1) for i in range(num_frames)])
