"""Tell what is installed, what will be computed with, and what a checkpoint can do.

Shows the versions of the libraries, the optional ones that are missing and how to get them, the
device and the type of numbers that the other commands would use, the parts of the checkpoint,
and how much memory the weights of each task take; docs/memory.md says what comes on top.
Nothing is loaded. The exit code is 1 if a library does not fit, the checkpoint cannot be opened,
or a task cannot be done with it.

examples:
  videolavit doctor
  videolavit doctor --model video-lavit --dtype bfloat16
  videolavit doctor --json
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional

from videolavit import __version__
from videolavit.commands._shared.console import print_json, printable, readable_size
from videolavit.commands._shared.installed import Library, extras_for_users, libraries
from videolavit.commands._shared.machine import Machine, look_at_machine
from videolavit.commands._shared.model_options import ModelOptions
from videolavit.errors import ConfigError, VideoLaVITError
from videolavit.shipped import DEFAULT_MODEL, RECIPES, named_model

if TYPE_CHECKING:
    import torch

    from videolavit.checkpoints.footprint import ComponentSize
    from videolavit.checkpoints.registry import StoredComponent

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit doctor`."""

    tasks: Annotated[tuple[str, ...], Positional] = ()
    """Extras whose libraries must be there, such as train, serve or heic. Those that everybody needs are looked at in
    any case."""
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """Parts of a checkpoint, and the tasks that they are enough for."""

    name: str
    hash: str | None
    stored_bytes: dict[str, int]
    parts: dict[str, ComponentSize]
    """As loaded."""
    missing: dict[str, list[str]]
    """By task: parts that it needs and that are not there."""
    task_bytes: dict[str, int]
    """By task that can be done: the most of its weights that are on the device at a time."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Files that are not as they were written, each with what is wrong with it."""


def run(config: Config) -> int:
    """Look at everything; the exit code says whether all is well."""
    if config.model.model not in (None, *RECIPES) and not Path(config.model.model or "").is_dir():
        raise ConfigError(f"{config.model.model}: is no folder; doctor looks at checkpoints on this machine only")
    known = extras_for_users()
    if unknown := set(config.tasks) - set(known):
        raise ConfigError(f"no extra {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    from videolavit.checkpoints.placement import usable_device

    device = usable_device(config.model.device)
    machine, found = look_at_machine(device), libraries()
    try:
        model = _look_at_model(config.model, device)
        problems = list(_problems(found, model, config.tasks))
    except VideoLaVITError as error:
        model, problems = None, [*_problems(found, None, config.tasks), str(error)]
    if config.json:
        print_json(_document(machine, found, model, problems))
    else:
        for line in _lines(machine, found, model, problems):
            print(printable(line))
    return 1 if problems else 0


def _look_at_model(options: ModelOptions, device: torch.device) -> Model:
    from videolavit.checkpoints import COMPONENTS, open_checkpoint
    from videolavit.checkpoints.footprint import TASKS, part_size, task_memory

    checkpoint, dtype = open_checkpoint(named_model(options.model or DEFAULT_MODEL)), options.chosen_dtype
    parts = {name: checkpoint.part(name) for name in checkpoint.held() if name in COMPONENTS}
    sizes = {
        name: part_size(part, dtype=dtype or _usual_dtype(part, device), quantize=options.quantize)
        for name, part in parts.items()
    }
    needed = {
        task: [checkpoint.answering(name) if task == "answer" else name for name in names]
        for task, names in TASKS.items()
    }
    return Model(
        name=checkpoint.name,
        hash=checkpoint.hash,
        stored_bytes={name: _stored_bytes(part) for name, part in parts.items()},
        parts=sizes,
        missing={task: [name for name in names if name not in parts] for task, names in needed.items()},
        task_bytes={
            task: memory.largest_part if options.offload else memory.all_parts
            for task, memory in task_memory(sizes, checkpoint).items()
        },
        damaged=checkpoint.damaged(),
    )


def _usual_dtype(part: StoredComponent, device: torch.device) -> torch.dtype | None:
    """The type that a part is loaded in where nobody chose one; None for the stored one."""
    import torch

    from videolavit.checkpoints.loading import usual_dtype
    from videolavit.checkpoints.registry import build_component

    usual = usual_dtype(build_component(part.name, part.config), part.tensors, device)
    return usual if usual == torch.float32 else None


def _stored_bytes(part: StoredComponent) -> int:
    """0 for a part that is stored as another one."""
    tensors = [] if part.same_as else part.tensors.values()
    return sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in tensors)


def _problems(found: list[Library], model: Model | None, extras: tuple[str, ...]) -> Iterator[str]:
    for library in found:
        if library.is_problem or (set(library.extras) & set(extras) and not library.fits):
            there = "is missing" if library.version is None else f"is {library.version}"
            yield f"{library.name} {there}, expected {library.needed or 'any version'}: {library.advice}"
    for task, names in {} if model is None else model.missing.items():
        if names:
            yield f"{task}: cannot be done, the checkpoint has no {', '.join(names)}"
    if model is not None:
        for name, problem in model.damaged.items():
            yield f"{model.name}/{name}: {problem}; copy or download it again"


def _document(machine: Machine, found: list[Library], model: Model | None, problems: list[str]) -> dict[str, Any]:
    return {
        "videolavit": __version__,
        "machine": asdict(machine),
        "libraries": [asdict(library) for library in found],
        "model": None if model is None else asdict(model),
        "problems": problems,
    }


def _lines(machine: Machine, found: list[Library], model: Model | None, problems: list[str]) -> Iterator[str]:
    yield f"videolavit {__version__}, Python {machine.python}, {machine.system}"
    yield f"device     {machine.device} ({machine.device_name}){_memory(machine)}"
    yield f"processor  {machine.cores} cores, {machine.threads} threads"
    yield "libraries" if found else "libraries  unknown: the package runs from its source and is not installed"
    for library in found:
        use = f"  for {', '.join(library.extras)}" if library.extras else ""
        version = library.version or f"missing; {library.advice}"
        yield f"  {library.name:16} {version}{use}"
    if model is not None:
        yield from _model_lines(model, machine)
    yield "problems" if problems else "all is well"
    yield from (f"  {problem}" for problem in problems)


def _model_lines(model: Model, machine: Machine) -> Iterator[str]:
    yield f"model      {model.name}{f', hash {model.hash}' if model.hash else ''}"
    yield f"  {'part':26} {'parameters':>10} {'stored':>10} {'in memory':>10}"
    for name, size in model.parts.items():
        stored, loaded = readable_size(model.stored_bytes[name]), readable_size(size.bytes)
        yield f"  {name:26} {size.parameters / 1e6:8.2f} M {stored:>10} {loaded:>10}"
    yield f"  {'task':26} {'weights on the device':>32}"
    for task, num_bytes in model.task_bytes.items():
        much = machine.free_bytes is not None and num_bytes > machine.free_bytes
        yield f"  {task:26} {readable_size(num_bytes):>32}{'  more than is free' if much else ''}"


def _memory(machine: Machine) -> str:
    if machine.memory_bytes is None or machine.free_bytes is None:
        return ""
    return f", {readable_size(machine.memory_bytes)} of memory, {readable_size(machine.free_bytes)} free"
