"""One's own videos as records to train on; `video_lists.py` says which files name them.

A long video is cut into pieces of a few clips; each has the words of the whole. A piece with a cut in it is left out:
its motion would be that of two shots.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import numpy as np

from videolavit.data.prepare_videos import video_record
from videolavit.data.shards import Record
from videolavit.data.video_lists import NamedVideo, named_videos
from videolavit.errors import ConfigError
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.pixels import resize_image
from videolavit.video.processor import VideoProcessorConfig

__all__ = ["NamedVideo", "named_videos", "video_file_records"]


def video_file_records(
    video: NamedVideo, video_processor: VideoProcessorConfig, *, clips_per_piece: int = 1
) -> Iterator[Record]:
    """A video, piece by piece; what does not fill a piece at its end is left out.

    Raises:
        MediaError: the file cannot be read as a video.
        ConfigError: a piece has less than one clip, or the front end no size.
    """
    if clips_per_piece < 1:
        raise ConfigError(f"got pieces of {clips_per_piece} clips, expected at least 1")
    if video_processor.motion_size is None:
        raise ConfigError("samples to train on must be of one size; give the front end's height and width")
    length, size = video_processor.frames_per_clip * clips_per_piece, video_processor.motion_size
    fps = Fraction(video_processor.fps).limit_denominator(1000)
    with closing(images_on_ticks(str(video.path), fps=fps)) as images:
        enlarged = (resize_image(image, *size) for image in images)
        for piece in itertools.count():
            frames = list(itertools.islice(enlarged, length))
            if len(frames) < length:
                return
            if (record := video_record(np.stack(frames), video_processor)) is not None:
                source = {"path": video.path.name, "start_seconds": float(piece * length / fps)}
                questions = tuple((question, answer, "") for question, answer in video.questions)
                yield replace(
                    record,
                    captions=video.captions,
                    image_captions=video.captions,
                    questions=questions,
                    about_image=(False,) * len(questions),
                    source=source,
                )
