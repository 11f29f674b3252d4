"""Stage: the keyframe detokenizer, a UNet that draws an image from its codes (paper, section 3.2).

Tokenizer, autoencoder and, unless it is asked for, the decoder of features are frozen. What learns is the UNet and the
projections that make its condition of the features. The condition is dropped now and then, for guidance.

A UNet that is to draw in one step or a few can be trained for that at the end: on pure noise most of the time, by what
the image looks like to the vision encoder, which keeps sharp what one step would blur, and by a discriminator, which
asks for the texture that no error against one image can ask for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from einops import rearrange
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_artifact, open_artifact, write_artifact
from videolavit.detokenizers.condition import Condition, ConditionDecoder, ConditionDecoderConfig
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer
from videolavit.detokenizers.vae import decode_latents, vae_factor
from videolavit.errors import ConfigError
from videolavit.nn.attention import AttendProcessor
from videolavit.nn.random import sample_generators
from videolavit.tiny.map_unet import MapUNet2DConditionModel
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.training.latent_discriminator import LatentDiscriminator, adversarial_loss, discriminator_loss
from videolavit.training.perceptual_loss import encoder_features, feature_errors
from videolavit.training.stages.base import Stage
from videolavit.training.stages.keyframe_codes import (
    ReadsKeyframeCodes,
    codes_and_latents,
    decoded_features,
    place_weights,
    shares_of_objects,
    weighted_mean,
)
from videolavit.training.training_options import TrainingOptions

__all__ = ["KeyframeDetokenizerStage", "KeyframeDetokenizerTraining", "KeyframeUNetConfig"]

_LEAST_ERROR = 1e-3
"""Squared error from which on its root is its distance; the root of nothing has no slope."""
_DISCRIMINATOR_AHEAD = 100
"""Steps in which the discriminator learns and teaches nothing yet, and again as many in which its weight grows to what
was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyframeUNetConfig:
    """Sizes of the keyframe UNet. The defaults are those of the released model, which has SDXL's."""

    block_out_channels: tuple[int, ...] = (320, 640, 1280)
    """The first block has no attention."""
    layers_per_block: int = 2
    transformer_layers_per_block: tuple[int, ...] = (1, 2, 10)
    heads: tuple[int, ...] = (5, 10, 20)
    addition_time_embed_dim: int = 256
    norm_num_groups: int = 32
    map_channels: int = 0
    """Channels of the prompt laid over the latents; 0 is the reference form, which has cross-attention only."""
    map_upscale: int = 1
    """Latents along each side of a patch that this map tells apart."""

    def __post_init__(self) -> None:
        if self.map_channels < 0 or self.map_upscale < 1:
            raise ConfigError(
                f"got map_channels={self.map_channels} and map_upscale={self.map_upscale}, expected at least 0 and 1"
            )

    def build(
        self, latent_channels: int, latent_size: tuple[int, int], decoder: ConditionDecoderConfig
    ) -> UNet2DConditionModel:
        """A UNet for an autoencoder's latents and a condition decoder's conditions, with random weights."""
        sizes: dict[str, Any] = {
            "in_channels": latent_channels,
            "sample_size": latent_size,  # drawn if nobody asks for another size
            "block_out_channels": self.block_out_channels,
            "layers_per_block": self.layers_per_block,
            "transformer_layers_per_block": self.transformer_layers_per_block,
            "attention_head_dim": self.heads,  # diffusers' name for the number of heads
            "cross_attention_dim": sum(decoder.prompt_widths),
            "addition_time_embed_dim": self.addition_time_embed_dim,
            "norm_num_groups": self.norm_num_groups,
        }
        if self.map_channels:
            return MapUNet2DConditionModel(
                **sizes,
                map_channels=self.map_channels,
                map_upscale=self.map_upscale,
                pooled_width=decoder.pooled_width,
            )
        with_attention = len(self.block_out_channels) - 1
        return UNet2DConditionModel(
            **sizes,
            out_channels=latent_channels,
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * with_attention),  # pyright: ignore[reportArgumentType]
            up_block_types=(*["CrossAttnUpBlock2D"] * with_attention, "UpBlock2D"),  # pyright: ignore[reportArgumentType]
            use_linear_projection=True,
            addition_embed_type="text_time",
            projection_class_embeddings_input_dim=decoder.pooled_width + 6 * self.addition_time_embed_dim,
        )


