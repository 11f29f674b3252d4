"""Frames to files: MP4, WebM, GIF, animated WebP, or a sheet in PNG or JPEG; metadata into them, and back.

A file appears under its name only when it is complete. Until then it has a temporary name in the same folder, which
is removed whatever happens: an exception from the frames, Ctrl-C, a full disk.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from videolavit.config import plain_number
from videolavit.errors import MediaError, OutputError
from videolavit.jobs.partial_files import followed, unfinished_path
from videolavit.video.io.open import open_video

__all__ = [
    "EXTENSIONS",
    "LEAST_FPS",
    "MOST_FPS",
    "WRITING_OPTIONS",
    "check_crf",
    "check_output",
    "complete_or_absent",
    "file_url",
    "metadata_text",
    "read_metadata",
    "with_first",
    "write_video",
    "yuv_frame",
]

EXTENSIONS = (".mp4", ".webm", ".gif", ".webp", ".png", ".jpg", ".jpeg")
"""Of the formats that `write_video` writes."""
LEAST_FPS, MOST_FPS = 0.01, 1000
"""Frames per second that a file may have."""
WRITING_OPTIONS = ("fps", "metadata", "crf", "columns")
"""Options of `write_video`."""

Item = TypeVar("Item")
_Writer = Callable[[Iterator[np.ndarray], Path, Fraction, str], None]
_LONGEST_SIDE = {".gif": 65535, ".webp": 16383}


def write_video(
    frames: Iterable[np.ndarray],
    path: str | os.PathLike[str],
    *,
    fps: int | float | Fraction = 6,
    metadata: Mapping[str, Any] | None = None,
    crf: int = 18,
    columns: int | None = None,
) -> Path:
    """Write frames in the format that the extension names; equal frames give equal bytes.

    - `.mp4`: H.264, yuv420p, index at the front. Frames are encoded as they come, so an iterator of any length takes
      flat memory. H.264 in this format needs even sides: an odd one grows by a copy of its last row or column.
      Colours are BT.601, which `decompose` takes every video for, and are tagged as such for players.
    - `.webm`: VP9, for web pages; otherwise as `.mp4`.
    - `.gif`: one palette for all frames, dithered, repeated for ever. Sides up to 65535.
    - `.webp`: animated, repeated for ever. Sides up to 16383.
    - `.png`, `.jpg`: a sheet, frames in reading order, `columns` in a row (by default about a square).

    Args:
        frames: RGB, each (height, width, 3) uint8 and all of one size; an array (frames, height, width, 3) will do.
        path: an existing file is replaced.
        fps: frames per second. GIF knows hundredths of a second and WebP thousandths; their errors do not add up.
        metadata: prompt, seed, options and the like; what JSON cannot hold is written as `str`. `read_metadata`
            gives it back.
        crf: quality of MP4, 0 (lossless) to 51; smaller is better and larger in bytes.
        columns: frames in a row of a sheet.

    Returns:
        The path that was written.

    Raises:
        OutputError: unknown extension, no such folder, no space, or frames that do not make a video.
    """
    path = Path(path)
    writers: dict[str, _Writer] = {
        ".mp4": partial(_write_mp4, crf=crf),
        ".gif": _write_gif,
        ".webp": _write_webp,
        ".webm": partial(_write_webm, crf=crf),
        ".png": partial(_write_sheet, columns=columns),
        ".jpg": partial(_write_sheet, columns=columns),
        ".jpeg": partial(_write_sheet, columns=columns),
    }
    check_output(path)
    fps = plain_number(fps)
    if isinstance(fps, bool) or not isinstance(fps, int | float | Fraction) or not LEAST_FPS <= fps <= MOST_FPS:
        raise OutputError(f"got fps {fps!r}, expected a number from {LEAST_FPS} to {MOST_FPS}")
    check_crf(crf)
    _check_columns(columns)
    note = metadata_text(metadata)
    write = writers[path.suffix.lower()]
    with complete_or_absent(path) as unfinished:
        write(_checked(frames), unfinished, Fraction(fps).limit_denominator(1001), note)
    return path


def check_crf(crf: int) -> None:
    """Refuse a quality that x264 does not know and would take for another.

    Raises:
        OutputError: it is no whole number from 0 to 51.
    """
    value = plain_number(crf)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 51:
        raise OutputError(f"got crf={crf!r}, expected a whole number from 0 (lossless) to 51")


def _check_columns(columns: Any) -> None:
    value = plain_number(columns)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise OutputError(f"got columns={columns!r}, expected a whole number of at least 1")


def metadata_text(metadata: Mapping[Any, Any] | None) -> str:
    """Metadata as a file holds them, by the names of their entries in order.

    Raises:
        OutputError: they have no names.
    """
    if metadata is not None and not isinstance(metadata, Mapping):
        raise OutputError(f"got metadata of type {type(metadata).__name__}, expected a dictionary")
    return json.dumps({str(name): value for name, value in (metadata or {}).items()}, sort_keys=True, default=str)


def check_output(path: str | os.PathLike[str], extensions: Sequence[str] = EXTENSIONS) -> None:
    """Tell before the work that its result could not be written.

    Raises:
        OutputError: unknown extension, no such folder or one that may not be written to, or `path` is itself a folder.
    """
    path = Path(path)
    if path.suffix.lower() not in extensions:
        raise OutputError(f"{path}: unknown extension {path.suffix!r}, expected one of {', '.join(extensions)}")
    _check_place(path)


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place on success and disappears on anything else.

    A link keeps pointing where it does, and the file there is replaced.

    Raises:
        OutputError: there is no such folder, no space, or `path` is itself a folder, a pipe or a device.
    """
    _check_place(path)
    path = followed(path)
    _check_place(path)
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OutputError:
        raise
    except (OSError, FFmpegError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from error
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Metadata that `write_video` was given; empty where a file carries none.

    Raises:
        MediaError: the file is none of these formats, or cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a folder, expected an image or a video that videolavit wrote")
    try:
        note = _read_note(path)
    except FileNotFoundError as error:
        raise MediaError(f"{path}: no such file; relative paths start at {os.getcwd()!r}") from error
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise MediaError(
            f"{path}: cannot read metadata: {error}; expected an image or a video that videolavit wrote"
        ) from error
    try:
        values = json.loads(note or "{}")
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _read_note(path: Path) -> str:
    if path.suffix.lower() in (".mp4", ".webm"):
        with open_video(path) as video:  # and not PyAV itself: the file may be from anywhere
            notes = video.container.metadata
            return notes.get("comment", notes.get("COMMENT", ""))
    with Image.open(path) as image:
        if image.format == "WEBP":
            return str(image.getexif().get(ExifTags.Base.ImageDescription, ""))
        note = image.info.get("comment", "")
    return note.decode("utf-8", "replace") if isinstance(note, bytes) else str(note)


def _check_place(path: Path) -> None:
    if "\0" in str(path):
        raise OutputError(f"got {str(path)!r} as the name of a file, which may hold no NUL")
    try:
        path.exists()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    if path.is_dir():
        raise OutputError(f"{path} is a folder, expected the name of a file to write")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is a pipe or a device, expected the name of a file to write")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {path.parent} may not be written to; choose another one")


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same frames, or an error at the first that does not belong; an error if there is none."""
    size: tuple[int, ...] | None = None
    for i, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            got = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise OutputError(f"frame {i}: got {got}, expected an array (height, width, 3) of uint8")
        if frame.size == 0 or (size is not None and frame.shape != size):
            expected = "at least one pixel" if size is None else f"{size[:2]} as those before"
            raise OutputError(f"frame {i}: got an image of {frame.shape[:2]}, expected {expected}")
        size = frame.shape
        yield frame
    if size is None:
        raise OutputError("got no frames, expected at least one")


# MP4


def _write_mp4(frames: Iterator[np.ndarray], path: Path, fps: Fraction, note: str, *, crf: int) -> None:
    first = next(frames)
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(file_url(path), "w", format="mp4", container_options=options) as container:
        container.metadata["comment"] = note
        stream = _h264_stream(container, first, fps, crf)
        for i, frame in enumerate(with_first(first, frames)):
            container.mux(stream.encode(yuv_frame(frame, i)))
        container.mux(stream.encode(None))


def _write_webm(frames: Iterator[np.ndarray], path: Path, fps: Fraction, note: str, *, crf: int) -> None:
    first = next(frames)
    with av.open(file_url(path), "w", format="webm", container_options={"fflags": "+bitexact"}) as container:
        container.metadata["comment"] = note
        stream = container.add_stream("libvpx-vp9", rate=fps, options={"crf": str(crf), "b": "0", "row-mt": "0"})
        _set_picture(stream, first, fps, threads=1)
        for i, frame in enumerate(with_first(first, frames)):
            container.mux(stream.encode(yuv_frame(frame, i)))
        container.mux(stream.encode(None))


def _h264_stream(container: Any, frame: np.ndarray, fps: Fraction, crf: int) -> VideoStream:
    stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "medium"})
    # x264's result depends on the number of threads, so it must not be that of the machine.
    _set_picture(stream, frame, fps, threads=4)
    return stream


def _set_picture(stream: VideoStream, frame: np.ndarray, fps: Fraction, *, threads: int) -> None:
    """Size, colours and clock of frames like this one."""
    height, width = (side + side % 2 for side in frame.shape[:2])
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / fps
    context.thread_count = threads
    context.colorspace = context.color_primaries = context.color_trc = Colorspace.SMPTE170M.value
    context.color_range = ColorRange.MPEG.value


def yuv_frame(frame: np.ndarray, index: int) -> VideoFrame:
    """RGB as yuv420p, BT.601; an odd side grows by a copy of its last row or column."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    image = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    image = image.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601, threads=1)
    image.pts = index
    return image


