"""Images and videos as callers hand them over: one or several, from files, memory, or the model itself."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from videolavit.errors import MediaError, PromptError
from videolavit.memory.token_memory import TokenMemory
from videolavit.pipeline.array_media import image_array, is_array, video_array
from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo
from videolavit.video import Frames, VideoInfo, probe
from videolavit.video.io.images import image_kind, read_image
from videolavit.video.io.sources import can_read_again, describe, is_file

__all__ = [
    "ImageSource",
    "as_list_of_images",
    "as_list_of_videos",
    "as_video",
    "check_video",
    "is_image",
    "is_still",
    "read_image",
]

ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Tensor
"""A path, the bytes of a file, a Pillow image, or an array or tensor, see `array_media`."""


def as_list_of_images(source: Any) -> list[Any]:
    """None, an image or several, as a list of what `read_image` takes."""
    if source is None:
        return []
    if is_array(source) and source.ndim == 4:
        source = list(source)
    images = source if isinstance(source, list | tuple) else [source]
    return [_image(one) for one in images]


def _image(source: Any) -> Any:
    if isinstance(source, GeneratedImage):
        return source.pixels
    return image_array(source) if is_array(source) else source


def as_list_of_videos(source: Any) -> list[Any]:
    """None, a video or several, as a list of what `iter_clips` takes. A list of images is one video, none if empty."""
    if source is None or (isinstance(source, list | tuple) and not source):
        return []
    several = isinstance(source, list | tuple) and all(map(_is_whole_video, source))
    return [as_video(video) for video in source] if several else [as_video(source)]


def as_video(source: Any) -> Any:
    """A video, with the frames of one that was generated in its place.

    Raises:
        PromptError: several videos, or arrays that are no frames.
    """
    if isinstance(source, GeneratedVideo):
        return Frames(images=source.frames, fps=source.fps)
    if is_array(source) and source.ndim >= 4:
        return video_array(source)
    if isinstance(source, list | tuple) and source and all(map(_is_whole_video, source)):
        video, *others = source
        if others:
            raise PromptError(f"got {len(source)} videos, expected one; a list of images is one, too")
        return as_video(video)
    if isinstance(source, list | tuple) and source and all(map(is_array, source)):
        return [image_array(frame) for frame in source]
    return source


def is_image(source: Any) -> bool:
    """True if this is one still image."""
    if is_array(source):
        return source.ndim == 3
    return isinstance(source, Image.Image | GeneratedImage) or is_still(source)


def _is_whole_video(item: Any) -> bool:
    if is_array(item):
        return item.ndim >= 4
    if isinstance(item, list | tuple):
        return bool(item) and all(map(_is_frame, item))
    return isinstance(item, GeneratedVideo | Frames | TokenMemory) or is_file(item)


def _is_frame(item: Any) -> bool:
    return item.ndim <= 3 if is_array(item) else isinstance(item, Image.Image | GeneratedImage)


def is_still(source: Any) -> bool:
    """True if a source is a file of an image that does not move."""
    return is_file(source) and image_kind(source) == "image"


def check_video(source: Any) -> VideoInfo | None:
    """Facts about a file before it is read. Raises unless `source` may be a video: a still image is none.

    Raises:
        PromptError: an image in memory.
        MediaError: a file of an image, or one that cannot be read as a video.
    """
    if isinstance(source, Image.Image) or (is_array(source) and source.ndim == 3):
        raise PromptError("got an image as the video; pass it as image=, or frames as an array (frames, h, w, 3)")
    if isinstance(source, Frames) or not is_file(source):
        return None
    if can_read_again(source) and is_still(source):
        raise MediaError(f"{describe(source)}: is a still image, not a video; pass it as image=")
    return probe(source) if isinstance(source, str | os.PathLike | bytes) else None
