"""Open a video through PyAV, and survive what is wrong with it (reference section 2).

The one place that opens a container. It chooses the stream, keeps to the limits, skips damaged packets and closes what
it opened. `videolavit.video.io.probe` describes a video, `videolavit.video.clips.decompose` takes it apart.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videolavit.errors import MediaError
from videolavit.video.io.clock import ContinuousClock
from videolavit.video.io.limits import Limits
from videolavit.video.io.sources import NamelessFile, Source
from videolavit.video.io.webp import as_matroska, is_animated_webp

__all__ = ["VideoReader", "open_video"]

logger = logging.getLogger(__name__)

_READ_SIZE = 256 * 1024
_NO_PROTOCOL = "none"
"""A playlist or concat script inside the file may not open other files or addresses."""
_MOST_PIXELS = 2**31 - 1
"""Largest value that libav's option holds."""
_MOST_STREAMS = "100"
"""libav opens a decoder for each, of about a megabyte."""
_SIGNATURES = {
    "mov": re.compile(rb"\0\0\0[\x08-\x60]ftyp"),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\t"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9"),
}
"""Beginnings of files in formats that hold one only; those of other formats may follow one another."""
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""libav's `AVColorTransferCharacteristic`."""
_MICROSECOND = Fraction(1, 1_000_000)


def open_video(
    source: Source,
    *,
    limits: Limits | None = None,
    threads: int = 1,
    decoder_options: dict[str, str] | None = None,
) -> VideoReader:
    """Open the best video stream of a file for decoding.

    Args:
        source: a path, the bytes of a file, or a binary file object (a pipe too, if the format can be streamed). A file
            object is read from its start and left open.
        limits: what to refuse; by default `Limits()`.
        threads: of the decoder; the frames do not depend on it.
        decoder_options: options of libav's decoder, e.g. `{"flags2": "+export_mvs"}`.

    Returns:
        A reader to be used in a `with` statement.

    Raises:
        MediaError: there is no such file, it is not a video, or it is damaged beyond reading.
        LimitError: it is larger or longer than `limits` allow.
    """
    return VideoReader(source, limits or Limits(), threads, decoder_options or {})


