"""Video detokenizer of the small models: it draws what motion compensation gets wrong, not whole frames.

The keyframe is moved by the motion and encoded, by rules (`compensation.py`, the tiny model) or by a network that has
learnt it (`learned_compensation.py`, where the checkpoint holds one); the UNet draws the difference to the latents of
the true frames. An untrained UNet is then as good as the compensation, while one that draws from noise has to learn
to copy first. Besides, the UNet sees the compensated latents and the hints of `compensation.py`.

Frames are the compensated ones, changed by what the residual changes in decoded pixels. So what the autoencoder cannot
keep of a keyframe is not lost where nothing needs to be repaired.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from videolavit.detokenizers.motion_condition import MotionConditionEncoder
from videolavit.detokenizers.vae import encode_images, signed_images
from videolavit.detokenizers.video_detokenizer import ResidualBase, VideoDetokenizer, VideoOptions, to_frames
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.nn.offload import compute_device
from videolavit.tiny.compensation import Compensated, compensate

__all__ = ["Compensation", "ResidualVideoDetokenizer", "preview_frames", "video_detokenizer"]

Compensation = Callable[[Tensor, Tensor], Compensated]
"""From keyframes (batch, 3, height, width), -1..1, and normalised motion (batch, 2, frames, rows, cols)."""


class ResidualVideoDetokenizer(VideoDetokenizer):
    """`VideoDetokenizer` for a UNet whose `residual_scale` is not 0.

    `compensation` must be the one that the UNet was trained on.
    """

    compensation: Compensation = staticmethod(compensate)

    @torch.no_grad()
    def base(
        self, images: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
    ) -> ResidualBase:
        """Latents of keyframes, -1..1, moved by normalised motion, and the UNet's channels that go with them."""
        compensated = self.compensation(images, motion.to(images))
        frames = motion.shape[2]
        latents = encode_images(self.vae, compensated.frames.flatten(0, 1)) * self.vae.config["scaling_factor"]
        hints = F.interpolate(compensated.hints.flatten(0, 1), latents.shape[2:], mode="area")
        channels = torch.cat([latents, hints], dim=1)
        latents, channels = (rearrange(part, "(b t) c h w -> b t c h w", t=frames) for part in (latents, channels))
        return ResidualBase(frames=compensated.frames, latents=latents.to(compute_device(self.unet)), channels=channels)

    @torch.no_grad()
    def _shown(
        self,
        latents: Float[Tensor, "batch frames channels rows cols"],
        base: ResidualBase | None,
        decode_chunk_size: int | None,
    ) -> UInt8[Tensor, "batch frames height width 3"]:
        assert base is not None
        return torch.stack(
            [self._changed(*clip, decode_chunk_size) for clip in zip(latents, base.latents, base.frames, strict=True)]
        )

    def _changed(
        self,
        latents: Float[Tensor, "frames channels rows cols"],
        base: Float[Tensor, "frames channels rows cols"],
        compensated: Float[Tensor, "frames 3 height width"],
        decode_chunk_size: int | None,
    ) -> UInt8[Tensor, "frames height width 3"]:
        chunks = zip(
            self._decoded_chunks(latents, decode_chunk_size),
            self._decoded_chunks(base, decode_chunk_size),
            compensated.split(decode_chunk_size or self.options.decode_chunk_size),
            strict=True,
        )
        return torch.cat([to_frames(frames + (new - old).to(frames)) for new, old, frames in chunks])


def video_detokenizer(
    unet: VideoUNet,
    vae: AutoencoderKL,
    scheduler: Any,
    motion_encoder: MotionConditionEncoder,
    options: VideoOptions | None = None,
    compensation: Compensation | None = None,
) -> VideoDetokenizer:
    """The detokenizer of the form that the UNet was trained for: of residuals, or of whole frames."""
    if not unet.config["residual_scale"]:
        return VideoDetokenizer(unet, vae, scheduler, motion_encoder, options)
    detokenizer = ResidualVideoDetokenizer(unet, vae, scheduler, motion_encoder, options)
    detokenizer.compensation = compensation or compensate
    return detokenizer


@torch.no_grad()
def preview_frames(
    image: UInt8[np.ndarray, "height width 3"],
    motion: Float[Tensor, "1 2 frames rows cols"],
    device: torch.device,
    compensation: Compensation | None = None,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """The compensated frames that residuals are added to, without diffusion."""
    compensated = (compensation or compensate)(signed_images(image[None], device), motion)
    return to_frames(compensated.frames[0]).cpu().numpy()
