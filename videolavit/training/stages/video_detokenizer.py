"""Stage: the video detokenizer, a 3-D UNet that draws a clip from keyframe and motion (paper, section 3.2).

EDM's objective with log sigma ~ N(1.0, 1.2^2) (reference section 9). Half of the motion or so goes through the motion
tokenizer first, so that the UNet knows its mistakes; keyframes are noised a little, and both conditions are dropped now
and then, for guidance. With `residual_scale` the UNet learns residuals to motion compensation, not whole frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from einops import rearrange
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_artifact, load_autoencoder, weights_files, write_artifact
from videolavit.checkpoints.files import find_tensors, open_tensors
from videolavit.clip import MotionField
from videolavit.data.prepared_clips import ClipFrames
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.detokenizers.vae import encode_images, signed_images, vae_factor
from videolavit.detokenizers.video_detokenizer import VideoDetokenizer, VideoOptions
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.errors import CheckpointError, ConfigError
from videolavit.nn.random import sample_generators
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.tiny.compensation import NUM_HINTS
from videolavit.tiny.residual import video_detokenizer
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.training.batches import Samples
from videolavit.training.latents import frozen_digest, latent_samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions
from videolavit.video.io.pixels import resize_image

__all__ = ["VideoDetokenizerStage", "VideoDetokenizerTraining", "VideoUNetConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoUNetConfig:
    """Sizes of the video UNet. The defaults are those of the released model."""

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention: tuple[bool, ...] = (True, True, True, False)
    """Blocks that have any, from the largest feature map to the smallest."""
    layers_per_block: int = 2
    heads: tuple[int, ...] = (5, 10, 10, 20)
    addition_time_embed_dim: int = 256
    residual_scale: float = 0.0
    """Standard deviation of the residuals to motion compensation, in scaled latents; 0 is the reference form."""

    def build(self, latent_channels: int, frames: int, motion: MotionConditionEncoderConfig) -> VideoUNet:
        """A UNet for an autoencoder's latents and a motion encoder's conditions, with random weights."""
        further = latent_channels + NUM_HINTS if self.residual_scale else 0
        return VideoUNet(
            in_channels=2 * latent_channels + 2 + further,
            out_channels=latent_channels,
            down_block_types=[f"{'CrossAttnDown' if has else 'Down'}BlockSpatioTemporal" for has in self.attention],
            up_block_types=[f"{'CrossAttnUp' if has else 'Up'}BlockSpatioTemporal" for has in self.attention[::-1]],
            block_out_channels=self.block_out_channels,
            layers_per_block=self.layers_per_block,
            num_attention_heads=self.heads,
            addition_time_embed_dim=self.addition_time_embed_dim,
            projection_class_embeddings_input_dim=3 * self.addition_time_embed_dim,
            cross_attention_dim=motion.out_width,
            num_frames=frames,
            motion_grid=(motion.rows, motion.cols),
            residual_scale=self.residual_scale,
        )


@dataclass(frozen=True, kw_only=True)
class VideoDetokenizerStage(ReadsShards, Stage["VideoDetokenizerTraining"]):
    """EDM's weighted squared error of the denoised latents."""

    name: str = "video_detokenizer"
    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, or of latent shards made of them by this autoencoder and motion tokenizer; or several with
    whole-numbered shares, as in `--data A=3 B=1`: of four clips three come from A."""
    autoencoder: str = ""
    """Folder of a trained autoencoder; empty for a small one with random weights."""
    motion_tokenizer: str = ""
    """Folder of a trained motion tokenizer; empty for one with random weights."""
    start: str = ""
    """Folder of a Stable Video Diffusion UNet to start from; empty to start from nothing."""
    motion: MotionTokenizerConfig = field(default_factory=MotionTokenizerConfig)
    """Sizes of a motion tokenizer with random weights, and the grid that motion is given to any in."""
    motion_encoder: MotionConditionEncoderConfig = field(default_factory=MotionConditionEncoderConfig)
    unet: VideoUNetConfig = field(default_factory=VideoUNetConfig)
    options: VideoOptions = field(default_factory=VideoOptions)
    """For drawing, also of sample images."""
    height: int = 384
    width: int = 384
    latent_factor: int = 8
    """Pixels per latent of the autoencoder, along each side."""
    log_sigma: tuple[float, float] = (1.0, 1.2)
    """Mean and standard deviation of the noise level's logarithm in training."""
    sigma_range: tuple[float, float] = (0.002, 700.0)
    """Noise levels in drawing."""
    log_augmentation: tuple[float, float] = (-3.0, 0.5)
    """Mean and standard deviation of the logarithm of the noise on the keyframe."""
    tokenized_motion: float = 0.5
    """Share of clips whose motion goes through the motion tokenizer."""
    dropped_conditions: float = 0.1
    """Share of clips without keyframe and motion conditions."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=60_000, batch_size=128, learning_rate=5e-5, warmup_steps=3000, ema_decay=0.9999
        )
    )

    def __post_init__(self) -> None:
        for name in ("tokenized_motion", "dropped_conditions"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected 0 to 1")

    def build(self) -> VideoDetokenizerTraining:
        """All parts, the frozen ones included, and the loss."""
        vae = load_autoencoder(self.autoencoder) if self.autoencoder else PatchAutoencoderKL()
        if vae_factor(vae) != self.latent_factor:
            raise ConfigError(f"the autoencoder's factor is {vae_factor(vae)}, latent_factor says {self.latent_factor}")
        tokenizer = MotionTokenizer(self.motion)
        if self.motion_tokenizer:
            tokenizer = load_artifact("motion_tokenizer", self.motion_tokenizer)
        unet = self.unet.build(vae.config["latent_channels"], self.motion.frames, self.motion_encoder)
        if self.start:
            start_from(unet, self.start)
        motion_encoder = MotionConditionEncoder(self.motion_encoder)
        detokenizer = video_detokenizer(unet, vae, self.scheduler(), motion_encoder, self.options)
        return VideoDetokenizerTraining(self, detokenizer, tokenizer)

    def scheduler(self) -> EulerDiscreteScheduler:
        """Stable Video Diffusion's, over this stage's range of noise levels."""
        lowest, highest = self.sigma_range
        with torch.device("cpu"):  # it reads numbers of its own, also where a plan is sketched on no device
            return EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                prediction_type="v_prediction",
                interpolation_type="linear",
                use_karras_sigmas=True,
                sigma_min=lowest,
                sigma_max=highest,
                timestep_spacing="leading",
                timestep_type="continuous",
                steps_offset=1,
            )

    def samples(self) -> Samples:
        """One clip at a time."""
        latents = latent_samples(self.data, self.frozen, self.training.seed)
        return latents or FolderSamples(self.folders, ClipFrames, self.training.seed)

    def frozen(self) -> str:
        """All that decides what the frozen parts make of a clip."""
        weights = [
            *weights_files("keyframe_vae", self.autoencoder),
            *weights_files("motion_tokenizer", self.motion_tokenizer),
        ]
        # Shards of an earlier way of compensating motion hold other residuals.
        form = "residual to things, and blocks where there is no ground" if self.unet.residual_scale else "plain"
        return frozen_digest(weights, form, self.height, self.width, self.latent_factor, self.tokenized_motion)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Latent clips as they are; of others images in uint8, motion for the motion tokenizer and at latent size."""
        if isinstance(samples[0], dict):
            return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        motions = [sample.motion for sample in samples]
        frames = [np.stack([self._resized(frame) for frame in sample.frames]) for sample in samples]
        return {
            "keyframes": torch.from_numpy(np.stack([self._resized(sample.keyframe) for sample in samples])),
            "frames": torch.from_numpy(np.stack(frames)),
            "raw_motion": torch.from_numpy(np.stack([self._raw(motion) for motion in motions])),
            "motion": torch.from_numpy(
                np.stack([motion.for_tokenizer(self.motion.rows, self.motion.cols) for motion in motions])
            ),
        }

    def _resized(self, image: np.ndarray) -> np.ndarray:
        return resize_image(image, self.height, self.width)

    def _raw(self, motion: MotionField) -> np.ndarray:
        return motion.for_detokenizer(self.height // self.latent_factor, self.width // self.latent_factor)

    def visualize(self, module: VideoDetokenizerTraining) -> dict[str, np.ndarray]:
        """Every sixth frame and the last: true, compensated where the UNet repairs that, and drawn."""
        clips = module.prepared(self.first_batch(module, 4))
        keyframes, motion, detokenizer = clips["keyframes"], clips["motion"], module.detokenizer
        drawn = detokenizer.generate(keyframes, motion, generators=sample_generators(0, len(motion)))
        rows = [detokenizer.frames(clips["latents"]), drawn]
        if "compensated" in clips:
            rows.insert(1, detokenizer.frames(_base(clips)))
        shown = [*range(0, motion.shape[2] - 1, 6), motion.shape[2] - 1]
        frames = torch.stack([row.cpu() for row in rows], 1)[:, :, shown]
        return {"clips": rearrange(frames, "b r t h w c -> (b r h) (t w) c").numpy()}

    def check(self, metrics: dict[str, float], step: int) -> str | None:
        """Residuals of another size than the UNet is told."""
        scale = self.unet.residual_scale
        if scale and not 0.25 < metrics["residual_scale"] / scale < 4:
            return (
                f"residuals have a standard deviation of {metrics['residual_scale']:.3f} and unet.residual_scale is "
                f"{scale}: set it to about that value"
            )
        return None

    def trainable(self, module: VideoDetokenizerTraining) -> dict[str, nn.Module]:
        """UNet and motion encoder."""
        return {"video_unet": module.detokenizer.unet, "motion_encoder": module.detokenizer.motion_encoder}

    def export(self, module: VideoDetokenizerTraining, folder: Path) -> None:
        """UNet, motion encoder and scheduler."""
        detokenizer = module.detokenizer
        components = {"video_unet": detokenizer.unet, "motion_encoder": detokenizer.motion_encoder}
        write_artifact(folder, components, schedulers={"video_scheduler": detokenizer.scheduler})


class VideoDetokenizerTraining(nn.Module):
    """Loss of one batch of clips."""

    def __init__(
        self, stage: VideoDetokenizerStage, detokenizer: VideoDetokenizer, motion_tokenizer: MotionTokenizer
    ) -> None:
        super().__init__()
        self.stage, self.detokenizer, self.motion_tokenizer = stage, detokenizer, motion_tokenizer
        self.requires_grad_(False)
        for trained in (detokenizer.unet, detokenizer.motion_encoder):
            trained.requires_grad_(True)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, error of the denoised latents at high noise, deviation of what is to be drawn."""
        with torch.no_grad():
            clips = self.prepared(batch)
            target, further = clips["latents"], clips.get("compensated")
            if further is not None:
                target = (target - _base(clips)) / self.stage.unet.residual_scale
            keyframes, augmentation = self._keyframes(clips["keyframes"])
        sigma = torch.exp(_normal(self.stage.log_sigma, len(target), target.device))
        noisy = target + _over(sigma, target) * torch.randn_like(target)
        prediction = self._predict(noisy, sigma, keyframes, clips["motion"], augmentation, further)
        square = _over(sigma, target) ** 2
        denoised = noisy / (square + 1) - prediction * (square / (square + 1)).sqrt()
        errors = (denoised - target).square().mean((1, 2, 3, 4))
        loss = (errors * (sigma**2 + 1) / sigma**2).mean()
        is_noisy = (sigma > 3).float()
        unit = self.stage.unet.residual_scale or 1.0
        return {
            "loss": loss,
            "error_at_high_noise": unit**2 * (errors.detach() * is_noisy).sum() / is_noisy.sum().clamp(min=1),
            "error_of_nothing": unit**2 * target.square().mean(),
            "residual_scale": unit * target.std(),
        }

    @torch.no_grad()
    def prepared(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Output of the frozen parts for a batch of clips; latent clips are that already, in half precision.

        `keyframes`: uint8. `motion`: normalised, raw or through the tokenizer. `latents`: of the true frames, scaled.
        `compensated`, for the residual form: `ResidualBase.channels`.
        """
        if "latents" in batch:
            return {name: value.float() if value.is_floating_point() else value for name, value in batch.items()}
        vae, frames, motion = self.detokenizer.vae, batch["frames"], self._motion(batch)
        images = signed_images(frames.flatten(0, 1), vae.device)
        latents = encode_images(vae, images) * vae.config["scaling_factor"]
        clips = {
            "keyframes": batch["keyframes"],
            "motion": motion,
            "latents": rearrange(latents, "(b t) c h w -> b t c h w", b=len(frames)),
        }
        base = self.detokenizer.base(signed_images(batch["keyframes"], vae.device), motion)
        return clips if base is None else clips | {"compensated": base.channels}

    def tokenized(self, motion: Tensor, rows: int, cols: int) -> Tensor:
        """Motion that the motion tokenizer keeps, in normalised units at another size."""
        with torch.autocast(motion.device.type, enabled=False):  # in half precision some codes would be others
            return self.motion_tokenizer.condition(self.motion_tokenizer.encode(motion), rows, cols)

    def _motion(self, batch: dict[str, Tensor]) -> Tensor:
        raw = batch["raw_motion"]
        tokenized = self.tokenized(batch["motion"], *raw.shape[3:])
        chosen = torch.rand(len(raw), 1, 1, 1, 1, device=raw.device) < self.stage.tokenized_motion
        return torch.where(chosen, tokenized.to(raw), raw)

    def _keyframes(self, keyframes: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of keyframes with some noise, and how much."""
        images = signed_images(keyframes, self.detokenizer.vae.device)
        amount = torch.exp(_normal(self.stage.log_augmentation, len(images), images.device))
        noisy = images + _over(amount, images) * torch.randn_like(images)
        return encode_images(self.detokenizer.vae, noisy), amount

    def _predict(
        self,
        noisy: Tensor,
        sigma: Tensor,
        keyframes: Tensor,
        motion: Tensor,
        augmentation: Tensor,
        further: Tensor | None,
    ) -> Tensor:
        """The UNet's output, v-prediction as its scheduler reads it."""
        options, unet = self.detokenizer.options, self.detokenizer.unet
        given = (torch.rand(len(noisy), device=noisy.device) >= self.stage.dropped_conditions).float()
        channels, condition = self.detokenizer.conditions(keyframes, motion)
        parts = [noisy / (_over(sigma, noisy) ** 2 + 1).sqrt(), _over(given, channels) * channels]
        sample = torch.cat([*parts, *([] if further is None else [further])], dim=2)
        told = torch.stack([torch.full_like(sigma, value) for value in (options.fps, options.motion_bucket_id)], dim=1)
        time_ids = torch.cat([told, augmentation[:, None]], dim=1)
        return unet(sample, 0.25 * sigma.log(), _over(given, condition) * condition, time_ids).sample.float()


def start_from(unet: VideoUNet, folder: str | Path) -> None:
    """Take over the weights of a Stable Video Diffusion UNet, but for the input convolution and cross-attentions.

    Those see other things here and start from nothing (reference section 9).

    Raises:
        CheckpointError: the folder holds no weights, or not those of such a UNet of the same sizes.
    """
    path = find_tensors(folder, "diffusion_pytorch_model", "diffusion_pytorch_model.fp16")
    if path is None:
        raise CheckpointError(f"{folder}: holds no diffusion_pytorch_model; give the UNet's own folder")
    stored, own = open_tensors(path), unet.state_dict()
    taken = {key: value for key, value in own.items() if not key.startswith("conv_in.") and ".attn2." not in key}
    unfit = [key for key, value in taken.items() if key not in stored or stored[key].shape != tuple(value.shape)]
    if unfit or stored.keys() - own.keys():
        raise CheckpointError(
            f"{path}: is no UNet of these sizes: {len(unfit)} keys are missing or of another shape "
            f"{unfit[:3]}, {len(stored.keys() - own.keys())} are unknown; check the stage's `unet` sizes"
        )
    unet.load_state_dict(own | {key: stored[key].load().to(value.dtype) for key, value in taken.items()})


def _base(clips: dict[str, Tensor]) -> Tensor:
    """Latents of compensated frames, which residuals are added to."""
    return clips["compensated"][:, :, : clips["latents"].shape[2]]


def _normal(mean_and_deviation: tuple[float, float], count: int, device: torch.device) -> Tensor:
    mean, deviation = mean_and_deviation
    return mean + deviation * torch.randn(count, device=device)


def _over(values: Tensor, like: Tensor) -> Tensor:
    """One value per sample, to be broadcast over `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
