"""The base class of all training stages: a frozen configuration that builds what it trains and reads what it needs.

A new stage is one file with a dataclass that derives from `Stage`, and one line in `videolavit.training.presets`, or in
another package an entry point of the group `videolavit.stages` (docs/extending.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from torch import Tensor, nn

from videolavit.training.batches import Samples
from videolavit.training.training_options import TrainingOptions

__all__ = ["Stage"]

Module = TypeVar("Module", bound=nn.Module)


class Stage(ABC, Generic[Module]):
    """One stage of training. Subclasses are frozen dataclasses; their fields are what a run can configure.

    What costs time to open, such as a reader of shards, is a `functools.cached_property`: it is kept over all batches
    of a process, takes no part in comparisons, and stays behind when a stage is sent to another process. A subclass
    must therefore not have `slots`.
    """

    name: str
    training: TrainingOptions

    blocks_in_bf16: ClassVar[bool] = False
    """True if processes may gather the weights of blocks in bf16 when they train with that precision. Blocks must then
    hold nothing that needs float32 outside of autocast."""

    starts_as_sketch: ClassVar[bool] = False
    """True if processes other than the first may build `sketch` in the place of `build`, and receive all weights and
    buffers: it must have the same ones then, also where the stage starts from trained weights."""

    @abstractmethod
    def build(self) -> Module:
        """The module to train. Called with (batch, step) it returns scalars, one of them named `loss`."""

    @abstractmethod
    def samples(self) -> Samples:
        """Training data."""

    @abstractmethod
    def collate(self, samples: list[Any]) -> Any:
        """A batch of samples, tensors by name; a list of batches where `steps_together` is more than 1."""

    @property
    def steps_together(self) -> int:
        """Steps whose samples `collate` gets at once, and returns a list of as many batches for; 1 is one batch."""
        return 1

    @abstractmethod
    def export(self, module: Module, folder: Path) -> None:
        """Write what the stage is trained for (`videolavit.checkpoints.artifacts.write_artifact`)."""

    def trainable(self, module: Module) -> dict[str, nn.Module]:
        """Trained parts by their names in a model, for `videolavit.training.warm_start`; none if nothing is taken."""
        return {}

    def weight(self, batch: dict[str, Tensor]) -> float:
        """Weight of a batch in the loss of a step: the number that its loss is a mean over.

        The loss of a step is the mean over all its parts and processes with these weights. By default samples count.
        """
        return float(len(next(iter(batch.values()))))

    def tokens(self, batch: dict[str, Tensor]) -> int:
        """Number of tokens in a batch, for the log; 0 where data are no tokens."""
        return 0

    def seen(self, samples: int) -> dict[str, float]:
        """Numbers for the log about what the first `samples` samples of the run have shown of the data."""
        return {}

    def flops(self, module: Module, batch: dict[str, Tensor]) -> float:
        """Floating-point operations that the loss of a batch and its gradient need at least; 0 if nobody counts."""
        return 0.0

    @property
    def tokens_of_sample(self) -> int:
        """Most tokens of one sample; 0 where data are no tokens."""
        return 0

    def tokens_of_step(self, processes: int) -> int:
        """Positions of a step of several processes, at most."""
        return self.tokens_of_sample * self.training.batch_size

    def sketch(self) -> Module:
        """Module of the sizes that `build` builds, perhaps without data or weights that are not there yet."""
        return self.build()

    def activation_bytes(self, samples: int) -> int | None:
        """Bytes that a forward pass of so many samples keeps for its gradient; None where nobody has counted."""
        return None

    def check(self, metrics: dict[str, float], step: int) -> str | None:
        """A warning about what goes wrong although the loss is finite, such as a collapsed codebook; else None."""
        return None

    def visualize(self, module: Module) -> dict[str, np.ndarray]:
        """Images by name, (height, width, 3) uint8, that show what the module can do now."""
        return {}

    def first_batch(self, module: Module, count: int) -> dict[str, Tensor]:
        """The first `count` samples of a run as one batch, on the module's device: for `visualize`."""
        samples, device = self.samples(), next(module.parameters()).device
        batch = self.collate([samples[draw] for draw in range(count)])
        return {name: value.to(device) for name, value in batch.items()}

    def __getstate__(self) -> dict[str, Any]:
        """The configuration alone, without readers."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
