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

from videolavit.assembly import Assembly
from videolavit.clip import Clip
from videolavit.errors import LimitError, MediaError
from videolavit.inputs import DrawOptions, check_video, resize_picture
from videolavit.perception import keyframe_codes, motion_codes
from videolavit.results import ClipTokens
from videolavit.tasks.drawing import Sketch
from videolavit.tasks.progress import Work
from videolavit.video import probe
from videolavit.video.decompose import file_or_frames
from videolavit.video.front_end import whole_video_clips
from videolavit.video.sources import can_read_again, describe, is_file
from videolavit.video.timeline import pictures_on_ticks

__all__ = ["Form", "Passage", "SketchReader", "passages_of_tokens"]

Form = Literal["tokens", "raw"]
"""Whether a keyframe or its motion goes through its tokenizer, or is kept as it was found."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Passage:
    """What a video shows for the time of one clip."""

    sketch: Sketch
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]] = ()
    """The original, tick by tick, at the size that is drawn; none where there are codes alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SketchReader:
    """How videos become sketches."""

    model: Assembly
    options: DrawOptions
    work: Work
    keyframe: Form
    motion: Form
    max_clips: int

    def passages(self, video: Any, size: tuple[int, int]) -> Iterator[Passage]:
        """The whole video, with its pictures at (height, width).

        Raises:
            MediaError: the video cannot be read, or only once.
            LimitError: it has more than `max_clips` clips.
        """
        front_end = self.model.settings.front_end
        video = file_or_frames(video, front_end.fps)
        self._check(video)
        with closing(pictures_on_ticks(video, fps=front_end.options.rate)) as pictures:
            clips = whole_video_clips(video, front_end)
            for number in itertools.count():
                with self.work.step("perceive") as report:
                    clip, num_frames = next(clips, (None, 0))
                    if clip is None:
                        return
                    if number == self.max_clips:
                        raise self._too_long(video, f"more than {number} clips")
                    shown = [resize_picture(picture, *size) for picture in itertools.islice(pictures, num_frames)]
                    passage = Passage(sketch=self._sketch(clip, num_frames, number), pictures=shown)
                    report(number + 1)
                yield passage

    def still(self, picture: UInt8[np.ndarray, "_ _ 3"]) -> Passage:
        """A picture, which does not move."""
        if self.keyframe == "raw":
            return Passage(sketch=Sketch(keyframe=picture, motion=None))
        [codes] = keyframe_codes(self.model.visual_tokenizer, [picture], self.options.choice, self.options.seed)
        return Passage(sketch=Sketch(keyframe=codes, motion=None))

    def _sketch(self, clip: Clip, num_frames: int, number: int) -> Sketch:
        keyframe, motion = clip.keyframe, clip.motion
        if self.keyframe == "tokens":
            how = self.options.choice, self.options.seed
            [keyframe] = keyframe_codes(self.model.visual_tokenizer, [clip.keyframe], *how, first=number)
        if self.motion == "tokens":
            [motion] = motion_codes(self.model.motion_tokenizer, [clip.motion])
        return Sketch(keyframe=keyframe, motion=motion, num_frames=num_frames)

    def _check(self, video: Any) -> None:
        check_video(video)
        if not can_read_again(video):
            raise MediaError(f"{describe(video)}: can be read once only; save it to a file, or pass a list of pictures")
        if isinstance(video, bytes | str) or (is_file(video) and hasattr(video, "__fspath__")):
            seconds = probe(video).duration_seconds
            front_end = self.model.settings.front_end
            clip_seconds = front_end.frames_per_clip / front_end.fps
            if seconds is not None and math.floor(seconds / clip_seconds) > self.max_clips:
                raise self._too_long(video, f"{seconds:.0f} s, clips of {clip_seconds:g} s")

    def _too_long(self, video: Any, found: str) -> LimitError:
        return LimitError(
            f"{describe(video)}: has {found}, and max_clips={self.max_clips}, because all frames are kept in memory; "
            "cut the video, or raise max_clips (in a command: --max-clips)"
        )


def passages_of_tokens(clips: Sequence[ClipTokens]) -> list[Passage]:
    """Codes to be drawn."""
    return [Passage(sketch=Sketch.of(clip)) for clip in clips]
