"""A stage small enough to train in a test, and a command that trains it: `python toy.py FOLDER [STEPS] [NAN_AT]`."""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from videolavit.training.batches import Shuffled
from videolavit.training.loop import train
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions


class Points:
    """y is a fixed function of x, with noise that depends on the draw."""

    def __len__(self):
        return 37

    def __getitem__(self, key):
        index, draw = key
        x = np.random.default_rng([1, index]).standard_normal(8).astype(np.float32)
        noise = np.random.default_rng([2, draw]).standard_normal(8).astype(np.float32)
        return {"x": torch.from_numpy(x + 0.1 * noise), "y": torch.tensor([np.sin(x).sum()])}


class Regression(nn.Module):
    def __init__(self, nan_at):
        super().__init__()
        self.nan_at = nan_at
        self.layers = nn.ModuleList([nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 1)])
        self.dropout = nn.Dropout(0.1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, batch, step):
        x = batch["x"]
        for layer in self.layers[:-1]:
            x = self.dropout(torch.tanh(layer(x)))
        loss = (self.layers[-1](x) - batch["y"]).square().mean()
        self.seen += len(x) * self.training
        return {"loss": loss * float("nan") if step == self.nan_at else loss}


@dataclass(frozen=True, kw_only=True)
class ToyStage(Stage[Regression]):
    name: str = "toy"
    nan_at: int = -1
    width: int = 32
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=40, batch_size=8, learning_rate=1e-2, warmup_steps=5, ema_decay=0.9, log_every=1, checkpoint_every=7
        )
    )

    def build(self):
        return Regression(self.nan_at)

    def samples(self):
        return Shuffled(Points(), self.training.seed)

    def collate(self, samples):
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def visualize(self, module):
        return {"weights": np.zeros((4, 4, 3), dtype=np.uint8)}

    def check(self, metrics, step):
        return "the loss is low" if metrics["loss"] < 1.0 else None

    def trainable(self, module):
        return {"video_unet": module}

    def export(self, module, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(module.state_dict(), folder / "weights.safetensors")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    options = TrainingOptions(
        steps=steps, batch_size=8, learning_rate=1e-2, warmup_steps=5, ema_decay=0.9, log_every=1, checkpoint_every=7
    )
    train(ToyStage(training=options), Path(sys.argv[1]), quiet=True)
