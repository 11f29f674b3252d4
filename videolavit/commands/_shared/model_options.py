"""The options by which commands open a model, and where it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from videolavit.commands._shared.console import sign_of_life

if TYPE_CHECKING:
    import torch

    from videolavit.pipeline import VideoLaVIT

__all__ = ["ModelOptions", "open_model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """Model, device and precision."""

    model: Annotated[str | None, arg(metavar="FOLDER|HUB-NAME|tiny|things")] = None
    """A checkpoint: a folder, a name on the Hugging Face hub, tiny (shapes; the default) or things (named things)."""
    revision: Annotated[str | None, arg(metavar="NAME")] = None
    """Branch, tag or commit on the hub."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda|cuda:1|...")] = "auto"
    """Device to compute on; auto is a GPU that CUDA or ROCm knows, else the CPU."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Type of the numbers; auto is the type that they are stored in, but float32 for float16 on a CPU."""
    quantize: Literal["int8", "int4", "nf4"] | None = None
    """Let weights of language models take so few bits, 4 for nf4: less memory, not quite the same results."""
    offload: bool = False
    """Keep the parts in main memory, and on the device only while they compute: less of its memory, slower."""
    compile: bool = False
    """Compile the UNets with torch.compile, which takes its time when each size first comes."""

    @property
    def chosen_dtype(self) -> torch.dtype | None:
        """The type of that name; None, which leaves the choice to the loader, for `auto`."""
        from videolavit.checkpoints.placement import floating_dtype

        return floating_dtype(None if self.dtype == "auto" else self.dtype)


def open_model(options: ModelOptions) -> VideoLaVIT:
    """The model; its parts are loaded when a task needs them.

    Raises:
        ConfigError: there is no such device.
        CheckpointError: there is no such checkpoint.
    """
    with sign_of_life("open the model"):
        return _opened(options)


def _opened(options: ModelOptions) -> VideoLaVIT:
    from videolavit.pipeline import VideoLaVIT

    model = VideoLaVIT.from_pretrained(
        options.model,
        device=options.device,
        dtype=options.chosen_dtype,
        revision=options.revision,
        quantize=options.quantize,
        compile=options.compile,
    )
    if options.offload:
        model.enable_model_cpu_offload()
    return model
