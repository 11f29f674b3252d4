"""What is evaluated, as seen from outside: words and pixels in, words and pixels out.

Tasks know nothing else of a model, so that their arithmetic can be tested with a subject that renders the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from videolavit.clip import PixelMotion

__all__ = ["Subject"]

Picture = np.ndarray
"""(height, width, 3), uint8, RGB."""
Video = np.ndarray
"""(frames, height, width, 3), uint8, RGB."""


@runtime_checkable
class Subject(Protocol):
    """What takes prompts takes a batch of them; `seeds` make what is drawn repeatable, each by itself."""

    def missing(self, parts: Sequence[str]) -> list[str]:
        """Which of these parts of a checkpoint it does not have."""
        ...

    def identity(self, parts: Sequence[str]) -> str:
        """What differs if one of these parts does: results of another subject must not be taken for this one's."""
        ...

    def num_patches(self) -> int:
        """How many visual ids a picture can have at most."""
        ...

    def num_motion_ids(self) -> int:
        """How many motion ids a clip has."""
        ...

    def motion_grid(self) -> tuple[int, int]:
        """(rows, cols) of the motion that the tokenizer reads."""
        ...

    def pictures(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Picture]:
        """What is drawn of texts."""
        ...

    def videos(
        self, prompts: Sequence[str], seeds: Sequence[int], first_frames: Sequence[Picture] | None = None
    ) -> list[Video]:
        """One clip for each text, which starts with a picture if there is one."""
        ...

    def long_videos(
        self, prompts: Sequence[str], seeds: Sequence[int], *, clips: int, noises: Sequence[str]
    ) -> list[dict[str, Video]]:
        """Several clips for each text, joined, once for every way in which a keyframe can start from the last frame."""
        ...

    def answers(
        self, questions: Sequence[str], *, video: Video | None = None, picture: Picture | None = None
    ) -> list[str]:
        """Answers to questions on one video or picture."""
        ...

    def visual_counts(self, pictures: Sequence[Picture]) -> list[int]:
        """How many visual ids each picture has."""
        ...

    def redrawn(self, picture: Picture, seed: int) -> Picture:
        """A picture through the visual tokenizer and the keyframe detokenizer."""
        ...

    def autoencoded(self, picture: Picture) -> Picture:
        """A picture through the autoencoder that the keyframe detokenizer draws in."""
        ...

    def motion_restored(self, motion: PixelMotion) -> PixelMotion:
        """Motion through the motion tokenizer, in pixels of the same picture, on the tokenizer's grid."""
        ...

    def animated(self, keyframe: Picture, motion: PixelMotion, seed: int) -> Video:
        """What the video detokenizer draws of a keyframe and its motion."""
        ...
