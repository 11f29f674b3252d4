"""Stage of the tiny preset: the vision transformer that the visual tokenizer works on, and that stays frozen later.

The paper takes EVA-CLIP's. A small one is trained here to name, for every patch, what it shows (name, colour, size,
side and where the object's centre lies), to say the same of the whole image from its class token, to know each patch's
place, and to keep the pixels: what is said makes meaning easy to read, pixels keep images apart that no label is
known for. Codes are made of these features and have no place of their own: what features do not say of it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import write_artifact
from videolavit.data.keyframes import LabelledKeyframes
from videolavit.data.scene_labels import (
    COLOUR_LABELS,
    GROUND_LABELS,
    NAME_LABELS,
    SIDE_LABELS,
    SIZE_LABELS,
    UNKNOWN,
    SceneLabels,
    unknown_labels,
)
from videolavit.data.training_images import DeadLeaves, Photographs
from videolavit.tokenizers.image_processor import CLIP_MEAN, CLIP_STD, preprocess_images
from videolavit.tokenizers.vit import VisionTransformer, VisionTransformerConfig
from videolavit.training.batches import Mixture, Samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards, check_size
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions

__all__ = ["VisionEncoderStage", "VisionEncoderTraining"]

_OBJECT_CLASSES = tuple(map(len, (NAME_LABELS, COLOUR_LABELS, SIZE_LABELS, SIDE_LABELS)))
_PATCH_CLASSES = (len(NAME_LABELS) + 1, *_OBJECT_CLASSES[1:])
_IMAGE_CLASSES = (*_OBJECT_CLASSES, len(GROUND_LABELS))
_NAMES = ("name", "colour", "size", "side", "ground")


@dataclass(frozen=True, kw_only=True)
class VisionEncoderStage(ReadsShards, Stage["VisionEncoderTraining"]):
    """Cross-entropy of what patches and images show, error of where objects are, error of pixels."""

    name: str = "vision_encoder"
    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, or several with whole-numbered shares, as in `--data A=3 B=1`: of four videos three come from
    A."""
    shares: tuple[int, int, int] = (8, 1, 1)
    """Keyframes of videos, photographs and dead leaves in the mixture; 0 leaves one out."""
    model: VisionTransformerConfig = field(
        default_factory=lambda: VisionTransformerConfig(
            image_size=128, patch_size=16, width=192, layers=6, heads=6, mlp_ratio=3.0, unused_head_width=None
        )
    )
    place_weight: float = 1.5
    """Of the cross-entropy of telling which patch a feature belongs to."""
    pixel_weight: float = 1.0
    saturated_weight: float = 10.0
    """Of pixels in which one channel stands out, over the others."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=4000, batch_size=32, learning_rate=1e-3, warmup_steps=200, weight_decay=0.05, ema_decay=0.998
        )
    )

    def build(self) -> VisionEncoderTraining:
        """The encoder, heads that only training has, and the loss."""
        return VisionEncoderTraining(self, VisionTransformer(self.model))

    def samples(self) -> Samples:
        """Images with their labels."""
        size, patch = self.model.image_size, self.model.patch_size
        check_size(self.folders, size, size, "--model.image-size")
        keyframes = FolderSamples(self.folders, lambda reader: LabelledKeyframes(reader, patch), self.training.seed)
        others = [_Unlabelled(kind(size, size), patch) for kind in (Photographs, DeadLeaves)]
        kinds: list[Samples] = [keyframes, *others]
        return Mixture([(share, kind) for share, kind in zip(self.shares, kinds, strict=True) if share])

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Normalised images and labels."""
        images, labels = zip(*samples, strict=True)
        return {
            "images": preprocess_images(list(images), self.model.image_size),
            "patches": torch.from_numpy(np.stack([label.patches for label in labels])),
            "offsets": torch.from_numpy(np.stack([label.offsets for label in labels])),
            "image": torch.from_numpy(np.stack([label.image for label in labels])),
        }

    def visualize(self, module: VisionEncoderTraining) -> dict[str, np.ndarray]:
        """Images above what a linear map reads of them in the features."""
        batch = self.first_batch(module, 10)["images"]
        rows = torch.stack([batch, module.pixels(module.normalised_features(batch))]).cpu()
        values = rearrange(rows, "r b c h w -> (r h) (b w) c") * torch.tensor(CLIP_STD) + torch.tensor(CLIP_MEAN)
        return {"pixels": (values * 255).round().clamp(0, 255).byte().numpy()}

    def trainable(self, module: VisionEncoderTraining) -> dict[str, nn.Module]:
        """The encoder without heads."""
        return {"visual_tokenizer.vit": module.vit}

    def export(self, module: VisionEncoderTraining, folder: Path) -> None:
        """The encoder without heads."""
        write_artifact(folder, {"vision_encoder": module.vit})


