"""Stage: the motion tokenizer, reconstruction and vector quantisation (paper, section 3.1; reference section 9)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_artifact, write_artifact
from videolavit.clip import MotionField
from videolavit.data.shards import ShardReader
from videolavit.errors import ConfigError
from videolavit.tokenizers.codebook import CodebookConfig, CodebookLearner, ResidualLearner
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.training.batches import Samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions
from videolavit.video.visualize import draw_colors

__all__ = [
    "MotionDecoderTraining",
    "MotionFields",
    "MotionTokenizerStage",
    "MotionTokenizerTraining",
    "endpoint_errors",
    "with_layers",
]

MOVING_ABOVE = 0.5
"""Pixels per frame, of the video as it is drawn, from which on a cell counts as moving."""
_MOVING_WEIGHT = 0.5
"""Of cells that move, besides their share in the whole, in what a decoder is trained on."""
_IMAGE_PIXELS_PER_CELL = 8


@dataclass(frozen=True, kw_only=True)
class MotionTokenizerStage(ReadsShards, Stage["MotionTokenizerTraining | MotionDecoderTraining"]):
    """Squared error of the reconstructed motion and commitment to the codes; quantisation starts late.

    Then, with `keep_ids_of`, endpoint errors of the decoder alone; with `layers` above 1 further layers of codes are
    learnt, too, any number of which it learns to decode.
    """

    name: str = "motion_tokenizer"
    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, or several with whole-numbered shares, as in `--data A=3 B=1`: of four videos three come from
    A."""
    model: MotionTokenizerConfig = field(default_factory=MotionTokenizerConfig)
    codebook: CodebookConfig = field(default_factory=lambda: CodebookConfig(warm_up_steps=500))
    commitment_weight: float = 0.25
    keep_ids_of: str = ""
    """Motion tokenizer, or whole model, whose decoder alone is trained on: its ids, and the language model that writes
    them, stay as they are. Sizes and codebook are then its own."""
    layers: int = 1
    """Layers of codes of the tokenizer that keeps its ids: these are the first, further ones are learnt."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=100_000, batch_size=512, learning_rate=1e-4, warmup_steps=5000, ema_decay=0.999
        )
    )

    def __post_init__(self) -> None:
        if self.layers < 1 or (self.layers > 1 and not self.keep_ids_of):
            raise ConfigError(
                f"got layers={self.layers} and keep_ids_of={self.keep_ids_of!r}, expected at least 1 layer, and for "
                "more of them a motion tokenizer whose ids are the first"
            )

    def build(self) -> MotionTokenizerTraining | MotionDecoderTraining:
        """The tokenizer, its codebook's learner and the loss."""
        if self.keep_ids_of:
            tokenizer = load_artifact("motion_tokenizer", self.keep_ids_of)
            return MotionDecoderTraining(with_layers(tokenizer, self.layers), self.codebook)
        return MotionTokenizerTraining(MotionTokenizer(self.model), self.codebook, self.commitment_weight)

    def samples(self) -> Samples:
        """One clip's motion at a time."""
        model = load_artifact("motion_tokenizer", self.keep_ids_of).config if self.keep_ids_of else self.model
        grid = model.rows, model.cols
        return FolderSamples(self.folders, lambda reader: MotionFields(reader, *grid), self.training.seed)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Motion in tokenizer units, and the pixels that one unit stands for."""
        return {
            "motion": torch.from_numpy(np.stack([motion for motion, _ in samples])),
            "pixels_per_unit": torch.from_numpy(np.stack([unit for _, unit in samples])),
        }

    def visualize(self, module: MotionTokenizerTraining | MotionDecoderTraining) -> dict[str, np.ndarray]:
        """Mean motion of eight clips as colours, above what comes back of it."""
        batch = self.first_batch(module, 8)
        units = batch["pixels_per_unit"].cpu().numpy()
        fields = batch["motion"].cpu().numpy(), module.tokenizer(batch["motion"]).motion.cpu().numpy()
        rows = [
            np.concatenate([_colours(*pair) for pair in zip(motion, units, strict=True)], axis=1) for motion in fields
        ]
        return {"motion": np.concatenate(rows, axis=0)}

    def check(self, metrics: dict[str, float], step: int) -> str | None:
        """A collapsed codebook."""
        if self.keep_ids_of:
            return None
        if step > 2 * self.codebook.warm_up_steps and metrics["perplexity"] < 2:
            return (
                f"the codebook has collapsed: perplexity {metrics['perplexity']:.2f} of {self.model.num_codes} codes; "
                "try a longer warm-up without quantisation, or a smaller learning rate"
            )
        return None

    def trainable(self, module: MotionTokenizerTraining | MotionDecoderTraining) -> dict[str, nn.Module]:
        """The tokenizer."""
        return {"motion_tokenizer": module.tokenizer}

    def export(self, module: MotionTokenizerTraining | MotionDecoderTraining, folder: Path) -> None:
        """The tokenizer."""
        write_artifact(folder, {"motion_tokenizer": module.tokenizer})


class MotionFields:
    """The motion of all clips of all videos in a folder of shards, mirrored at random."""

    def __init__(self, reader: ShardReader, rows: int, cols: int) -> None:
        self._reader, self._grid = reader, (rows, cols)

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Motion (2, frames, rows, cols) in tokenizer units, and pixels of the video's frames per unit (2,)."""
        index, draw = key
        random = np.random.default_rng([6, draw])
        clips = self._reader.motion(index)
        clip = clips[int(random.integers(len(clips)))]
        motion = clip.for_tokenizer(*self._grid)
        for axis, channel in ((-1, 0), (-2, 1)):
            if random.random() < 0.5:
                motion = np.flip(motion, axis).copy()
                motion[channel] *= -1
        height = self._reader.words(index)["height"]  # motion may have been searched in an enlarged image
        width = round(clip.width * height / clip.height)
        unit = MotionField.from_tokenizer_units(np.ones((2, 1, 1, 1), np.float32), height=height, width=width)
        return np.ascontiguousarray(motion), unit.values.reshape(2)


