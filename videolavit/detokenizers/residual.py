"""Video detokenizer of the tiny preset: it draws what motion compensation gets wrong, not whole frames.

The keyframe is moved by the motion, without a network, and encoded; the UNet draws the difference to the latents of
the true frames. An untrained network is then as good as the compensation, while one that draws from noise has to learn
to copy first. Besides, the UNet sees the compensated latents and the hints of `compensation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from videolavit.detokenizers.compensation import compensate
from videolavit.detokenizers.motion_condition import MotionConditionEncoder
from videolavit.detokenizers.pixels import encode_pictures, signed_pictures
from videolavit.detokenizers.sampling import OnStep, denoise, scheduler_for
from videolavit.detokenizers.video import VideoDetokenizer, VideoNoise, VideoOptions
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.errors import ShapeError

__all__ = ["ResidualBase", "ResidualVideoDetokenizer", "video_detokenizer"]


class ResidualBase(NamedTuple):
    """What residuals are added to, and what the UNet sees of it."""

    latents: Float[Tensor, "batch frames channels rows cols"]
    """Of the compensated frames, multiplied by the VAE's scaling factor."""
    channels: Float[Tensor, "batch frames further_channels rows cols"]
    """Those latents and the hints at their size."""


class ResidualVideoDetokenizer(VideoDetokenizer):
    """`VideoDetokenizer` for a UNet whose `residual_scale` is not 0."""

    @torch.no_grad()
    def sample_latents(
        self,
        keyframes: Tensor | np.ndarray,
        motion: Float[Tensor, "_ 2 frames motion_rows motion_cols"],
        *,
        options: VideoOptions | None = None,
        generators: Sequence[torch.Generator] | None = None,
        noise: VideoNoise | None = None,
        on_step: OnStep | None = None,
    ) -> Float[Tensor, "batch frames channels rows cols"]:
        """Latents, multiplied by the VAE's scaling factor; arguments and errors are those of `draw`."""
        options = options or self.options
        pictures = signed_pictures(keyframes, self.vae.device)
        if len(pictures) != len(motion):
            raise ShapeError(f"got {len(pictures)} keyframes and motion of {len(motion)} clips")
        noise = self._noise(noise, pictures, motion.shape[2], generators)
        keyframe_latents = encode_pictures(self.vae, pictures + options.noise_augmentation * noise.pictures)
        base = self.base(pictures, motion)
        scheduler = scheduler_for(self.scheduler, options.steps, self.unet.device)
        residuals = denoise(
            scheduler,
            noise.latents * scheduler.init_noise_sigma,
            self.predictor(keyframe_latents, motion, options, base.channels),
            generators=generators,
            on_step=on_step,
        )
        return base.latents + self.unet.config["residual_scale"] * residuals

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
        return ResidualBase(latents=latents.to(self.unet.device), channels=channels)


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
