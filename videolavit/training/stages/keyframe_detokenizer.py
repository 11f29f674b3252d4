"""Stage: the keyframe detokenizer, a UNet that draws an image from its codes (paper, section 3.2).

Tokenizer, autoencoder and the decoder of features are frozen. What learns is the UNet and the projections that make
its condition of the features. The condition is dropped now and then, for guidance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from einops import rearrange
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_artifact, load_autoencoder, weights_files, write_artifact
from videolavit.data.keyframes import LabelledKeyframes
from videolavit.data.scene_labels import NAME_LABELS, UNKNOWN, SceneLabels
from videolavit.data.shapes.scene import SIZE
from videolavit.detokenizers.condition import Condition, ConditionDecoder, ConditionDecoderConfig, pad_code_vectors
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer
from videolavit.detokenizers.vae import encode_images, signed_images, vae_factor
from videolavit.errors import ConfigError
from videolavit.nn.attention import AttendProcessor
from videolavit.nn.random import sample_generators
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.tiny.map_unet import MapUNet2DConditionModel
from videolavit.tokenizers.image_processor import preprocess_images
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.training.batches import Samples
from videolavit.training.latents import frozen_digest, latent_samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions
from videolavit.video.io.pixels import resize_image

__all__ = ["KeyframeDetokenizerStage", "KeyframeDetokenizerTraining", "KeyframeUNetConfig"]


OBJECT_PATCH = 8
"""Pixels along each side of the patches of which it is known whether they show an object."""


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
            return MapUNet2DConditionModel(**sizes, map_channels=self.map_channels, pooled_width=decoder.pooled_width)
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
class KeyframeDetokenizerStage(ReadsShards, Stage["KeyframeDetokenizerTraining"]):
    """Squared error of what the scheduler wants predicted, at timesteps drawn evenly."""

    name: str = "keyframe_detokenizer"
    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, or several with whole-numbered shares, as in `--data A=3 B=1`: of four videos three come from
    A. Or folders of latent shards made of them by this tokenizer and this autoencoder."""
    tokenizer: str = ""
    """Folder of a trained visual tokenizer with its condition decoder; empty for ones with random weights."""
    autoencoder: str = ""
    """Folder of a trained autoencoder; empty for a small one with random weights."""
    visual: VisualTokenizerConfig = field(default_factory=VisualTokenizerConfig)
    """Sizes of a tokenizer with random weights."""
    decoder: ConditionDecoderConfig = field(default_factory=ConditionDecoderConfig)
    """Sizes of a condition decoder with random weights."""
    unet: KeyframeUNetConfig = field(default_factory=KeyframeUNetConfig)
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"
    timestep_spacing: Literal["leading", "trailing"] = "leading"
    height: int = 1024
    width: int = 1024
    dropped_conditions: float = 0.1
    """Share of samples without a condition."""
    object_weight: float = 0.0
    """Added to the weight of the error where a rendered keyframe shows an object: grounds take most of an image."""
    num_inference_steps: int = 50
    """Of sample images."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=60_000, batch_size=128, learning_rate=5e-5, warmup_steps=3000, ema_decay=0.9999
        )
    )

    def __post_init__(self) -> None:
        if not 0 <= self.dropped_conditions < 1:
            raise ConfigError(f"got dropped_conditions={self.dropped_conditions}, expected 0 to less than 1")
        if self.object_weight < 0:
            raise ConfigError(f"got object_weight={self.object_weight}, expected at least 0")

    def build(self) -> KeyframeDetokenizerTraining:
        """All parts, the frozen ones included, and the loss."""
        if self.tokenizer:
            tokenizer = load_artifact("visual_tokenizer", self.tokenizer)
            decoder = load_artifact("condition_decoder", self.tokenizer)
        else:
            tokenizer, decoder = VisualTokenizer(self.visual), ConditionDecoder(self.decoder)
        vae = load_autoencoder(self.autoencoder) if self.autoencoder else PatchAutoencoderKL()
        unet = self.unet.build(
            vae.config["latent_channels"],
            (self.height // vae_factor(vae), self.width // vae_factor(vae)),
            decoder.config,
        )
        detokenizer = KeyframeDetokenizer(unet, vae, self.scheduler(), decoder)
        return KeyframeDetokenizerTraining(tokenizer, detokenizer, self.dropped_conditions, self.object_weight)

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

    def samples(self) -> Samples:
        """One keyframe at a time."""
        latents = latent_samples(self.data, self.frozen, self.training.seed)
        return latents or FolderSamples(
            self.folders, lambda reader: LabelledKeyframes(reader, OBJECT_PATCH), self.training.seed
        )

    def frozen(self) -> str:
        """All that decides what the frozen parts make of a keyframe."""
        weights = [
            *weights_files("keyframe_vae", self.autoencoder),
            *weights_files("visual_tokenizer", self.tokenizer),
            *weights_files("condition_decoder", self.tokenizer),
        ]
        return frozen_digest(weights, "keyframes", self.height, self.width)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Latent shards' samples as they are; of others images as the tokenizer reads them, and at the drawn size."""
        if isinstance(samples[0], dict):
            return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        images, labels = [image for image, _ in samples], [label for _, label in samples]
        return {
            "images": preprocess_images(images, self.visual.vit.image_size),
            "drawn": _images_of_size(images, self.height, self.width),
            "objects": torch.stack([_objects(label) for label in labels]),
        }

    def visualize(self, module: KeyframeDetokenizerTraining) -> dict[str, np.ndarray]:
        """Keyframes, as the autoencoder keeps them, above what is drawn from their codes."""
        samples = self.samples()
        keyframes = module.prepared(self.collate([samples[draw] for draw in range(8)]))
        shown = module.generate(keyframes, self.height, self.width, self.num_inference_steps)
        rows = torch.stack([module.detokenizer.decode(keyframes["latents"]), shown])
        return {"drawn": (rearrange(rows, "r b h w c -> (r h) (b w) c") * 255).round().byte().numpy()}

    def check(self, metrics: dict[str, float], step: int) -> str | None:
        """Images without codes: the tokenizer is broken."""
        if metrics["without_codes"] > 0.2:
            return f"{metrics['without_codes']:.0%} of the images have no code: train the visual tokenizer again"
        return None

    def trainable(self, module: KeyframeDetokenizerTraining) -> dict[str, nn.Module]:
        """UNet, and what stands between it and the features that the condition decoder restores."""
        decoder = module.detokenizer.condition_decoder
        between = {"prompt_projs": decoder.prompt_projs, "pool": decoder.pool}
        return {
            "keyframe_unet": module.detokenizer.unet,
            **{f"condition_decoder.{name}": child for name, child in between.items()},
        }

    def export(self, module: KeyframeDetokenizerTraining, folder: Path) -> None:
        """UNet, condition decoder and scheduler."""
        detokenizer = module.detokenizer
        components = {"keyframe_unet": detokenizer.unet, "condition_decoder": detokenizer.condition_decoder}
        write_artifact(folder, components, schedulers={"keyframe_scheduler": detokenizer.scheduler})