def file_url(path: Path) -> str:
    """A form that libav takes for a file whatever characters the name has."""
    return f"file:{path.absolute()}"


def with_first(first: Item, rest: Iterator[Item]) -> Iterator[Item]:
    """An item and those behind it."""
    yield first
    yield from rest


# Images


def _write_gif(frames: Iterator[np.ndarray], path: Path, fps: Fraction, note: str) -> None:
    images = _images(frames, path)
    palette = _common_palette(images)
    indexed = [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
    durations = _durations(len(images), fps, per_second=100)
    indexed[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=[10 * duration for duration in durations],
        loop=0,
        comment=note.encode(),
        optimize=False,
    )


def _images(frames: Iterator[np.ndarray], path: Path) -> list[Image.Image]:
    images = [Image.fromarray(frame) for frame in frames]
    longest = max(images[0].size)
    if longest > _LONGEST_SIDE[path.suffix]:
        raise OutputError(f"got images of {longest} pixels, {path.suffix} takes {_LONGEST_SIDE[path.suffix]}; try .mp4")
    return images


def _common_palette(images: list[Image.Image]) -> Image.Image:
    """256 colours for a whole video, so that its still parts do not flicker: from up to 16 frames, made small."""
    chosen = [images[i] for i in np.unique(np.linspace(0, len(images) - 1, 16).astype(int))]
    small = [image.resize((max(1, min(image.width, 256)), max(1, min(image.height, 256)))) for image in chosen]
    sheet = np.concatenate([np.asarray(image) for image in small])
    return Image.fromarray(sheet).quantize(256, method=Image.Quantize.MEDIANCUT)


def _durations(count: int, fps: Fraction, *, per_second: int) -> list[int]:
    """Duration of each frame, in units of a format; rounding errors do not add up."""
    ends = [max(i, round(i * per_second / fps)) for i in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _write_webp(frames: Iterator[np.ndarray], path: Path, fps: Fraction, note: str) -> None:
    images = _images(frames, path)
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = note
    images[0].save(
        path,
        format="WEBP",
        save_all=True,
        append_images=images[1:],
        duration=_durations(len(images), fps, per_second=1000),
        loop=0,
        quality=90,
        method=4,
        exif=exif,
    )


def _write_sheet(frames: Iterator[np.ndarray], path: Path, _fps: Fraction, note: str, *, columns: int | None) -> None:
    images = list(frames)
    height, width = images[0].shape[:2]
    columns = columns or math.ceil(math.sqrt(len(images) * height / width))
    columns = min(max(1, columns), len(images))
    rows = math.ceil(len(images) / columns)
    sheet = np.zeros((rows, columns, height, width, 3), np.uint8)
    for i, image in enumerate(images):
        sheet[divmod(i, columns)] = image
    image = Image.fromarray(sheet.swapaxes(1, 2).reshape(rows * height, columns * width, 3))
    if path.suffix.lower() != ".png":
        # A comment in JPEG holds 65533 bytes; the sheet is worth more than a note that is longer.
        image.save(path, format="JPEG", quality=95, subsampling=0, comment=note.encode() if len(note) < 65000 else b"")
        return
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", note)
    image.save(path, format="PNG", pnginfo=text)
