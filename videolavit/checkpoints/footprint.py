"""Memory that the weights of a model take, part by part and task by task, before any of them is read.

Sizes come from shapes: headers of files and modules on the meta device. What a task needs on top while it computes is
measured and computed on docs/memory.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from videolavit.checkpoints.files import StoredTensor
from videolavit.checkpoints.hooks import quantizer_of
from videolavit.checkpoints.loading import distinct_tensors
from videolavit.checkpoints.registry import (
    COMPONENTS,
    Checkpoint,
    StoredComponent,
    build_component,
    component_with_dtype,
)

__all__ = ["TASKS", "ComponentSize", "TaskMemory", "part_size", "part_sizes", "task_memory"]

_KEYFRAME = ("condition_decoder", "keyframe_unet", "keyframe_vae")
_FRAMES = ("motion_tokenizer", "motion_encoder", "video_unet", "video_vae")

TASKS: dict[str, tuple[str, ...]] = {
    "answer": ("language_model", "visual_tokenizer", "motion_tokenizer"),
    "image": ("language_model", *_KEYFRAME),
    "video": ("language_model", *_KEYFRAME, *_FRAMES),
    "animate": ("language_model", "visual_tokenizer", *_FRAMES),
    "continue": ("language_model", "visual_tokenizer", *_KEYFRAME, *_FRAMES),
    "tokenize": ("visual_tokenizer", "motion_tokenizer"),
    "detokenize": (*_KEYFRAME, *_FRAMES),
    "reconstruct": ("visual_tokenizer", *_KEYFRAME, *_FRAMES),
    "edit": ("visual_tokenizer", *_KEYFRAME, *_FRAMES),
}
"""Parts that a task loads. Generating from text takes the visual tokenizer's codebook, too, which is not counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentSize:
    """The weights of one part as they are held in memory."""

    parameters: int
    bytes: int
    """0 for a part that is, in memory too, the same as another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskMemory:
    """Bytes of weights that one task needs."""

    all_parts: int
    largest_part: int
    """Bytes on the device at a time with `enable_model_cpu_offload`; all the parts are then in the CPU's memory."""


def part_size(part: StoredComponent, *, dtype: torch.dtype | None = None, quantize: str | None = None) -> ComponentSize:
    """Size of a part.

    Args:
        part: from a checkpoint, or from `live_component` of a module that may be on the meta device.
        dtype: that it would be loaded in; None for the stored one.
        quantize: "int8", "int4" or "nf4" for what that makes of a language model; other parts are not quantised.

    Raises:
        ConfigError: the configuration cannot be built, or quantised so.
    """
    parameters = sum(math.prod(tensor.shape) for tensor in part.tensors.values())
    if part.same_as is not None and dtype in (None, torch.float32):
        return ComponentSize(parameters=parameters, bytes=0)
    held: Iterable[StoredTensor | Tensor]
    held = (part if dtype is None else component_with_dtype(part, dtype)).tensors.values()
    if quantize is not None and part.quantize is None and part.name.endswith("language_model"):
        [float_type] = {tensor.dtype for tensor in held}
        module = build_component(part.name, part.config).to(float_type)
        quantizer_of(quantize)(part.name, module)
        held = distinct_tensors(module).values()
    return ComponentSize(
        parameters=parameters, bytes=sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in held)
    )


def part_sizes(
    checkpoint: Checkpoint, *, dtype: torch.dtype | None = None, quantize: str | None = None
) -> dict[str, ComponentSize]:
    """Size of every part that a checkpoint holds, by name; arguments and errors are those of `part_size`."""
    held = [name for name in checkpoint.held() if name in COMPONENTS]
    return {name: part_size(checkpoint.part(name), dtype=dtype, quantize=quantize) for name in held}


def task_memory(sizes: Mapping[str, ComponentSize], checkpoint: Checkpoint | None = None) -> dict[str, TaskMemory]:
    """Memory of each task whose parts are all there; `checkpoint` tells which parts it has for answering."""
    tasks: dict[str, TaskMemory] = {}
    for task, parts in TASKS.items():
        names = [checkpoint.answering(part) if task == "answer" and checkpoint else part for part in parts]
        if all(name in sizes for name in names):
            weights = [sizes[name].bytes for name in names]
            tasks[task] = TaskMemory(all_parts=sum(weights), largest_part=max(weights))
    return tasks
