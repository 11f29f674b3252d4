"""Base of the stages that learn from a keyframe and its codes: the frozen parts, and the samples.

The visual tokenizer and the autoencoder are frozen, so a keyframe is its codes and its latents to these stages. Latent
shards hold both (`videolavit prepare latents --visual-tokenizer`), and the images need not be encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from videolavit.checkpoints.artifacts import load_artifact, load_autoencoder, weights_files
from videolavit.data.keyframes import LabelledKeyframes
from videolavit.data.scene_labels import NAME_LABELS, UNKNOWN, SceneLabels
from videolavit.data.shapes.scene import SIZE
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig
from videolavit.detokenizers.vae import encode_images, signed_images
from videolavit.errors import ConfigError
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.tokenizers.image_processor import preprocess_images
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.training.batches import Samples
from videolavit.training.latents import frozen_digest, latent_samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards
from videolavit.video.io.pixels import resize_image

__all__ = [
    "NO_CODE",
    "OBJECT_PATCH",
    "ReadsKeyframeCodes",
    "codes_and_latents",
    "decoded_features",
    "features_of_vectors",
    "shares_of_objects",
    "weighted_mean",
]

OBJECT_PATCH = 8
"""Pixels along each side of the patches of which it is known whether they show an object."""

NO_CODE = -1
"""Fills the rows of images with fewer codes than patches."""


@dataclass(frozen=True, kw_only=True)
class ReadsKeyframeCodes(ReadsShards):
    """Base of stages that learn from the codes and the latents of keyframes; comes before `Stage` among the bases."""

    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, or several with whole-numbered shares, as in `--data A=3 B=1`: of four videos three come from
    A. Or folders of latent shards made of them by this tokenizer and this autoencoder."""
    tokenizer: str = ""
    """Folder of a trained visual tokenizer with its condition decoder; empty for ones with random weights."""
    condition_decoder: str = ""
    """Folder of a condition decoder that was trained further; empty for that of the export that the stage goes on
    from, if it does, or else the tokenizer's own."""
    autoencoder: str = ""
    """Folder of a trained autoencoder; empty for a small one with random weights."""
    visual: VisualTokenizerConfig = field(default_factory=VisualTokenizerConfig)
    """Sizes of a tokenizer with random weights."""
    decoder: ConditionDecoderConfig = field(default_factory=ConditionDecoderConfig)
    """Sizes of a condition decoder with random weights."""
    height: int = 1024
    width: int = 1024
    object_weight: float = 0.0
    """Added to the weight of the error where a rendered keyframe shows an object: grounds take most of an image."""

    def __post_init__(self) -> None:
        if self.object_weight < 0:
            raise ConfigError(f"got object_weight={self.object_weight}, expected at least 0")

    def parts(self, start_from: str = "") -> tuple[VisualTokenizer, ConditionDecoder, Any]:
        """Tokenizer, condition decoder and autoencoder; `start_from` is an export that holds a decoder, or nothing."""
        tokenizer = (
            load_artifact("visual_tokenizer", self.tokenizer) if self.tokenizer else VisualTokenizer(self.visual)
        )
        trained = self.condition_decoder or start_from or self.tokenizer
        if trained:
            decoder = load_artifact("condition_decoder", trained, dtype=torch.float32)
        else:
            decoder = ConditionDecoder(self.decoder)
        _check_decoder(tokenizer, decoder)
        return tokenizer, decoder, load_autoencoder(self.autoencoder) if self.autoencoder else PatchAutoencoderKL()

    def samples(self) -> Samples:
        """One keyframe at a time."""
        seed = self.training.seed  # type: ignore[attr-defined] - of the stage
        latents = latent_samples(self.data, self.frozen, seed)
        return latents or FolderSamples(self.folders, lambda reader: LabelledKeyframes(reader, OBJECT_PATCH), seed)

    def frozen(self) -> str:
        """All that decides what the frozen parts make of a keyframe."""
        autoencoder = weights_files("keyframe_vae", self.autoencoder)
        tokenizer = weights_files("visual_tokenizer", self.tokenizer)
        return frozen_digest([*autoencoder, *tokenizer], "codes of keyframes", self.height, self.width)

    def check(self, metrics: dict[str, float], step: int) -> str | None:
        """Images without codes: the tokenizer is broken."""
        if metrics["without_codes"] > 0.2:
            return f"{metrics['without_codes']:.0%} of the images have no code: train the visual tokenizer again"
        return None

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


