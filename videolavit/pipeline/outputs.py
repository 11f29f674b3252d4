"""Results of the pipeline: answers, images, videos, and the codes between."""

from __future__ import annotations

import base64
import html
import io
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from videolavit.clip_tokens import ClipTokens
from videolavit.config import refuse_unknown, true_or_false
from videolavit.errors import OutputError, ShapeError
from videolavit.language.conversation import Turn
from videolavit.language.prompts import Moment, VideoInput
from videolavit.video.io.write import EXTENSIONS, WRITING_OPTIONS, complete_or_absent, write_video

__all__ = ["Answer", "ClipTokens", "GeneratedImage", "GeneratedVideo", "Reconstruction", "encoded"]

_ELSEWHERE = {
    "quality": "crf=, 0 (lossless) to 51, of .mp4 and .webm",
    "exist_ok": "overwrite=",
    "duration": "fps=",
    "pnginfo": "metadata=",
    "exif": "metadata=",
}
"""Names of options of Pillow and others, and what stands for them here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer in words."""

    text: str
    question: str
    num_prompt_ids: int
    """Length of the prompt, features of images included."""
    num_ids: int
    """Length of the answer."""
    turns: tuple[Turn, ...] = field(repr=False, compare=False)
    """The conversation up to here, what was shown in it included: pass the answer as `history=` to go on."""
    timings: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)
    """Seconds of each step of the work."""

    def __str__(self) -> str:
        return self.text

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Clips of a memory that this question was asked about, in order of time; none of ordinary videos."""
        videos = [one for one in self.turns[-1:] for one in one.media if isinstance(one, VideoInput)]
        return tuple(clip.moment for video in videos for clip in video.clips if clip.moment is not None)

    @property
    def seconds(self) -> float:
        """Seconds that the work took."""
        return sum(self.timings.values(), 0.0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedImage:
    """An image and where it came from."""

    pixels: UInt8[np.ndarray, "height width 3"]
    tokens: ClipTokens
    ids: Int[Tensor, "n"]
    """Prompt and image in the unified vocabulary: the context of what may follow."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Prompt, seed, options and model; written into files."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each step of the work."""

    def __repr__(self) -> str:
        return f"GeneratedImage({'x'.join(map(str, self.pixels.shape[:2]))}, {self.tokens})"

    @property
    def frames(self) -> UInt8[np.ndarray, "1 height width 3"]:
        """The image as a video of one frame."""
        return self.pixels[None]

    @property
    def pil(self) -> Image.Image:
        """The image for Pillow."""
        return Image.fromarray(self.pixels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.pixels, dtype=dtype, copy=copy)

    def _repr_png_(self) -> bytes:
        """The image for a notebook."""
        return encoded(self.frames, ".png", fps=1)

    @property
    def seconds(self) -> float:
        """Seconds that the work took."""
        return sum(self.timings.values(), 0.0)

    def save(
        self,
        path: str | os.PathLike[str] | io.BufferedIOBase | BinaryIO,
        *,
        overwrite: bool = True,
        format: str | None = None,  # noqa: A002 - named as in Pillow
        **options: Any,
    ) -> Path | None:
        """Write a `.png`, or any other format of `videolavit.video.write_video`, with the metadata inside.

        Args:
            path: a file whose extension names the format, or an open binary file such as `io.BytesIO()`.
            overwrite: replace a file that exists.
            format: such as "png", whatever the extension; an open file without a name that tells it becomes a PNG.
            options: of `write_video`, in place of the image's own, such as `metadata={}`.

        Raises:
            OutputError: another extension, no such folder, no space; the file exists and may not be overwritten; or an
                option is out of range.
            ConfigError: an option does not exist.
        """
        options = {"fps": 1, "metadata": self.metadata, **options}
        return _save(self.frames, path, overwrite, format, ".png", options)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedVideo:
    """Frames and where they came from."""

    frames: UInt8[np.ndarray, "frames height width 3"]
    fps: float
    tokens: tuple[ClipTokens, ...]
    """One per clip."""
    ids: Int[Tensor, "n"]
    """Prompt and clips in the unified vocabulary: the context of what may follow."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Prompt, seed, options and model; written into files."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each step of the work."""

    def __repr__(self) -> str:
        frames, height, width, _ = self.frames.shape
        name, clips = type(self).__name__, f"{len(self.tokens)} clips" if self.tokens else "no tokens"
        return f"{name}({frames} frames of {height}x{width} at {self.fps:g} fps, {clips})"

    @property
    def seconds(self) -> float:
        """Seconds that the work took."""
        return sum(self.timings.values(), 0.0)

    @property
    def duration_seconds(self) -> float:
        """Seconds that the video lasts."""
        return len(self.frames) / self.fps

    @classmethod
    def join(cls, parts: Iterable[GeneratedVideo]) -> GeneratedVideo:
        """One video of parts that go on from one another, as `VideoLaVIT.stream_video` gives them.

        Raises:
            ShapeError: no part, parts of different sizes or frame rates, or something else than parts.
        """
        if isinstance(parts, GeneratedVideo) or not isinstance(parts, Iterable):
            raise ShapeError(f"got a {type(parts).__name__}, expected a list of parts, as stream_video gives them")
        parts = list(parts)
        if others := sorted({type(part).__name__ for part in parts if not isinstance(part, GeneratedVideo)}):
            raise ShapeError(f"got {', '.join(others)} among the parts, expected videos, as stream_video gives them")
        if len({part.frames.shape[1:] for part in parts}) != 1:
            sizes = [part.frames.shape[1:3] for part in parts]
            raise ShapeError(f"got parts of the sizes {sizes}, expected at least one part and one common size")
        if len({part.fps for part in parts}) != 1:
            raise ShapeError(f"got parts of {[part.fps for part in parts]} frames per second, expected one common rate")
        return cls(
            frames=np.concatenate([part.frames for part in parts]),
            fps=parts[0].fps,
            tokens=tuple(clip for part in parts for clip in part.tokens),
            ids=parts[-1].ids,
            metadata=parts[-1].metadata,
            timings=_added([part.timings for part in parts]),
        )

    @property
    def pil(self) -> list[Image.Image]:
        """The frames for Pillow."""
        return [Image.fromarray(frame) for frame in self.frames]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.frames, dtype=dtype, copy=copy)

    def _repr_html_(self) -> str:
        """The video for a notebook: it plays by itself, again and again."""
        frames, height, width, _ = self.frames.shape
        if not frames:
            return html.escape(repr(self))
        data = base64.b64encode(encoded(self.frames, ".mp4", fps=self.fps)).decode("ascii")
        size = f'width="{2 * width if width <= 256 else width}"'
        source = f'<video {size} controls autoplay loop muted playsinline src="data:video/mp4;base64,{data}"></video>'
        shown = "1 frame" if frames == 1 else f"{frames} frames"
        return f"{source}<br>{shown} of {width} x {height} at {self.fps:g} per second"

    def save(
        self,
        path: str | os.PathLike[str] | io.BufferedIOBase | BinaryIO,
        *,
        overwrite: bool = True,
        format: str | None = None,  # noqa: A002 - named as in Pillow
        **options: Any,
    ) -> Path | None:
        """Write an `.mp4`, `.webm`, `.gif`, `.webp`, or a sheet as `.png` or `.jpg`.

        Args:
            path: a file whose extension names the format, or an open binary file such as `io.BytesIO()`.
            overwrite: replace a file that exists.
            format: such as "gif", whatever the extension; an open file without a name that tells it becomes an MP4.
            options: of `videolavit.video.write_video`, in place of the video's own, such as `fps=12` or `crf=28`.

        Raises:
            OutputError: another extension, no such folder, no space; the file exists and may not be overwritten; or an
                option is out of range.
            ConfigError: an option does not exist.
        """
        options = {"fps": self.fps, "metadata": self.metadata, **options}
        return _save(self.frames, path, overwrite, format, ".mp4", options)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Reconstruction(GeneratedVideo):
    """A video through the model and back, beside what it was made from."""

    original: UInt8[np.ndarray, "frames height width 3"]
    """Original to compare with `frames`: the same ticks at the same size."""
    psnr_db: float
    """Mean over the frames."""
    ssim: float
    """Mean over the frames."""
    num_ids: int
    """Ids that the tokens take, special tokens not counted; what stays raw has none."""
    num_bits: float
    """Bits of keyframes and motion: an id as many as its codebook needs, raw pixels 8 each, raw vectors 2 x 32."""

    @property
    def ids_per_second(self) -> float:
        """Of video."""
        return self.num_ids / self.duration_seconds

    @property
    def bits_per_second(self) -> float:
        """Of video."""
        return self.num_bits / self.duration_seconds


def encoded(frames: UInt8[np.ndarray, "n h w 3"], extension: str, **options: Any) -> bytes:
    """The bytes of the file that `write_video` would write.

    Raises:
        OutputError: there is no such format.
    """
    with tempfile.TemporaryDirectory(prefix="videolavit-") as folder:
        return write_video(frames, Path(folder, f"result{extension}"), **options).read_bytes()


def _save(
    frames: np.ndarray,
    path: str | os.PathLike[str] | io.BufferedIOBase | BinaryIO,
    overwrite: bool,
    format: str | None,  # noqa: A002 - named as in Pillow
    usual: str,
    options: Mapping[str, Any],
) -> Path | None:
    """Write a result into a path or an open file; `usual` is the extension of a file whose format nothing tells."""
    refuse_unknown(options, WRITING_OPTIONS, _ELSEWHERE)
    overwrite, extension = true_or_false("overwrite", overwrite), _extension(format)
    if not isinstance(path, str | os.PathLike):
        _check_open_file(path)
        named = Path(name).suffix.lower() if isinstance(name := getattr(path, "name", None), str) else ""
        data = encoded(frames, extension or (named if named in EXTENSIONS else usual), **options)
        try:
            path.write(data)
        except (OSError, ValueError) as error:
            raise OutputError(f"the open file cannot be written: {error}") from error
        return None
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{os.fspath(path)} exists already; name another file, or pass overwrite=True")
    if extension is None or extension == Path(path).suffix.lower():
        return write_video(frames, path, **options)
    with complete_or_absent(Path(path)) as unfinished:
        unfinished.write_bytes(encoded(frames, extension, **options))
    return Path(path)


def _extension(format: Any) -> str | None:  # noqa: A002 - named as in Pillow
    """The extension of a format such as "JPEG", "png" or ".gif"; None for none."""
    if format is None:
        return None
    extension = f".{format.lower().removeprefix('.')}" if isinstance(format, str) else ""
    if extension not in EXTENSIONS:
        names = ", ".join(one.removeprefix(".") for one in EXTENSIONS)
        raise OutputError(f"got format={format!r}, expected one of {names}")
    return extension


def _check_open_file(file: Any) -> None:
    """Refuse what no bytes can be written into, before the work."""
    if isinstance(file, io.TextIOBase) or not hasattr(file, "write"):
        raise OutputError(f"got {type(file).__name__} to save into, expected a path, or a file open for bytes")
    if getattr(file, "closed", False) is True:
        raise OutputError("got a file that is closed to save into, expected one that is open for writing")
    if callable(writable := getattr(file, "writable", None)) and not writable():
        raise OutputError("got a file that is open for reading to save into, expected one open for writing, as by 'wb'")


def _added(timings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for timing in timings for name in timing)
    return {name: sum(timing.get(name, 0.0) for timing in timings) for name in names}
