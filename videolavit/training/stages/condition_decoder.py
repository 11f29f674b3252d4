"""Stage: the condition decoder on its own, from the codes of an image to the latents that shall be drawn of them.

The stage of the visual tokenizer teaches it to restore features of the vision encoder, all directions of which count
alike there. What an image looks like is in a few of them. Here a linear map reads the latents in what the UNet will be
given, patch by patch, so that the condition says of the pixels what the codes know of them. A step costs a small part
of a step of the UNet, which learns from a condition that is right already.

With `trains_codes` the codes themselves are learnt anew with it: a code then stands for what patches look like. Which
patches are kept, and what is merged into them, stays as it is, and so do the features that a language model reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import write_artifact
from videolavit.detokenizers.condition import ConditionDecoder
from videolavit.detokenizers.vae import decode_latents, to_uint8, unit_range, vae_factor
from videolavit.errors import ConfigError
from videolavit.tokenizers.codebook import CodebookConfig, CodebookLearner
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.training.stages.base import Stage
from videolavit.training.stages.keyframe_codes import (
    NO_CODE,
    ReadsKeyframeCodes,
    codes_and_latents,
    decoded_features,
    features_of_vectors,
    shares_of_objects,
    weighted_mean,
)
from videolavit.training.training_options import TrainingOptions

__all__ = ["ConditionDecoderStage", "ConditionDecoderTraining"]


@dataclass(frozen=True, kw_only=True)
class ConditionDecoderStage(ReadsKeyframeCodes, Stage["ConditionDecoderTraining"]):
    """Squared error of latents that a linear map reads in the condition of each patch."""

    name: str = "condition_decoder"
    trains_codes: bool = False
    """Train the code head and the codebook, too, and export the tokenizer. What was tokenized with the old codes must
    be tokenized anew."""
    codebook: CodebookConfig = field(default_factory=lambda: CodebookConfig(warm_up_steps=30, decay=0.99))
    """Of codes that are trained."""
    commitment_weight: float = 0.25
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=20_000, batch_size=128, learning_rate=1e-3, warmup_steps=500, weight_decay=0.02, optimiser="muon"
        )
    )

    def build(self) -> ConditionDecoderTraining:
        """All parts, the frozen ones included, and the loss."""
        return ConditionDecoderTraining(self, *self.parts())

    def frozen(self) -> str:
        """All that decides what the frozen parts make of a keyframe; of other kind where codes are trained."""
        return f"{super().frozen()} with features" if self.trains_codes else super().frozen()

    def visualize(self, module: ConditionDecoderTraining) -> dict[str, np.ndarray]:
        """Keyframes, as the autoencoder keeps them, above what the linear map reads of them."""
        keyframes = module.prepared(self.first_batch(module, 8))
        with torch.no_grad():
            features, _ = decoded_features(module.codes(keyframes), module.tokenizer, module.condition_decoder)
            rows = torch.cat([keyframes["latents"], module.read_latents(features)])
            images = to_uint8(unit_range(decode_latents(module.vae, rows)))
        return {"read": rearrange(images, "(r b) c h w -> (r h) (b w) c", r=2).cpu().numpy()}

    def trainable(self, module: ConditionDecoderTraining) -> dict[str, nn.Module]:
        """The condition decoder; where codes are trained, their head and the codebook as well."""
        parts: dict[str, nn.Module] = {"condition_decoder": module.condition_decoder}
        if self.trains_codes:
            parts["visual_tokenizer.code_head"] = module.tokenizer.code_head
            parts["visual_tokenizer.quantizer"] = module.tokenizer.quantizer
        return parts

    def export(self, module: ConditionDecoderTraining, folder: Path) -> None:
        """The condition decoder without the linear map; where codes are trained, the tokenizer as well."""
        tokenizer = {"visual_tokenizer": module.tokenizer} if self.trains_codes else {}
        write_artifact(folder, {"condition_decoder": module.condition_decoder} | tokenizer)


class ConditionDecoderTraining(nn.Module):
    """Loss of one batch of images.

    Raises:
        ConfigError: images of this size have no whole number of latents to a patch.
    """

    def __init__(
        self, stage: ConditionDecoderStage, tokenizer: VisualTokenizer, condition_decoder: ConditionDecoder, vae: Any
    ) -> None:
        super().__init__()
        self.stage, self.tokenizer, self.condition_decoder, self.vae = stage, tokenizer, condition_decoder, vae
        self.requires_grad_(False)
        condition_decoder.requires_grad_(True)
        condition_decoder.pool.requires_grad_(False)  # of the whole image; it learns beside the UNet
        tokenizer.code_head.requires_grad_(stage.trains_codes)
        self.learner = CodebookLearner(tokenizer.quantizer, stage.codebook) if stage.trains_codes else None
        sizes = condition_decoder.config
        patches = round(sizes.num_positions**0.5)
        latents = [side // vae_factor(vae) for side in (stage.height, stage.width)]
        if any(side % patches for side in latents):
            raise ConfigError(
                f"got latents of {latents[0]} x {latents[1]} for {patches} x {patches} patches, expected multiples of "
                f"{patches}; give other --height and --width"
            )
        self.patches, self.latents_of_patch = patches, [side // patches for side in latents]
        numbers = vae.config["latent_channels"] * self.latents_of_patch[0] * self.latents_of_patch[1]
        self.head = nn.Linear(sum(sizes.prompt_widths), numbers)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss; of images with codes, share of the variance of latents that is not read, of all and of
        objects; share of images without any code, which teach nothing; usage of codes that are trained.
        """
        keyframes = self.prepared(batch)
        latents, objects = keyframes["latents"], shares_of_objects(keyframes)
        if self.learner is None:
            features, has_codes = decoded_features(keyframes["codes"], self.tokenizer, self.condition_decoder)
            commitment, usage = torch.zeros((), device=latents.device), {}
        else:
            vectors, mask, commitment = self._quantized(keyframes, self.learner)
            features, has_codes = features_of_vectors(vectors, mask, self.condition_decoder)
            used, perplexity = self.learner.usage()
            usage = {"codes_used": torch.tensor(used), "perplexity": torch.tensor(perplexity)}
        counts = has_codes[:, None, None].float()
        errors = (self.read_latents(features) - latents).square().mean(1) * counts
        spread = (latents - latents.mean((0, 2, 3), keepdim=True)).square().mean(1) * counts
        return {
            "loss": weighted_mean(errors, objects, self.stage.object_weight) + commitment,
            "unread": errors.detach().sum() / spread.sum().clamp(min=1e-8),
            "unread_of_objects": (errors.detach() * objects).sum() / (spread * objects).sum().clamp(min=1e-8),
            "without_codes": 1 - has_codes.float().mean(),
            **usage,
        }

    def prepared(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Codes and latents of a batch, see `codes_and_latents`."""
        return codes_and_latents(batch, self.tokenizer, self.vae, with_merged=self.stage.trains_codes)

    def codes(self, keyframes: dict[str, Tensor]) -> Tensor:
        """Codes of prepared keyframes, as the tokenizer makes them now."""
        if not self.stage.trains_codes:
            return keyframes["codes"]
        codes = self.tokenizer.quantizer.codes(self.tokenizer.code_features(keyframes["merged"]))
        return codes.masked_fill(keyframes["codes"] == NO_CODE, NO_CODE)

    def read_latents(self, features: Tensor) -> Tensor:
        """Latents (batch, channels, rows, cols) as the linear map reads them in decoded features."""
        condition = torch.cat([project(features) for project in self.condition_decoder.prompt_projs], dim=-1)
        # one patch is `h` x `w` latents
        down, across = self.latents_of_patch
        return rearrange(
            self.head(condition).float(), "b (r s) (c h w) -> b c (r h) (s w)", r=self.patches, h=down, w=across
        )

    def _quantized(self, keyframes: dict[str, Tensor], learner: CodebookLearner) -> tuple[Tensor, Tensor, Tensor]:
        """Code vectors (batch, patches, code_dim), which of them stand for a patch, and the weighted commitment."""
        mask = keyframes["codes"] != NO_CODE
        code_features = self.tokenizer.code_features(keyframes["merged"][mask])
        quantizing = learner.quantizing
        quantized = self.tokenizer.quantizer(code_features)
        kept = quantized.vectors if quantizing else quantized.directions
        commitment = self.stage.commitment_weight * quantized.commitment * quantizing
        learner.update(code_features, quantized.codes)
        vectors = kept.new_zeros(*mask.shape, kept.shape[-1]).masked_scatter(mask[..., None], kept)
        return vectors, mask, commitment
