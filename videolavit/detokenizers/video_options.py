"""Options of the video detokenizer, apart from it: a model's settings hold them without reading a UNet's library."""

from __future__ import annotations

from dataclasses import dataclass

from videolavit.errors import ConfigError

__all__ = ["VideoOptions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoOptions:
    """Options of decoding frames. The defaults are those of the released model."""

    num_inference_steps: int = 25
    """0: no diffusion; frames are those of motion compensation, learned where the model has learnt it."""
    min_guidance_scale: float = 1.0
    """Guidance of the first frame; it grows linearly to `max_guidance_scale` at the last one."""
    max_guidance_scale: float = 4.0
    fps: float = 6.0
    """Frame rate that the UNet is told, as it is (Stable Video Diffusion tells it one less)."""
    motion_bucket_id: float = 127.0
    noise_aug_strength: float = 0.02
    """Noise added to the keyframe before it is encoded, and what the UNet is told of it."""
    decode_chunk_size: int = 8
    """Frames that the VAE decodes at a time. Its decoder mixes frames, so this changes pixels a little."""

    def __post_init__(self) -> None:
        if self.num_inference_steps < 0 or self.decode_chunk_size < 1 or self.fps <= 0 or self.noise_aug_strength < 0:
            raise ConfigError(
                f"decode_chunk_size and fps must be positive, num_inference_steps and noise not negative, got {self}"
            )
