"""The options by which commands take videos apart, as a user of the command line meets them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from tyro.conf import arg

from videolavit.errors import ConfigError, MediaError, VideoLaVITError
from videolavit.video import DecomposeOptions, Limits, probe
from videolavit.video.io.images import image_kind

_ENCODER = ("slices", "codec", "four_vectors", "quarter_pel")

__all__ = ["ClipOptions", "CodingOptions", "is_film", "refuse_pipe", "refuse_still"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodingOptions:
    """Options by which keyframes and motion are found. The defaults are those of the released model."""

    motion: Annotated[str, arg(metavar="reencode|source")] = "reencode"
    """From re-encoding, as the release does, or from the vectors that an H.264 or MPEG video already carries: several
    times faster, less exact. Or the name of a plug-in (docs/extending.md)."""
    slices: int = 16
    """Parts that the encoder cuts an image into; motion search does not cross them."""
    gop: int = 12
    """Frames from one keyframe to the next."""
    codec: Literal["mpeg4", "h264"] = "mpeg4"
    """To re-encode with. h264 has quarter pels and blocks down to 8 x 8, and is not what the release saw."""
    four_vectors: bool = False
    """Let mpeg4 give a block of 16 x 16 one vector for each quarter; goes with --cell 8."""
    quarter_pel: bool = False
    """Let mpeg4 use quarters of a pixel."""
    cell: int = 16
    """Pixels per side of a cell of the motion grid."""
    fps: float = 6.0
    """Frames per second of the clips."""
    frames_per_clip: int = 24
    """Frames of a clip, its keyframe included."""
    shots: Literal["ignore", "encoder", "difference"] | None = None
    """Let clips end at cuts, found by the encoder or by comparing images. By default `difference`, but `ignore` with
    `--select reference`."""
    limits: Limits = field(default_factory=Limits)
    """Limits of what is read, against files made to exhaust memory or time."""

    def for_library(self) -> DecomposeOptions:
        """The same for `iter_clips`, but for the limits. Raises `ConfigError` for an option out of range."""
        changes = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "limits"}
        if changes["shots"] is None:
            changes["shots"] = "ignore" if changes.get("select") == "reference" else "difference"
        if self.motion == "source":
            self._refuse_encoder_options()
        return DecomposeOptions().changed(**changes)

    def _refuse_encoder_options(self) -> None:
        usual = CodingOptions()
        names = [name for name in _ENCODER if getattr(self, name) != getattr(usual, name)]
        if names:
            option = "--" + names[0].replace("_", "-")
            raise ConfigError(f"{option} is for an encoder, and --motion source runs none; leave one of them out")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipOptions(CodingOptions):
    """Options that the clips of a video depend on. By default the clips are all of the video."""

    select: Annotated[str, arg(metavar="timeline|all|reference|every-K|uniform-N")] = "timeline"
    """Keyframes that start a clip. `timeline`: clips follow one another and are all of the video. `reference`: those
    that the released model is shown with a question; the first seconds are not among them."""
    max_clips: int = 16
    """At most so many clips per video, with `--select reference`; the release uses 8 or 16."""


def refuse_pipe(file: str) -> None:
    """Commands that read a video more than once cannot read pipes: the second time would wait for ever.

    Raises:
        MediaError: `file` exists and is a pipe or a device.
    """
    if os.path.exists(file) and not (os.path.isfile(file) or os.path.isdir(file)):
        raise MediaError(f"{file}: is a pipe or a device, which can be read once only; save the video to a file first")


def refuse_still(file: str, hint: str = "") -> None:
    """Raise `MediaError` for an image where something that moves is expected; `hint` says what to try."""
    if os.path.isfile(file) and image_kind(file) == "image":
        raise MediaError(f"{file}: is a still image, not a video{hint}")


def is_film(file: str) -> bool:
    """True for a file that can be read as a video and not as an image."""
    if not os.path.isfile(file) or image_kind(file) is not None:
        return False
    try:
        probe(file)
    except VideoLaVITError:
        return False
    return True
