"""Video detokenizer: a keyframe and its motion to frames by latent diffusion (paper, section 3.2; reference section 6).

Euler steps over the 3-D UNet, with guidance that grows over the frames: the first one is the keyframe and needs none,
the last ones have moved furthest from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from videolavit.clip import resize_motion_tensor
from videolavit.detokenizers.denoise import OnStep, denoise, guided, scheduler_for
from videolavit.detokenizers.motion_condition import MotionConditionEncoder
from videolavit.detokenizers.vae import (
    check_size,
    decode_latents,
    encode_images,
    signed_images,
    to_uint8,
    unit_range,
    vae_factor,
)
from videolavit.detokenizers.video_options import VideoOptions
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.finite import check_finite
from videolavit.nn.offload import compute_device
from videolavit.nn.random import randn_per_sample

__all__ = ["ResidualBase", "VideoDetokenizer", "VideoNoise", "VideoOptions", "to_frames", "video_detokenizer"]


class VideoNoise(NamedTuple):
    """Standard normal noise of one run, in the order in which it is drawn."""

    images: Float[Tensor, "batch 3 height width"]
    latents: Float[Tensor, "batch frames channels rows cols"]


class ResidualBase(NamedTuple):
    """Base that residuals are added to, and the UNet's view of it."""

    frames: Float[Tensor, "batch frames 3 height width"]
    """Compensated frames, -1..1."""
    latents: Float[Tensor, "batch frames channels rows cols"]
    """Of the compensated frames, multiplied by the VAE's scaling factor."""
    channels: Float[Tensor, "batch frames further_channels rows cols"]
    """Those latents and the hints at their size."""


