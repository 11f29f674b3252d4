"""A stage whose samples hold unequal numbers of targets, trained by `python uneven.py FOLDER PARTS`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from videolavit.training.batches import Shuffled
from videolavit.training.loop import train
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions


class Rows:
    def __len__(self):
        return 64

    def __getitem__(self, key):
        random = np.random.default_rng([4, key[0]])
        values = random.standard_normal(8).astype(np.float32)
        return torch.from_numpy(values), int(random.integers(1, 12))


class Weighted(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 1)])

    def forward(self, batch, step):
        values = batch["x"]
        shown = self.layers[1](torch.tanh(self.layers[0](values)))[:, 0]
        errors = (shown - values.sum(1)).square()
        return {"loss": (errors * batch["targets"]).sum() / batch["targets"].sum()}


@dataclass(frozen=True, kw_only=True)
class UnevenStage(Stage[Weighted]):
    name: str = "uneven"
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=12, batch_size=16, learning_rate=1e-2, warmup_steps=2, log_every=1, precision="float32"
        )
    )

    def build(self):
        return Weighted()

    def samples(self):
        return Shuffled(Rows(), 0)

    def collate(self, samples):
        return {
            "x": torch.stack([values for values, _ in samples]),
            "targets": torch.tensor([float(targets) for _, targets in samples]),
        }

    def weight(self, batch):
        return float(batch["targets"].sum())

    def tokens(self, batch):
        return int(batch["targets"].sum())

    def export(self, module, folder: Path):
        torch.save(module.state_dict(), folder / "weights.pt")


def stage_of(parts: int, **options) -> UnevenStage:
    default = UnevenStage().training
    return UnevenStage(training=TrainingOptions(**(_values(default) | {"accumulate": parts} | options)))


def _values(options):
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(stage_of(int(sys.argv[2])), Path(sys.argv[1]), quiet=True)
