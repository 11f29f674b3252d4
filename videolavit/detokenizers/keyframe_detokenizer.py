"""Keyframe detokenizer: visual codes to an image by latent diffusion (paper, section 3.2; reference section 5).

An SDXL-shaped UNet under what the condition decoder makes of the codes. Scheduler and VAE are the checkpoint's own.
Which latents to start from when a video goes on is the matter of `continuation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videolavit.detokenizers.condition import Condition, ConditionDecoder, pad_code_vectors
from videolavit.detokenizers.denoise import OnStep, denoise, guided, scheduler_for
from videolavit.detokenizers.vae import check_size, decode_latents, keep_in_float32, unit_range, vae_factor
from videolavit.errors import ShapeError
from videolavit.nn.finite import check_finite
from videolavit.nn.offload import compute_device
from videolavit.nn.random import randn_per_sample

__all__ = ["KeyframeDetokenizer", "KeyframeStart"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeyframeStart:
    """Latents to start from in place of pure noise, and the step whose noise level they have."""

    latents: Float[Tensor, "batch channels rows cols"]
    first_step: int
    """0 is the noisiest of `steps`."""
    steps: int

    def __repr__(self) -> str:
        return f"KeyframeStart(latents={tuple(self.latents.shape)}, first_step={self.first_step}, steps={self.steps})"


class KeyframeDetokenizer(nn.Module):
    """Codebook rows to images.

    The parts may have devices and types of their own. The VAE is kept in float32 whatever the others have. Any
    diffusers scheduler with `timesteps`, `scale_model_input`, `step` and `init_noise_sigma` will do.
    """

    def __init__(self, unet: Any, vae: Any, scheduler: Any, condition_decoder: ConditionDecoder) -> None:
        super().__init__()
        self.unet, self.vae, self.condition_decoder = unet, vae, condition_decoder
        self.scheduler = scheduler
        keep_in_float32(vae)

    @torch.no_grad()
    def generate(
        self,
        code_vectors: Sequence[Float[Tensor, "_ code_dim"]],
        *,
        height: int,
        width: int,
        steps: int = 50,
        guidance: float = 3.0,
        generators: Sequence[torch.Generator] | None = None,
        noise: Float[Tensor, "batch channels rows cols"] | None = None,
        start: KeyframeStart | None = None,
        on_step: OnStep | None = None,
    ) -> Float[Tensor, "batch height width 3"]:
        """Generate an image, 0..1, from each row of code vectors.

        Args:
            code_vectors: for each image the codebook rows of its codes; images may differ in number.
            height: of the image in pixels, a multiple of the VAE's factor.
            width: likewise.
            steps: denoising steps over the whole noise range.
            guidance: 1 for the condition alone, more to follow it more closely.
            generators: one for each image; they draw the first noise and any noise of the steps.
            noise: standard normal latents in place of drawn ones.
            start: latents to start from, from `continuation.py`; it says what `steps` to take, too.
            on_step: called after each step.

        Raises:
            ShapeError: sizes do not fit, or an image has no codes.
            ConfigError: `steps` is out of range.
        """
        condition = self.condition(code_vectors)
        latents = self.sample_latents(
            condition,
            height=height,
            width=width,
            steps=steps,
            guidance=guidance,
            generators=generators,
            noise=noise,
            start=start,
            on_step=on_step,
        )
        return self.decode(latents)

    def condition(self, code_vectors: Sequence[Float[Tensor, "_ code_dim"]]) -> Condition:
        """Condition of the UNet."""
        device, dtype = compute_device(self.condition_decoder), next(self.condition_decoder.parameters()).dtype
        vectors, mask = pad_code_vectors([rows.to(device, dtype) for rows in code_vectors])
        condition = self.condition_decoder(vectors, mask)
        check_finite(condition.prompt_embeds, "the condition decoder")
        check_finite(condition.pooled, "the condition decoder")
        return condition

    @torch.no_grad()
    def sample_latents(
        self,
        condition: Condition,
        *,
        height: int,
        width: int,
        steps: int = 50,
        guidance: float = 3.0,
        generators: Sequence[torch.Generator] | None = None,
        noise: Float[Tensor, "batch channels rows cols"] | None = None,
        start: KeyframeStart | None = None,
        on_step: OnStep | None = None,
    ) -> Float[Tensor, "batch channels rows cols"]:
        """Latents, multiplied by the VAE's scaling factor; arguments and errors are those of `generate`."""
        shape = self.latent_shape(len(condition.pooled), height, width)
        first_step, steps = (start.first_step, start.steps) if start is not None else (0, steps)
        scheduler = scheduler_for(self.scheduler, steps, compute_device(self.unet), first_step)
        if start is None:
            # The initial sigma of the whole schedule, before steps are chosen, as in the release (1 for DDIM).
            latents = self._noise(noise, shape, generators) * self.scheduler.init_noise_sigma
        else:
            latents = _checked(start.latents, shape, compute_device(self.unet))

        return denoise(
            scheduler,
            latents,
            self.predictor(condition, height=height, width=width, guidance=guidance),
            first_step=first_step,
            generators=generators,
            on_step=on_step,
            part="the keyframe UNet",
        )

    def predictor(
        self, condition: Condition, *, height: int, width: int, guidance: float = 1.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The UNet under its condition: from scaled latents and a timestep to the guided prediction, in float32."""
        unet, scale = self.unet, None if guidance == 1 else guidance
        prompt, pooled = condition.prompt_embeds, condition.pooled
        if scale is not None:
            prompt, pooled = (torch.cat([torch.zeros_like(part), part]) for part in (prompt, pooled))
        device = compute_device(unet)
        time_ids = _time_ids(len(pooled), height, width).to(device)
        prompt, pooled = prompt.to(device, unet.dtype), pooled.to(device, unet.dtype)
        added = {"text_embeds": pooled, "time_ids": time_ids}

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            latents = latents.to(unet.dtype)
            return unet(latents, timestep, encoder_hidden_states=prompt, added_cond_kwargs=added).sample.float()

        return lambda latents, timestep: guided(lambda batch: predict(batch, timestep), latents, scale)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channels rows cols"]) -> Float[Tensor, "batch height width 3"]:
        """Images, 0..1, from sampled latents."""
        keep_in_float32(self.vae)
        return rearrange(unit_range(decode_latents(self.vae, latents)), "b c h w -> b h w c")

    def latent_shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape of the latents of images. Raises ShapeError for a size that the VAE's factor does not divide."""
        factor = vae_factor(self.vae)
        check_size(height, width, factor)
        return batch, self.unet.config["in_channels"], height // factor, width // factor

    def _noise(
        self, noise: Tensor | None, shape: tuple[int, ...], generators: Sequence[torch.Generator] | None
    ) -> Tensor:
        if noise is None:
            return randn_per_sample(shape, generators, compute_device(self.unet))
        return _checked(noise, shape, compute_device(self.unet))


def _time_ids(batch: int, height: int, width: int) -> Float[Tensor, "batch 6"]:
    """SDXL's size conditions: original size, crop's top left corner, target size; height always first.

    In float32 whatever the UNet's type, because bfloat16 would round sizes.
    """
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32).repeat(batch, 1)


def _checked(latents: Tensor, shape: tuple[int, ...], device: torch.device) -> Tensor:
    if tuple(latents.shape) != shape:
        raise ShapeError(f"got latents of shape {tuple(latents.shape)}, expected {shape} for these images")
    return latents.to(device, torch.float32)
