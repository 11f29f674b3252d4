"""Video detokenizer of the tiny preset: it draws what motion compensation gets wrong, not whole frames.

The keyframe is moved by the motion, without a network, and encoded; the UNet draws the difference to the latents of
the true frames. An untrained network is then as good as the compensation, while one that draws from noise has to learn
to copy first. Besides, the UNet sees the compensated latents and the hints of `compensation.py`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from videolavit.detokenizers.compensation import compensate
from videolavit.detokenizers.motion_condition import MotionConditionEncoder
from videolavit.detokenizers.pixels import encode_pictures
from videolavit.detokenizers.video import ResidualBase, VideoDetokenizer, VideoOptions
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.nn.offload import compute_device

__all__ = ["ResidualVideoDetokenizer", "video_detokenizer"]


class ResidualVideoDetokenizer(VideoDetokenizer):
    """`VideoDetokenizer` for a UNet whose `residual_scale` is not 0."""

    @torch.no_grad()
    def base(
        self, pictures: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
    ) -> ResidualBase:
        """Latents of keyframes, -1..1, moved by normalised motion, and the UNet's channels that go with them."""
        compensated = compensate(pictures, motion.to(pictures))
        frames = motion.shape[2]
        latents = encode_pictures(self.vae, compensated.frames.flatten(0, 1)) * self.vae.config["scaling_factor"]
        hints = F.interpolate(compensated.hints.flatten(0, 1), latents.shape[2:], mode="area")
        channels = torch.cat([latents, hints], dim=1)
        latents, channels = (rearrange(part, "(b t) c h w -> b t c h w", t=frames) for part in (latents, channels))
        return ResidualBase(latents=latents.to(compute_device(self.unet)), channels=channels)


def video_detokenizer(
    unet: VideoUNet,
    vae: AutoencoderKLTemporalDecoder | AutoencoderKL,
    scheduler: Any,
    motion_encoder: MotionConditionEncoder,
    options: VideoOptions | None = None,
) -> VideoDetokenizer:
    """The detokenizer of the form that the UNet was trained for."""
    kind = ResidualVideoDetokenizer if unet.config["residual_scale"] else VideoDetokenizer
    return kind(unet, vae, scheduler, motion_encoder, options)
