"""The model as a benchmark sees it: questions in, answers out; texts in, images and videos out.

Benchmarks know nothing else of a model, so that their arithmetic can be tested with an adapter that knows the truth,
and so that a model of another kind needs these few methods to be measured by the same code. `pipeline_adapter.py` makes
one of a `VideoLaVIT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from videolavit.clip import MotionField

__all__ = ["AnsweringModel", "Image", "ModelAdapter", "Video"]

Image = np.ndarray
"""(height, width, 3), uint8, RGB."""
Video = np.ndarray
"""(frames, height, width, 3), uint8, RGB."""


@runtime_checkable
class AnsweringModel(Protocol):
    """Methods of a model that a benchmark of questions needs."""

    def missing(self, parts: Sequence[str]) -> list[str]:
        """Those of these parts of a checkpoint that it does not have."""
        ...

    def identity(self, parts: Sequence[str]) -> str:
        """Digest that differs if one of these parts does: results of another model must not be taken for this one's."""
        ...

    def answer(
        self, questions: Sequence[str], *, images: Sequence[Any], videos: Sequence[Any], max_new_tokens: int
    ) -> list[str]:
        """Answers in words.

        Args:
            questions: each about its own image or video.
            images: for each question a path, bytes of an image file or an array, or None.
            videos: for each question a path or an array of frames, or None.
            max_new_tokens: length limit of an answer.

        Raises:
            MediaError: an image or a video cannot be read.
        """
        ...

    def option_losses(
        self, question: str, options: Sequence[str], *, image: Any = None, video: Any = None
    ) -> list[float]:
        """Mean negative log-likelihood per token of each option as the answer."""
        ...


@runtime_checkable
class ModelAdapter(AnsweringModel, Protocol):
    """Methods of a model that benchmarks of generation need.

    Those with prompts take a batch of them; `seeds` make each result repeatable by itself.
    """

    def num_patches(self) -> int:
        """Largest number of visual ids of an image."""
        ...

    def num_motion_ids(self) -> int:
        """Number of motion ids of a clip."""
        ...

    def motion_grid(self) -> tuple[int, int]:
        """(rows, cols) of the motion that the tokenizer reads."""
        ...

    def generate_images(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """Images of texts."""
        ...

    def generate_videos(
        self, prompts: Sequence[str], seeds: Sequence[int], first_frames: Sequence[Image] | None = None
    ) -> list[Video]:
        """One clip for each text, which starts with an image if there is one."""
        ...

    def generate_long_videos(
        self, prompts: Sequence[str], seeds: Sequence[int], *, clips: int, continuations: Sequence[str]
    ) -> list[dict[str, Video]]:
        """Several clips for each text, joined, once for every way in which a keyframe can start from the last frame."""
        ...

    def visual_counts(self, images: Sequence[Image]) -> list[int]:
        """Number of visual ids of each image."""
        ...

    def reconstruct_image(self, image: Image, seed: int) -> Image:
        """An image through the visual tokenizer and the keyframe detokenizer."""
        ...

    def reconstruct_video(self, video: Path, seed: int, *, keyframes: str, motion: str) -> Any:
        """A video through tokens, or with keyframes or motion kept "raw"; a `Reconstruction` of the pipeline."""
        ...

    def autoencode(self, image: Image) -> Image:
        """An image through the autoencoder of the keyframe detokenizer."""
        ...

    def reconstruct_motion(self, motion: MotionField) -> MotionField:
        """Motion through the motion tokenizer, in pixels of the same image, on the tokenizer's grid."""
        ...

    def decode_clip(self, keyframe: Image, motion: MotionField, seed: int) -> Video:
        """Frames that the video detokenizer makes of a keyframe and its motion."""
        ...
