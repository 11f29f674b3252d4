"""A whole video as sketches to draw again: its clips as codes, or as the keyframes and motion that were found in it.

Clips are read one after another. Whoever draws them keeps all frames, so there is a most that is read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from videolavit.clip import Clip
from videolavit.errors import LimitError, MediaError
from videolavit.pipeline.clip_decoder import EncodedClip
from videolavit.pipeline.encoding import keyframe_codes, motion_codes
from videolavit.pipeline.model_components import Components
from videolavit.pipeline.options import GenerationOptions, check_video, resize_image
from videolavit.pipeline.outputs import ClipTokens
from videolavit.pipeline.progress import Work
from videolavit.video import probe
from videolavit.video.clips.decompose import file_or_frames
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.sources import can_read_again, describe, is_file
from videolavit.video.processor import whole_video_clips

__all__ = ["Form", "Segment", "SegmentReader", "passages_of_tokens"]

Form = Literal["tokens", "raw"]
"""Whether a keyframe or its motion goes through its tokenizer, or is kept as it was found."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segment:
    """What a video shows for the time of one clip."""

    sketch: EncodedClip
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]] = ()
    """The original, tick by tick, at the size that is drawn; none where there are codes alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentReader:
    """How videos become sketches."""

    model: Components
    options: GenerationOptions
    work: Work
    keyframe: Form
    motion: Form
    max_clips: int

    def passages(self, video: Any, size: tuple[int, int]) -> Iterator[Segment]:
        """The whole video, with its images at (height, width).

        Raises:
            MediaError: the video cannot be read, or only once.
            LimitError: it has more than `max_clips` clips.
        """
        video_processor = self.model.settings.video_processor
        video = file_or_frames(video, video_processor.fps)
        self._check(video)
        with closing(images_on_ticks(video, fps=video_processor.options.rate)) as images:
            clips = whole_video_clips(video, video_processor)
            for number in itertools.count():
                with self.work.step("perceive") as report:
                    clip, num_frames = next(clips, (None, 0))
                    if clip is None:
                        return
                    if number == self.max_clips:
                        raise self._too_long(video, f"more than {number} clips")
                    shown = [resize_image(image, *size) for image in itertools.islice(images, num_frames)]
                    passage = Segment(sketch=self._sketch(clip, num_frames, number), images=shown)
                    report(number + 1)
                yield passage

    def still(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Segment:
        """An image, which does not move."""
        if self.keyframe == "raw":
            return Segment(sketch=EncodedClip(keyframe=image, motion=None))
        [codes] = keyframe_codes(self.model.visual_tokenizer, [image], self.options.patch_selection, self.options.seed)
        return Segment(sketch=EncodedClip(keyframe=codes, motion=None))

    def _sketch(self, clip: Clip, num_frames: int, number: int) -> EncodedClip:
        keyframe, motion = clip.keyframe, clip.motion
        if self.keyframe == "tokens":
            how = self.options.patch_selection, self.options.seed
            [keyframe] = keyframe_codes(self.model.visual_tokenizer, [clip.keyframe], *how, first=number)
        if self.motion == "tokens":
            [motion] = motion_codes(self.model.motion_tokenizer, [clip.motion])
        return EncodedClip(keyframe=keyframe, motion=motion, num_frames=num_frames)

    def _check(self, video: Any) -> None:
        check_video(video)
        if not can_read_again(video):
            raise MediaError(f"{describe(video)}: can be read once only; save it to a file, or pass a list of images")
        if isinstance(video, bytes | str) or (is_file(video) and hasattr(video, "__fspath__")):
            seconds = probe(video).duration_seconds
            video_processor = self.model.settings.video_processor
            clip_seconds = video_processor.frames_per_clip / video_processor.fps
            if seconds is not None and math.floor(seconds / clip_seconds) > self.max_clips:
                raise self._too_long(video, f"{seconds:.0f} s, clips of {clip_seconds:g} s")

    def _too_long(self, video: Any, found: str) -> LimitError:
        return LimitError(
            f"{describe(video)}: has {found}, and max_clips={self.max_clips}, because all frames are kept in memory; "
            "cut the video, or raise max_clips (in a command: --max-clips)"
        )


def passages_of_tokens(clips: Sequence[ClipTokens]) -> list[Segment]:
    """Codes to be drawn."""
    return [Segment(sketch=EncodedClip.of(clip)) for clip in clips]
