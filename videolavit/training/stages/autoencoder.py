"""Stage 0 of the tiny preset: the image autoencoder that both detokenizers draw in.

The paper takes those of SDXL and SVD; a laptop wants one that is a thousand times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from einops import rearrange
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_autoencoder, write_artifact
from videolavit.data.training_images import DeadLeaves, Photographs, VideoFrames
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.training.batches import Mixture, Samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards, check_size
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions

__all__ = ["AutoencoderStage", "AutoencoderTraining"]

_AROUND = 4
"""Pixels around saturated ones that are weighted like them."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderStage(ReadsShards, Stage["AutoencoderTraining"]):
    """Absolute error on pixels, saturated ones and those around them weighted, and a little KL divergence."""

    name: str = "autoencoder"
    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, or several with whole-numbered shares, as in `--data A=3 B=1`: of four videos three come from
    A."""
    height: int = 128
    width: int = 128
    shares: tuple[int, int, int] = (6, 2, 2)
    """Frames of videos, photographs and dead leaves in the mixture; 0 leaves one out."""
    channels: tuple[int, ...] = (64, 128)
    layers_per_block: int = 1
    latent_channels: int = 8
    patch_size: int = 4
    keep_latents_of: str = ""
    """Autoencoder, or whole model, whose decoder alone is trained on: its latents, and all that was trained to draw
    them, stay as they are. Sizes are then its own."""
    saturated_weight: float = 10.0
    """Of pixels in which one channel stands out, and of those around them: small coloured things carry the meaning of
    the shapes world. Without what lies around them they would come out too large."""
    kl_weight: float = 1e-5
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=6000, batch_size=16, learning_rate=1e-3, warmup_steps=200, ema_decay=0.998
        )
    )

    one_size: ClassVar[bool] = True

    def build(self) -> AutoencoderTraining:
        """The autoencoder with its loss."""
        if self.keep_latents_of:
            autoencoder = load_autoencoder(self.keep_latents_of)
            autoencoder.requires_grad_(False)
            autoencoder.decoder.requires_grad_(True)
            return AutoencoderTraining(autoencoder, self.saturated_weight, self.kl_weight)
        autoencoder = PatchAutoencoderKL(
            patch_size=self.patch_size,
            block_out_channels=self.channels,
            layers_per_block=self.layers_per_block,
            latent_channels=self.latent_channels,
        )
        return AutoencoderTraining(autoencoder, self.saturated_weight, self.kl_weight)

    def samples(self) -> Samples:
        """Images of all three kinds."""
        check_size(self.folders, self.height, self.width, "--height and --width")
        frames = FolderSamples(self.folders, VideoFrames, self.training.seed)
        kinds: list[Samples] = [frames, Photographs(self.height, self.width), DeadLeaves(self.height, self.width)]
        return Mixture([(share, kind) for share, kind in zip(self.shares, kinds, strict=True) if share])

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Images as (batch, 3, height, width), uint8."""
        return {"images": torch.from_numpy(rearrange(np.stack(samples), "b h w c -> b c h w").copy())}

    def visualize(self, module: AutoencoderTraining) -> dict[str, np.ndarray]:
        """Images above what comes back of them."""
        batch, autoencoder = self.first_batch(module, 10)["images"], module.autoencoder
        shown = _decoded(autoencoder, _posterior(autoencoder, _normalised(batch)).mode())
        rows = torch.stack([batch, ((shown + 1) * 127.5).round().clamp(0, 255).byte()])
        return {"reconstructions": rearrange(rows, "r b c h w -> (r h) (b w) c").cpu().numpy()}

    def trainable(self, module: AutoencoderTraining) -> dict[str, nn.Module]:
        """The autoencoder."""
        return {"keyframe_vae": module.autoencoder}

    def export(self, module: AutoencoderTraining, folder: Path) -> None:
        """The autoencoder, with the factor that brings latents to variance 1."""
        samples, autoencoder = self.samples(), module.autoencoder
        if not self.keep_latents_of:
            with torch.inference_mode():
                images = self.collate([samples[draw] for draw in range(256)])["images"]
                latents = torch.cat([_posterior(autoencoder, _normalised(part)).mode() for part in images.split(32)])
            autoencoder.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
        write_artifact(folder, {"keyframe_vae": autoencoder})


class AutoencoderTraining(nn.Module):
    """Loss of one batch of images."""

    def __init__(self, autoencoder: PatchAutoencoderKL, saturated_weight: float, kl_weight: float) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.saturated_weight, self.kl_weight = saturated_weight, kl_weight

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, absolute error, PSNR in dB, KL per latent."""
        images = _normalised(batch["images"])
        posterior = _posterior(self.autoencoder, images)
        restored = _decoded(self.autoencoder, posterior.sample())
        error = (restored - images).abs()
        chroma = images.amax(1, keepdim=True) - images.amin(1, keepdim=True)
        near = F.max_pool2d((chroma > 0.4).float(), 2 * _AROUND + 1, stride=1, padding=_AROUND)
        weight = 1 + self.saturated_weight * near
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        loss = (weight * error).sum() / (weight.sum() * 3) + _edge_error(restored, images) + self.kl_weight * kl
        psnr = 10 * torch.log10(4 / F.mse_loss(restored, images).detach())
        return {"loss": loss, "absolute_error": error.mean().detach(), "psnr": psnr, "kl": kl.detach()}


def _edge_error(one: Tensor, other: Tensor) -> Tensor:
    """Absolute error of differences between neighbours: keeps outlines sharp where absolute error alone blurs them."""
    difference = one - other
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def _normalised(images: Tensor) -> Tensor:
    """Bytes to -1..1."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _decoded(autoencoder: PatchAutoencoderKL, latents: Tensor) -> Tensor:
    decode: Any = autoencoder.decode  # annotated with a class that tensors are no instances of
    return decode(latents, return_dict=False)[0].float()


def _posterior(autoencoder: PatchAutoencoderKL, images: Tensor) -> DiagonalGaussianDistribution:
    return autoencoder.encode(images, return_dict=False)[0]
