"""The loop from noise to latents that images and clips share; diffusers' schedulers do the arithmetic of a step.

Latents stay in float32 from the first step to the last, whatever the type of the network: the sigmas of the video
scheduler span five orders of magnitude.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.finite import check_finite

__all__ = ["OnStep", "StopDenoising", "denoise", "guided", "scheduler_for"]

OnStep = Callable[[int, int, Tensor, Tensor], "Tensor | None"]
"""Called after each step with the number of steps done, the number in all, the latents and the timestep. Latents that
it returns take the place of those. To leave out the other steps, raise `StopDenoising`; to end all the work, any other
error."""


class StopDenoising(Exception):  # noqa: N818 - no error, as StopIteration is none
    """Raised by an `OnStep`: leave out the steps that remain."""

    def __init__(self, latents: Tensor | None = None) -> None:
        super().__init__()
        self.latents = latents
        """To go on with; None for those that it was called with."""


def scheduler_for(scheduler: Any, steps: int, device: torch.device, first_step: int = 0) -> Any:
    """A copy of a scheduler, set to `steps` steps, so that a run never sees the state of another.

    Raises:
        ConfigError: the scheduler cannot make so many steps, or `first_step` is not one of them.
    """
    most = scheduler.config["num_train_timesteps"]
    if not 1 <= steps <= most:
        raise ConfigError(f"got {steps} denoising steps, expected 1 to {most}")
    run = copy.deepcopy(scheduler)
    run.set_timesteps(steps, device=device)
    if not 0 <= first_step < len(run.timesteps):
        raise ConfigError(f"got first step {first_step}, expected 0 to {len(run.timesteps) - 1}")
    if hasattr(run, "set_begin_index"):
        run.set_begin_index(first_step)
    return run


def denoise(
    scheduler: Any,
    latents: Float[Tensor, "batch ..."],
    predict: Callable[[Tensor, Tensor], Tensor],
    *,
    first_step: int = 0,
    generators: Sequence[torch.Generator] | None = None,
    on_step: OnStep | None = None,
    part: str = "the UNet",
) -> Float[Tensor, "batch ..."]:
    """Denoise from the noise level of `first_step` to the end.

    Args:
        scheduler: from `scheduler_for`, with the same `first_step`.
        latents: float32, at the noise level of the first step (pure noise times the initial sigma for step 0).
        predict: the network, from scaled latents and a timestep to what the scheduler expects.
        first_step: 0 is the noisiest.
        generators: one for each item; they give the noise of schedulers that add some in each step.
        on_step: is told of each step, and may change the latents or stop.
        part: the network, for messages.

    Raises:
        GenerationError: what the network predicts is not finite; told after the first step or the last.
        ShapeError: `on_step` returns something else than latents of the same shape.
    """
    timesteps = scheduler.timesteps[first_step:]
    options = _step_options(scheduler, generators)
    for done, timestep in enumerate(timesteps, start=1):
        prediction = predict(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(prediction.float(), timestep, latents, **options)[0]
        if done in (1, len(timesteps)):
            check_finite(latents, part, prediction.dtype)
        if on_step is None:
            continue
        try:
            latents = _replaced(latents, on_step(done, len(timesteps), latents, timestep))
        except StopDenoising as stop:
            return _replaced(latents, stop.latents)
    return latents


def _replaced(latents: Tensor, new: Any) -> Tensor:
    """New latents in place of others of the same shape; None for no change."""
    if new is None:
        return latents
    if not isinstance(new, Tensor) or new.shape != latents.shape:
        arrived = tuple(new.shape) if isinstance(new, Tensor) else type(new).__name__
        raise ShapeError(f"a callback returned latents {arrived}, expected a tensor of shape {tuple(latents.shape)}")
    return new.to(latents)


def guided(
    model: Callable[[Tensor], Tensor],
    latents: Float[Tensor, "batch ..."],
    guidance: float | Float[Tensor, "..."] | None,
) -> Float[Tensor, "batch ..."]:
    """Classifier-free guidance with both branches in one forward; None for the condition alone.

    `model` gets the latents twice along the batch, first for the negative branch, then for the condition.
    """
    if guidance is None:
        return model(latents)
    negative, positive = model(torch.cat([latents, latents])).float().chunk(2)
    return negative + guidance * (positive - negative)


def _step_options(scheduler: Any, generators: Sequence[torch.Generator] | None) -> dict[str, Any]:
    """Schedulers differ in what `step` takes; a list of generators makes those that draw noise do so for each item."""
    options: dict[str, Any] = {"return_dict": False}
    if generators is not None and "generator" in inspect.signature(scheduler.step).parameters:
        options["generator"] = list(generators)
    return options