class VideoReader:
    """An open video: its container and best video stream, read once from the start."""

    def __init__(self, source: Source, limits: Limits, threads: int, decoder_options: dict[str, str]) -> None:
        self.limits = limits
        self.on_packet: Callable[[av.Packet], None] | None = None
        """Called with every packet before it is decoded."""
        self._threads = threads
        self._max_pixels = str(min(limits.max_pixels, _MOST_PIXELS))
        self._decoder_options = {"max_pixels": self._max_pixels, **decoder_options}
        self._file = _readable(NamelessFile(source, limits), limits)
        self._opened: InputContainer | None = None
        self._skipped_packet = False
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Path, or a description of what is read."""
        return self._file.name

    @property
    def can_rewind(self) -> bool:
        """True if `rewind` works: not for a pipe."""
        return self._file.can_seek

    @property
    def container(self) -> InputContainer:
        """PyAV's container.

        Raises:
            MediaError: the reader is closed.
        """
        return self._open_parts()[0]

    @property
    def stream(self) -> VideoStream:
        """The stream that is read: the one that libav calls best, which need not be the first.

        Raises:
            MediaError: the reader is closed.
        """
        return self._open_parts()[1]

    @property
    def start_seconds(self) -> Fraction:
        """Start of the container, which all times count from."""
        return (self.container.start_time or 0) * _MICROSECOND

    @property
    def duration_seconds(self) -> Fraction | None:
        """As the headers declare it; `None` where they do not."""
        if self.container.duration is not None and self.container.duration > 0:
            return self.container.duration * _MICROSECOND
        if self.stream.duration is not None and self.stream.duration > 0 and self.stream.time_base is not None:
            return self.stream.duration * self.stream.time_base
        return None

    @property
    def frame_rate(self) -> Fraction | None:
        """Average frames per second, or libav's guess; `None` where neither is known."""
        return self.stream.average_rate or self.stream.guessed_rate or None

    def packets(self) -> Iterator[av.Packet]:
        """Packets of the stream in decoding order. A damaged file ends where libav can read no further."""
        container, stream = self._open_parts()
        packets = container.demux(stream)
        clock, end = self._clock(container, stream), 0
        while True:
            if self.container is not container:  # libav crashes where one reads on from what is closed
                raise MediaError(f"{self.name}: has been rewound meanwhile; ask for its packets or frames anew")
            try:
                packet = next(packets, None)
            except (FFmpegError, IndexError) as error:  # PyAV's IndexError: a stream that the headers do not list
                self._file.check()
                logger.warning("%s: reading stops early: %s", self.name, error)
                return
            if packet is None:
                self._file.check()
                self._tell_of_more(container.format.name, end)
                return
            if packet.size:
                end = max(end, (packet.pos or 0) + packet.size)
                clock.correct(packet)
                if self.on_packet is not None:
                    self.on_packet(packet)
                yield packet

    def _clock(self, container: InputContainer, stream: VideoStream) -> ContinuousClock:
        time_base = stream.time_base or Fraction(1, 1000)
        usual_duration = max(1, round(1 / ((self.frame_rate or Fraction(25)) * time_base)))
        return ContinuousClock(self.name, container.format.name, time_base, usual_duration)

    def _tell_of_more(self, format_name: str, end: int) -> None:
        """Warn where a second file follows the first in formats of which libav reads the first alone."""
        signature = _SIGNATURES.get(format_name.split(",")[0])
        if signature is not None and (place := self._file.holds_after(end, signature)) is not None:
            logger.warning(
                "%s: several files follow one another in it, and the first alone is read, up to byte %d; cut it there, "
                "or join them with: ffmpeg -f concat",
                self.name,
                place,
            )

    def decode(self, packet: av.Packet | None) -> list[VideoFrame]:
        """Frames that a packet completes, within the limits; none for a damaged packet. `None` flushes."""
        try:
            frames = self.stream.codec_context.decode(packet)
        except FFmpegError as error:
            self._skip_packet(error)
            return []
        for frame in frames:
            self.limits.check_size(frame.width, frame.height, self.name)
        return frames

    def frames(self) -> Iterator[VideoFrame]:
        """All frames in display order, from where the reader stands.

        Raises:
            MediaError: not one frame could be decoded.
        """
        found = False
        for packet in self.packets():
            for frame in self.decode(packet):
                found = True
                yield frame
        for frame in self.decode(None):
            found = True
            yield frame
        if not found:
            raise self.no_frames()

    def no_frames(self) -> MediaError:
        """The error for a stream that decodes to nothing."""
        return MediaError(
            f"{self.name}: not one frame of its {self.stream.codec_context.name} stream could be decoded; "
            + self._damaged_or_large()
        )

    def rewind(self) -> None:
        """Start again from the first packet.

        Raises:
            MediaError: the source is a pipe, which can be read once only, or the reader is closed.
        """
        self._open_parts()
        if not self.can_rewind:
            raise MediaError(f"{self.name}: is a pipe and can be read once only; save it to a file")
        self._close_container()
        self._open()

    def close(self) -> None:
        """Close the container, and the file if it was opened here. May be called twice."""
        self._close_container()
        self._file.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"VideoReader({self.name!r})"

    def _open_parts(self) -> tuple[InputContainer, VideoStream]:
        if self._opened is None:
            raise MediaError(f"{self.name}: the reader is closed; read inside its `with` block")
        return self._opened, self._stream

    def _close_container(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _skip_packet(self, error: FFmpegError) -> None:
        if not self._skipped_packet:  # thousands of lines would say no more
            logger.warning("%s: skipping damaged packets: %s", self.name, error.strerror)
        self._skipped_packet = True

    def _open(self) -> None:
        options = {
            "protocol_whitelist": _NO_PROTOCOL,
            "max_streams": _MOST_STREAMS,
            "max_pixels": self._max_pixels,
        }
        with _explained(self._file):
            self._opened = av.open(
                self._file.view(), "r", options=options, metadata_errors="replace", buffer_size=_READ_SIZE
            )
        self._file.check()
        self._stream = _chosen_stream(self._opened, self.limits.video_stream, self.name)
        self._check_headers()
        for remark in _remarks(self._stream):
            _tell_once(self.name, remark)
        for stream in self._opened.streams:
            if stream is not self._stream:
                stream.discard = Discard.all
        decoder = self._stream.codec_context
        decoder.thread_count = self._threads
        decoder.options = self._decoder_options

    def _check_headers(self) -> None:
        decoder = self._stream.codec_context
        self.limits.check_size(decoder.width, decoder.height, self.name)
        self.limits.check_size(decoder.coded_width, decoder.coded_height, self.name)
        # Where clocks may leap, the duration is a guess from the first and the last time.
        if self.duration_seconds is not None and self.container.format.name not in ("mpegts", "mpeg"):
            self.limits.check_duration(float(self.duration_seconds), self.name)
        if not decoder.width or not decoder.height:
            if decoder.name == "webp":  # libav decodes still images only
                raise MediaError(
                    f"{self.name}: is an animated WebP, which no pipe can be: save it, or convert it to GIF or MP4"
                )
            raise MediaError(
                f"{self.name}: its {decoder.name} stream does not tell the size of the image; "
                + self._damaged_or_large()
            )

    def _damaged_or_large(self) -> str:
        """Error message where libav gives no reason."""
        if not self.can_rewind:
            return (
                "it comes from a pipe, where formats with an index at the end, such as most MP4, cannot be read: "
                "save it to a file first"
            )
        return (
            "try a fresh copy if the file may be damaged or incomplete; if its image has more than "
            f"max_pixels={self.limits.max_pixels}, raise max_pixels (in a command: --max-pixels) if you trust it"
        )


def _readable(file: NamelessFile, limits: Limits) -> NamelessFile:
    """A file as libav can decode it."""
    if not file.can_seek or not is_animated_webp(file.head(32)):
        return file
    try:
        converted = NamelessFile(file.whole(as_matroska, limits), limits)
    finally:
        file.close()
    converted.name = file.name
    return converted


@contextmanager
def _explained(file: NamelessFile) -> Iterator[None]:
    """Turn what libav raises while opening into an error that says what to do."""
    try:
        yield
    except (FFmpegError, UnicodeError, ValueError, OSError) as error:
        file.check()
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{file.name}: cannot be read as a video ({reason}); expected a file such as MP4, MKV, WebM, AVI, MOV or "
            "GIF that is complete, or a format that can be streamed if it is a pipe"
        ) from error


