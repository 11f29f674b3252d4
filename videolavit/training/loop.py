"""The training loop, the same for every stage, on one CPU, one GPU or many under torchrun.

A step depends on the state after the step before it, on its number, and on nothing else: batches and random numbers
are functions of (seed, step, process). A run that is killed and resumed therefore ends with the same bits as one that
was not (docs/training.md).
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from videolavit.checkpoints.checksums import write_checksums
from videolavit.checkpoints.writing import new_folder
from videolavit.errors import TrainingError
from videolavit.training.batches import Samples, batches
from videolavit.training.checkpoint import advice_after_failure, latest_checkpoint, resume, save_checkpoint
from videolavit.training.ema import WeightAverage
from videolavit.training.processes import Processes, processes, shard
from videolavit.training.tracking import Tracker
from videolavit.training.training_options import TrainingOptions, learning_rate
from videolavit.training.warm_start import warm_start

__all__ = ["Stage", "train"]

logger = logging.getLogger(__name__)


@runtime_checkable
class Stage(Protocol):
    """What a stage brings to the loop. A frozen dataclass: its fields are what a run can configure."""

    name: str
    training: TrainingOptions

    def build(self) -> nn.Module:
        """The module to train. Called with (batch, step) it returns scalars, one of them named `loss`."""
        ...

    def samples(self) -> Samples:
        """Training data."""
        ...

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """A batch of samples."""
        ...

    def images(self, module: nn.Module) -> dict[str, np.ndarray]:
        """Sample images that show what the module can do now."""
        ...

    def alarm(self, metrics: dict[str, float], step: int) -> str | None:
        """What is going wrong although the loss is finite, such as a collapsed codebook; None if nothing is."""
        ...

    def parts(self, module: nn.Module) -> dict[str, nn.Module]:
        """What is trained, by its name in a model, for `videolavit.training.warm_start`."""
        ...

    def export(self, module: nn.Module, folder: Path) -> None:
        """Write what the stage is trained for, in the native checkpoint layout."""
        ...


def train(stage: Stage, folder: Path, *, model: str = "", quiet: bool = False) -> Path:
    """Train a stage in `folder`, resuming what is there already; the folder of the exported weights.

    A run that begins takes over the weights of `model`, if one is named: a folder, a hub id, or "tiny".

    Raises:
        TrainingError: the loss or its gradient is no longer finite; the last checkpoint is intact.
        CheckpointError: the folder holds a run with other options, or nothing of the model fits.
    """
    options = stage.training
    with processes() as group:
        _seed(options.seed, 0, 0, 0)  # the initial weights are the same on all processes
        module = stage.build()
        checkpoint = latest_checkpoint(folder / "checkpoints")
        if model and checkpoint is None:
            warm_start(stage.parts(module), model)
        module = module.to(group.device).train()
        shard(module, group)
        optimiser = AdamW(_parameter_groups(module, options.weight_decay), lr=0.0, betas=options.betas)
        average = WeightAverage(module, options.ema_decay) if options.ema_decay else None
        run = _identity(stage, group)
        step = resume(folder / "checkpoints", module, optimiser, average, group, run=run)
        if step:
            logger.info("resuming %s after step %d", stage.name, step)
        with _tracker(stage, folder, step, group, quiet) as tracker:
            data = _batches(stage, step, group)
            while step < options.steps:
                try:
                    metrics = _step(module, optimiser, data, step, options, group)
                except _NotFiniteError as error:
                    raise TrainingError(f"{error}; {advice_after_failure(folder / 'checkpoints', run)}") from None
                step += 1
                if average is not None:
                    average.update(step)
                _report(stage, module, average, metrics, step, group, tracker)
                if step % options.checkpoint_every == 0 or step == options.steps:
                    save_checkpoint(
                        folder / "checkpoints",
                        step,
                        module,
                        optimiser,
                        average,
                        group,
                        run=run,
                        keep=options.keep_checkpoints,
                    )
        if average is not None:
            average.swap()
        whole = _whole(stage, module, group)
        if whole is not None:
            with new_folder(folder / "export", overwrite=True) as export:
                stage.export(whole.eval(), export)
                write_checksums(export)
    return folder / "export"


class _NotFiniteError(TrainingError):
    """A loss or gradient that is no number; `train` says how to go on."""


def _step(
    module: nn.Module,
    optimiser: AdamW,
    data: Iterator[Any],
    step: int,
    options: TrainingOptions,
    group: Processes,
) -> dict[str, Tensor]:
    """One optimiser step; the scalars of the last part of the batch."""
    for parameters in optimiser.param_groups:
        parameters["lr"] = learning_rate(options, step)
    scalars: dict[str, Tensor] = {}
    for part in range(options.accumulate):
        batch = _to_device(next(data), group.device)
        _seed(options.seed, step, part, group.rank)
        with torch.autocast(group.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            scalars = module(batch, step)
        (scalars["loss"] / options.accumulate).backward()
    norm = nn.utils.clip_grad_norm_(module.parameters(), options.clip_norm)
    scalars["gradient_norm"] = norm.full_tensor() if isinstance(norm, DTensor) else norm
    loss, size = scalars["loss"].item(), scalars["gradient_norm"].item()
    if not math.isfinite(loss) or not math.isfinite(size):
        raise _NotFiniteError(f"step {step}: loss {loss}, gradient norm {size}")
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return scalars


def _report(
    stage: Stage,
    module: nn.Module,
    average: WeightAverage | None,
    scalars: dict[str, Tensor],
    step: int,
    group: Processes,
    tracker: Tracker | None,
) -> None:
    options = stage.training
    if step % options.log_every == 0 or step == options.steps:
        metrics = group.mean(scalars)  # all processes take part
        if tracker is not None:
            tracker.metrics(step, {**metrics, "learning_rate": learning_rate(options, step - 1)})
            if (warning := stage.alarm(metrics, step)) is not None:
                logger.warning("%s, step %d: %s", stage.name, step, warning)
                tracker.event(step=step, alarm=warning)
    if tracker is not None:
        tracker.advance(step)
    if options.images_every and step % options.images_every == 0 and group.count == 1 and tracker is not None:
        with _for_inference(module, average):
            for name, image in stage.images(module).items():
                tracker.image(step, name, image)


@contextlib.contextmanager
def _for_inference(module: nn.Module, average: WeightAverage | None) -> Iterator[None]:
    """The module as it would be exported now."""
    module.eval()
    if average is not None:
        average.swap()
    try:
        with torch.inference_mode():
            yield
    finally:
        if average is not None:
            average.swap()
        module.train()


def _batches(stage: Stage, step: int, group: Processes) -> Iterator[Any]:
    options = stage.training
    return batches(
        stage.samples(),
        stage.collate,
        batch_size=options.batch_size,
        parts=options.accumulate,
        first_step=step,
        num_steps=options.steps,
        rank=group.rank,
        num_processes=group.count,
        workers=options.workers,
    )


@contextlib.contextmanager
def _tracker(stage: Stage, folder: Path, step: int, group: Processes, quiet: bool) -> Iterator[Tracker | None]:
    if not group.is_first:
        yield None
        return
    tracker = Tracker(
        folder,
        name=stage.name,
        first_step=step,
        num_steps=stage.training.steps,
        batch_size=stage.training.batch_size,
        quiet=quiet,
    )
    try:
        yield tracker
    except TrainingError as error:
        tracker.event(error=str(error))
        raise
    finally:
        tracker.close()


def _whole(stage: Stage, module: nn.Module, group: Processes) -> nn.Module | None:
    """The module with all its weights, on the first process; None on the others."""
    if group.count == 1:
        return module
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(module, options=options)  # all processes take part
    if not group.is_first:
        return None
    whole = stage.build()
    whole.load_state_dict(state)
    return whole


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.ndim >= 2]
    others = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _identity(stage: Stage, group: Processes) -> dict[str, str]:
    """The options that decide the bits of a run, by dotted name. How often it logs, saves or draws may change."""
    free = {"workers", "log_every", "checkpoint_every", "keep_checkpoints", "images_every"}
    described = {"stage": repr(stage.name), "processes": repr(group.count)}
    for field in fields(stage):  # type: ignore[arg-type]
        described |= _flat(field.name, getattr(stage, field.name))
    return {name: value for name, value in described.items() if name.removeprefix("training.") not in free}


def _flat(name: str, value: Any) -> dict[str, str]:
    """An option, or the options within it, by dotted name."""
    if not is_dataclass(value) or isinstance(value, type):
        return {name: repr(value)}
    inner = [_flat(f"{name}.{field.name}", getattr(value, field.name)) for field in fields(value)]
    return {key: text for part in inner for key, text in part.items()}


def _to_device(batch: Any, device: torch.device) -> Any:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _seed(seed: int, step: int, part: int, rank: int) -> None:
    """Seed all random numbers of one part of a step: with them a function of its number, there is no state to save."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, part, rank]).generate_state(1, np.uint64)[0] >> 1))
