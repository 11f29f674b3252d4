"""Stage: the visual tokenizer, from features of a frozen encoder to few codes and back (reference section 9).

Merger, codebook and condition decoder learn from mean(1 - cos) between features and what is decoded of them. Of the
selector 2 * (1/3 - keep rate)^2 asks how many patches it keeps. Which ones is a choice:

- "gradient", as published: the loss teaches it, straight through the decision;
- "novelty": those that differ from what lies around them more than two thirds of a batch's patches do. Small models
  trained the first way kept all or nothing of an image.

Either way the decision is made in training exactly as it will be made later, and merger and decoder first learn on
random choices of about the right length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_artifact, write_artifact
from videolavit.data.keyframes import Keyframes
from videolavit.data.training_images import Photographs
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig
from videolavit.errors import ConfigError
from videolavit.tokenizers.codebook import CodebookConfig, CodebookLearner
from videolavit.tokenizers.image_processor import CLIP_MEAN, CLIP_STD, preprocess_images
from videolavit.tokenizers.selector import PatchSelection, draw_gumbel_noise, straight_through_keep
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.training.batches import Mixture, Samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions

__all__ = ["Selection", "VisualTokenizerStage", "VisualTokenizerTraining", "novelty"]

Selection = Literal["gradient", "novelty"]


@dataclass(frozen=True, kw_only=True)
class VisualTokenizerStage(ReadsShards, Stage["VisualTokenizerTraining"]):
    """Cosine loss of reconstructed features, keep-rate term, commitment to the codes."""

    name: str = "visual_tokenizer"
    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, or several with whole-numbered shares, as in `--data A=3 B=1`: of four videos three come from
    A."""
    shares: tuple[int, int] = (1, 0)
    """Keyframes of videos and photographs in the mixture; 0 leaves one out."""
    encoder: str = ""
    """Folder of a trained vision encoder; empty for one with random weights."""
    model: VisualTokenizerConfig = field(default_factory=VisualTokenizerConfig)
    decoder: ConditionDecoderConfig = field(default_factory=ConditionDecoderConfig)
    codebook: CodebookConfig = field(default_factory=lambda: CodebookConfig(warm_up_steps=500))
    patch_selection: PatchSelection = "likeliest"
    """Selection of patches in training, and later."""
    selection: Selection = "gradient"
    """Teacher of the selector."""
    keep_rate: float = 1 / 3
    keep_weight: float = 2.0
    """Of the keep-rate term."""
    random_choice_steps: int = 500
    """Steps before the selector decides; until then patches are kept at random."""
    commitment_weight: float = 0.25
    own_patch_weight: float = 0.0
    """Of what each code must tell by itself: which patch it stands for, and what the encoder saw there. Without it, all
    codes of a small model's image came to say the same, and nothing told where things are."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=50_000, batch_size=2048, learning_rate=1e-4, warmup_steps=5000, ema_decay=0.999
        )
    )

    def __post_init__(self) -> None:
        vit = self.model.vit
        told = self.decoder.code_dim, self.decoder.num_positions, self.decoder.feature_width
        if told != (self.model.code_dim, vit.num_patches, vit.width):
            raise ConfigError(
                f"the decoder has (code_dim, num_positions, feature_width) = {told}, the tokenizer's sizes are "
                f"{(self.model.code_dim, vit.num_patches, vit.width)}; make them equal"
            )

    def build(self) -> VisualTokenizerTraining:
        """Tokenizer with its frozen encoder, condition decoder, the codebook's learner and the loss."""
        tokenizer = VisualTokenizer(self.model)
        if self.encoder:
            tokenizer.vit.load_state_dict(load_artifact("vision_encoder", self.encoder).state_dict())
        return VisualTokenizerTraining(self, tokenizer, ConditionDecoder(self.decoder))

    def samples(self) -> Samples:
        """One image at a time."""
        size = self.model.vit.image_size
        kinds: list[Samples] = [
            FolderSamples(self.folders, Keyframes, self.training.seed),
            Photographs(size, size),
        ]
        return Mixture([(share, kind) for share, kind in zip(self.shares, kinds, strict=True) if share])

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Normalised images."""
        return {"images": preprocess_images(samples, self.model.vit.image_size)}

    def visualize(self, module: VisualTokenizerTraining) -> dict[str, np.ndarray]:
        """Images above the patches of them that are kept."""
        tokenizer = module.tokenizer
        batch = self.first_batch(module, 10)["images"]
        keep = tokenizer.encode(batch).keep
        side = self.model.vit.image_size // self.model.vit.patch_size
        mask = rearrange(keep, "b (r c) -> b 1 r c", r=side).float()
        shown = torch.cat([batch, batch * F.interpolate(mask, batch.shape[2:])]).cpu()
        values = rearrange(shown, "(r b) c h w -> (r h) (b w) c", r=2) * torch.tensor(CLIP_STD) + torch.tensor(
            CLIP_MEAN
        )
        return {"kept": (values * 255).round().clamp(0, 255).byte().numpy()}

    def check(self, metrics: dict[str, float], step: int) -> str | None:
        """A collapsed selector or codebook."""
        if step > self.random_choice_steps + 200 and not 0.4 < metrics["kept"] / self.keep_rate < 2:
            return (
                f"the selector has collapsed: it keeps {metrics['kept']:.3f} of all patches, {self.keep_rate:.3f} are "
                "wanted; try selection=novelty, a larger keep_weight, or more random_choice_steps"
            )
        if step > 2 * self.codebook.warm_up_steps and metrics["perplexity"] < 2:
            return (
                f"the codebook has collapsed: perplexity {metrics['perplexity']:.2f} of {self.model.num_codes} codes; "
                "try a longer warm-up without quantisation, or a smaller learning rate"
            )
        return None

    def trainable(self, module: VisualTokenizerTraining) -> dict[str, nn.Module]:
        """Tokenizer and condition decoder, without an encoder that came from its own stage."""
        own = {name: child for name, child in module.tokenizer.named_children() if name != "vit" or not self.encoder}
        return {
            **{f"visual_tokenizer.{name}": child for name, child in own.items()},
            "condition_decoder": module.decoder,
        }

    def export(self, module: VisualTokenizerTraining, folder: Path) -> None:
        """Tokenizer and condition decoder."""
        write_artifact(folder, {"visual_tokenizer": module.tokenizer, "condition_decoder": module.decoder})


class VisualTokenizerTraining(nn.Module):
    """Loss of one batch of images."""

    def __init__(self, stage: VisualTokenizerStage, tokenizer: VisualTokenizer, decoder: ConditionDecoder) -> None:
        super().__init__()
        self.stage, self.tokenizer, self.decoder = stage, tokenizer, decoder
        self.learner = CodebookLearner(tokenizer.quantizer, stage.codebook)
        self.own_patch = _OwnPatch(tokenizer.config) if stage.own_patch_weight else None
        tokenizer.vit.requires_grad_(False)
        for untrained in (tokenizer.language_proj, decoder.prompt_projs, decoder.pool):  # later stages train them
            untrained.requires_grad_(False)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, cosine distance, share of kept patches and its spread over images, codebook usage."""
        stage, tokenizer = self.stage, self.tokenizer
        with torch.no_grad():
            features = tokenizer.vit(batch["images"])[:, 1:]
        log_probs = tokenizer.selector(features)
        keep = self._choice(log_probs, step)
        kept = keep.detach() > 0
        # Not through the merger: where no patch is dropped, its epsilon makes gradients up to a million times larger.
        code_features = tokenizer.code_features(tokenizer.merger(features, kept))
        quantizing = self.learner.quantizing
        quantized = tokenizer.quantizer(code_features)
        vectors = quantized.vectors if quantizing else quantized.directions
        restored = self.decoder.features_of_choice(vectors, keep if stage.selection == "gradient" else keep.detach())
        distance = 1 - F.cosine_similarity(restored.float(), features.float(), dim=-1).mean()
        loss = distance + stage.keep_weight * (stage.keep_rate - keep.mean()).square()
        if stage.selection == "novelty":
            loss = loss + self._selector_error(log_probs, features)
        own_patch = {}
        if self.own_patch is not None:
            error, own_patch = self.own_patch(vectors, features, kept)
            loss = loss + stage.own_patch_weight * error
        if quantizing:
            loss = loss + stage.commitment_weight * _commitment(tokenizer, quantized.directions[kept])
        self.learner.update(code_features[kept], quantized.codes[kept])
        usage = self.learner.usage()
        return {
            "loss": loss,
            "cosine_distance": distance.detach(),
            "kept": kept.float().mean(),
            "kept_spread": kept.float().mean(1).std(correction=0),
            "fewest": kept.sum(1).min().float(),
            "codes_used": torch.tensor(usage.used),
            "perplexity": torch.tensor(usage.perplexity),
            **own_patch,
        }

    def _choice(self, log_probs: Tensor, step: int) -> Tensor:
        """1 for each patch that is kept and 0 for others, with gradients to the selector once it decides."""
        stage = self.stage
        if step < stage.random_choice_steps:
            rates = stage.keep_rate * (0.5 + torch.rand(len(log_probs), 1, device=log_probs.device))
            return (torch.rand(log_probs.shape[:2], device=log_probs.device) < rates).float()
        noise = (
            torch.zeros_like(log_probs) if stage.patch_selection == "likeliest" else draw_gumbel_noise(log_probs, None)
        )
        return straight_through_keep(log_probs, noise)

    def _selector_error(self, log_probs: Tensor, features: Tensor) -> Tensor:
        """Cross-entropy of telling the newest patches of a batch from the others."""
        values = novelty(features)
        dropped = values < torch.quantile(values, 1 - self.stage.keep_rate)  # class 0 is to keep
        return F.nll_loss(log_probs.flatten(0, 1), dropped.long().flatten())