@torch.no_grad()
def codes_and_latents(
    batch: dict[str, Tensor], tokenizer: VisualTokenizer, vae: Any, *, with_merged: bool = False
) -> dict[str, Tensor]:
    """Output of the frozen parts for a batch of images; latent shards hold that already, floats in half precision.

    `latents`: (batch, channels, rows, cols), scaled. `codes`: (batch, patches), those of the kept patches in order,
    then `NO_CODE`. `objects`: (batch, patches down, patches across), where an object is. `merged`, if asked for:
    (batch, patches, width), the features that the codes stand for, in the same order, then zeros.
    """
    if "latents" in batch:
        return {name: value.float() if value.is_floating_point() else value for name, value in batch.items()}
    latents = encode_images(vae, signed_images(batch["drawn"], vae.device)) * vae.config["scaling_factor"]
    tokens = tokenizer.encode(batch["images"])
    made = {"latents": latents, "codes": _padded(tokens.codes, tokens.keep, NO_CODE), "objects": batch["objects"]}
    if with_merged:
        made["merged"] = _padded(tokens.features, tokens.keep, 0)
    return made


def decoded_features(codes: Tensor, tokenizer: VisualTokenizer, decoder: ConditionDecoder) -> tuple[Tensor, Tensor]:
    """Output of the condition decoder for codes, (batch, patches, width); and which images have any code."""
    return features_of_vectors(tokenizer.code_vectors(codes.clamp(min=0).long()), codes != NO_CODE, decoder)


def features_of_vectors(vectors: Tensor, mask: Tensor, decoder: ConditionDecoder) -> tuple[Tensor, Tensor]:
    """The same of code vectors (batch, patches, code_dim), with a mask of those that stand for a patch."""
    longest = max(int(mask.sum(1).max()), 1)
    vectors, mask = vectors[:, :longest], mask[:, :longest].clone()
    has_codes = mask.any(1)
    mask[:, 0] |= ~has_codes  # something to attend to, for a condition that is dropped all the same
    return decoder.features(vectors, mask), has_codes


def shares_of_objects(keyframes: dict[str, Tensor]) -> Tensor:
    """Share of each latent's place that shows an object, (batch, rows, cols)."""
    return F.interpolate(keyframes["objects"][:, None].float(), keyframes["latents"].shape[2:], mode="area")[:, 0]


def place_weights(objects: Tensor, object_weight: float) -> Tensor:
    """Weight of each place in a loss: 1, and so much more where there are objects."""
    return 1 + object_weight * objects


def weighted_mean(errors: Tensor, objects: Tensor, object_weight: float) -> Tensor:
    """Mean of errors (batch, rows, cols), where there are objects with so much more weight."""
    weight = place_weights(objects, object_weight)
    return (weight * errors).sum() / weight.sum()


def _check_decoder(tokenizer: VisualTokenizer, decoder: ConditionDecoder) -> None:
    """Refuse a condition decoder of another tokenizer, as far as its sizes tell."""
    told = decoder.config.code_dim, decoder.config.num_positions
    if told != (tokenizer.config.code_dim, tokenizer.config.vit.num_patches):
        raise ConfigError(
            f"the condition decoder has (code_dim, num_positions) = {told}, the tokenizer's sizes are "
            f"{(tokenizer.config.code_dim, tokenizer.config.vit.num_patches)}; take the one that was trained with it"
        )


def _padded(rows: list[Tensor], keep: Tensor, filling: int) -> Tensor:
    """Rows of each image, filled up to one for each patch; codes as int32."""
    dtype = rows[0].dtype if rows[0].is_floating_point() else torch.int32
    filled = torch.full((*keep.shape, *rows[0].shape[1:]), filling, dtype=dtype, device=keep.device)
    for image, own in zip(filled, rows, strict=True):
        image[: len(own)] = own
    return filled


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
