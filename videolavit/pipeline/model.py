"""VideoLaVIT: one model that answers about, draws and continues images and videos. Read this first.

    text -> ids -> codes -> keyframe -> motion -> frames          draw a video
    video -> keyframes, motion -> features, ids -> text           answer a question

What can be done with a model, and where that is told:

    answer, stream_answer                        videolavit/pipeline/understanding.py
    image, video, stream_video, continue_video   videolavit/pipeline/generation.py
    tokenize, detokenize, reconstruct, edit      videolavit/pipeline/tokenization.py

The steps that these take are in the other files of `videolavit.tasks`. Parts are loaded when they are first needed:
answering never reads a UNet. What the parts do is in `tokenizers`, `language` and `detokenizers`, which know nothing of
one another; ids, codes and pixels pass between them in `tasks` (paper, section 3).
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.components import ModelComponents
from videolavit.checkpoints.hooks import compile_steps, quantizer_of
from videolavit.checkpoints.shipped import shipped_model
from videolavit.pipeline.generation import Generation
from videolavit.pipeline.options import GenerationOptions
from videolavit.pipeline.tokenization import Coding
from videolavit.pipeline.understanding import Understanding

__all__ = ["GenerationOptions", "VideoLaVIT"]


class VideoLaVIT(Understanding, Generation, Coding):
    """A Video-LaVIT model; see the module's text. Its parts are the attributes of `Components`.

    Everything but the first argument is given by name. What draws takes `options`, or single ones of them by their own
    names, such as `seed=1, keyframe_num_inference_steps=10`, and tells `progress(stage, done, total)` how far it is.
    """

    def __repr__(self) -> str:
        return f"VideoLaVIT({self.parts.name!r}, loaded={self.parts.loaded})"

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | os.PathLike[str] | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        quantize: str | None = None,
        compile: bool = False,  # noqa: A002 - named as in torch
    ) -> VideoLaVIT:
        """Open a checkpoint in the released or the native layout; parts are loaded, or downloaded, when needed.

        Args:
            folder_or_hub_id: a folder, or `owner/name` on the hub; None for the small model that comes with this
                package.
            device: where the parts go.
            dtype: of their weights, such as `torch.bfloat16`; None for the type that they are stored in, but float32
                for what is float16 on a CPU. Codebooks and the decoder of keyframes stay float32.
            revision: branch, tag or commit on the hub.
            quantize: "int8" or "int4" for language models whose weights take so few bits; see docs/memory.md.
            compile: compile the steps of the UNets with `torch.compile`, when each is first used.

        Raises:
            CheckpointError: no such folder, and no such model on the hub; or the package was built without a model.
            ConfigError: another kind of quantisation.
        """
        source = shipped_model() if folder_or_hub_id is None else os.fspath(folder_or_hub_id)
        model = cls(ModelComponents(open_checkpoint(source, revision=revision), device=device, dtype=dtype))
        if quantize is not None:
            model.parts.adapt(quantizer_of(quantize))
        if compile:
            model.parts.adapt(compile_steps)
        return model

    def save_pretrained(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the whole model in the native layout.

        Raises:
            CheckpointError: the folder exists and is not empty, and `overwrite` is False.
        """
        self.parts.save(Path(folder), overwrite=overwrite)
