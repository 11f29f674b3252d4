"""Motion of clips as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from videolavit.commands._shared.console import told_seconds

if TYPE_CHECKING:
    from videolavit.video.editing.motion_profile import MotionProfile

__all__ = ["motion_rows"]


def motion_rows(profiles: Sequence[MotionProfile], *, names: bool) -> Iterator[str]:
    """A heading and a line for each clip; speeds in % of the image's width a second."""
    if not profiles:
        return
    yield f"{'start':>8} {'end':>8}  {'camera':9} {'speed':>6} {'amount':>7}  {'direction':9}" + "  file" * names
    for clip in profiles:
        times = f"{told_seconds(clip.start_seconds):>8} {told_seconds(clip.end_seconds):>8}"
        speeds = f"{100 * clip.camera_speed:6.1f} {100 * clip.amount:7.2f}"
        row = f"{times}  {clip.camera:9} {speeds}  {clip.direction:9}"
        yield f"{row}  {clip.source}" if names else row.rstrip()