class KeyframeDetokenizerTraining(nn.Module):
    """Loss of one batch of images."""

    def __init__(
        self,
        tokenizer: VisualTokenizer,
        detokenizer: KeyframeDetokenizer,
        dropped_conditions: float,
        object_weight: float,
    ) -> None:
        super().__init__()
        self.tokenizer, self.detokenizer = tokenizer, detokenizer
        self.dropped_conditions, self.object_weight = dropped_conditions, object_weight
        self.requires_grad_(False)
        # On a CPU the backward pass of diffusers' own attention was a third of a step.
        detokenizer.unet.set_attn_processor(AttendProcessor())
        decoder = detokenizer.condition_decoder
        for trained in (detokenizer.unet, decoder.prompt_projs, decoder.pool):
            trained.requires_grad_(True)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss; error in the noisy half of the timesteps, and of objects; share of images without any code."""
        scheduler: Any = self.detokenizer.scheduler
        keyframes = self.prepared(batch)
        latents, features, has_codes = keyframes["latents"], keyframes["features"], keyframes["has_codes"]
        timesteps = torch.randint(0, scheduler.config["num_train_timesteps"], (len(latents),), device=latents.device)
        signal = scheduler.alphas_cumprod.to(latents.device)[timesteps].reshape(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        is_velocity = scheduler.config["prediction_type"] == "v_prediction"
        target = signal.sqrt() * noise - (1 - signal).sqrt() * latents if is_velocity else noise
        given = has_codes & (torch.rand(len(latents), device=latents.device) >= self.dropped_conditions)
        height, width = (side * vae_factor(self.detokenizer.vae) for side in latents.shape[2:])
        predict = self.detokenizer.predictor(self._condition(features, given), height=height, width=width)
        errors = F.mse_loss(predict(noisy, timesteps), target, reduction="none").mean(1)
        objects = F.interpolate(keyframes["objects"][:, None].float(), latents.shape[2:], mode="area")[:, 0]
        weight = 1 + self.object_weight * objects
        error = errors.detach().mean((1, 2))
        is_noisy = (2 * timesteps >= scheduler.config["num_train_timesteps"]).float()
        return {
            "loss": (weight * errors).sum() / weight.sum(),
            "noisy_half": (error * is_noisy).sum() / is_noisy.sum().clamp(min=1),
            "error_of_objects": (errors.detach() * objects).sum() / objects.sum().clamp(min=1),
            "without_codes": 1 - has_codes.float().mean(),
        }

    @torch.no_grad()
    def prepared(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Output of the frozen parts for a batch of images; latent shards hold that already, in half precision.

        `latents`: (batch, channels, rows, cols), scaled. `features`: (batch, patches, width), restored from the codes.
        `has_codes`: which images have any. `objects`: (batch, patches down, patches across), where an object is.
        """
        if "latents" in batch:
            return {name: value.float() if value.is_floating_point() else value for name, value in batch.items()}
        features, has_codes = self.features(batch["images"])
        made = {"latents": self.latents(batch["drawn"]), "features": features, "has_codes": has_codes}
        return made | {"objects": batch["objects"]}

    def latents(self, drawn: Tensor) -> Tensor:
        """Scaled latents of uint8 images (batch, height, width, 3)."""
        vae = self.detokenizer.vae
        return encode_images(vae, signed_images(drawn, vae.device)) * vae.config["scaling_factor"]

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Conditions from the codes of normalised images, and which images have any."""
        tokens = self.tokenizer.encode(images)
        vectors, mask = pad_code_vectors([self.tokenizer.code_vectors(codes) for codes in tokens.codes])
        if vectors.shape[1] == 0:
            vectors, mask = vectors.new_zeros(len(vectors), 1, vectors.shape[2]), mask.new_zeros(len(mask), 1)
        has_codes = mask.any(1)
        mask[:, 0] |= ~has_codes  # something to attend to, for a condition that is dropped all the same
        return self.detokenizer.condition_decoder.features(vectors, mask), has_codes

    def generate(self, keyframes: dict[str, Tensor], height: int, width: int, steps: int) -> Tensor:
        """Images, 0..1, drawn from the codes of prepared keyframes, without guidance."""
        latents = self.detokenizer.sample_latents(
            self._condition(keyframes["features"], keyframes["has_codes"]),
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


def _objects(labels: SceneLabels) -> Tensor:
    """Patches of a rendered image that show an object, bool (rows, cols); none where nothing is known."""
    names = labels.patches[:, 0]
    side = SIZE // OBJECT_PATCH
    if len(names) != side**2:
        return torch.zeros(side, side, dtype=torch.bool)
    return torch.from_numpy((names != UNKNOWN) & (names < len(NAME_LABELS))).reshape(side, side)


def _images_of_size(images: list[Any], height: int, width: int) -> Tensor:
    """Images of any size as uint8 (batch, height, width, 3)."""
    resized = [resize_image(image, height, width) for image in images]
    return torch.from_numpy(np.stack(resized))
