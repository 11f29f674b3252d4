"""Motion by re-encoding, as the release does it: MPEG-4 Part 2 at 6 frames a second (reference sections 2.2 to 2.4).

Every tick goes through an encoder, and its packet straight on into a decoder, in this process. That decoder makes
images of an eighth of the size: it is there for vectors, which do not depend on images. Only keyframes that
somebody asks for are decoded fully.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from jaxtyping import UInt8

from videolavit.errors import ConfigError, MediaError
from videolavit.video.io.orientation import Orientation
from videolavit.video.io.pixels import rgb_array, to_yuv420p
from videolavit.video.motion.coded_frame import CodedFrame
from videolavit.video.motion.shots import CutDetector
from videolavit.video.motion.vectors import block_grid, exported_vectors, grid_shape, motion_grid

__all__ = ["Reencoding", "reencode"]

_BATCH = 8
"""Packets that are decoded in a row: taking turns with the encoder at every tick costs 5 % by cold caches."""

_LARGEST = 2**31 - 1
"""Largest value that libav's options hold."""
_VECTOR_DECODER = {
    "mpeg4": {"flags2": "+export_mvs", "lowres": "3"},
    "h264": {"flags2": "+export_mvs"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reencoding:
    """Settings of the encoder whose motion search makes the vectors. The defaults are those of the release."""

    bit_rate: int = 8_000_000
    """Bits per second."""
    gop: int = 12
    """Ticks from one I-frame to the next where no scene change comes between."""
    slices: int = 16
    """Parts that the image is cut into; motion search does not cross them, so vectors depend on their number.
    MPEG-4 only."""
    codec: Literal["mpeg4", "h264"] = "mpeg4"
    """`h264` gives quarter pels and blocks down to 8 x 8 (docs/motion.md compares them); it takes even sides only."""
    four_vectors: bool = False
    """True if a block of 16 x 16 may have a vector for each quarter; then use `cell=8`. H.264 always may."""
    quarter_pel: bool = False
    """Vectors in quarters instead of halves of a pixel. H.264 always has quarters."""

    def __post_init__(self) -> None:
        if self.codec not in ("mpeg4", "h264"):
            raise ConfigError(f"got codec={self.codec!r}, expected 'mpeg4' or 'h264'")
        for name in ("bit_rate", "gop", "slices"):
            if not 1 <= getattr(self, name) <= _LARGEST:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected 1 to {_LARGEST}")


def reencode(
    frames: Iterator[VideoFrame],
    settings: Reencoding,
    *,
    fps: Fraction,
    name: str,
    cell: int = 16,
    cuts: CutDetector | None = None,
) -> Iterator[CodedFrame]:
    """Re-encode a video and read the motion out of the result.

    Args:
        frames: one source frame per tick; the same one again where a tick repeats it.
        settings: of the encoder.
        fps: ticks per second.
        name: of the video, for messages.
        cell: pixels per side of a cell of the motion grid.
        cuts: finds cuts, and a keyframe is forced there; without it the encoder's own scene changes count as cuts.

    Raises:
        MediaError: the encoder refuses the image.
    """
    coder: _Coder | None = None
    since_keyframe = 0
    encoded: list[tuple[int, Packet, bool]] = []
    for tick, frame in enumerate(frames):
        if coder is None:
            coder = _Coder(frame, settings, fps, name)
        image = coder.prepared(frame)
        is_cut = cuts is not None and cuts.is_cut(image)
        packet = coder.encode(image, tick, force_keyframe=is_cut)
        # An I-frame that comes before its time is the encoder's way to say that the scene changed.
        starts_shot = is_cut or tick == 0 or (cuts is None and packet.is_keyframe and since_keyframe < settings.gop)
        since_keyframe = 1 if packet.is_keyframe else since_keyframe + 1
        encoded.append((tick, packet, starts_shot))
        if len(encoded) == _BATCH:
            yield from coder.decoded(encoded, cell)
            encoded.clear()
    if coder is not None:
        yield from coder.decoded(encoded, cell)


class _Coder:
    """The encoder, the decoder behind it, and what must be done to a source frame before."""

    def __init__(self, first: VideoFrame, settings: Reencoding, fps: Fraction, name: str) -> None:
        self._name = name
        self._source_size = (first.width, first.height)
        self._orientation = Orientation.of(first)
        self.width, self.height = self._orientation.displayed_size(*self._source_size)
        self._time_base = 1 / fps
        self._codec = settings.codec
        self._one_vector_per_block = settings.codec == "mpeg4" and not settings.four_vectors
        with _explained(name, self._codec):
            self._encoder = _open_encoder(settings, self.width, self.height, fps)
        self._decoder = _open_decoder(self._codec, _VECTOR_DECODER[self._codec])
        self._last: tuple[VideoFrame, VideoFrame] | None = None

    def prepared(self, frame: VideoFrame) -> VideoFrame:
        """The frame as the encoder takes it: upright, of the first frame's size, 4:2:0."""
        if self._last is None or self._last[0] is not frame:
            self._last = frame, self._orientation.apply(to_yuv420p(frame, *self._source_size))
        return self._last[1]

    def encode(self, image: VideoFrame, tick: int, *, force_keyframe: bool) -> Packet:
        image.pts, image.time_base = tick, self._time_base
        # The image types of the source would be taken for orders.
        image.pict_type = PictureType.I if force_keyframe else PictureType.NONE
        with _explained(self._name, self._codec):
            [packet] = self._encoder.encode(image)  # No B-frames, so nothing is held back.
        return packet

    def decoded(self, encoded: list[tuple[int, Packet, bool]], cell: int) -> Iterator[CodedFrame]:
        """Coded frames of ticks, from their packets and whether they start a shot."""
        for tick, packet, starts_shot in encoded:
            keyframe = partial(_decode_keyframe, packet, self._codec, self._name) if packet.is_keyframe else None
            yield CodedFrame(
                tick=tick,
                height=self.height,
                width=self.width,
                motion=self.motion(packet, cell),
                keyframe=keyframe,
                starts_shot=starts_shot,
                packet_bytes=packet.size if packet.is_keyframe else 0,
            )

    def motion(self, packet: Packet, cell: int) -> np.ndarray:
        with _explained(self._name, self._codec):
            [frame] = self._decoder.decode(packet)
        rows, cols = grid_shape(self.height, self.width, cell)
        vectors = exported_vectors(frame)
        if cell == 16 and self._one_vector_per_block:
            return block_grid(vectors, rows, cols)
        return motion_grid(vectors, rows, cols, cell)


def _open_encoder(settings: Reencoding, width: int, height: int, fps: Fraction) -> VideoCodecContext:
    encoder = _codec_context("libx264" if settings.codec == "h264" else settings.codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = 1 / fps, fps
    encoder.bit_rate, encoder.gop_size, encoder.max_b_frames = settings.bit_rate, settings.gop, 0
    encoder.options = _X264_OPTIONS if settings.codec == "h264" else _mpeg4_options(settings)
    encoder.thread_count = 1  # More threads would cut the image into more slices.
    encoder.open()
    return encoder


def _mpeg4_options(settings: Reencoding) -> dict[str, str]:
    flags = "+mv4" * settings.four_vectors + "+qpel" * settings.quarter_pel
    return {"slices": str(settings.slices), **({"flags": flags} if flags else {})}


_X264_OPTIONS = {
    "preset": "medium",
    "tune": "zerolatency",
    "forced-idr": "1",
    # One reference, as libav does not tell which one a vector points to. Every I-frame is an IDR-frame, which can be
    # decoded alone. The rest makes vectors follow motion rather than save bits: chosen by predicting the next tick of
    # real clips and by scenes whose motion is known (benchmarks/motion_modes.py). Small intra blocks cost most.
    "x264-params": "ref=1:min-keyint=1:weightp=0:psy=0:aq-mode=0:fast-pskip=0:"
    "analyse=p8x8:subme=5:merange=32:trellis=0",
}


def _open_decoder(codec: str, options: dict[str, str]) -> VideoCodecContext:
    decoder = _codec_context(codec, "r")
    decoder.options, decoder.thread_count = options, 1
    return decoder


def _codec_context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = VideoCodecContext.create(name, mode)
    assert isinstance(context, VideoCodecContext)
    return context


def _decode_keyframe(packet: Packet, codec: str, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """RGB of an I-frame, which needs no frame but itself."""
    with _explained(name, codec):
        decoder = _open_decoder(codec, {})
        [frame] = decoder.decode(packet) or decoder.decode(None)
    return rgb_array(frame)


@contextmanager
def _explained(name: str, codec: str) -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        raise MediaError(
            f"{name}: libav's {codec} encoder refuses it ({error.strerror}); it takes images of up to 8191 x 8191 "
            "pixels, h264 with even sides only, at up to 65535 frames per second"
        ) from error
