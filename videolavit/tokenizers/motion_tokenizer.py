"""Motion tokenizer: the motion of one clip to a few codes and back (paper, section 3.1; reference section 3).

The encoder attends over space and time and halves the grid between its blocks; the decoder mirrors it. Motion enters
and leaves in *tokenizer units* (`videolavit.clip`); only `condition` gives normalised ones, for the video detokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor, nn

from videolavit.clip import TOKENIZER_GAIN, resize_motion_tensor
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.finite import check_finite
from videolavit.nn.grid_resample import Downsample, Upsample
from videolavit.nn.mlp import CodeHead, TanhHead
from videolavit.nn.space_time import SpaceTimeBlock
from videolavit.tokenizers.quantizer import ResidualQuantizer, VectorQuantizer

__all__ = ["MotionReconstruction", "MotionTokenizer", "MotionTokenizerConfig"]

Grid = tuple[int, int, int]
"""(frames, rows, cols)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionTokenizerConfig:
    """Sizes of a motion tokenizer. The defaults are those of the released model."""

    frames: int = 24
    """Motion frames per clip, the keyframe's own (which is zero) included."""
    rows: int = 20
    cols: int = 36
    """Motion field size in cells."""
    patch: tuple[int, int, int] = (1, 1, 1)
    """(frames, rows, cols) of the motion vectors that enter and leave as one position. Larger ones save most time."""
    width: int = 512
    heads: int = 8
    mlp_ratio: float = 4.0
    num_codes: int = 1024
    code_dim: int = 32
    layers: int = 1
    """Codes of each position. The first are those that the language model reads and writes; further ones say what they
    leave out, for decoding alone, and any number of the last may be dropped."""
    strides: tuple[tuple[int, int, int], ...] = ((1, 2, 2), (2, 1, 1), (2, 1, 1), (2, 2, 2))
    """Factors, 1 or 2, by which (frames, rows, cols) shrink behind each encoder group; the decoder mirrors it."""
    blocks: tuple[int, ...] = (3, 3, 3, 3)
    """Blocks of each group, before its shrinking. With 0 a group is a strided convolution: no attention at its size."""

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.blocks) or not self.strides or min(self.blocks) < 0:
            raise ConfigError(f"got strides {self.strides} and blocks {self.blocks}, expected one pair for each group")
        if any(len(stride) != 3 or not set(stride) <= {1, 2} for stride in self.strides):
            raise ConfigError(f"got strides {self.strides}, expected (frames, rows, cols) of 1 or 2 each")
        if self.layers < 1:
            raise ConfigError(f"got layers={self.layers}, expected at least 1")
        if min(*self.patch, *self.input_grid) < 1:
            raise ConfigError(f"got patches of {self.patch} in a field of {self.input_grid}, expected at least 1 each")
        multiples = tuple(patch * factor for patch, factor in zip(self.patch, self._shrinkage, strict=True))
        if any(size % multiple for size, multiple in zip(self.input_grid, multiples, strict=True)):
            raise ConfigError(
                f"got frames x rows x cols = {self.input_grid}, expected multiples of {multiples}, "
                "the patch times the strides; change one of them"
            )

    @property
    def input_grid(self) -> Grid:
        return self.frames, self.rows, self.cols

    @property
    def patch_grid(self) -> Grid:
        """(frames, rows, cols) of the positions that the first blocks see."""
        frames, rows, cols = (size // patch for size, patch in zip(self.input_grid, self.patch, strict=True))
        return frames, rows, cols

    @property
    def code_grid(self) -> Grid:
        """(frames, rows, cols) of the codes of one clip, which are stored in that order."""
        frames, rows, cols = (size // factor for size, factor in zip(self.patch_grid, self._shrinkage, strict=True))
        return frames, rows, cols

    @property
    def patch_width(self) -> int:
        """Numbers in one patch: x and y of each of its vectors."""
        return 2 * prod(self.patch)

    @property
    def num_tokens(self) -> int:
        """Codes per clip."""
        return prod(self.code_grid)

    @property
    def hidden(self) -> int:
        return int(self.width * self.mlp_ratio)

    @property
    def _shrinkage(self) -> Grid:
        frames, rows, cols = (prod(factors) for factors in zip(*self.strides, strict=True))
        return frames, rows, cols


class MotionReconstruction(NamedTuple):
    """Output of the tokenizer for a training step."""

    motion: Float32[Tensor, "batch 2 frames rows cols"]
    """In tokenizer units."""
    codes: Int64[Tensor, "batch tokens"]
    features: Float[Tensor, "batch tokens code_dim"]
    """Before quantisation, of any length."""
    commitment: Float32[Tensor, ""]
    """Distance of features from their codes' rows: the loss that keeps them near."""


class MotionTokenizer(nn.Module):
    """Motion fields to codes (`encode`), codes to motion fields (`decode`, `condition`).

    Motion is (batch, 2, frames, rows, cols) of the configured size, x then y, in tokenizer units.
    Codes are (batch, `config.num_tokens`) in the order of `config.code_grid`, from 0; with further layers, which
    `encode_layers` gives and everything that decodes takes, (batch, layers, `config.num_tokens`).
    """

    def __init__(self, config: MotionTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MotionEncoder(config)
        self.code_head = CodeHead(config.width, config.code_dim)
        self.quantizer = VectorQuantizer(config.num_codes, config.code_dim)
        further = config.layers - 1
        self.residual_quantizer = ResidualQuantizer(further, config.num_codes, config.code_dim) if further else None
        self.decoder = MotionDecoder(config)
        self.motion_head = TanhHead(config.width, config.patch_width)

    def encode(self, motion: Float[Tensor, "batch 2 frames rows cols"]) -> Int64[Tensor, "batch tokens"]:
        """Codes of motion.

        Raises:
            ShapeError: the motion is not of the configured size.
        """
        return self.quantizer.codes(check_finite(self.features(motion), "the motion tokenizer"))

    def encode_layers(
        self, motion: Float[Tensor, "batch 2 frames rows cols"], layers: int | None = None
    ) -> Int64[Tensor, "batch layers tokens"]:
        """Codes of motion in the first `layers` layers, by default all; those of `encode` come first.

        Raises:
            ShapeError: the motion is not of the configured size.
            ConfigError: there are fewer layers.
        """
        layers = self.config.layers if layers is None else layers
        if not 1 <= layers <= self.config.layers:
            raise ConfigError(f"got layers={layers}, expected 1 to {self.config.layers}, those of the motion tokenizer")
        features = check_finite(self.features(motion), "the motion tokenizer")
        first = self.quantizer.codes(features)[None]
        if layers == 1 or self.residual_quantizer is None:
            return first.transpose(0, 1)
        further = self.residual_quantizer.codes(self.quantizer.residuals(features))[: layers - 1]
        return torch.cat([first, further]).transpose(0, 1)

    def features(self, motion: Float[Tensor, "batch 2 frames rows cols"]) -> Float[Tensor, "batch tokens code_dim"]:
        """Features to quantise, in float32. Its length carries no meaning.

        Raises:
            ShapeError: the motion is not of the configured size.
        """
        expected = (2, *self.config.input_grid)
        if motion.ndim != 5 or tuple(motion.shape[1:]) != expected:
            raise ShapeError(
                f"got motion of shape {tuple(motion.shape)}, expected (batch, {', '.join(map(str, expected))}); "
                "Clip.motion.for_tokenizer(rows, cols) gives one clip at that size, and a batch axis comes first"
            )
        return self.code_head(self.encoder(motion))

    def decode(self, codes: Int[Tensor, "batch *layers tokens"]) -> Float32[Tensor, "batch 2 frames rows cols"]:
        """Motion of codes, in tokenizer units.

        Raises:
            ShapeError: a row does not hold `config.num_tokens` codes, or there are more layers than the tokenizer has.
            VocabularyError: a code is outside the codebook.
        """
        if codes.ndim not in (2, 3) or codes.shape[-1] != self.config.num_tokens:
            raise ShapeError(
                f"got codes of shape {tuple(codes.shape)}, expected (batch, {self.config.num_tokens}); "
                "generation of a clip that stopped early must be filled up first"
            )
        return check_finite(self._decode_vectors(self._vectors(codes)), "the motion tokenizer's decoder")

    def _vectors(self, codes: Int[Tensor, "batch *layers tokens"]) -> Float32[Tensor, "batch tokens code_dim"]:
        """The sum of the codebook rows of all layers."""
        if codes.ndim == 2:
            return self.quantizer.vectors(codes)
        if not 1 <= codes.shape[1] <= self.config.layers:
            raise ShapeError(f"got {codes.shape[1]} layers of motion codes, expected 1 to {self.config.layers}")
        first, further = self.quantizer.vectors(codes[:, 0]), codes[:, 1:].transpose(0, 1)
        if self.residual_quantizer is None or not len(further):
            return first
        return first + self.residual_quantizer.vectors(further)

    def condition(
        self, codes: Int[Tensor, "batch *layers tokens"], height: int, width: int
    ) -> Float32[Tensor, "batch 2 frames height width"]:
        """Motion of codes as the video detokenizer takes it: normalised units, resized to (height, width).

        Raises:
            ShapeError: a row does not hold `config.num_tokens` codes, or the size is not positive.
            VocabularyError: a code is outside the codebook.
        """
        if min(height, width) < 1:
            raise ShapeError(f"got a condition of {height} x {width}, expected at least 1 x 1")
        return resize_motion_tensor(self.decode(codes), height, width) / TOKENIZER_GAIN

    def forward(
        self, motion: Float[Tensor, "batch 2 frames rows cols"], *, quantize: bool = True
    ) -> MotionReconstruction:
        """Encode and decode with gradients to both halves, through the codes as if they were the features.

        With `quantize=False` the decoder sees the features themselves, scaled to length one as codes are.

        Raises:
            ShapeError: the motion is not of the configured size.
        """
        features = self.features(motion)
        quantized = self.quantizer(features)
        vectors = quantized.vectors if quantize else quantized.directions
        return MotionReconstruction(self._decode_vectors(vectors), quantized.codes, features, quantized.commitment)

    def _decode_vectors(self, vectors: Tensor) -> Tensor:
        patches = self.motion_head(self.decoder(vectors))
        _, rows, cols = self.config.patch
        pattern = "b t (h w) (pt ph pw c) -> b c (t pt) (h ph) (w pw)"
        return rearrange(patches, pattern, h=self.config.patch_grid[1], c=2, ph=rows, pw=cols).float()


class MotionEncoder(nn.Module):
    """Cells and frames to one feature vector per position of the code grid."""

    def __init__(self, config: MotionTokenizerConfig) -> None:
        super().__init__()
        self.blocks_per_group = config.blocks
        self.patch = config.patch
        frames, rows, cols = config.patch_grid
        self.in_proj = nn.Linear(config.patch_width, config.width)
        self.spatial_position = nn.Parameter(0.02 * torch.randn(1, rows * cols, config.width))
        self.temporal_position = nn.Parameter(0.02 * torch.randn(1, frames, config.width))
        self.blocks = _blocks(config, sum(config.blocks))
        self.downsample = nn.ModuleList(Downsample(config.width, stride) for stride in config.strides)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, motion: Float[Tensor, "batch 2 frames rows cols"]) -> Float[Tensor, "batch tokens width"]:
        frames, rows, cols = self.patch
        pattern = "b c (t pt) (h ph) (w pw) -> b t h w (pt ph pw c)"
        patches = rearrange(motion, pattern, pt=frames, ph=rows, pw=cols)
        x = self.in_proj(patches.to(self.in_proj.weight.dtype))
        x = x + rearrange(self.spatial_position, "1 (h w) c -> 1 1 h w c", h=x.shape[2])
        x = x + rearrange(self.temporal_position, "1 t c -> 1 t 1 1 c")
        blocks = iter(self.blocks)
        for num_blocks, downsample in zip(self.blocks_per_group, self.downsample, strict=True):
            x = downsample(_run_blocks(x, [next(blocks) for _ in range(num_blocks)]))
        return rearrange(self.norm(x), "b t h w c -> b (t h w) c")


class MotionDecoder(nn.Module):
    """Vectors on the code grid to features of every patch; no position embeddings."""

    def __init__(self, config: MotionTokenizerConfig) -> None:
        super().__init__()
        self.code_grid = config.code_grid
        self.blocks_per_group = config.blocks[::-1]
        self.in_proj = nn.Linear(config.code_dim, config.width)
        self.upsample = nn.ModuleList(Upsample(config.width, factors) for factors in config.strides[::-1])
        self.blocks = _blocks(config, sum(config.blocks))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, vectors: Float[Tensor, "batch tokens code_dim"]) -> Float[Tensor, "batch frames positions width"]:
        x = self.in_proj(vectors.to(self.in_proj.weight.dtype))
        frames, rows, _ = self.code_grid
        x = rearrange(x, "b (t h w) c -> b t h w c", t=frames, h=rows)
        blocks = iter(self.blocks)
        for num_blocks, upsample in zip(self.blocks_per_group, self.upsample, strict=True):
            x = _run_blocks(upsample(x), [next(blocks) for _ in range(num_blocks)])
        return rearrange(self.norm(x), "b t h w c -> b t (h w) c")


def _blocks(config: MotionTokenizerConfig, count: int) -> nn.ModuleList:
    return nn.ModuleList(SpaceTimeBlock(config.width, config.heads, config.hidden) for _ in range(count))


def _run_blocks(x: Tensor, blocks: list[nn.Module]) -> Tensor:
    rows = x.shape[2]
    x = rearrange(x, "b t h w c -> b t (h w) c")
    for block in blocks:
        x = block(x)
    return rearrange(x, "b t (h w) c -> b t h w c", h=rows)
