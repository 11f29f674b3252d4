"""Stage of the things preset: motion compensation that is learnt, from any videos that were prepared.

Absolute error of pixels and of their differences, weighted where frames differ from the keyframe: most of a clip stands
still. What is held to the frames are the layers; whether a clip is shown in layers or in blocks is learnt from whether
blocks come clearly closer to it, since a mean of both would show things twice. Where it is known what covers a patch of
the keyframe, its layer has to be at least half of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import load_artifact, write_artifact
from videolavit.clip import TOKENIZER_GAIN
from videolavit.data.prepared_clips import ClipFrames, ClipSample
from videolavit.data.things.prepare import PATCH
from videolavit.detokenizers.vae import signed_images
from videolavit.errors import ConfigError
from videolavit.tiny.layer_paths import Forms
from videolavit.tiny.learned_compensation import LAYERS, LearnedCompensation, LearnedCompensationConfig
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.training.batches import Samples
from videolavit.training.shard_folders import FolderSamples, ReadsShards
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions

__all__ = ["LearnedCompensationStage", "LearnedCompensationTraining"]

_CHANGED = 0.1
"""Difference of a pixel from the keyframe, in values of -1 to 1, from which on it counts as changed."""
_CLEARLY = 0.6
"""Share of the error of layers that blocks have to be below: things tear in blocks, which the error hardly tells."""
_ROTATES = 0.3
"""Radians from which on a thing counts as one that rotates."""
_FEW = 3.0
"""Weight of things that rotate or turn round in the choice whether they do: one in twelve does."""
_LESS_WEIGHT = 0.75
"""Loss of weight of the layers of a clip that blocks suit: they are not shown."""


@dataclass(frozen=True, kw_only=True)
class LearnedCompensationStage(ReadsShards, Stage["LearnedCompensationTraining"]):
    """Error of frames made of keyframe and motion in one step."""

    name: str = "learned_compensation"
    data: str | tuple[str, ...] = "data/train"
    """Folder of shards, in which things, shapes, collages and real videos may lie side by side, or several with
    whole-numbered shares, as in `--data A=3 B=1`: of four videos three come from A."""
    motion_tokenizer: str = ""
    """Folder of a trained motion tokenizer; empty to train on raw motion alone."""
    motion: MotionTokenizerConfig = field(default_factory=MotionTokenizerConfig)
    """For its grid, on which motion arrives."""
    model: LearnedCompensationConfig = field(default_factory=LearnedCompensationConfig)
    frames_per_clip: int = 8
    """Frames of each clip that a step trains on."""
    tokenized_motion: float = 0.5
    """Share of clips whose motion goes through the motion tokenizer, so that its errors are known."""
    changed_weight: float = 6.0
    """Of pixels that differ from the keyframe, over the others."""
    layers_weight: float = 0.5
    """Of layers that patches are known to show."""
    sizes_weight: float = 5.0
    """Of the sizes of layers, where they are known: a little too large is hardly seen in pixels."""
    turning_weight: float = 1.0
    """Of the angles of layers, and of which of them turn round, where that is known."""
    turning_alone: bool = False
    """Learn only how layers rotate and turn round, of a network whose layers are trained: nothing is drawn."""
    blocks_weight: float = 0.1
    """Of the decision between layers and blocks."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=6000, batch_size=4, learning_rate=5e-4, warmup_steps=100, ema_decay=0.998
        )
    )

    one_size: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.tokenized_motion <= 1 or self.frames_per_clip < 1:
            raise ConfigError(f"tokenized_motion must be 0 to 1 and frames_per_clip at least 1, got {self}")

    def build(self) -> LearnedCompensationTraining:
        """The network, a frozen motion tokenizer if there is one, and the loss."""
        tokenizer = load_artifact("motion_tokenizer", self.motion_tokenizer) if self.motion_tokenizer else None
        return LearnedCompensationTraining(self, LearnedCompensation(self.model), tokenizer)

    def samples(self) -> Samples:
        """One clip at a time."""
        return FolderSamples(self.folders, ClipFrames, self.training.seed)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Keyframes and frames in uint8, motion in the tokenizer's units."""
        grid = self.motion.rows, self.motion.cols
        return {
            "keyframes": torch.from_numpy(np.stack([sample.keyframe for sample in samples])),
            "frames": torch.from_numpy(np.stack([sample.frames for sample in samples])),
            "motion": torch.from_numpy(np.stack([sample.motion.for_tokenizer(*grid) for sample in samples])),
            "layers": torch.from_numpy(np.stack([_layers(sample) for sample in samples])),
            "forms": torch.from_numpy(np.stack([_forms(sample) for sample in samples])),
        }

    def visualize(self, module: LearnedCompensationTraining) -> dict[str, np.ndarray]:
        """Every sixth frame: true, and made."""
        batch = self.first_batch(module, 6)
        made = module.network(
            signed_images(batch["keyframes"], batch["keyframes"].device), module.motion_of(batch)
        ).frames
        made = ((made.clamp(-1, 1) + 1) * 127.5).round().byte()
        rows = torch.stack([rearrange(batch["frames"], "b t h w c -> b t c h w"), made], 1)[:, :, 5::6]
        return {"clips": rearrange(rows, "b r t c h w -> (b r h) (t w) c").cpu().numpy()}

    def trainable(self, module: LearnedCompensationTraining) -> dict[str, nn.Module]:
        """The network."""
        return {"video_compensation": module.network}

    def export(self, module: LearnedCompensationTraining, folder: Path) -> None:
        """The network."""
        write_artifact(folder, {"video_compensation": module.network})


