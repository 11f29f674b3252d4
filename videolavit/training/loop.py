"""The training loop, the same for every stage, on one CPU, one GPU or many under torchrun.

A step depends on the state after the step before it, on its number, and on nothing else: batches and random numbers
are functions of (seed, step, process). A run that is killed and resumed therefore ends with the same bits as one that
was not (docs/training.md).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from videolavit.checkpoints.checksums import write_checksums
from videolavit.checkpoints.writing import new_folder
from videolavit.errors import TrainingError
from videolavit.training.batches import batches
from videolavit.training.checkpoint import advice_after_failure, latest_checkpoint, resume
from videolavit.training.checkpoint_writer import CheckpointWriter
from videolavit.training.ema import WeightAverage
from videolavit.training.held_out import HeldOutData
from videolavit.training.optimisers import build_optimisers
from videolavit.training.processes import Processes, memory_in_use, peak_flops, processes
from videolavit.training.stages.base import Stage
from videolavit.training.start import start
from videolavit.training.step import NotFiniteError, Taken, take_step
from videolavit.training.tracking import Tracker, WorkOfStep
from videolavit.training.training_options import learning_rate

__all__ = ["train"]

logger = logging.getLogger(__name__)


def train(stage: Stage[Any], folder: Path, *, model: str = "", quiet: bool = False) -> Path:
    """Train a stage in `folder`, resuming what is there already; the folder of the exported weights.

    A run that begins takes over the weights of `model`, if one is named: a folder, a hub id, or "tiny".

    Raises:
        TrainingError: the loss or its gradient is no longer finite; the last checkpoint is intact.
        CheckpointError: the folder holds a run with other options, or nothing of the model fits.
        OutputError: a checkpoint cannot be written.
    """
    options, checkpoints = stage.training, folder / "checkpoints"
    with processes(options.timeout_minutes) as group:
        begins = latest_checkpoint(checkpoints) is None
        module = start(stage, group, model if begins else "")
        optimisers = build_optimisers(module, options)
        average = WeightAverage(module, options.ema_decay) if options.ema_decay else None
        run = _identity(stage, group)
        step = resume(checkpoints, module, optimisers, average, group, run=run)
        if step and group.is_first:
            done = "is finished" if step >= options.steps else "goes on"
            logger.info("%s: %s after step %d of %d", folder, done, step, options.steps)
            if model:
                logger.info("%s: has weights of its own; those of %s were for its beginning", folder, model)
        writer = CheckpointWriter(
            checkpoints, group, run=run, keep=options.keep_checkpoints, in_background=options.background_checkpoints
        )
        with writer, _tracker(stage, folder, step, group, quiet) as tracker:
            data = _batches(stage, step, group)
            held_out = HeldOutData(stage, group) if options.held_out_data else None
            while step < options.steps:
                try:
                    taken = take_step(stage, module, optimisers, data, step, group)
                except NotFiniteError as error:
                    writer.finish()
                    raise TrainingError(f"{error}; {advice_after_failure(checkpoints, run)}") from None
                step += 1
                if average is not None:
                    average.update(step)
                _report(stage, module, average, taken, step, group, tracker)
                if held_out is not None and (step % options.held_out_every == 0 or step == options.steps):
                    measured = held_out.measure(module)  # all processes take part
                    if tracker is not None:
                        tracker.held_out(step, measured)
                if step % options.checkpoint_every == 0 or step == options.steps:
                    writer.save(step, module, optimisers, average)
            writer.finish()
        if average is not None:
            average.swap()
        _export(stage, module, folder / "export", group)
    return folder / "export"


def _export(stage: Stage[Any], module: nn.Module, folder: Path, group: Processes) -> None:
    whole = _whole(stage, module, group)
    if whole is not None:
        with new_folder(folder, overwrite=True) as export:
            stage.export(whole.eval(), export)
            write_checksums(export)


def _report(
    stage: Stage[Any],
    module: nn.Module,
    average: WeightAverage | None,
    taken: Taken,
    step: int,
    group: Processes,
    tracker: Tracker | None,
) -> None:
    options = stage.training
    if step % options.log_every == 0 or step == options.steps:
        metrics = group.mean(taken.scalars)  # all processes take part
        work = WorkOfStep(tokens=group.sum(float(taken.tokens)), flops=group.sum(taken.flops), peak=_peak(stage, group))
        memory = group.most(memory_in_use(group.device))
        if tracker is not None:
            told = {"learning_rate": learning_rate(options, step - 1), "memory_gib": memory / 2**30}
            told |= stage.seen(step * options.batch_size)
            tracker.metrics(step, {**metrics, **told}, work)
            if (warning := stage.check(metrics, step)) is not None:
                logger.warning("%s, step %d: %s", stage.name, step, warning)
                tracker.event(step=step, warning=warning)
    if tracker is not None:
        tracker.advance(step)
    if options.images_every and step % options.images_every == 0 and group.count == 1 and tracker is not None:
        with _for_inference(module, average):
            for name, image in stage.visualize(module).items():
                tracker.image(step, name, image)


def _peak(stage: Stage[Any], group: Processes) -> float:
    """Operations that all processes together could do in a second; 0 where that is not known."""
    own = stage.training.peak_teraflops * 1e12 or peak_flops(group.device, stage.training.precision)
    return own * group.count


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


def _batches(stage: Stage[Any], step: int, group: Processes) -> Iterator[Any]:
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
        together=stage.steps_together,
    )


@contextlib.contextmanager
def _tracker(stage: Stage[Any], folder: Path, step: int, group: Processes, quiet: bool) -> Iterator[Tracker | None]:
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


def _whole(stage: Stage[Any], module: nn.Module, group: Processes) -> nn.Module | None:
    """The module with all its weights, in the machine's memory, on the first process; None on the others."""
    if group.count == 1:
        return module.cpu()
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(module, options=options)  # all processes take part
    if not group.is_first:
        return None
    whole = stage.build()
    whole.load_state_dict(state)
    return whole


def _identity(stage: Stage[Any], group: Processes) -> dict[str, str]:
    """The options that decide the bits of a run, by dotted name. How often it logs, saves or draws may change."""
    free = {"workers", "log_every", "checkpoint_every", "keep_checkpoints", "images_every"}
    free |= {"held_out_data", "held_out_every", "held_out_batches"}
    free |= {"timeout_minutes", "recompute_activations", "compile", "background_checkpoints", "peak_teraflops"}
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
