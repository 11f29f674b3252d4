"""Start of the next keyframe of a long video from the last frame (paper, section 3.2; reference section 7).

Three ways: not at all (pure noise, `KeyframeDetokenizer.generate` without a start); `restart_latents`, as the release
does it, which noises the last frame and denoises the last few steps; `inversion_latents`, as the paper describes it,
which runs the keyframe UNet backwards to the noise that would have given the last frame.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videolavit.detokenizers.condition import Condition
from videolavit.detokenizers.denoise import OnStep, scheduler_for
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer, KeyframeStart
from videolavit.detokenizers.vae import (
    check_size,
    encode_images,
    keep_in_float32,
    signed_images,
    vae_factor,
)
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.offload import compute_device
from videolavit.nn.random import randn_per_sample

__all__ = ["inversion_latents", "restart_latents"]


@torch.no_grad()
def restart_latents(
    detokenizer: KeyframeDetokenizer,
    last_frames: Tensor | np.ndarray,
    *,
    steps: int = 50,
    inverse_rate: float = 0.85,
    generators: Sequence[torch.Generator] | None = None,
    noise: Float[Tensor, "batch channels rows cols"] | None = None,
) -> KeyframeStart:
    """The last frame, noised to the level of step `int(inverse_rate * steps)`, as the release does it.

    Args:
        detokenizer: draws the next keyframe.
        last_frames: uint8 (batch, height, width, 3), or float -1..1 (batch, 3, height, width).
        steps: denoising steps over the whole noise range; those before the restart are skipped.
        inverse_rate: share of the steps to skip, 0 to less than 1; 0.85 of 50 leaves 8.
        generators: one for each frame, for the noise.
        noise: standard normal latents in place of drawn ones.

    Raises:
        ConfigError: `inverse_rate` skips all steps or is negative.
        ShapeError: frames of another form, or noise of another shape than the latents.
    """
    first_step = _first_step(inverse_rate, steps)
    latents = _encode(detokenizer, last_frames)
    scheduler = scheduler_for(detokenizer.scheduler, steps, latents.device, first_step)
    if noise is None:
        noise = randn_per_sample(latents.shape, generators, latents.device)
    if noise.shape != latents.shape:
        raise ShapeError(f"got noise of shape {tuple(noise.shape)}, expected {tuple(latents.shape)} for these frames")
    level = scheduler.timesteps[first_step : first_step + 1].repeat(len(latents))
    noised = scheduler.add_noise(latents, noise.to(latents), level)
    # Times the initial sigma is the release's own: it is 1 for DDIM, and more than the noise level asks for Euler.
    return KeyframeStart(latents=noised * scheduler.init_noise_sigma, first_step=first_step, steps=steps)


@torch.no_grad()
def inversion_latents(
    detokenizer: KeyframeDetokenizer,
    last_frames: Tensor | np.ndarray,
    condition: Condition,
    *,
    steps: int = 50,
    inverse_rate: float = 0.0,
    on_step: OnStep | None = None,
) -> KeyframeStart:
    """The noise that deterministic denoising turns into the last frame: DDIM inversion, as the paper describes it.

    Works on the alphas of the checkpoint's own scheduler; schedulers that count in sigmas get their own units.

    Args:
        detokenizer: its UNet is run backwards, and then draws the next keyframe.
        last_frames: uint8 (batch, height, width, 3), or float -1..1 (batch, 3, height, width).
        condition: under which to invert, from `detokenizer.condition`; without guidance.
        steps: denoising steps over the whole noise range.
        inverse_rate: where to stop, as a share of the steps: 0 goes all the way to noise; 0.85 of 50 goes back 8 steps.
        on_step: called after each step back.

    Raises:
        ConfigError: the scheduler's timesteps are not evenly spaced ones, which DDIM inversion needs, or
            `inverse_rate` is out of range.
        ShapeError: frames of another form, or another number of frames than of conditions.
    """
    first_step = _first_step(inverse_rate, steps)
    latents = _encode(detokenizer, last_frames)
    factor = vae_factor(detokenizer.vae)
    height, width = latents.shape[2] * factor, latents.shape[3] * factor
    scheduler = scheduler_for(detokenizer.scheduler, steps, latents.device, first_step)
    if len(condition.pooled) != len(latents):
        raise ShapeError(f"got conditions for {len(condition.pooled)} images and {len(latents)} frames")
    predict = detokenizer.predictor(condition, height=height, width=width)
    inverse = _inverse_scheduler(scheduler, steps, latents.device)
    levels = inverse.timesteps[: steps - first_step]
    for done, timestep in enumerate(levels, start=1):
        latents = inverse.step(predict(latents, timestep), timestep, latents, return_dict=False)[0]
        if on_step is not None:
            on_step(done, len(levels), latents, timestep)
    # Inverted latents are what the UNet reads; schedulers that count in sigmas keep them larger and scale them down.
    unit = scheduler.scale_model_input(torch.ones(1, device=latents.device), scheduler.timesteps[first_step])
    return KeyframeStart(latents=latents / unit, first_step=first_step, steps=steps)


def _first_step(inverse_rate: float, steps: int) -> int:
    if not 0 <= inverse_rate < 1:
        raise ConfigError(f"got inverse_rate {inverse_rate}, expected 0 to less than 1")
    return int(inverse_rate * steps)


def _encode(detokenizer: KeyframeDetokenizer, frames: Tensor | np.ndarray) -> Float[Tensor, "batch c rows cols"]:
    """Latents of frames, times the scaling factor, on the UNet's device."""
    keep_in_float32(detokenizer.vae)
    images = signed_images(frames, compute_device(detokenizer.vae))
    check_size(images.shape[2], images.shape[3], vae_factor(detokenizer.vae))
    latents = encode_images(detokenizer.vae, images) * detokenizer.vae.config["scaling_factor"]
    return latents.to(compute_device(detokenizer.unet))


def _inverse_scheduler(scheduler: Any, steps: int, device: torch.device) -> Any:
    """diffusers' inverse over a scheduler's own noise levels."""
    from diffusers import DDIMInverseScheduler

    known = inspect.signature(DDIMInverseScheduler).parameters
    # Schedulers without the option to clip do not, but for the inverse it would be the default.
    settings: dict[str, Any] = {"clip_sample": False}
    settings |= {name: value for name, value in scheduler.config.items() if name in known}
    inverse: Any = DDIMInverseScheduler(**settings)
    try:
        inverse.set_timesteps(steps, device)
        fits = torch.equal(inverse.timesteps.flip(0).float(), scheduler.timesteps.float())
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(
            f"DDIM inversion needs evenly spaced timesteps ('leading' or 'trailing'), which {type(scheduler).__name__} "
            "does not have as configured; use restart_latents, or a DDIM scheduler"
        )
    return inverse
