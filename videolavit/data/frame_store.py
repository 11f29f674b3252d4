"""Short runs of frames as bytes of an MP4 file, in memory: how prepared data keeps the images between keyframes."""

from __future__ import annotations

import io

import av
import numpy as np
from jaxtyping import UInt8

__all__ = ["decode_mp4", "encode_mp4"]


def encode_mp4(frames: UInt8[np.ndarray, "frames height width 3"], *, crf: int = 10) -> bytes:
    """H.264 with full chroma, so that small coloured things keep their edges; sides must be even."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=6)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv444p"
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        stream.codec_context.thread_count = 1
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv444p", threads=1)))
        container.mux(stream.encode(None))
    return file.getvalue()


def decode_mp4(content: bytes) -> UInt8[np.ndarray, "frames height width 3"]:
    """The frames that `encode_mp4` was given, but for its small loss."""
    with av.open(io.BytesIO(content), "r") as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = container.decode(video=0)
        return np.stack([frame.reformat(format="rgb24", threads=1).to_ndarray() for frame in frames])
