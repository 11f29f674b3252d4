"""Keyframes that clips start at (reference section 2, last paragraphs). Pure: ticks in, ticks out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from videolavit.errors import ConfigError

__all__ = ["Selection", "select_clips"]


_PLAIN_RULES = ("reference", "timeline", "all")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """A rule that picks clip starts from the list of keyframes; written as text such as `every 2`.

    `reference`: the released model's rule for understanding. `timeline`: clips that follow one another and together are
    the video. `all`: every keyframe, so clips overlap where they are
    longer than the distance of keyframes. `every k`: the first keyframe and each k-th after it. `uniform n`: n
    keyframes evenly spaced over the list, or all where there are fewer.
    """

    rule: Literal["reference", "timeline", "all", "every", "uniform"] = "reference"
    count: int = 1
    """k of `every k`, n of `uniform n`."""

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read `reference`, `timeline`, `all`, `every k` or `uniform n`; a hyphen or colon may stand for the space.

        Raises:
            ConfigError: it is none of these.
        """
        if text in _PLAIN_RULES:
            return cls(rule=text)
        match = re.fullmatch(r"(every|uniform)[ :-]([1-9][0-9]{0,8})", text) if isinstance(text, str) else None
        if match is None:
            raise ConfigError(
                f"got the selection {text!r}, expected 'timeline', 'all', 'reference', 'every-K' or 'uniform-N' with a "
                "positive number, such as 'every-2'"
            )
        return cls(rule="every" if match[1] == "every" else "uniform", count=int(match[2]))

    @property
    def needs_whole_list(self) -> bool:
        """True if the choice depends on keyframes yet to come."""
        return self.rule in ("reference", "uniform")

    def takes(self, position: int) -> bool:
        """True if the keyframe at this position starts a clip, for rules that need not know the whole list."""
        return position % self.count == 0

    def __str__(self) -> str:
        return self.rule if self.rule in _PLAIN_RULES else f"{self.rule} {self.count}"


def select_clips(
    keyframes: Sequence[int],
    num_ticks: int,
    *,
    select: str | Selection = "reference",
    max_clips: int = 16,
    frames_per_clip: int = 24,
    gop: int = 12,
    shot_ends: Sequence[int] | None = None,
) -> list[int]:
    """Ticks that clips start at.

    Args:
        keyframes: ticks of the I-frames, increasing.
        num_ticks: length of the video.
        select: the rule, see `Selection`.
        max_clips: at most so many, for the rule `reference`.
        frames_per_clip: frames that a clip has where nothing cuts it short.
        gop: distance of I-frames that no scene change moved.
        shot_ends: for every keyframe the tick that its shot ends before, where clips must not cross a cut.
    """
    selection = Selection.parse(select) if isinstance(select, str) else select
    if selection.rule == "reference":
        ends = [num_ticks] * len(keyframes) if shot_ends is None else shot_ends
        return _reference(list(keyframes), list(ends), max_clips, frames_per_clip, gop)
    if selection.rule == "uniform":
        return _evenly_spaced(list(keyframes), selection.count)
    return [tick for position, tick in enumerate(keyframes) if selection.takes(position)]


def _reference(keyframes: list[int], ends: list[int], max_clips: int, frames_per_clip: int, gop: int) -> list[int]:
    followed = range(len(keyframes) - 1) if len(keyframes) > 1 else range(len(keyframes))
    candidates = [
        keyframes[i]
        for i in followed
        if (len(keyframes) == 1 or keyframes[i + 1] - keyframes[i] == gop) and ends[i] - keyframes[i] >= frames_per_clip
    ]
    starts = candidates if len(candidates) >= 2 else keyframes
    if len(starts) <= 2:
        return starts[:1]
    # Only more than 2 * max_clips are thinned: 2 * max_clips + 1 leave max_clips as it is.
    return _evenly_spaced(starts[1::2], max_clips)


def _evenly_spaced(ticks: list[int], count: int) -> list[int]:
    if len(ticks) <= count:
        return ticks
    return [ticks[i] for i in np.linspace(0, len(ticks) - 1, count).astype(int)]
