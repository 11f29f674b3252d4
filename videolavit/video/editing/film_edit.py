"""`edit_film`: a video reversed, slowed, hurried, stopped, retimed or steadied, at its own size and with its sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from videolavit.errors import ConfigError
from videolavit.video.editing.camera_path import Steadying, moved_image, steadying
from videolavit.video.editing.frame_reader import FrameReader
from videolavit.video.editing.timing import Pause, Piece, Timing, check_speed, parse_pieces
from videolavit.video.io.frames import as_rate
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import VideoReader, open_video
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.pixels import rgb_array, to_yuv420p
from videolavit.video.io.sound import SoundReader, at_speed, exactly, silence
from videolavit.video.io.sources import Source
from videolavit.video.io.write import check_output, write_video
from videolavit.video.io.write_film import FILM_EXTENSIONS, Sound, write_film

__all__ = ["Film", "FilmEdit", "FilmProgress", "Upright", "cut_out", "edit_film", "film_sound", "save_frames"]

MOST_FROZEN_SECONDS = 3600
"""Longest time that a video stands still at a moment."""

FilmProgress = Callable[[str, int, int], None]
"""Called with what is done, how many frames of it are, and how many there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmEdit:
    """Changes of a video, made in this order: steady camera, pieces, stop, speed, direction."""

    reverse: bool = False
    speed: float | int = 1.0
    """0.5 takes twice as long, 2 half as long; sound keeps its pitch."""
    retime: str | None = None
    """Pieces with a speed each, as `parse_pieces` reads them; what no piece names is left out."""
    freeze: bool = False
    """The first image stands still for the whole length, in silence."""
    freeze_at: float | int | None = None
    """Second of the video at which it stands still for `freeze_for` seconds."""
    freeze_for: float | int = 1.0
    """Seconds, at most `MOST_FROZEN_SECONDS`."""
    stabilise: bool = False
    mute: bool = False
    """Leave the sound out."""

    def __post_init__(self) -> None:
        check_speed(self.speed)
        if self.speed < 0:
            raise ConfigError(f"got a speed of {self.speed:g}, expected above 0; reverse runs a video backwards")
        if self.freeze and (self.reverse or self.retime or self.freeze_at is not None or self.speed != 1):
            raise ConfigError("a video that stands still all the time has no speed or direction; leave out freeze")
        if not 0 < self.freeze_for <= MOST_FROZEN_SECONDS:  # refuses NaN, too
            raise ConfigError(
                f"got freeze_for={self.freeze_for:g}, expected more than 0 and at most {MOST_FROZEN_SECONDS} seconds"
            )
        if self.freeze_at is not None:
            Pause(at=self.freeze_at, seconds=self.freeze_for)

    @property
    def changes_nothing(self) -> bool:
        """True if the result would be the video itself."""
        return self == FilmEdit(freeze_for=self.freeze_for)

    def timing(self, seconds: float | int) -> Timing:
        """Pieces of a video of so many seconds.

        Raises:
            ConfigError: a piece, or the stop, lies outside of the video.
        """
        if self.freeze:
            return Timing(parts=(Pause(at=0.0, seconds=seconds),))
        if self.retime is not None:
            timing = parse_pieces(self.retime, seconds)
        else:
            timing = Timing(parts=(Piece(start=0.0, end=seconds),))
        if self.freeze_at is not None:
            timing = timing.with_pause(Pause(at=self.freeze_at, seconds=self.freeze_for))
        timing = timing.faster(self.speed)
        return timing.reversed() if self.reverse else timing


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """A video that was written."""

    path: Path
    num_frames: int
    height: int
    width: int
    fps: float | int
    has_sound: bool

    @property
    def seconds(self) -> float:
        """Length."""
        return self.num_frames / self.fps


def edit_film(
    source: Source,
    path: str | os.PathLike[str],
    edit: FilmEdit | None = None,
    *,
    fps: float | int | None = None,
    limits: Limits | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: FilmProgress | None = None,
    **changes: Any,
) -> Film:
    """Edit a video without a model, at its own size, rate and with its sound.

    Args:
        source: a path, the bytes of a file, or a file object that can seek.
        path: `.mp4` and `.webm` with sound, `.gif`, `.webp`, `.png`, `.jpg` without.
        edit: what changes.
        fps: frames per second of the result; by default those of the video.
        limits: what to refuse.
        metadata: written into the file.
        progress: see `FilmProgress`.
        changes: fields of `FilmEdit` by name: `edit_film("a.mp4", "b.mp4", reverse=True)`.

    Raises:
        MediaError: there is no such file, it is not a video, or it comes from a pipe.
        ConfigError: the edit makes no sense for this video.
        OutputError: the result cannot be written.
    """
    edit = _changed(edit or FilmEdit(), changes)
    with open_video(source, limits=limits) as video, film_sound(source, path, limits, mute=edit.mute) as track:
        reader = FrameReader(video)
        rate = reader.rate if fps is None else as_rate(fps, "fps")
        timing = edit.timing(reader.seconds)
        counts = timing.num_frames(rate)
        counts = counts if any(counts) else [1, *counts[1:]]  # of the shortest one frame stays
        if edit.stabilise:
            usual = round(reader.seconds * float(reader.rate))
            steady = steadying(reader, lambda done: _tell(progress, "find the camera", done, usual))
        else:
            steady = None
        with closing(_counted(_frames(reader, timing, counts, rate, steady), sum(counts), progress)) as frames:
            return save_frames(frames, path, fps=rate, video=video, sound=track(timing), metadata=metadata)