@dataclass(frozen=True, kw_only=True)
class KeyframeDetokenizerStage(ReadsKeyframeCodes, Stage["KeyframeDetokenizerTraining"]):
    """Squared error of what the scheduler wants predicted, at timesteps drawn evenly."""

    name: str = "keyframe_detokenizer"
    start_from: str = ""
    """Export of this stage, or a whole model, whose UNet is trained on, with its condition decoder unless another one
    is named; empty for one with random weights."""
    unet: KeyframeUNetConfig = field(default_factory=KeyframeUNetConfig)
    """Sizes of a UNet with random weights."""
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"
    timestep_spacing: Literal["leading", "trailing"] = "leading"
    dropped_conditions: float = 0.1
    """Share of samples without a condition."""
    whole_decoder: bool = False
    """Train the whole condition decoder, not only what stands between the features that it restores and the UNet."""
    pure_noise: float = 0.0
    """Share of samples with nothing but noise, as the first step of drawing sees them; timesteps of the others are
    drawn evenly."""
    distance_weight: float = 0.0
    """Of the error itself beside its square: of several images that the codes may stand for it prefers one to a mean
    of all."""
    pixel_weight: float = 0.0
    """Of the absolute error of pixels, once the autoencoder has decoded what is drawn."""
    feature_weight: float = 0.0
    """Of differences that the tokenizer's vision encoder sees between that image and the true one."""
    error_weight: float = 1.0
    """Of the squared error itself."""
    adversarial_weight: float = 0.0
    """Of what a discriminator of latents, which is trained beside the UNet, takes for drawn and not for true."""
    num_inference_steps: int = 50
    """Of sample images."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=60_000, batch_size=128, learning_rate=5e-5, warmup_steps=3000, ema_decay=0.9999
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropped_conditions < 1:
            raise ConfigError(f"got dropped_conditions={self.dropped_conditions}, expected 0 to less than 1")
        if not 0 <= self.pure_noise <= 1:
            raise ConfigError(f"got pure_noise={self.pure_noise}, expected 0 to 1")
        if self.pure_noise and self.prediction != "v_prediction":
            raise ConfigError(
                f"got prediction={self.prediction!r} with pure_noise={self.pure_noise}; noise alone tells nothing of "
                "itself, train with v_prediction"
            )
        weights = {
            name: getattr(self, f"{name}_weight") for name in ("error", "distance", "pixel", "feature", "adversarial")
        }
        if min(weights.values()) < 0 or not any(weights.values()):
            told = ", ".join(f"{name}_weight={value}" for name, value in weights.items())
            raise ConfigError(f"got {told}, expected at least 0 of each, and more of one")

    def build(self) -> KeyframeDetokenizerTraining:
        """All parts, the frozen ones included, and the loss."""
        tokenizer, decoder, vae = self.parts(self.start_from)
        if self.start_from:
            unet = self._unet_to_go_on_with(decoder, vae)
        else:
            size = self.height // vae_factor(vae), self.width // vae_factor(vae)
            unet = self.unet.build(vae.config["latent_channels"], size, decoder.config)
        detokenizer = KeyframeDetokenizer(unet, vae, self.scheduler(), decoder)
        return KeyframeDetokenizerTraining(self, tokenizer, detokenizer)

    def _unet_to_go_on_with(self, decoder: ConditionDecoder, vae: Any) -> UNet2DConditionModel:
        """The UNet of `start_from`.

        Raises:
            ConfigError: it predicts something else, or is of other latents or conditions than those of the stage.
        """
        unet = load_artifact("keyframe_unet", self.start_from, dtype=torch.float32)
        stored = open_artifact(self.start_from).scheduler("keyframe_scheduler")
        of_unet = {
            "prediction": stored.get("prediction_type", "epsilon"),
            "latent channels": unet.config["in_channels"],
            "width of the condition": unet.config["cross_attention_dim"],
        }
        of_stage = self.prediction, vae.config["latent_channels"], sum(decoder.config.prompt_widths)
        for (name, own), wanted in zip(of_unet.items(), of_stage, strict=True):
            if own != wanted:
                raise ConfigError(
                    f"{self.start_from}: its UNet has {name} {own!r}, and this stage {wanted!r}; give the stage the "
                    "options, the autoencoder and the condition decoder that it was trained with"
                )
        return unet

    def scheduler(self) -> DDIMScheduler:
        """SDXL's noise levels."""
        return DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1 if self.timestep_spacing == "leading" else 0,
            prediction_type=self.prediction,
            timestep_spacing=self.timestep_spacing,
        )

    def visualize(self, module: KeyframeDetokenizerTraining) -> dict[str, np.ndarray]:
        """Keyframes, as the autoencoder keeps them, above what is drawn from their codes."""
        keyframes = module.prepared(self.first_batch(module, 8))
        shown = module.generate(keyframes, self.height, self.width, self.num_inference_steps)
        rows = torch.stack([module.detokenizer.decode(keyframes["latents"]), shown])
        return {"drawn": (rearrange(rows, "r b h w c -> (r h) (b w) c") * 255).round().byte().cpu().numpy()}

    def trainable(self, module: KeyframeDetokenizerTraining) -> dict[str, nn.Module]:
        """UNet, and what stands between it and the features that the condition decoder restores."""
        return {"keyframe_unet": module.detokenizer.unet} | module.trained_decoder()

    def export(self, module: KeyframeDetokenizerTraining, folder: Path) -> None:
        """UNet, condition decoder and scheduler."""
        detokenizer = module.detokenizer
        components = {"keyframe_unet": detokenizer.unet, "condition_decoder": detokenizer.condition_decoder}
        write_artifact(folder, components, schedulers={"keyframe_scheduler": detokenizer.scheduler})


