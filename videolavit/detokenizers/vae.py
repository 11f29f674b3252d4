"""Images to latents and back: value ranges, sizes and precision around diffusers' VAEs.

Three kinds of images go through here: uint8 (batch, height, width, 3), what people and files have; float -1..1
(batch, 3, height, width), what a VAE reads and writes; float 0..1 (batch, height, width, 3), what a detokenizer draws.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from videolavit.errors import ShapeError
from videolavit.nn.finite import check_finite
from videolavit.nn.offload import compute_device

__all__ = [
    "check_size",
    "config_vae_factor",
    "decode_latents",
    "encode_images",
    "keep_in_float32",
    "signed_images",
    "to_uint8",
    "unit_range",
    "vae_factor",
]

_log = logging.getLogger(__name__)
_RANGE_SLACK = 1e-3


def signed_images(images: Tensor | np.ndarray, device: torch.device) -> Float[Tensor, "batch 3 height width"]:
    """Images as a VAE reads them, -1..1 in float32, from uint8 (batch, height, width, 3) or the same in float.

    Raises:
        ShapeError: neither of the two forms, or values beyond -1..1.
    """
    images = torch.as_tensor(images)
    if images.dtype == torch.uint8 and images.ndim == 4 and images.shape[3] == 3:
        return rearrange(images.to(device).float() / 127.5 - 1, "b h w c -> b c h w")
    if not images.is_floating_point() or images.ndim != 4 or images.shape[1] != 3:
        raise ShapeError(
            f"got images of type {images.dtype} and shape {tuple(images.shape)}, expected uint8 of shape "
            "(batch, height, width, 3) or float -1..1 of shape (batch, 3, height, width)"
        )
    if images.numel() and not images.abs().max() <= 1 + _RANGE_SLACK:
        raise ShapeError(
            f"got float images from {images.min():.3g} to {images.max():.3g}, expected -1 to 1; "
            "images of 0 to 255 must be uint8 (batch, height, width, 3)"
        )
    return images.to(device, torch.float32)


def unit_range(pixels: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """0..1 from the -1..1 that a VAE writes; what lies beyond is cut off."""
    return (pixels / 2 + 0.5).clamp(0, 1)


def to_uint8(images: Float[Tensor, "..."]) -> UInt8[Tensor, "..."]:
    """0..255 from 0..1, rounded to nearest."""
    return (images * 255).round().to(torch.uint8)


def encode_images(vae: Any, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch c rows cols"]:
    """The mode of the VAE's latent distribution in float32, not multiplied by its scaling factor.

    A VAE that overflows in half precision is turned to float32 for the time; back again no bit of it is lost.
    """
    dtype = vae.dtype
    upcast = vae.config.get("force_upcast") and dtype != torch.float32
    if upcast:
        vae.float()
    latents = vae.encode(images.to(compute_device(vae), vae.dtype)).latent_dist.mode().float()
    if upcast:
        nn.Module.to(vae, dtype)  # as `vae.to`, but for a warning of diffusers about modules that keep float32
    return check_finite(latents, "the encoder of the autoencoder", vae.dtype)


def decode_latents(vae: Any, latents: Float[Tensor, "batch c rows cols"]) -> Float[Tensor, "batch 3 height width"]:
    """Decoded images, nominally -1..1, of latents times the VAE's scaling factor; a temporal decoder sees one clip."""
    decode = vae.decode
    if type(vae).__name__ == "AutoencoderKLTemporalDecoder":  # not imported for a model that has none
        decode = partial(decode, num_frames=len(latents))
    pixels = decode(latents.to(compute_device(vae), vae.dtype) / vae.config["scaling_factor"]).sample.float()
    return check_finite(pixels, "the decoder of the autoencoder", vae.dtype)


def vae_factor(vae: Any) -> int:
    """Pixels along one side of an image for each latent; some VAEs turn patches into channels first."""
    return config_vae_factor(vae.config)


def config_vae_factor(config: Mapping[str, Any]) -> int:
    """The same of a VAE's configuration."""
    return (config.get("patch_size") or 1) * 2 ** (len(config["block_out_channels"]) - 1)


def check_size(height: int, width: int, factor: int) -> None:
    """Raise ShapeError unless the VAE turns an image of this size into whole latents."""
    if min(height, width) < factor or height % factor or width % factor:
        nearest = " x ".join(str(max(1, round(side / factor)) * factor) for side in (height, width))
        raise ShapeError(f"got an image size of {height} x {width}, expected multiples of {factor}, such as {nearest}")


def keep_in_float32(vae: nn.Module) -> None:
    """Turn a VAE to float32 in place: SDXL's overflows in half precision and shows bands in bfloat16."""
    dtypes = {parameter.dtype for parameter in vae.parameters()} - {torch.float32}
    if dtypes:
        _log.warning("VAE was %s and is now float32; load it in float32 to keep its full precision", dtypes)
        vae.float()