def _changed(edit: FilmEdit, changes: Mapping[str, Any]) -> FilmEdit:
    known = {field.name for field in fields(edit)}
    if unknown := sorted(set(changes) - known):
        raise ConfigError(f"got {', '.join(unknown)}, expected fields of FilmEdit: {', '.join(sorted(known))}")
    return replace(edit, **changes)


def cut_out(
    source: Source,
    path: str | os.PathLike[str],
    start: float | int,
    end: float | int,
    *,
    limits: Limits | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Film:
    """Write the part of a video from one second to another, with its sound.

    Raises:
        MediaError: there is no such file, it is not a video, or it comes from a pipe.
        ConfigError: there is no such part.
        OutputError: the result cannot be written.
    """
    timing = Timing(parts=(Piece(start=start, end=end),))
    with open_video(source, limits=limits) as video, film_sound(source, path, limits) as track:
        reader = FrameReader(video)
        counts = [max(1, *timing.num_frames(reader.rate))]
        with closing(_frames(reader, timing, counts, reader.rate, None)) as frames:
            return save_frames(frames, path, fps=reader.rate, video=video, sound=track(timing), metadata=metadata)


@contextmanager
def film_sound(
    source: Source, path: str | os.PathLike[str], limits: Limits | None = None, *, mute: bool = False
) -> Iterator[Callable[[Timing], Sound | None]]:
    """A function from a timing to the sound that goes with it, None where source or target have none."""
    if mute or Path(path).suffix.lower() not in FILM_EXTENSIONS:
        yield lambda timing: None
        return
    with SoundReader(source, limits=limits) as reader:
        yield lambda timing: _track(reader, timing) if reader.rate else None


def save_frames(
    frames: Iterator[VideoFrame],
    path: str | os.PathLike[str],
    *,
    fps: Fraction,
    video: VideoReader,
    sound: Sound | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Film:
    """Write upright yuv420p frames of a video in the format that the extension names.

    Raises:
        OutputError: the result cannot be written.
    """
    path = Path(path)
    check_output(path)
    seen = _Seen()
    if path.suffix.lower() in FILM_EXTENSIONS:
        colors = None if _is_rgb(video) else video.stream.codec_context
        write_film(seen.passed(frames), path, fps=fps, sound=sound, colors=colors, metadata=metadata)
    else:
        write_video((rgb_array(frame) for frame in seen.passed(frames)), path, fps=fps, metadata=metadata)
    return Film(
        path=path,
        num_frames=seen.count,
        height=seen.height,
        width=seen.width,
        fps=float(fps),
        has_sound=sound is not None,
    )


def _is_rgb(video: VideoReader) -> bool:
    pixel_format = video.stream.codec_context.format
    return pixel_format is not None and pixel_format.is_rgb


class _Seen:
    """Number and size of the frames that went through."""

    def __init__(self) -> None:
        self.count = self.height = self.width = 0

    def passed(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            self.count += 1
            self.height, self.width = frame.height, frame.width
            yield frame


def _frames(
    reader: FrameReader, timing: Timing, counts: list[int], rate: Fraction, steady: Steadying | None
) -> Generator[VideoFrame, None, None]:
    """The frames of the result, upright and of one size."""
    upright = Upright()
    for part, count in zip(timing.parts, counts, strict=True):
        if not count:
            continue
        for timed in reader.shown(part, count, rate):
            image = upright(timed.frame)
            yield image if steady is None else moved_image(image, steady.at(timed.seconds))


class Upright:
    """Frames as displayed, of the first one's size; one that is shown again is not turned again."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._orientation = Orientation()
        self._last: tuple[VideoFrame, VideoFrame] | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        if self._size is None:
            self._size, self._orientation = (frame.width, frame.height), Orientation.of(frame)
        if self._last is None or self._last[0] is not frame:
            self._last = frame, self._orientation.apply(to_yuv420p(frame, *self._size))
        return self._last[1]


def _counted(
    frames: Iterator[VideoFrame], total: int, progress: FilmProgress | None
) -> Generator[VideoFrame, None, None]:
    for index, frame in enumerate(frames):
        yield frame
        _tell(progress, "write", index + 1, total)


def _tell(progress: FilmProgress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)


def _track(reader: SoundReader, timing: Timing) -> Sound:
    return Sound(samples=_sound(reader, timing), rate=reader.rate, layout=reader.layout)


def _sound(reader: SoundReader, timing: Timing) -> Iterator[np.ndarray]:
    """Samples of the parts in turn; each is as long as its images are shown, whatever rounding left over."""
    position, written = 0.0, 0
    for part in timing.parts:
        position += part.seconds
        count = round(position * reader.rate) - written
        written += count
        yield from exactly(_part_sound(reader, part), count, reader.channels)


def _part_sound(reader: SoundReader, part: Piece | Pause) -> Iterator[np.ndarray]:
    if isinstance(part, Pause):
        yield silence(0, reader.channels)
        return
    read = reader.between if part.speed > 0 else reader.backwards
    yield from at_speed(read(part.start, part.end), abs(part.speed), reader.rate, reader.layout)