def _chosen_stream(container: InputContainer, number: int | None, name: str) -> VideoStream:
    if number is None:
        return _best_stream(container, name)
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if number >= len(moving):
        raise MediaError(
            f"{name}: has {len(moving)} video streams, so there is no video_stream={number}; they are counted from 0"
        )
    return _decodable(moving[number], name)


def _best_stream(container: InputContainer, name: str) -> VideoStream:
    best: Any = container.streams.best("video")
    if best is None or best.disposition & Disposition.attached_pic:
        found = ", ".join(sorted({stream.type for stream in container.streams}))
        if not found:
            raise MediaError(f"{name}: nothing is found in it, so it is damaged or incomplete; try a fresh copy")
        raise MediaError(f"{name}: has no video stream, only: {found}; expected a file with moving images")
    return _decodable(best, name)


def _decodable(stream: Any, name: str) -> VideoStream:
    if stream.codec_context is None:
        raise MediaError(
            f"{name}: its video stream has a codec that this build of libav cannot decode; convert it first"
        )
    return stream


def _remarks(stream: VideoStream) -> Iterator[str]:
    """Warnings about what a video has that is not honoured."""
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        yield f"has pixels of {aspect.numerator} : {aspect.denominator}, which are taken for square"
    transfer = getattr(stream.codec_context, "color_trc", None)
    if transfer in _HDR_TRANSFERS:
        yield f"is HDR video ({_HDR_TRANSFERS[transfer]}), whose tones are not mapped: it looks flat and dull"


@lru_cache(maxsize=1024)
def _tell_once(name: str, remark: str) -> None:
    logger.warning("%s: %s", name, remark)
