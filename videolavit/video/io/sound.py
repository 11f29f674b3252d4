"""Sound of a video as samples: any part of it, forwards or backwards, at another speed with its pitch kept."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError
from av.filter import Graph
from av.stream import Discard
from jaxtyping import Float32

from videolavit.video.io.limits import Limits
from videolavit.video.io.open import VideoReader, open_video
from videolavit.video.io.sources import Source

__all__ = ["SoundReader", "at_speed", "exactly", "silence"]

logger = logging.getLogger(__name__)

Samples = Float32[np.ndarray, "channels samples"]
_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Samples a second that AAC and its decoders everywhere take."""
_USUAL_RATE = 48000
_BACKWARDS_SECONDS = 4.0
_LEAD_SECONDS = 0.25
"""Decoding starts earlier by so much: the first frame of a lossy codec leans on the one before."""
_TEMPO = (0.5, 2.0)
"""Factors that one filter of libav changes well; more takes several in a row."""
_BLOCK = 4096


class SoundReader:
    """The best sound track of a file; a video without one has `rate` 0."""

    def __init__(self, source: Source, *, limits: Limits | None = None) -> None:
        """Open a path, bytes or a file object; raises `MediaError` as `open_video` does."""
        self._video = open_video(source, limits=limits)
        stream = self._stream()
        self.rate = 0
        """Samples a second; 0 where there is no sound."""
        self.layout = "mono"
        if stream is not None:
            self.rate = stream.rate if stream.rate in _RATES else _USUAL_RATE
            self.layout = "mono" if stream.channels == 1 else "stereo"

    @property
    def channels(self) -> int:
        """1 or 2: more are mixed to two."""
        return 1 if self.layout == "mono" else 2

    def between(self, start: float | int, end: float | int) -> Iterator[Samples]:
        """All samples from one second of the video to another; silence where it has none."""
        total = round((end - start) * self.rate)
        yield from exactly(self._decoded(start), total, self.channels)

    def backwards(self, start: float | int, end: float | int) -> Iterator[Samples]:
        """The same from the end to the start."""
        high = end
        while high > start:
            low = max(start, high - _BACKWARDS_SECONDS)
            yield np.concatenate(list(self.between(low, high)) or [silence(0, self.channels)], axis=1)[:, ::-1]
            high = low

    def close(self) -> None:
        """Close the file."""
        self._video.close()

    def __enter__(self) -> SoundReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _stream(self) -> Any:
        container = self._video.container
        stream = container.streams.best("audio")
        if stream is None or stream.codec_context is None:
            return None
        for other in container.streams:
            other.discard = Discard.all if other is not stream else Discard.default
        return stream

    def _decoded(self, start: float | int) -> Iterator[Samples]:
        """Samples from `start` on, with silence before the track begins."""
        self._video.rewind()
        stream = self._stream()
        if start > 1:
            self._video.container.seek(int((max(start - _LEAD_SECONDS, 0) + self._zero) * 1_000_000))
        resampler = AudioResampler(format="fltp", layout=self.layout, rate=self.rate)
        first = round(start * self.rate)
        position, is_known = first, False
        for frame in _frames(self._video, stream):
            if not is_known:
                position, is_known = round(_seconds(frame, self._zero, start) * self.rate), True
                if position > first:
                    yield silence(position - first, self.channels)
            for resampled in resampler.resample(frame):
                samples = resampled.to_ndarray()
                skipped = min(max(first - position, 0), samples.shape[1])
                position += samples.shape[1]
                if skipped < samples.shape[1]:
                    yield samples[:, skipped:]

    @property
    def _zero(self) -> float:
        return float(self._video.start_seconds)


def _frames(video: VideoReader, stream: Any) -> Iterator[AudioFrame]:
    """Decoded sound; damaged packets are left out, and a file ends where it can be read no further."""
    told = False
    packets = video.container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            logger.warning("%s: reading its sound stops early: %s", video.name, error)
            return
        if packet is None:
            return
        try:
            yield from stream.codec_context.decode(packet)
        except FFmpegError as error:
            if not told:
                logger.warning("%s: leaving out damaged sound: %s", video.name, error.strerror)
            told = True


def _seconds(frame: AudioFrame, zero: float | int, otherwise: float | int) -> float:
    if frame.pts is None or frame.time_base is None:
        return otherwise
    return float(frame.pts * frame.time_base) - zero


def silence(num_samples: int, channels: int) -> Samples:
    """Zeros."""
    return np.zeros((channels, num_samples), np.float32)


def exactly(chunks: Iterable[Samples], total: int, channels: int) -> Iterator[Samples]:
    """The first `total` samples, filled up with silence where there are fewer."""
    left = total
    for chunk in chunks:
        if left <= 0:
            return
        yield chunk[:, :left]
        left -= chunk.shape[1]
    while left > 0:
        yield silence(min(left, _USUAL_RATE), channels)
        left -= _USUAL_RATE


def at_speed(chunks: Iterable[Samples], speed: float | int, rate: int, layout: str) -> Iterator[Samples]:
    """The same sound faster or slower, at the same pitch."""
    if speed == 1:
        yield from chunks
        return
    graph = Graph()
    source = graph.add_abuffer(format="fltp", sample_rate=rate, layout=layout, time_base=Fraction(1, rate))
    last = source
    for factor in _tempo_steps(speed):
        tempo = graph.add("atempo", f"{factor:.6f}")
        last.link_to(tempo)
        last = tempo
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    position = 0
    for chunk in chunks:
        for block in np.array_split(chunk, max(1, chunk.shape[1] // _BLOCK), axis=1):
            if not block.shape[1]:
                continue
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
            position += block.shape[1]
            source.push(frame)
            yield from _pulled(sink)
    source.push(None)
    yield from _pulled(sink)


def _tempo_steps(speed: float | int) -> list[float]:
    steps = []
    while not _TEMPO[0] <= speed <= _TEMPO[1]:
        step = _TEMPO[0] if speed < 1 else _TEMPO[1]
        steps.append(step)
        speed /= step
    return [*steps, speed]


def _pulled(sink: Any) -> Iterator[Samples]:
    while True:
        try:
            frame = sink.pull()
        except (BlockingIOError, EOFError):
            return
        samples = frame.to_ndarray()  # the filter gives the channels of each moment side by side
        yield samples if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels)).T