class KeyframeDetokenizerTraining(nn.Module):
    """Loss of one batch of images."""

    def __init__(
        self, stage: KeyframeDetokenizerStage, tokenizer: VisualTokenizer, detokenizer: KeyframeDetokenizer
    ) -> None:
        super().__init__()
        self.stage, self.tokenizer, self.detokenizer = stage, tokenizer, detokenizer
        self.requires_grad_(False)
        # On a CPU the backward pass of diffusers' own attention was a third of a step.
        detokenizer.unet.set_attn_processor(AttendProcessor())
        self.discriminator = _discriminator(detokenizer) if stage.adversarial_weight else None
        learning = [detokenizer.unet, *self.trained_decoder().values()]
        for trained in [*learning, self.discriminator] if self.discriminator else learning:
            trained.requires_grad_(True)

    def trained_decoder(self) -> dict[str, nn.Module]:
        """Trained parts of the condition decoder, by their names in a model."""
        decoder = self.detokenizer.condition_decoder
        if self.stage.whole_decoder:
            return {"condition_decoder": decoder}
        return {"condition_decoder.prompt_projs": decoder.prompt_projs, "condition_decoder.pool": decoder.pool}

    def prepared(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Codes and latents of a batch, see `codes_and_latents`."""
        return codes_and_latents(batch, self.tokenizer, self.detokenizer.vae)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss; error in the noisy half of the timesteps, and of objects; share of images without any code;
        what is asked for of the decoded image: absolute error of its pixels, -1..1, and that of its features; losses of
        and by the discriminator, which are log 2 where it tells nothing apart."""
        scheduler: Any = self.detokenizer.scheduler
        decoder = self.detokenizer.condition_decoder
        keyframes = self.prepared(batch)
        latents, objects = keyframes["latents"], shares_of_objects(keyframes)
        with torch.set_grad_enabled(self.stage.whole_decoder and torch.is_grad_enabled()):
            features, has_codes = decoded_features(keyframes["codes"], self.tokenizer, decoder)
        noisy, noise, timesteps, signal = self._noised(latents)
        is_velocity = scheduler.config["prediction_type"] == "v_prediction"
        target = signal.sqrt() * noise - (1 - signal).sqrt() * latents if is_velocity else noise
        given = has_codes & (torch.rand(len(latents), device=latents.device) >= self.stage.dropped_conditions)
        height, width = (side * vae_factor(self.detokenizer.vae) for side in latents.shape[2:])
        predict = self.detokenizer.predictor(self._condition(features, given), height=height, width=width)
        predicted = predict(noisy, timesteps)
        errors = F.mse_loss(predicted, target, reduction="none").mean(1)
        error = errors.detach().mean((1, 2))
        is_noisy = (2 * timesteps >= scheduler.config["num_train_timesteps"]).float()
        loss = self.stage.error_weight * weighted_mean(errors, objects, self.stage.object_weight)
        if self.stage.distance_weight:
            distance = weighted_mean((errors + _LEAST_ERROR).sqrt(), objects, self.stage.object_weight)
            loss = loss + self.stage.distance_weight * distance
        drawn = _without_noise(noisy, predicted, signal, is_velocity=is_velocity)
        seen: dict[str, Tensor] = {}
        if self.discriminator is not None:
            weights = place_weights(objects, self.stage.object_weight)
            compared = self.discriminator, latents, drawn, features, weights
            seen["discriminator"], seen["adversarial"] = discriminator_loss(*compared), adversarial_loss(*compared)
            grown = min(max(step / _DISCRIMINATOR_AHEAD - 1, 0.0), 1.0)
            loss = loss + seen["discriminator"] + grown * self.stage.adversarial_weight * seen["adversarial"]
        if self.stage.pixel_weight or self.stage.feature_weight:
            seen |= self._seen(drawn, latents, objects)
            loss = loss + self.stage.pixel_weight * seen["pixels"] + self.stage.feature_weight * seen["features"]
        return {
            "loss": loss,
            "noisy_half": (error * is_noisy).sum() / is_noisy.sum().clamp(min=1),
            "error_of_objects": (errors.detach() * objects).sum() / objects.sum().clamp(min=1),
            "without_codes": 1 - has_codes.float().mean(),
            **{name: error.detach() for name, error in seen.items()},
        }

    def _seen(self, drawn: Tensor, true: Tensor, objects: Tensor) -> dict[str, Tensor]:
        """Errors of the image that drawn latents decode to: of its pixels, and of the vision encoder's features."""
        vae, encoder = self.detokenizer.vae, self.tokenizer.vit
        image = decode_latents(vae, drawn)
        with torch.no_grad():
            truth = decode_latents(vae, true)
        of_pixels = F.interpolate(objects[:, None], image.shape[2:])[:, 0]
        seen = {"pixels": weighted_mean((image - truth).abs().mean(1), of_pixels, self.stage.object_weight)}
        if self.stage.feature_weight:
            with torch.no_grad():
                wanted = encoder_features(encoder, truth)
            errors = feature_errors(encoder_features(encoder, image), wanted)
            side = math.isqrt(errors.shape[1])
            of_patches = F.interpolate(objects[:, None], (side, side), mode="area")[:, 0].flatten(1)
            seen["features"] = weighted_mean(errors, of_patches, self.stage.object_weight)
        else:
            seen["features"] = torch.zeros_like(seen["pixels"])
        return seen

    def _noised(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Noisy latents, the noise, timesteps, and how much signal these leave by the scheduler.

        Drawing begins with noise alone, and the last timestep has a trace of the image left: so it has in training,
        unless the stage asks for pure noise.
        """
        scheduler: Any = self.detokenizer.scheduler
        levels, count, device = scheduler.config["num_train_timesteps"], len(latents), latents.device
        is_pure = torch.rand(count, device=device) < self.stage.pure_noise if self.stage.pure_noise else None
        timesteps = torch.randint(0, levels, (count,), device=device)
        if is_pure is not None:
            timesteps = timesteps.masked_fill(is_pure, levels - 1)
        signal = scheduler.alphas_cumprod.to(device)[timesteps].reshape(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        if is_pure is not None:
            noisy = torch.where(is_pure[:, None, None, None], noise, noisy)
        return noisy, noise, timesteps, signal

    @torch.no_grad()
    def generate(self, keyframes: dict[str, Tensor], height: int, width: int, steps: int) -> Tensor:
        """Images, 0..1, drawn from the codes of prepared keyframes, without guidance."""
        features, has_codes = decoded_features(keyframes["codes"], self.tokenizer, self.detokenizer.condition_decoder)
        latents = self.detokenizer.sample_latents(
            self._condition(features, has_codes),
            height=height,
            width=width,
            steps=steps,
            guidance=1.0,
            generators=sample_generators(0, len(keyframes["latents"])),
        )
        return self.detokenizer.decode(latents)

    def _condition(self, features: Tensor, given: Tensor) -> Condition:
        condition = self.detokenizer.condition_decoder.condition(features)
        return Condition(
            prompt_embeds=condition.prompt_embeds * given[:, None, None], pooled=condition.pooled * given[:, None]
        )


def _discriminator(detokenizer: KeyframeDetokenizer) -> LatentDiscriminator:
    feature_width = detokenizer.condition_decoder.config.feature_width
    return LatentDiscriminator(detokenizer.vae.config["latent_channels"], feature_width)


def _without_noise(noisy: Tensor, predicted: Tensor, signal: Tensor, *, is_velocity: bool) -> Tensor:
    """The latents that a prediction stands for."""
    if is_velocity:
        return signal.sqrt() * noisy - (1 - signal).sqrt() * predicted
    return (noisy - (1 - signal).sqrt() * predicted) / signal.sqrt()