class VisionEncoderTraining(nn.Module):
    """Loss of one batch of labelled images.

    Heads read features that are normalised first, so that what they learn to read is large in the features, too.
    """

    def __init__(self, stage: VisionEncoderStage, vit: VisionTransformer) -> None:
        super().__init__()
        self.stage, self.vit = stage, vit
        width, patch = vit.config.width, vit.config.patch_size
        self.patch_head = nn.Linear(width, sum(_PATCH_CLASSES) + 2)
        self.image_head = nn.Linear(width, sum(_IMAGE_CLASSES))
        self.place_head = nn.Linear(width, vit.config.num_patches)
        self.pixel_head = nn.Linear(width, 3 * patch**2)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, its parts, share of images with each attribute right."""
        features = self.normalised_features(batch["images"])
        *patch_logits, offsets = self.patch_head(features[:, 1:]).float().split((*_PATCH_CLASSES, 2), dim=-1)
        image_logits = self.image_head(features[:, 0]).float().split(_IMAGE_CLASSES, dim=-1)
        patches, whole = batch["patches"], batch["image"]
        naming = sum(_cross_entropy(logits, patches[..., i]) for i, logits in enumerate(patch_logits))
        naming = naming + sum(_cross_entropy(logits, whole[:, i]) for i, logits in enumerate(image_logits))
        shows_object = (patches[..., 0] != UNKNOWN) & (patches[..., 0] != len(NAME_LABELS))
        placing = ((offsets - batch["offsets"]).abs().sum(-1) * shows_object).sum() / shows_object.sum().clamp(min=1)
        pixels = self._pixel_error(self.pixels(features), batch["images"])
        place_logits = self.place_head(features[:, 1:]).float()
        places = torch.arange(place_logits.shape[1], device=place_logits.device).expand(place_logits.shape[:2])
        own_place = F.cross_entropy(place_logits.flatten(0, 1), places.flatten())
        loss = naming + placing + self.stage.place_weight * own_place + self.stage.pixel_weight * pixels
        right = {f"{name}_right": _right(image_logits[i], whole[:, i]) for i, name in enumerate(_NAMES)}
        right["own_place_right"] = (place_logits.argmax(-1) == places).float().mean()
        right["patch_name_right"] = _right(patch_logits[0][shows_object], patches[..., 0][shows_object])
        return {"loss": loss, "placing": placing.detach(), "pixel_error": pixels.detach(), **right}

    def normalised_features(self, images: Tensor) -> Tensor:
        """Class token and patches, (batch, 1 + patches, width), each scaled to mean 0 and variance 1."""
        return F.layer_norm(self.vit(images), (self.vit.config.width,))

    def pixels(self, features: Tensor) -> Tensor:
        """Normalised images as the pixel head reads them."""
        side, patch = self.vit.config.image_size // self.vit.config.patch_size, self.vit.config.patch_size
        values = self.pixel_head(features[:, 1:]).float()
        return rearrange(values, "b (r c) (k h w) -> b k (r h) (c w)", r=side, h=patch, w=patch)

    def _pixel_error(self, shown: Tensor, images: Tensor) -> Tensor:
        values = images * images.new_tensor(CLIP_STD)[:, None, None] + images.new_tensor(CLIP_MEAN)[:, None, None]
        chroma = values.amax(1, keepdim=True) - values.amin(1, keepdim=True)
        weight = 1 + self.stage.saturated_weight * (chroma > 0.4)
        return (weight * (shown - images).abs()).sum() / (3 * weight.sum())


class _Unlabelled:
    """Images about which nothing is known."""

    def __init__(self, images: Samples, patch_size: int) -> None:
        self._images, self._patch_size = images, patch_size

    def __getitem__(self, draw: int) -> tuple[np.ndarray, SceneLabels]:
        image = self._images[draw]
        return image, unknown_labels(image.shape[:2], self._patch_size)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over known labels; 0 if there is none."""
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=UNKNOWN, reduction="sum")
    return total / (labels != UNKNOWN).sum().clamp(min=1)


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels != UNKNOWN
    return ((logits.argmax(-1) == labels) & known).sum() / known.sum().clamp(min=1)