class MotionTokenizerTraining(nn.Module):
    """Loss of one batch of motion."""

    def __init__(self, tokenizer: MotionTokenizer, codebook: CodebookConfig, commitment_weight: float) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.learner = CodebookLearner(tokenizer.quantizer, codebook)
        self.commitment_weight = commitment_weight

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, endpoint errors in pixels, codebook usage and perplexity."""
        quantizing = self.learner.quantizing
        result = self.tokenizer(batch["motion"], quantize=quantizing)
        error = (result.motion - batch["motion"]).square().mean()
        loss = error + self.commitment_weight * result.commitment if quantizing else error
        self.learner.update(result.features, result.codes)
        everywhere, moving = endpoint_errors(result.motion.detach(), batch["motion"], batch["pixels_per_unit"])
        usage = self.learner.usage()
        return {
            "loss": loss,
            "error": error.detach(),
            "endpoint_error": everywhere,
            "endpoint_error_moving": moving,
            "codes_used": torch.tensor(usage.used),
            "perplexity": torch.tensor(usage.perplexity),
        }


class MotionDecoderTraining(nn.Module):
    """Loss of one batch of motion for the decoder of a tokenizer whose ids stay.

    Where ids leave open how something moves, squared error asks for the mean of all that may be, which is too slow for
    what moves and leaves a shimmer around it. Endpoint error asks for what is most likely.
    """

    def __init__(self, tokenizer: MotionTokenizer, codebook: CodebookConfig | None = None) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        further = tokenizer.residual_quantizer
        self.learner = None if further is None else ResidualLearner(further, codebook or CodebookConfig())
        tokenizer.requires_grad_(False)
        for trained in (tokenizer.decoder, tokenizer.motion_head):
            trained.requires_grad_(True)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, endpoint errors in pixels. Each step decodes another number of layers, in turn."""
        with torch.autocast(batch["motion"].device.type, enabled=False):  # in half precision some ids would be others
            self._learn_layers(batch["motion"])
            codes = self.tokenizer.encode_layers(batch["motion"], 1 + step % self.tokenizer.config.layers)
        motion = self.tokenizer.decode(codes)
        everywhere, moving = endpoint_errors(motion, batch["motion"], batch["pixels_per_unit"])
        return {
            "loss": everywhere + _MOVING_WEIGHT * moving,
            "endpoint_error": everywhere.detach(),
            "endpoint_error_moving": moving.detach(),
        }

    @torch.no_grad()
    def _learn_layers(self, motion: Tensor) -> None:
        if self.learner is not None and self.training:
            self.learner.update(self.tokenizer.quantizer.residuals(self.tokenizer.features(motion)))


def with_layers(tokenizer: MotionTokenizer, layers: int) -> MotionTokenizer:
    """A motion tokenizer with so many layers of codes; those that it has stay as they are.

    Raises:
        ConfigError: it has more already.
    """
    had = tokenizer.config.layers
    if layers < had:
        raise ConfigError(f"got layers={layers} for a motion tokenizer that has {had}; give at least as many")
    if layers == had:
        return tokenizer
    grown = MotionTokenizer(replace(tokenizer.config, layers=layers))
    missing, unexpected = grown.load_state_dict(_without_layers(tokenizer), strict=False)
    assert missing == ["residual_quantizer.codebooks"]
    assert not unexpected
    if tokenizer.residual_quantizer is not None and grown.residual_quantizer is not None:
        grown.residual_quantizer.codebooks[: had - 1] = tokenizer.residual_quantizer.codebooks
    return grown.eval()


def _without_layers(tokenizer: MotionTokenizer) -> dict[str, Tensor]:
    return {name: value for name, value in tokenizer.state_dict().items() if not name.startswith("residual_quantizer")}


def endpoint_errors(motion: Tensor, truth: Tensor, pixels_per_unit: Tensor) -> tuple[Tensor, Tensor]:
    """Mean length of the error vector in pixels, over all cells and over those that truly move."""
    unit = pixels_per_unit[:, :, None, None, None]
    error = ((motion - truth) * unit).norm(dim=1)
    moving = (truth * unit).norm(dim=1) > MOVING_ABOVE
    return error.mean(), (error * moving).sum() / moving.sum().clamp(min=1)


def _colours(motion: np.ndarray, pixels_per_unit: np.ndarray) -> np.ndarray:
    values = (motion * pixels_per_unit[:, None, None, None]).astype(np.float32)
    height, width = (_IMAGE_PIXELS_PER_CELL * cells for cells in values.shape[-2:])
    return draw_colors(MotionField(values=values, height=height, width=width))
