"""Clips of motion alone, which only models that were trained on them are shown."""

from __future__ import annotations

from dataclasses import replace

from videolavit.errors import ConfigError
from videolavit.settings import ModelSettings
from videolavit.video.processor import KeyframeChoice, VideoProcessorConfig

__all__ = ["check_motion_only", "processor_with"]


def check_motion_only(settings: ModelSettings, what: str) -> None:
    """Refuse clips of motion alone for a model that does not know them; `what` has them.

    Raises:
        ConfigError: the settings do not say that the model was trained on such clips.
    """
    if not settings.motion_only_clips:
        raise ConfigError(
            f"{what} has clips of motion alone, on which this model was not trained; make it with a keyframe for every "
            "clip (keyframes=every), or take a model trained with adaptive keyframes"
        )


def processor_with(settings: ModelSettings, keyframes: KeyframeChoice | None) -> VideoProcessorConfig:
    """The model's processing of videos with that choice of keyframes; None for the model's own."""
    processor = settings.video_processor
    return processor if keyframes is None else replace(processor, keyframes=keyframes)
