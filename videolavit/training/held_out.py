"""Losses on data that a run never trains on. What is learnt by heart shows there: the loss of training goes on falling
and this one does not."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from videolavit.errors import ConfigError
from videolavit.training.batches import batches
from videolavit.training.processes import Processes
from videolavit.training.stages.base import Stage
from videolavit.training.step import autocast, seed_all

__all__ = ["HeldOutData"]


class HeldOutData:
    """A few batches of a stage's kind of data, the same ones with the same random numbers at every measurement.

    Raises:
        ConfigError: the stage has no option `data`, or there are no samples for it.
    """

    def __init__(self, stage: Stage[Any], group: Processes) -> None:
        if "data" not in {field.name for field in fields(stage)}:  # type: ignore[arg-type]
            raise ConfigError(
                f"got training.held_out_data for the stage {stage.name}, which has no option `data` to put them in; "
                "leave it out"
            )
        folders = stage.training.held_out_data
        changes: dict[str, Any] = {"data": folders[0] if len(folders) == 1 else folders}
        self._stage, self._group = replace(stage, **changes), group  # type: ignore[type-var]
        self._batches = self._first_batches()  # now, so that a wrong folder stops a run before its first step

    @torch.no_grad()
    def measure(self, module: nn.Module) -> dict[str, float]:
        """Values that the stage reports of the batches, with the weights as they are; means over those that have them.

        All processes take part. The module is in evaluation mode meanwhile.
        """
        options, device = self._stage.training, self._group.device
        modes = [(part, part.training) for part in module.modules()]  # frozen parts may be in evaluation mode anyway
        module.eval()
        sums: dict[str, Tensor] = {}  # of a value times its weight, and of the weights, of batches that have it
        try:
            with torch.random.fork_rng():
                for number, part in enumerate(self._batches):
                    batch = {name: value.to(device) for name, value in part.items()}
                    seed_all(options.seed, 0, number, self._group.rank)
                    with autocast(options, self._group):
                        scalars = module(batch, options.steps)
                    weight = self._stage.weight(part)
                    for name, value in scalars.items():
                        has = value.isfinite() | (name == "loss")
                        added = torch.stack([torch.where(has, weight * value.float(), 0), weight * has.float()])
                        sums[name] = sums.get(name, torch.zeros(2, device=device)) + added
        finally:
            for part, is_training in modes:
                part.training = is_training
        values = self._group.mean({name: value for name, (value, _) in sums.items()})
        weights = self._group.mean({name: weight for name, (_, weight) in sums.items()})
        return {name: value / weights[name] for name, value in values.items() if weights[name]}

    def _first_batches(self) -> list[dict[str, Tensor]]:
        options, stage = self._stage.training, self._stage
        parts = batches(
            stage.samples(),
            stage.collate,
            batch_size=options.batch_size,
            parts=options.accumulate,
            first_step=0,
            num_steps=options.held_out_batches,
            rank=self._group.rank,
            num_processes=self._group.count,
            together=stage.steps_together,
        )
        return list(islice(parts, options.held_out_batches * options.accumulate))
