"""What people hand over as images and videos: one or several, from files, memory, or the model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from videolavit.pipeline.options import is_still
from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo
from videolavit.video import Frames
from videolavit.video.io.sources import is_file

__all__ = ["as_list_of_images", "as_list_of_videos", "as_video", "is_image"]


def as_list_of_images(source: Any) -> list[Any]:
    """None, an image or several, as a list of what `read_image` takes."""
    if source is None:
        return []
    images = list(source) if isinstance(source, list | tuple) else [source]
    return [image.pixels if isinstance(image, GeneratedImage) else image for image in images]


def as_list_of_videos(source: Any) -> list[Any]:
    """None, a video or several, as a list of what `iter_clips` takes. A list of images is one video."""
    if source is None:
        return []
    several = isinstance(source, list | tuple) and bool(source) and all(map(_is_whole_video, source))
    return [as_video(video) for video in source] if several else [as_video(source)]


def as_video(source: Any) -> Any:
    """A video, with the frames of one that was drawn in its place."""
    if isinstance(source, GeneratedVideo):
        return Frames(images=source.frames, fps=source.fps)
    return source


def is_image(source: Any) -> bool:
    """Whether this is one still image."""
    if isinstance(source, np.ndarray):
        return source.ndim == 3
    return isinstance(source, Image.Image | GeneratedImage) or is_still(source)


def _is_whole_video(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        return item.ndim == 4
    return isinstance(item, GeneratedVideo | Frames) or is_file(item)
