"""Stage of the things preset: things are recognised in keyframes, and painted in any of their poses.

Layers are those of `learned_compensation`, which stays as it is. Keyframes are rendered while the stage trains, and
most of them drawn again of their tokens by a model, since in those the things have to be made out. What paints is held
to the artwork itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from videolavit.checkpoints.artifacts import write_artifact
from videolavit.data.things.catalogue import STEPS, THINGS
from videolavit.data.things.known_things import (
    Cells,
    KeyframeSample,
    RenderedKeyframes,
    ThingTruth,
    captions_of,
    cells_of_things,
    names_of_things,
)
from videolavit.detokenizers.vae import signed_images
from videolavit.errors import ConfigError
from videolavit.tiny.learned_compensation import LearnedCompensation, LearnedCompensationConfig
from videolavit.tiny.thing_appearance import CELL, COUNTS, Recognised, seen_squares, square_places, squares
from videolavit.training.batches import Samples
from videolavit.training.redrawn_keyframes import RedrawnKeyframes
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions

__all__ = ["ThingAppearanceStage", "ThingAppearanceTraining"]

_THE_SAME = 0.35
"""Overlap of a layer and a thing, over what either covers, from which on the layer is of that thing."""
_ANOTHER = 0.05
"""Overlap below which a layer shows none of the things; what lies between teaches nothing."""
_ZOOMED, _MOVED, _BRIGHTER = 0.15, 0.08, 0.05
"""Standard deviations of the size and the place of squares, in their sides, and of the brightness of images."""


@dataclass(frozen=True, kw_only=True)
class ThingAppearanceStage(Stage["ThingAppearanceTraining"]):
    """Cross-entropy of what things are, errors of where and how they are, and absolute error of what is painted."""

    name: str = "thing_appearance"
    data: str = "data/things_sources.npz"
    """File of artwork and places that `prepare things-sources` wrote; keyframes are rendered of it."""
    drawn_by: str = ""
    """Folder or name of a model through whose tokens some of the keyframes go; empty for none."""
    drawn_keyframes: float = 0.55
    """Share of the keyframes that do."""
    written_keyframes: float = 0.25
    """Share of the keyframes that this model writes of a caption instead: of what it draws then, its name alone is
    known. Only scenes with one known thing are taken for that."""
    unknown: float = 0.25
    """Share of images with things that are not to be known, shapes, or nothing."""
    first_seed: int = 50_000_000
    """Of the scenes; evaluation uses larger ones, from 900,000,000 on, and prepared data smaller ones."""
    cells_per_step: int = 24
    """Poses that are painted in a step."""
    things: int = STEPS[0]
    """Number of things to know, from the catalogue's beginning."""
    model: LearnedCompensationConfig = field(default_factory=LearnedCompensationConfig)
    """Of the trained network that the stage starts from; the names of the things are set by the stage."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=4000, batch_size=24, learning_rate=1e-3, warmup_steps=100, ema_decay=0.99
        )
    )

    def __post_init__(self) -> None:
        if not 1 <= self.things <= len(THINGS):
            raise ConfigError(f"got things={self.things}, expected 1 to {len(THINGS)}")
        shares = self.drawn_keyframes, self.written_keyframes, self.unknown
        if not all(0 <= share <= 1 for share in shares) or sum(shares[:2]) > 1 or self.cells_per_step < 1:
            raise ConfigError(
                "drawn_keyframes, written_keyframes and unknown must be 0 to 1, the first two 1 together at most, and "
                f"cells_per_step at least 1; got {self}"
            )

    def build(self) -> ThingAppearanceTraining:
        """The network, what draws keyframes if anything does, and the loss."""
        module = self.sketch()
        module.redrawn = RedrawnKeyframes(self.drawn_by) if self.drawn_by else None
        _ = module.cells  # read before training, that what is wrong with the file is told at once
        return module

    def sketch(self) -> ThingAppearanceTraining:
        """The same without artwork, and without what draws keyframes."""
        config = replace(self.model, known_things=names_of_things(self.things))
        return ThingAppearanceTraining(self, LearnedCompensation(config))

    def samples(self) -> Samples:
        """One keyframe at a time."""
        return RenderedKeyframes(self.data, self.things, self.unknown, self.first_seed)

    def collate(self, samples: list[KeyframeSample]) -> dict[str, Tensor]:
        """Images and masks in uint8, and what is known of the things."""
        return {
            "keyframes": torch.from_numpy(np.stack([sample.image for sample in samples])),
            "masks": torch.from_numpy(np.stack([sample.masks for sample in samples])),
            "truth": torch.from_numpy(np.stack([sample.truth for sample in samples])),
            "scene": torch.tensor([sample.scene for sample in samples]),
        }

    def visualize(self, module: ThingAppearanceTraining) -> dict[str, np.ndarray]:
        """Keyframes, as they are drawn again, and with their things painted."""
        images = self.first_batch(module, 12)["keyframes"]
        drawn = images if module.redrawn is None else module.redrawn(images)
        painted = module.network.repainted(signed_images(drawn, drawn.device))
        painted = rearrange(((painted + 1) * 127.5).round().byte(), "b c h w -> b h w c")
        rows = rearrange(torch.stack([images, drawn, painted]), "r b h w c -> (r h) (b w) c")
        return {"keyframes": rows.cpu().numpy()}

    def trainable(self, module: ThingAppearanceTraining) -> dict[str, nn.Module]:
        """The whole network, of which the rest starts from a trained one."""
        return {"video_compensation": module.network}

    def export(self, module: ThingAppearanceTraining, folder: Path) -> None:
        """The whole network."""
        write_artifact(folder, {"video_compensation": module.network})


class ThingAppearanceTraining(nn.Module):
    """Loss of one batch of keyframes."""

    def __init__(
        self, stage: ThingAppearanceStage, network: LearnedCompensation, redrawn: RedrawnKeyframes | None = None
    ) -> None:
        super().__init__()
        assert network.appearance is not None
        self.stage, self.network, self.redrawn = stage, network, redrawn
        network.requires_grad_(False)
        network.appearance.requires_grad_(True)

    @cached_property
    def cells(self) -> Cells:
        """Artwork that what paints is held to; with it the painter learns how many poses things have."""
        assert self.network.appearance is not None
        cells = cells_of_things(self.stage.data, self.stage.things, CELL)
        self.network.appearance.painter.poses.copy_(cells.poses)
        return cells

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars: loss, shares of things that are named and mirrored rightly, errors of place in half squares and of
        light, and PSNR of what is painted, in dB."""
        appearance = self.network.appearance
        assert appearance is not None
        squared = self._squares(batch)
        found, truth = appearance.recogniser(squared.seen), squared.truth
        kind, known = truth.kind.long(), truth.kind > 0
        placed = known & ~squared.written
        # 1. What they are: the only question that unknown ones answer, too.
        told = {"error_of_kind": F.cross_entropy(found.kind, kind)}
        # 2. How they are.
        wrong = F.binary_cross_entropy_with_logits(found.mirrored, truth.mirrored, reduction="none")
        told["error_of_mirroring"] = _mean(wrong, placed)
        told["error_of_place"] = _mean((found.place - squared.place).abs().sum(1), placed)
        told["error_of_light"] = _mean((found.light - truth.light).abs().sum(1), placed)
        # 3. What they look like.
        error = self._painting_error()
        outlines = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        told["error_of_painting"] = error.abs().mean() + outlines
        loss = sum(told.values()) + 3 * told["error_of_place"] + 9 * told["error_of_painting"]
        with torch.no_grad():
            shares = _shares(found, squared)
        psnr = -10 * torch.log10(error.detach().square().mean())
        return {"loss": loss, **{name: value.detach() for name, value in told.items()}, **shares, "psnr": psnr}

    @torch.no_grad()
    def _squares(self, batch: dict[str, Tensor]) -> _Squared:
        """Squares around the things that the network sees, each with the truth of the thing that it is."""
        images, written = self.keyframes_of(batch)
        keyframes = signed_images(images, images.device)
        masks = self.network.masks_of_things(keyframes)
        around = squares(masks)
        # Of what a model wrote the larger thing is the one that it was asked for.
        same = _overlap(masks, batch["masks"].float() / 255)  # (batch, layers, things)
        asked = F.one_hot(masks.mean((2, 3)).argmax(1), masks.shape[1]).to(same)
        same = torch.where(written[:, None, None], asked[:, :, None] * (batch["truth"][:, None, :, 0] > 0), same)
        best, thing = same.max(dim=2)
        useful = around.there & ((best >= _THE_SAME) | ((best < _ANOTHER) & ~written[:, None]))
        useful[0, 0] |= ~useful.any()  # a square of nothing, that a batch is never empty
        clip, layer = useful.nonzero(as_tuple=True)
        rows = batch["truth"][clip, thing[clip, layer]]
        rows = rows * (best[clip, layer] >= _THE_SAME)[:, None]
        truth = ThingTruth.of_rows(rows)
        # 1. Squares that lie about where they would: masks of moving things are others, too.
        count, device = len(clip), keyframes.device
        zoom = 1 + _ZOOMED * torch.randn(count, 1, device=device).clamp(-2, 2)
        moved = _MOVED * torch.randn(count, 2, device=device)
        middle, reach = around.middle[clip, layer], around.reach[clip, layer]
        middle, reach = middle + moved * reach, zoom * reach
        places = square_places(middle, reach)
        brightness = _BRIGHTER * torch.randn(count, 1, 1, 1, device=device)
        seen = seen_squares(keyframes[clip] + brightness, masks[clip, layer], places)
        # 2. Cells in those squares.
        sides = keyframes.new_tensor([keyframes.shape[3], keyframes.shape[2]])
        offset = (truth.cell[:, :2] / sides - middle) / reach
        size = truth.cell[:, 2:].clamp(min=1) / (2 * reach[:, 1:] * sides[1])
        return _Squared(seen, truth, torch.cat([offset, size.log()], dim=1), written[clip])

    def _painting_error(self) -> Float[Tensor, "n 4 cell cell"]:
        """Of some poses, chosen by chance."""
        assert self.network.appearance is not None
        painter, device = self.network.appearance.painter, next(self.network.parameters()).device
        chosen = torch.randint(len(self.cells.kind), (self.stage.cells_per_step,))
        kind, pose = self.cells.kind[chosen].to(device), self.cells.pose[chosen].to(device)
        painted = painter(kind, 2 * math.pi * pose / painter.poses[kind])
        return painted - self.cells.images[chosen].to(device)

    def keyframes_of(self, batch: dict[str, Tensor]) -> tuple[Tensor, Bool[Tensor, " batch"]]:
        """Keyframes in uint8, some of them drawn again, and some written of captions; which those are."""
        images, scenes = batch["keyframes"], batch["scene"]
        chance = torch.rand(len(images)).to(images.device)
        written = (chance < self.stage.written_keyframes) & (scenes >= 0)
        drawn = ~written & (chance < self.stage.written_keyframes + self.stage.drawn_keyframes)
        if self.redrawn is None:
            return images, torch.zeros_like(written)
        images = images.clone()
        if drawn.any():
            images[drawn] = self.redrawn(images[drawn])
        if written.any():
            captions = captions_of(scenes[written].tolist(), self.stage.things)
            images[written] = self.redrawn.written(captions).to(images.device)
        return images, written


