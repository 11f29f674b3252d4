"""Visual tokenizer: a keyframe becomes a variable number of codes, or of continuous features (reference section 4).

ViT features -> the selector decides which patches stay -> the merger moves the others' content into them -> each kept
one becomes a code, or, for understanding, an embedding of the language model. Codes count from 0: offsets belong to
`videolavit.vocabulary`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Float32, Int, Num
from torch import Tensor, nn

from videolavit.errors import ConfigError
from videolavit.nn.finite import check_finite
from videolavit.nn.mlp import CodeHead
from videolavit.tokenizers.image_processor import Images, preprocess_images
from videolavit.tokenizers.merger import Merger
from videolavit.tokenizers.quantizer import VectorQuantizer
from videolavit.tokenizers.selector import PatchSelection, Selector, choose
from videolavit.tokenizers.vit import VisionTransformer, VisionTransformerConfig

__all__ = ["VisualTokenizer", "VisualTokenizerConfig", "VisualTokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VisualTokenizerConfig:
    """Sizes of the visual tokenizer. The defaults are those of the released model."""

    vit: VisionTransformerConfig = field(default_factory=VisionTransformerConfig)
    merger_layers: int = 12
    merger_heads: int = 16
    merger_mlp_ratio: float = 4.3637
    """Hidden width of the merger's MLPs over the width of the ViT; the product is rounded down."""
    num_codes: int = 16384
    code_dim: int = 32
    language_width: int = 4096
    """Width of the language model's embeddings, to which continuous features are projected."""

    def __post_init__(self) -> None:
        if min(self.merger_heads, self.num_codes, self.code_dim, self.language_width) < 1 or self.merger_layers < 0:
            raise ConfigError(f"sizes must be positive, got {self}")
        if self.vit.width % self.merger_heads:
            raise ConfigError(f"the ViT's width must be a multiple of merger_heads, got {self}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VisualTokens:
    """Tokens of a batch of images; images differ in how many tokens they have, none included."""

    keep: Bool[Tensor, "batch n"]
    """Mask of the patches, row by row, that became tokens."""
    codes: list[Int[Tensor, " _"]]
    """For each image the codes of its kept patches, in order."""
    features: list[Float[Tensor, "_ width"]]
    """For each image the merged features of its kept patches, before quantisation and projection."""

    def __repr__(self) -> str:
        return f"VisualTokens(batch={len(self.codes)}, patches={self.keep.shape[1]}, counts={self.counts})"

    @property
    def counts(self) -> list[int]:
        """Number of tokens of each image."""
        return [len(codes) for codes in self.codes]


class VisualTokenizer(nn.Module):
    """Images to codes, or to continuous embeddings for understanding.

    Training stages compose the parts themselves: `vit`, `selector`, `merger` (takes a soft or straight-through choice)
    and `code_features` are differentiable.
    """

    def __init__(self, config: VisualTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.vit.width
        self.vit = VisionTransformer(config.vit)
        self.selector = Selector(width)
        self.merger = Merger(
            width=width,
            layers=config.merger_layers,
            heads=config.merger_heads,
            hidden_width=int(width * config.merger_mlp_ratio),
        )
        self.code_head = CodeHead(width, config.code_dim)
        self.quantizer = VectorQuantizer(config.num_codes, config.code_dim)
        self.language_proj = nn.Linear(width, config.language_width)

    def preprocess(self, images: Images) -> Float32[Tensor, "batch 3 size size"]:
        """Input of `encode`, from images of any size: Pillow's bicubic, no crop, CLIP's mean and deviation.

        Raises:
            ShapeError: no image, or an array that is not RGB uint8.
        """
        return preprocess_images(images, self.config.vit.image_size)

    @torch.no_grad()
    def encode(
        self,
        images: Num[Tensor, "batch channels height cols"],
        *,
        patch_selection: PatchSelection = "likeliest",
        generators: Sequence[torch.Generator] | None = None,
        gumbel_noise: Float[Tensor, "_ _ 2"] | None = None,
        at_least_one: bool = False,
    ) -> VisualTokens:
        """Codes and features of normalised images; `patch_selection` and what follows as in `selector.choose`.

        Ask for `at_least_one` wherever an image without any token is of no use.

        Raises:
            ShapeError: the images are not of the configured size or not floating point, or generators or noise do not
                fit the batch.
            ConfigError: patch_selection and noise do not go together.
        """
        keep, features = self._kept_features(images, patch_selection, generators, gumbel_noise, at_least_one)
        counts = keep.sum(1).tolist()
        codes = self.quantizer.codes(check_finite(self.code_features(features), "the visual tokenizer"))
        return VisualTokens(keep=keep, codes=list(codes.split(counts)), features=list(features.split(counts)))

    forward = encode

    def language_features(
        self,
        images: Num[Tensor, "batch channels height cols"],
        *,
        patch_selection: PatchSelection = "likeliest",
        generators: Sequence[torch.Generator] | None = None,
        gumbel_noise: Float[Tensor, "_ _ 2"] | None = None,
        at_least_one: bool = False,
    ) -> list[Float[Tensor, "_ language_width"]]:
        """For each image the embeddings that stand between `[IMG]` and `[/IMG]` in a question about it.

        Arguments and errors are those of `encode`. Only the projection carries gradients.
        """
        with torch.no_grad():
            keep, features = self._kept_features(images, patch_selection, generators, gumbel_noise, at_least_one)
        projected = check_finite(self.language_proj(features), "the projection of the visual tokenizer")
        return list(projected.split(keep.sum(1).tolist()))

    def code_features(self, merged: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch code_dim"]:
        """Input of the quantiser, from merged features."""
        return self.code_head(merged)

    def code_vectors(self, codes: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch code_dim"]:
        """Rows of the codebook, which the condition decoder takes.

        Raises:
            VocabularyError: a code outside the codebook.
        """
        return self.quantizer.vectors(codes)

    def _kept_features(
        self,
        images: Tensor,
        patch_selection: PatchSelection,
        generators: Sequence[torch.Generator] | None,
        gumbel_noise: Tensor | None,
        at_least_one: bool,
    ) -> tuple[Tensor, Tensor]:
        """The choice, and merged features of all kept patches of the batch one after the other."""
        features = self.vit(images)[:, 1:]
        check_finite(features, "the vision encoder")
        log_probs = check_finite(self.selector(features), "the selector of the visual tokenizer")
        keep = choose(
            log_probs, patch_selection, generators=generators, gumbel_noise=gumbel_noise, at_least_one=at_least_one
        )
        return keep, self.merger(features, keep)[keep]
