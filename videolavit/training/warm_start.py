"""Start a stage from the parts of a model that exists, such as the one in the package, not from random weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import nn

from videolavit.checkpoints import open_checkpoint
from videolavit.errors import CheckpointError
from videolavit.shipped import named_model

__all__ = ["warm_start"]

logger = logging.getLogger(__name__)

_MOST_NAMED = 5


@torch.no_grad()
def warm_start(parts: Mapping[str, nn.Module], model: str) -> None:
    """Copy the weights of a model into modules, wherever name and shape are the same; what was new is logged.

    Args:
        parts: what to fill, by the name of a part (`videolavit.checkpoints.registry`), or by that of a module
            inside one, such as `visual_tokenizer.vit`.
        model: a folder, `owner/name` on the hub, or "tiny" for the model in the package.

    Raises:
        CheckpointError: there is no such model or part, or nothing of it fits.
    """
    checkpoint = open_checkpoint(named_model(model))
    for name, module in parts.items():
        part, _, inside = name.partition(".")
        prefix = f"{inside}." if inside else ""
        stored, own = checkpoint.part(part).tensors, module.state_dict()
        found = {key: stored[prefix + key] for key in own if prefix + key in stored}
        fitting = {key: tensor for key, tensor in found.items() if tensor.shape == tuple(own[key].shape)}
        if not fitting:
            raise CheckpointError(
                f"{checkpoint.name}: no tensor of its {name} fits the {len(own)} of the stage; "
                "give the stage the sizes of that model, or start without it"
            )
        for key, tensor in fitting.items():
            own[key].copy_(tensor.load())
        new = [key for key in own if key not in fitting]
        more = f", new: {', '.join(new[:_MOST_NAMED])}{' ..' if len(new) > _MOST_NAMED else ''}" if new else ""
        logger.info("%s: %d of %d tensors from %s%s", name, len(fitting), len(own), checkpoint.name, more)
