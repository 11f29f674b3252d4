"""The module of a run as it starts: built, given the weights of a model, and spread over the processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

from videolavit.training.blocks import compile_blocks, convolve_channels_last, recompute_activations
from videolavit.training.processes import Processes, shard
from videolavit.training.stages.base import Stage
from videolavit.training.step import seed_all
from videolavit.training.warm_start import warm_start

__all__ = ["start"]


def start(stage: Stage[Any], group: Processes, model: str = "") -> nn.Module:
    """The module to train, on the device of this process, with the same weights on all processes.

    Where the stage can be sketched, the first process alone holds it whole, in the memory of its machine; the others
    build it without memory and receive their shards.

    Raises:
        CheckpointError: nothing of `model` fits.
    """
    if group.count > 1 and stage.starts_as_sketch:
        return _received(stage, group, model)
    module = _spread(stage, _whole(stage, model).to(group.device), group)
    return module.train()


def _whole(stage: Stage[Any], model: str) -> nn.Module:
    seed_all(stage.training.seed, 0, 0, 0)  # the initial weights are the same on all processes
    module = stage.build()
    if model:
        warm_start(stage.trainable(module), model)
    return module


def _received(stage: Stage[Any], group: Processes, model: str) -> nn.Module:
    whole = _whole(stage, model) if group.is_first else None
    with torch.device("meta"):
        sketch = stage.sketch()
    module = _spread(stage, sketch, group).to_empty(device=group.device)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(module, {} if whole is None else whole.state_dict(), options=options)
    # Buffers that no checkpoint holds, such as the frequencies of positions, were never computed on a sketch.
    held = set(module.state_dict())
    sources = {} if whole is None else dict(whole.named_buffers())
    for name, buffer in module.named_buffers():
        if name not in held:
            if name in sources:
                buffer.copy_(sources[name])
            dist.broadcast(buffer, src=0)
    return module.train()


def _spread(stage: Stage[Any], module: nn.Module, group: Processes) -> nn.Module:
    options = stage.training
    if group.count == 1:  # weights that are spread over processes have to be contiguous
        convolve_channels_last(module)
    if options.recompute_activations:
        recompute_activations(module)
    if options.compile:
        compile_blocks(module)
    in_bf16 = stage.blocks_in_bf16 and options.precision == "bf16"
    shard(module, group, blocks_in_bf16=in_bf16, replicate=options.replicate)
    return module