class LearnedCompensationTraining(nn.Module):
    """Loss of one batch of clips."""

    def __init__(
        self, stage: LearnedCompensationStage, network: LearnedCompensation, tokenizer: MotionTokenizer | None
    ) -> None:
        super().__init__()
        self.stage, self.network, self.tokenizer = stage, network, tokenizer
        if stage.turning_alone:
            network.requires_grad_(False)
            network.turning.requires_grad_(True)
        if tokenizer is not None:
            tokenizer.requires_grad_(False)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, absolute error of what changes, the same of a keyframe that stands still, error of layers
        (nats), squared of the logarithm of their sizes, error of which of them rotate (nats) and how far (radians), of
        which turn round and how, share of clips that are taken for blocks and of those that blocks suit, PSNR in dB."""
        keyframes, motion = signed_images(batch["keyframes"], batch["keyframes"].device), self.motion_of(batch)
        if self.stage.turning_alone:
            every = torch.arange(1, batch["frames"].shape[1], device=keyframes.device).expand(len(keyframes), -1)
            forms = self.network.forms(keyframes, motion)
            errors = _errors_of_forms(forms.at((torch.arange(len(every))[:, None], every)), batch["forms"], every)
            loss = errors["error_of_angles"] + errors["error_of_turning"]
            return {"loss": loss, **{name: error.detach() for name, error in errors.items()}}
        batch_size, num_frames = batch["frames"].shape[:2]
        shown = torch.rand(batch_size, num_frames - 1).argsort(1)[:, : self.stage.frames_per_clip] + 1
        shown = shown.to(keyframes.device)
        frames = batch["frames"][torch.arange(batch_size, device=shown.device)[:, None], shown]
        frames = rearrange(frames, "b t h w c -> b t c h w").float() / 127.5 - 1
        made = self.network(keyframes, motion, shown)
        changed = (frames - keyframes[:, None]).abs().mean(2, keepdim=True)
        weight = 1 + self.stage.changed_weight * (changed > _CHANGED)
        layered, blocks = ((kind - frames).abs() for kind in (made.layered, made.blocks))
        of_layers, of_blocks = ((weight * error).mean((1, 2, 3, 4)) for error in (layered, blocks))
        suits_blocks = (of_blocks < _CLEARLY * of_layers.detach()).float()
        of_layers = of_layers + _differences(made.layered - frames)
        patches = _error_of_layers(made.masks, batch["layers"])
        loss = (of_layers * (1 - _LESS_WEIGHT * suits_blocks)).mean() + self.stage.layers_weight * patches
        errors = _errors_of_forms(made.forms, batch["forms"], shown)
        loss = loss + self.stage.sizes_weight * errors["error_of_sizes"]
        loss = loss + self.stage.turning_weight * (errors["error_of_angles"] + errors["error_of_turning"])
        loss = loss + self.stage.blocks_weight * F.binary_cross_entropy(made.as_blocks, suits_blocks)
        error, is_changed = (made.frames - frames).abs(), (changed > _CHANGED).float()
        total = 3 * is_changed.sum().clamp(min=1)
        return {
            "loss": loss,
            "error_of_change": (error.detach() * is_changed).sum() / total,
            "error_of_still": ((frames - keyframes[:, None]).abs() * is_changed).sum() / total,
            "error_of_layers": patches.detach(),
            **{name: error.detach() for name, error in errors.items()},
            "as_blocks": made.as_blocks.detach().mean(),
            "suits_blocks": suits_blocks.mean(),
            "psnr": 10 * torch.log10(4 / error.detach().square().mean()),
        }

    @torch.no_grad()
    def motion_of(self, batch: dict[str, Tensor]) -> Tensor:
        """Normalised motion, for some of the clips as the tokenizer keeps it."""
        raw = batch["motion"]
        if self.tokenizer is None:
            return raw / TOKENIZER_GAIN
        kept = self.tokenizer.decode(self.tokenizer.encode(raw))
        chosen = torch.rand(len(raw), device=raw.device) < self.stage.tokenized_motion
        return torch.where(chosen[:, None, None, None, None], kept, raw) / TOKENIZER_GAIN


def _layers(sample: ClipSample) -> np.ndarray:
    """Layers of a sample's small patches, -1 where they are unknown."""
    if sample.layers is not None:
        return sample.layers
    height, width = sample.keyframe.shape[:2]
    return np.full((height // PATCH, width // PATCH), -1, np.int8)


def _forms(sample: ClipSample) -> np.ndarray:
    """Forms of a sample's layers, NaN where they are unknown."""
    if sample.forms is not None:
        return sample.forms
    return np.full((LAYERS, 3, len(sample.frames)), np.nan, np.float32)


def _errors_of_forms(forms: Forms, told: Tensor, shown: Tensor) -> dict[str, Tensor]:
    """Errors of the known forms of layers in the frames that are shown.

    Sizes are held to the truth by the squared error of their logarithm: most things stay as they are, and the absolute
    error would take all for such. Which things rotate and turn round is a matter of yes and no; how they do counts for
    those that do.
    """
    places = shown[:, None, None].expand(-1, *told.shape[1:3], -1)
    size, angle, width = (part.transpose(1, 2) for part in told.gather(3, places).unbind(2))  # (batch, frames, layers)
    of_all_frames = told[:, :, 1], told[:, :, 2]
    rotates, turns = of_all_frames[0].abs().amax(2) > _ROTATES, of_all_frames[1].amin(2) < 0  # (batch, layers)
    unsure = [
        _error_of_choice(score[:, 1:], does[:, 1:], part[:, 1:].isfinite().all(2))  # the ground never does
        for score, does, part in zip((forms.rotates, forms.turns), (rotates, turns), of_all_frames, strict=True)
    ]
    return {
        "error_of_sizes": _mean_square(forms.scale.log() - size.log(), size.isfinite()),
        "error_of_angles": unsure[0] + _mean_square(forms.rotated - angle, rotates[:, None].expand_as(angle)),
        "error_of_turning": unsure[1] + _mean_square(forms.turned - width, turns[:, None].expand_as(width)),
    }


def _error_of_choice(score: Tensor, does: Tensor, known: Tensor) -> Tensor:
    """Nats that choices of yes or no cost where they are known, for yes several times as many."""
    nats = F.binary_cross_entropy_with_logits(score, does.float(), reduction="none") * torch.where(does, _FEW, 1.0)
    return (nats * known).sum() / known.sum().clamp(min=1)


def _mean_square(error: Tensor, counts: Tensor) -> Tensor:
    """Mean of squares where they count; the others may be NaN."""
    return torch.where(counts, error, 0.0).square().sum() / counts.sum().clamp(min=1)


def _error_of_layers(masks: Tensor, layers: Tensor) -> Tensor:
    """Nats by which the layer of a known patch falls short of half of it; those of things count three times."""
    shares = F.avg_pool2d(masks, masks.shape[2] // layers.shape[1])
    known = (layers >= 0).float()
    chosen = shares.gather(1, layers.long().clamp(min=0)[:, None])[:, 0]
    short = -(2 * chosen).clamp(1e-4, 1).log() * known * (1 + 2 * (layers > 0))
    return short.sum() / known.sum().clamp(min=1)


def _differences(error: Tensor) -> Tensor:
    """Absolute error of differences between neighbours in each clip, which keeps outlines sharp."""
    return error.diff(dim=-1).abs().mean((1, 2, 3, 4)) + error.diff(dim=-2).abs().mean((1, 2, 3, 4))
