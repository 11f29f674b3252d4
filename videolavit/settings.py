"""Settings that belong to a model beside its weights: how it was trained to see, and how it generates best.

A checkpoint in the native layout keeps them in its config.json; one in the released layout has the defaults, which are
the release's values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from videolavit.detokenizers.video_options import VideoOptions
from videolavit.errors import ConfigError
from videolavit.language.chat_template import ChatTemplate
from videolavit.language.sampling_options import Sampling
from videolavit.video.processor import VideoProcessorConfig

__all__ = ["ModelSettings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """Settings of one model. The defaults are those of the released one."""

    video_processor: VideoProcessorConfig = field(default_factory=VideoProcessorConfig)
    """Processing of videos into clips. If it has a size, that is also the size of what the model generates."""
    visual_input: Literal["continuous", "discrete"] = "continuous"
    """Form of the images that the language model is asked about: as features, or as ids."""
    max_clips: int = 8
    """Clips of a video that it can be asked about at once."""
    min_keyframe_ids: int = 20
    """Fewest ids of a keyframe that it generates."""
    sampling: Sampling = field(default_factory=Sampling)
    """Sampling of ids after words."""
    sampling_after_image: Sampling = field(default_factory=Sampling.image_to_video)
    """The same where the first image is given."""
    candidates: int = 1
    """Drafts of the ids that it writes for words; the one that it finds to fit them best is decoded."""
    keyframe_num_inference_steps: int = 50
    keyframe_guidance_scale: float = 3.0
    frames: VideoOptions = field(default_factory=VideoOptions)
    chat: ChatTemplate = field(default_factory=ChatTemplate)
    """Words around questions and answers that it was tuned with."""
    motion_only_clips: bool = False
    """Trained on clips that have motion alone and go on from the one before; a model that was not refuses them."""

    def __post_init__(self) -> None:
        if self.visual_input not in ("continuous", "discrete"):
            raise ConfigError(f'got visual_input={self.visual_input!r}, expected "continuous" or "discrete"')
        for name in ("max_clips", "min_keyframe_ids", "keyframe_num_inference_steps", "candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected at least 1")
        if self.video_processor.keyframes == "adaptive" and not self.motion_only_clips:
            raise ConfigError(
                "got adaptive keyframes for a model that was not trained on clips of motion alone; "
                'expected video_processor.keyframes="every", or motion_only_clips=true'
            )