class _OwnPatch(nn.Module):
    """Reads single codes, in training alone."""

    def __init__(self, config: VisualTokenizerConfig) -> None:
        super().__init__()
        patches, width = config.vit.num_patches, config.vit.width
        self.hidden = nn.Sequential(nn.Linear(config.code_dim, 2 * width), nn.GELU())
        self.place, self.content = nn.Linear(2 * width, patches), nn.Linear(2 * width, width)

    def forward(self, vectors: Tensor, features: Tensor, kept: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Error over kept patches, and how well each of them is told from its code."""
        places = torch.arange(kept.shape[1], device=kept.device).expand_as(kept)[kept]
        hidden = self.hidden(vectors[kept])
        logits = self.place(hidden).float()
        distances = 1 - F.cosine_similarity(self.content(hidden).float(), features[kept].float(), dim=-1)
        count = max(1, len(places))
        error = F.cross_entropy(logits, places, reduction="sum") / count + distances.sum() / count
        right = (logits.argmax(-1) == places).float().sum() / count
        return error, {"own_place_right": right, "own_distance": distances.detach().sum() / count}


def novelty(features: Float[Tensor, "batch patches width"]) -> Float[Tensor, "batch patches"]:
    """Difference of each patch of a square of patches from the mean of those around it, as seen by the encoder.

    What a place has in common in all images of the batch does not count: the decoder knows it without being told.
    """
    own = (features - features.mean(0, keepdim=True)).float()
    square = rearrange(own, "b (r c) w -> b w r c", r=math.isqrt(features.shape[1]))
    around = F.avg_pool2d(square, 3, stride=1, padding=1, count_include_pad=False)
    return rearrange((square - around).norm(dim=1), "b r c -> b (r c)")


def _commitment(tokenizer: VisualTokenizer, directions: Tensor) -> Tensor:
    """Squared distance of kept directions from their codes."""
    rows = tokenizer.quantizer.vectors(tokenizer.quantizer.codes(directions))
    return (directions - rows).square().sum() / max(1, len(rows))
