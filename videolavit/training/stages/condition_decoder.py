"""Stage: the condition decoder on its own, from the codes of an image to the latents that shall be drawn of them.

The stage of the visual tokenizer teaches it to restore features of the vision encoder, all directions of which count
alike there. What an image looks like is in a few of them. Here a linear map reads the latents in what the UNet will be
given, patch by patch, so that the condition says of the pixels what the codes know of them. A step costs a small part
of a step of the UNet, which learns from a condition that is right already.
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
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.training.stages.base import Stage
from videolavit.training.stages.keyframe_codes import (
    ReadsKeyframeCodes,
    codes_and_latents,
    decoded_features,
    shares_of_objects,
    weighted_mean,
)
from videolavit.training.training_options import TrainingOptions

__all__ = ["ConditionDecoderStage", "ConditionDecoderTraining"]


@dataclass(frozen=True, kw_only=True)
class ConditionDecoderStage(ReadsKeyframeCodes, Stage["ConditionDecoderTraining"]):
    """Squared error of latents that a linear map reads in the condition of each patch."""

    name: str = "condition_decoder"
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=20_000, batch_size=128, learning_rate=1e-3, warmup_steps=500, weight_decay=0.02, optimiser="muon"
        )
    )

    def build(self) -> ConditionDecoderTraining:
        """All parts, the frozen ones included, and the loss."""
        return ConditionDecoderTraining(*self.parts(), self.object_weight, (self.height, self.width))

    def visualize(self, module: ConditionDecoderTraining) -> dict[str, np.ndarray]:
        """Keyframes, as the autoencoder keeps them, above what the linear map reads of them."""
        keyframes = module.prepared(self.first_batch(module, 8))
        with torch.no_grad():
            rows = torch.cat([keyframes["latents"], module.read_latents(keyframes["codes"])[0]])
            images = to_uint8(unit_range(decode_latents(module.vae, rows)))
        return {"read": rearrange(images, "(r b) c h w -> (r h) (b w) c", r=2).cpu().numpy()}

    def trainable(self, module: ConditionDecoderTraining) -> dict[str, nn.Module]:
        """The condition decoder."""
        return {"condition_decoder": module.condition_decoder}

    def export(self, module: ConditionDecoderTraining, folder: Path) -> None:
        """The condition decoder without the linear map."""
        write_artifact(folder, {"condition_decoder": module.condition_decoder})


class ConditionDecoderTraining(nn.Module):
    """Loss of one batch of images.

    Raises:
        ConfigError: images of this size have no whole number of latents to a patch.
    """

    def __init__(
        self,
        tokenizer: VisualTokenizer,
        condition_decoder: ConditionDecoder,
        vae: Any,
        object_weight: float,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.tokenizer, self.condition_decoder, self.vae = tokenizer, condition_decoder, vae
        self.object_weight = object_weight
        self.requires_grad_(False)
        condition_decoder.requires_grad_(True)
        condition_decoder.pool.requires_grad_(False)  # of the whole image; it learns beside the UNet
        sizes = condition_decoder.config
        patches = round(sizes.num_positions**0.5)
        latents = [side // vae_factor(vae) for side in size]
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
        objects; share of images without any code, which teach nothing.
        """
        keyframes = self.prepared(batch)
        latents, objects = keyframes["latents"], shares_of_objects(keyframes)
        read, has_codes = self.read_latents(keyframes["codes"])
        counts = has_codes[:, None, None].float()
        errors = (read - latents).square().mean(1) * counts
        spread = (latents - latents.mean((0, 2, 3), keepdim=True)).square().mean(1) * counts
        return {
            "loss": weighted_mean(errors, objects, self.object_weight),
            "unread": errors.detach().sum() / spread.sum().clamp(min=1e-8),
            "unread_of_objects": (errors.detach() * objects).sum() / (spread * objects).sum().clamp(min=1e-8),
            "without_codes": 1 - has_codes.float().mean(),
        }

    def prepared(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Codes and latents of a batch, see `codes_and_latents`."""
        return codes_and_latents(batch, self.tokenizer, self.vae)

    def read_latents(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (batch, channels, rows, cols) as the linear map reads them; and which images have any code."""
        features, has_codes = decoded_features(codes, self.tokenizer, self.condition_decoder)
        condition = torch.cat([project(features) for project in self.condition_decoder.prompt_projs], dim=-1)
        # one patch is `h` x `w` latents
        down, across = self.latents_of_patch
        read = rearrange(
            self.head(condition).float(), "b (r s) (c h w) -> b c (r h) (s w)", r=self.patches, h=down, w=across
        )
        return read, has_codes