class _Squared(NamedTuple):
    """Squares that a step trains on."""

    seen: Float[Tensor, "n 5 side side"]
    truth: ThingTruth
    place: Float[Tensor, "n 3"]
    """As `Recognised.place`; means nothing where the kind is 0."""
    written: Bool[Tensor, " n"]
    """True where a model wrote the image, so that of the truth the kind alone counts."""


def _overlap(
    masks: Float[Tensor, "batch layers height width"], things: Float[Tensor, "batch things height width"]
) -> Float[Tensor, "batch layers things"]:
    """Common area of layers and things over the area that either covers."""
    layers, things = (masks * (masks > COUNTS)).flatten(2)[:, :, None], things.flatten(2)[:, None]
    return torch.minimum(layers, things).sum(3) / torch.maximum(layers, things).sum(3).clamp(min=1)


def _mean(values: Float[Tensor, " n"], counts: Bool[Tensor, " n"]) -> Tensor:
    """Mean of the values that count; 0 if none does."""
    return (values * counts).sum() / counts.sum().clamp(min=1)


def _shares(found: Recognised, squared: _Squared) -> dict[str, Tensor]:
    """Of known things those that are named rightly, of unknown ones those that are left alone; the others' errors."""
    truth = squared.truth
    kind, known = truth.kind.long(), truth.kind > 0
    right = (found.kind.argmax(1) == kind).float()
    placed = known & ~squared.written
    return {
        "named": _mean(right, placed),
        "named_of_words": _mean(right, known & squared.written),
        "left_alone": _mean(right, ~known),
        "faces_rightly": _mean(((found.mirrored > 0) == (truth.mirrored > 0.5)).float(), placed),
    }
