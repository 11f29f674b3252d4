"""Parts of a checkpoint that kinds of tasks need, by their names there."""

from __future__ import annotations

__all__ = ["ANIMATION", "AUTOENCODER", "IMAGE", "LANGUAGE", "MOTION", "QUESTIONS", "RECONSTRUCTION", "VIDEO", "VISUAL"]

LANGUAGE = ("language_model",)
VISUAL = ("visual_tokenizer",)
MOTION = ("motion_tokenizer",)
QUESTIONS = LANGUAGE + VISUAL + MOTION
AUTOENCODER = ("keyframe_vae",)
RECONSTRUCTION = ("condition_decoder", "keyframe_unet", "keyframe_vae", "keyframe_scheduler", *VISUAL)
"""Of images through visual tokens and back."""
ANIMATION = ("motion_encoder", "video_unet", "video_vae", "video_scheduler", *MOTION)
"""Of frames from a keyframe and motion."""
IMAGE = LANGUAGE + RECONSTRUCTION
VIDEO = (*IMAGE, *ANIMATION)
