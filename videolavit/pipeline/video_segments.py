"""A whole video as segments to decode again: its clips as codes, or as the keyframes and motion that were found in it.

Clips are read one after another. What decodes them keeps all frames, so there is a limit to what is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from videolavit.checkpoints.model_components import Components
from videolavit.clip import Clip
from videolavit.clip_tokens import ClipTokens
from videolavit.config import whole_number
from videolavit.errors import ConfigError, LimitError, MediaError
from videolavit.generation_options import GenerationOptions
from videolavit.pipeline.clip_decoder import Detokenizer, EncodedClip
from videolavit.pipeline.encoding import keyframe_codes, layered_motion_codes
from videolavit.pipeline.media import check_video
from videolavit.progress import Progress
from videolavit.video.clips.decompose import file_or_frames
from videolavit.video.io.pixels import resize_image
from videolavit.video.io.sources import can_read_again, describe
from videolavit.video.processor import clips_with_images

__all__ = ["Form", "Recoding", "Segment", "SegmentReader", "segments_of_tokens"]

Form = Literal["tokens", "raw"]
"""A keyframe or its motion goes through its tokenizer, or is kept as it was found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recoding:
    """Ways of decoding a video again, of `reconstruct` and `edit`."""

    keyframe: Form = "tokens"
    """"raw" keeps keyframes as they are."""
    motion: Form = "tokens"
    """"raw" keeps the motion that was found."""
    detokenizer: Detokenizer = "diffusion"
    """"warp" moves keyframes along their motion, without diffusion."""
    motion_layers: int = 1
    """Layers of codes of the motion, where its tokenizer has several."""
    max_clips: int = 64
    """Longer videos are refused: all frames are kept in memory."""

    def __post_init__(self) -> None:
        choices = {"keyframe": get_args(Form), "motion": get_args(Form), "detokenizer": get_args(Detokenizer)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"got {name}={getattr(self, name)!r}, expected {' or '.join(map(repr, known))}")
        if self.motion == "raw" and self.motion_layers != 1:
            raise ConfigError(
                f'got motion="raw" and motion_layers={self.motion_layers}, but motion that is kept has no layers of '
                "codes; leave motion_layers out"
            )
        object.__setattr__(self, "max_clips", whole_number("max_clips", self.max_clips, at_least=1))

    @classmethod
    def among(cls, changes: Mapping[str, Any]) -> tuple[Recoding, dict[str, Any]]:
        """The ways that are named among other options, and those others.

        Raises:
            ConfigError: a way that does not exist.
        """
        names = {one.name for one in fields(cls)}
        own = {name: value for name, value in changes.items() if name in names}
        return cls(**own), {name: value for name, value in changes.items() if name not in names}

    @property
    def ways(self) -> dict[str, str]:
        """Those that decide what the result looks like, for metadata."""
        return {"keyframe": self.keyframe, "motion": self.motion, "detokenizer": self.detokenizer}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segment:
    """The time of one clip of a video."""

    clip: EncodedClip
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]] = ()
    """The original, tick by tick, at the size that is decoded; none where there are codes alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentReader:
    """Turns videos into segments."""

    model: Components
    options: GenerationOptions
    progress: Progress
    recoding: Recoding

    def segments(self, video: Any, size: tuple[int, int]) -> Iterator[Segment]:
        """The whole video, with its images at (height, width).

        Raises:
            MediaError: the video cannot be read, or only once.
            LimitError: it has more than `max_clips` clips.
        """
        processor = self.model.settings.video_processor
        video = file_or_frames(video, processor.fps)
        self._check(video)
        clips = clips_with_images(video, processor)
        for number in range(self.recoding.max_clips + 1):
            with self.progress.step("encode") as report:
                read = next(clips, None)
                if read is None:
                    return
                if number == self.recoding.max_clips:
                    raise self._too_long(video, f"more than {number} clips")
                clip, images = read
                shown = [resize_image(image, *size) for image in images]
                segment = Segment(clip=self._encoded(clip, len(images), number), images=shown)
                report(number + 1)
            yield segment

    def still(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Segment:
        """An image, which does not move."""
        if self.recoding.keyframe == "raw":
            return Segment(clip=EncodedClip(keyframe=image, motion=None))
        [codes] = keyframe_codes(self.model.visual_tokenizer, [image], self.options.patch_selection, self.options.seed)
        return Segment(clip=EncodedClip(keyframe=codes, motion=None))

    def _encoded(self, clip: Clip, num_frames: int, number: int) -> EncodedClip:
        keyframe, motion = clip.keyframe if clip.has_keyframe else None, clip.motion
        if keyframe is not None and self.recoding.keyframe == "tokens":
            how = self.options.patch_selection, self.options.seed
            [keyframe] = keyframe_codes(self.model.visual_tokenizer, [clip.keyframe], *how, first=number)
        if self.recoding.motion == "tokens":
            [motion] = layered_motion_codes(self.model.motion_tokenizer, [clip.motion], self.recoding.motion_layers)
            motion = motion if len(motion) > 1 else motion[0]
        return EncodedClip(keyframe=keyframe, motion=motion, num_frames=num_frames, keeps_time=not clip.has_keyframe)

    def _check(self, video: Any) -> None:
        info = check_video(video)
        if not can_read_again(video):
            raise MediaError(f"{describe(video)}: can be read once only; save it to a file, or pass a list of images")
        seconds = None if info is None else info.duration_seconds
        processor = self.model.settings.video_processor
        clip_seconds = processor.frames_per_clip / processor.fps
        if seconds is not None and math.floor(seconds / clip_seconds) > self.recoding.max_clips:
            raise self._too_long(video, f"{seconds:.0f} s, clips of {clip_seconds:g} s")

    def _too_long(self, video: Any, found: str) -> LimitError:
        return LimitError(
            f"{describe(video)}: has {found}, and max_clips={self.recoding.max_clips}, because all frames are kept in "
            "memory; cut the video, or raise max_clips (in a command: --max-clips)"
        )


def segments_of_tokens(clips: Sequence[ClipTokens]) -> list[Segment]:
    """Segments of codes alone."""
    return [Segment(clip=EncodedClip.of(clip)) for clip in clips]
