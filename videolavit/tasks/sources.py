"""What people hand over as pictures and videos: one or several, from files, memory, or the model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from videolavit.inputs import is_still
from videolavit.results import GeneratedImage, GeneratedVideo
from videolavit.video import Frames
from videolavit.video.sources import is_file

__all__ = ["as_list_of_pictures", "as_list_of_videos", "as_video", "is_picture"]


def as_list_of_pictures(source: Any) -> list[Any]:
    """None, a picture or several, as a list of what `read_picture` takes."""
    if source is None:
        return []
    pictures = list(source) if isinstance(source, list | tuple) else [source]
    return [picture.pixels if isinstance(picture, GeneratedImage) else picture for picture in pictures]


def as_list_of_videos(source: Any) -> list[Any]:
    """None, a video or several, as a list of what `iter_clips` takes. A list of pictures is one video."""
    if source is None:
        return []
    several = isinstance(source, list | tuple) and bool(source) and all(map(_is_whole_video, source))
    return [as_video(video) for video in source] if several else [as_video(source)]


def as_video(source: Any) -> Any:
    """A video, with the frames of one that was drawn in its place."""
    if isinstance(source, GeneratedVideo):
        return Frames(pictures=source.frames, fps=source.fps)
    return source


def is_picture(source: Any) -> bool:
    """Whether this is one still picture."""
    if isinstance(source, np.ndarray):
        return source.ndim == 3
    return isinstance(source, Image.Image | GeneratedImage) or is_still(source)


def _is_whole_video(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        return item.ndim == 4
    return isinstance(item, GeneratedVideo | Frames) or is_file(item)
