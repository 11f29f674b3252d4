"""Options of taking a video apart."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from videolavit.config import plain_number
from videolavit.errors import ConfigError
from videolavit.plugins import MOTION_SOURCES, plugins, unknown_name
from videolavit.video.clips.selection import Selection
from videolavit.video.io.frames import as_rate
from videolavit.video.motion.reencode import Reencoding
from videolavit.video.motion.shots import CutDetectorConfig

__all__ = ["DecomposeOptions"]

_LARGEST = {"frames_per_clip": 100_000, "max_clips": 2**31, "cell": 8192, "threads": 256, "memory_bytes": 2**62}


@dataclass(frozen=True, kw_only=True, slots=True)
class DecomposeOptions:
    """Options of taking a video apart. The defaults are those of the release."""

    fps: float | int = 6.0
    """Ticks per second: frames that motion is measured between."""
    frames_per_clip: int = 24
    select: str = "reference"
    """Keyframes that start a clip: `reference`, `timeline`, `all`, `every k` or `uniform n`, see `Selection`."""
    max_clips: int = 16
    """At most so many, by the selection `reference`; the release uses 8 or 16."""
    shots: Literal["ignore", "encoder", "difference"] = "ignore"
    """Detection of cuts, at which clips end: the encoder, which sets an I-frame early, or `cut_detector`,
    which compares images and finds those too that fall where an I-frame was due."""
    motion: str = "reencode"
    """Source of motion: `reencode` as the release does, or `source`, the vectors that an H.264 or MPEG video carries
    already, which is several times faster and less exact (docs/motion.md); then keyframes are images of the source,
    `gop` ticks apart. Another package may add its own (docs/extending.md)."""
    cell: int = 16
    """Pixels per side of a cell of the motion grid."""
    reencoding: Reencoding = field(default_factory=Reencoding)
    cut_detector: CutDetectorConfig = field(default_factory=CutDetectorConfig)
    threads: int = 1
    """Of the source's decoder. One process per core is faster than one process with several threads."""
    selective: bool = True
    """Leave out decoding what no tick shows. The result does not depend on it."""
    memory_bytes: int = 256 * 2**20
    """Memory for frames until the list of keyframes is complete, where the selection needs all of it. A video that
    needs more is read twice."""

    def __post_init__(self) -> None:
        as_rate(self.fps, "fps")
        Selection.parse(self.select)
        for name, most in _LARGEST.items():
            value = plain_number(getattr(self, name))
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise ConfigError(f"got {name}={value!r}, expected 1 to {most}")
        if self.shots not in ("ignore", "encoder", "difference"):
            raise ConfigError(f"got shots={self.shots!r}, expected 'ignore', 'encoder' or 'difference'")
        if self.motion not in ("reencode", "source") and self.motion not in (others := plugins(MOTION_SOURCES)):
            raise unknown_name("source of motion", self.motion, ["reencode", "source", *others])
        if self.motion != "reencode" and self.shots == "encoder":
            raise ConfigError(
                f"shots='encoder' needs motion='reencode'; with motion={self.motion!r} take shots='difference'"
            )

    @property
    def rate(self) -> Fraction:
        """`fps` as a fraction."""
        return as_rate(self.fps, "fps")

    @property
    def hidden_frames(self) -> range:
        """Frames of a clip whose motion is not measured, because an I-frame is due there."""
        if self.motion != "reencode":
            return range(0)
        return range(self.reencoding.gop, self.frames_per_clip, self.reencoding.gop)

    def changed(self, **changes: Any) -> DecomposeOptions:
        """These options with some replaced; those of `Reencoding` may be given by their own names.

        Raises:
            ConfigError: there is no such option, or its value is out of range.
        """
        own = {option.name for option in dataclasses.fields(self)}
        encoder = {option.name for option in dataclasses.fields(Reencoding)}
        unknown = sorted(set(changes) - own - encoder)
        if unknown:
            raise ConfigError(f"unknown option {', '.join(unknown)}; known are {', '.join(sorted(own | encoder))}")
        reencoding = changes.pop("reencoding", self.reencoding)
        encoder_changes = {name: changes.pop(name) for name in encoder & set(changes)}
        return dataclasses.replace(self, reencoding=dataclasses.replace(reencoding, **encoder_changes), **changes)
