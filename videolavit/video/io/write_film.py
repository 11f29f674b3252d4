"""Decoded frames and sound to MP4 or WebM, with the colours that they came with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange

from videolavit.errors import OutputError
from videolavit.video.io.write import (
    check_crf,
    check_output,
    complete_or_absent,
    file_url,
    metadata_text,
    with_first,
    yuv_frame,
)

__all__ = ["FILM_EXTENSIONS", "Sound", "write_film"]

FILM_EXTENSIONS = (".mp4", ".webm")
_OPUS_RATE = 48000


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """Samples that come as they are needed, (channels, samples) float32 of -1 to 1."""

    samples: Iterable[np.ndarray]
    rate: int
    """Samples a second."""
    layout: str
    """`mono` or `stereo`."""


def write_film(
    frames: Iterable[VideoFrame],
    path: str | os.PathLike[str],
    *,
    fps: Fraction,
    sound: Sound | None = None,
    colors: Any = None,
    metadata: Mapping[str, Any] | None = None,
    crf: int = 18,
) -> Path:
    """Write upright 8-bit frames, yuv420p, and sound beside them; both are taken as the file grows.

    Args:
        frames: of one size; H.264 needs even sides, so an odd one grows by a copy of its last row or column.
        path: `.mp4` (H.264, AAC) or `.webm` (VP9, Opus); an existing file is replaced when the new one is complete.
        fps: frames per second.
        sound: to go with them.
        colors: something with `colorspace`, `color_primaries` and `color_trc`, such as the decoder that the frames
            came from; by default nothing is said of them.
        metadata: as in `write_video`.
        crf: quality, 0 (lossless) to 51; smaller is better and larger in bytes.

    Raises:
        OutputError: another extension, no such folder, no space, or no frames.
    """
    path = Path(path)
    check_output(path, FILM_EXTENSIONS)
    check_crf(crf)
    note = metadata_text(metadata)
    with complete_or_absent(path) as unfinished:
        images = iter(frames)
        first = next(images, None)
        if first is None:
            raise OutputError("got no frames, expected at least one")
        kind = path.suffix[1:].lower()
        with av.open(file_url(unfinished), "w", format=kind, container_options=_flags(path)) as container:
            container.metadata["comment"] = note
            stream = _video_stream(container, first, fps, path, crf, colors)
            track = None if sound is None else _Track(container, sound, path)
            for index, frame in enumerate(with_first(first, images)):
                container.mux(stream.encode(_even(frame, index, fps)))
                if track is not None:
                    track.write_until((index + 1) / float(fps))
            container.mux(stream.encode(None))
            if track is not None:
                track.finish()
    return path


def _flags(path: Path) -> dict[str, str]:
    return {"fflags": "+bitexact", **({"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {})}


def _video_stream(container: Any, first: VideoFrame, fps: Fraction, path: Path, crf: int, colors: Any) -> Any:
    if path.suffix.lower() == ".mp4":
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "medium"})
    else:
        options = {"crf": str(crf + 8), "b": "0", "row-mt": "1", "cpu-used": "4", "deadline": "good"}
        stream = container.add_stream("libvpx-vp9", rate=fps, options=options)
    stream.width, stream.height = first.width + first.width % 2, first.height + first.height % 2
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base, context.thread_count = 1 / fps, 4  # x264's result depends on the number of threads
    context.color_range = ColorRange.MPEG.value
    if colors is not None and not (first.width % 2 or first.height % 2):
        context.colorspace, context.color_primaries = colors.colorspace, colors.color_primaries
        context.color_trc = colors.color_trc
    return stream


def _even(frame: VideoFrame, index: int, fps: Fraction) -> VideoFrame:
    """The frame with the time of its place; one with an odd side goes by way of RGB."""
    if frame.width % 2 or frame.height % 2:
        return yuv_frame(frame.reformat(format="rgb24", threads=1).to_ndarray(), index)
    shown = frame.reformat(format="yuv420p", threads=1)
    shown.pts, shown.time_base = index, 1 / fps
    shown.pict_type = PictureType.NONE
    return shown


class _Track:
    """The sound of a file that is being written."""

    def __init__(self, container: Any, sound: Sound, path: Path) -> None:
        self._container, self._sound = container, sound
        self._samples: Iterator[np.ndarray] = iter(sound.samples)
        self._position = 0
        is_mp4 = path.suffix.lower() == ".mp4"
        rate = sound.rate if is_mp4 else _OPUS_RATE
        self._stream = container.add_stream("aac" if is_mp4 else "libopus", rate=rate)
        self._stream.layout = sound.layout
        self._stream.bit_rate = 96_000 * (1 if sound.layout == "mono" else 2)

    def write_until(self, seconds: float) -> None:
        """Encode as much as belongs before `seconds`, so that players find both close together."""
        while self._position < seconds * self._sound.rate:
            chunk = next(self._samples, None)
            if chunk is None:
                return
            self._encode(chunk)

    def finish(self) -> None:
        """Encode what is left."""
        for chunk in self._samples:
            self._encode(chunk)
        self._container.mux(self._stream.encode(None))

    def _encode(self, chunk: np.ndarray) -> None:
        if not chunk.shape[1]:
            return
        samples = np.ascontiguousarray(chunk.clip(-1, 1), dtype=np.float32)
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=self._sound.layout)
        frame.sample_rate, frame.pts = self._sound.rate, self._position
        frame.time_base = Fraction(1, self._sound.rate)
        self._position += chunk.shape[1]
        self._container.mux(self._stream.encode(frame))