class VideoDetokenizer(nn.Module):
    """Keyframe and motion to frames.

    The parts may have devices and types of their own; latents are float32 throughout. The VAE is Stable Video
    Diffusion's with the temporal decoder, or a plain one that decodes each frame for itself.
    """

    def __init__(
        self,
        unet: VideoUNet,
        vae: Any,
        scheduler: Any,
        motion_encoder: MotionConditionEncoder,
        options: VideoOptions | None = None,
    ) -> None:
        super().__init__()
        grid = motion_encoder.config.rows, motion_encoder.config.cols
        if tuple(unet.config["motion_grid"]) != grid:
            raise ConfigError(
                f"the motion encoder's grid is {grid} and the UNet's motion_grid {unet.config['motion_grid']}, "
                "expected one and the same"
            )
        self.unet, self.vae, self.motion_encoder = unet, vae, motion_encoder
        self.scheduler = scheduler
        self.options = options or VideoOptions()

    @torch.no_grad()
    def generate(
        self,
        keyframes: Tensor | np.ndarray,
        motion: Float[Tensor, "_ 2 frames motion_rows motion_cols"],
        *,
        options: VideoOptions | None = None,
        generators: Sequence[torch.Generator] | None = None,
        noise: VideoNoise | None = None,
        on_step: OnStep | None = None,
    ) -> UInt8[Tensor, "batch frames height width 3"]:
        """Generate a clip of each keyframe's size and each motion's length; the first frame is close to the keyframe.

        Args:
            keyframes: uint8 (batch, height, width, 3), or float -1..1 (batch, 3, height, width).
            motion: normalised motion (without the tokenizer's gain) of any size; it is resized to the latents' one.
            options: in place of the detokenizer's own.
            generators: one for each clip, for the noise on the keyframe and then that of the latents.
            noise: standard normal noise in place of drawn.
            on_step: called after each denoising step.

        Raises:
            ShapeError: sizes that do not fit one another, or sides that the VAE's factor does not divide.
        """
        options = options or self.options
        latents, base = self._sample(keyframes, motion, options, generators, noise, on_step)
        return self._shown(latents, base, options.decode_chunk_size)

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
        """Latents, multiplied by the VAE's scaling factor; arguments and errors are those of `generate`."""
        latents, _ = self._sample(keyframes, motion, options or self.options, generators, noise, on_step)
        return latents

    def _sample(
        self,
        keyframes: Tensor | np.ndarray,
        motion: Tensor,
        options: VideoOptions,
        generators: Sequence[torch.Generator] | None,
        noise: VideoNoise | None,
        on_step: OnStep | None,
    ) -> tuple[Float[Tensor, "batch frames channels rows cols"], ResidualBase | None]:
        """Scaled latents, and what they were added to."""
        images = signed_images(keyframes, compute_device(self.vae))
        if motion.ndim != 5 or motion.shape[:2] != (len(images), 2):
            raise ShapeError(
                f"got motion of shape {tuple(motion.shape)} for {len(images)} keyframes, expected "
                f"({len(images)}, 2, frames, rows, cols): one clip for each"
            )
        noise = self._noise(noise, images, motion.shape[2], generators)
        keyframe_latents = encode_images(self.vae, images + options.noise_aug_strength * noise.images)
        base = self.base(images, motion)
        scheduler = scheduler_for(self.scheduler, options.num_inference_steps, compute_device(self.unet))
        drawn = denoise(
            scheduler,
            noise.latents * scheduler.init_noise_sigma,
            self.predictor(keyframe_latents, motion, options, None if base is None else base.channels),
            generators=generators,
            on_step=on_step,
            part="the video UNet",
        )
        return (drawn if base is None else base.latents + self.unet.config["residual_scale"] * drawn), base

    def base(
        self, images: Float[Tensor, "batch 3 height width"], motion: Float[Tensor, "batch 2 frames rows cols"]
    ) -> ResidualBase | None:
        """Base that the UNet's output is added to; None here, where it denoises whole latents."""
        return None

    def predictor(
        self,
        keyframe_latents: Float[Tensor, "batch channels rows cols"],
        motion: Float[Tensor, "batch 2 frames motion_rows motion_cols"],
        options: VideoOptions,
        compensated: Float[Tensor, "batch frames further_channels rows cols"] | None = None,
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The UNet under its conditions: from scaled latents and a timestep to the guided prediction, in float32.

        In the negative branch keyframe, motion and the encoder's output are all zero; what the UNet is told about frame
        rate, motion and noise is the same, and so are the further channels of a UNet that draws residuals.
        """
        unet, device = self.unet, compute_device(self.unet)
        fixed, condition = self.conditions(keyframe_latents, motion)
        guidance = _guidance_ramp(options, motion.shape[2])
        if guidance is not None:
            fixed, condition = (torch.cat([torch.zeros_like(part), part]) for part in (fixed, condition))
            guidance = guidance.to(device)
        if compensated is not None:
            compensated = compensated.to(device, unet.dtype)
            fixed = torch.cat([fixed, compensated.repeat(len(fixed) // len(compensated), 1, 1, 1, 1)], dim=2)
        time_ids = _time_ids(len(fixed), options).to(device)

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            sample = torch.cat([latents.to(unet.dtype), fixed], dim=2)
            return unet(sample, timestep, condition, time_ids).sample.float()

        return lambda latents, timestep: guided(lambda batch: predict(batch, timestep), latents, guidance)

    def conditions(
        self,
        keyframe_latents: Float[Tensor, "batch channels rows cols"],
        motion: Float[Tensor, "batch 2 frames motion_rows motion_cols"],
    ) -> tuple[Float[Tensor, "batch frames channels_and_2 rows cols"], Float[Tensor, "batch frames cells dim"]]:
        """Input channels of keyframe and motion, and the motion encoder's output, as the UNet takes them."""
        device, dtype = compute_device(self.unet), self.unet.dtype
        keyframe_latents = keyframe_latents.to(device)
        motion = resize_motion_tensor(motion.to(device, torch.float32), *keyframe_latents.shape[2:])
        repeated = repeat(keyframe_latents, "b c h w -> b t c h w", t=motion.shape[2])
        fixed = torch.cat([repeated, motion.movedim(2, 1)], dim=2)
        return fixed.to(device, dtype), self._motion_condition(motion).to(device, dtype)

    @torch.no_grad()
    def frames(
        self, latents: Float[Tensor, "batch frames channels rows cols"], decode_chunk_size: int | None = None
    ) -> UInt8[Tensor, "batch frames height width 3"]:
        """Frames from sampled latents, converted chunk by chunk so that a clip is never held in float as a whole."""
        clips = [
            torch.cat([to_frames(chunk) for chunk in self._decoded_chunks(clip, decode_chunk_size)]) for clip in latents
        ]
        return torch.stack(clips)

    def _shown(
        self,
        latents: Float[Tensor, "batch frames channels rows cols"],
        base: ResidualBase | None,
        decode_chunk_size: int | None,
    ) -> UInt8[Tensor, "batch frames height width 3"]:
        """Frames of denoised latents."""
        return self.frames(latents, decode_chunk_size)

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "batch frames channels rows cols"], decode_chunk_size: int | None = None
    ) -> Float[Tensor, "batch 3 frames height width"]:
        """Decoded latents: nominally -1..1, not clamped."""
        clips = [torch.cat(list(self._decoded_chunks(clip, decode_chunk_size))) for clip in latents]
        return rearrange(torch.stack(clips), "b t c h w -> b c t h w")

    def _noise(
        self,
        noise: VideoNoise | None,
        images: Tensor,
        frames: int,
        generators: Sequence[torch.Generator] | None,
    ) -> VideoNoise:
        """Given or drawn noise, on the devices where it is used: first for the images, then for the latents."""
        batch, _, height, width = images.shape
        factor, channels = vae_factor(self.vae), self.unet.config["out_channels"]
        check_size(height, width, factor)
        shapes = (tuple(images.shape), (batch, frames, channels, height // factor, width // factor))
        if noise is None:
            noise = VideoNoise(*(randn_per_sample(shape, generators) for shape in shapes))
        arrived = tuple(tuple(part.shape) for part in noise)
        if arrived != shapes:
            raise ShapeError(
                f"got noise of the shapes {arrived}, expected {shapes} for these keyframes and this motion"
            )
        return VideoNoise(noise.images.to(images), noise.latents.to(compute_device(self.unet), torch.float32))

    def _motion_condition(self, motion: Tensor) -> Float[Tensor, "batch frames cells dim"]:
        device, dtype = compute_device(self.motion_encoder), next(self.motion_encoder.parameters()).dtype
        return check_finite(self.motion_encoder(motion.to(device, dtype)), "the motion encoder")

    def _decoded_chunks(
        self, clip: Float[Tensor, "frames channels rows cols"], decode_chunk_size: int | None
    ) -> Iterator[Float[Tensor, "chunk 3 height width"]]:
        """Chunks of one clip only: in a chunk across two clips the temporal decoder would mix them."""
        return (
            decode_latents(self.vae, chunk) for chunk in clip.split(decode_chunk_size or self.options.decode_chunk_size)
        )


def to_frames(pixels: Float[Tensor, "frames 3 height width"]) -> UInt8[Tensor, "frames height width 3"]:
    """Frames as files hold them, of pixels nominally -1..1."""
    return rearrange(to_uint8(unit_range(pixels)), "t c h w -> t h w c")


def _guidance_ramp(options: VideoOptions, frames: int) -> Float[Tensor, "1 frames 1 1 1"] | None:
    """None where no frame is guided, so that the negative branch needs no computing."""
    if options.min_guidance_scale == options.max_guidance_scale == 1:
        return None
    return torch.linspace(options.min_guidance_scale, options.max_guidance_scale, frames).reshape(1, frames, 1, 1, 1)


def _time_ids(batch: int, options: VideoOptions) -> Float[Tensor, "batch 3"]:
    """Numbers that the UNet is conditioned on, in this order; always in float32, to keep small ones exact."""
    return torch.tensor([[options.fps, options.motion_bucket_id, options.noise_aug_strength]]).repeat(batch, 1)


def video_detokenizer(
    unet: VideoUNet,
    vae: Any,
    scheduler: Any,
    motion_encoder: MotionConditionEncoder,
    options: VideoOptions | None = None,
) -> VideoDetokenizer:
    """The detokenizer of whole frames, as `checkpoints.registry.video_form` asks for it."""
    return VideoDetokenizer(unet, vae, scheduler, motion_encoder, options)
