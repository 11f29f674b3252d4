"""Videos as tokens, and tokens as videos: the part of `VideoLaVIT` that codes, reconstructs and edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videolavit.config import to_dict
from videolavit.errors import PromptError
from videolavit.inputs import DrawOptions, PictureSource, check_video, read_picture
from videolavit.perception import clip_codes, ids_as_tokens, tokens_as_ids
from videolavit.results import ClipTokens, GeneratedImage, GeneratedVideo, Reconstruction
from videolavit.tasks.base import Tasks
from videolavit.tasks.drawing import Detokenizer, Painter, Sketch, drawn_size
from videolavit.tasks.editing import MotionEdit
from videolavit.tasks.progress import Progress, Work
from videolavit.tasks.prompting import picture_codes
from videolavit.tasks.redrawing import drawn_frames, edited, information, similarity, tokens_of
from videolavit.tasks.sketching import Form, Passage, SketchReader, passages_of_tokens
from videolavit.tasks.sources import as_list_of_pictures, as_video, is_picture
from videolavit.tasks.token_text import Tokens, parse_tokens
from videolavit.tokenizers.selector import Choice
from videolavit.video.decompose import VideoSource
from videolavit.video.front_end import whole_video_clips
from videolavit.video.timeline import pictures_on_ticks

__all__ = ["Coding"]

Pictures = PictureSource | GeneratedImage
Videos = VideoSource | GeneratedVideo
Coded = Tokens | Sequence[ClipTokens] | Sequence[int] | Tensor | str


class Coding(Tasks):
    """Turns videos into tokens and back."""

    def tokenize(
        self,
        *,
        image: Pictures | None = None,
        video: Videos | None = None,
        choice: Choice = "argmax",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tokens:
        """A picture, or the clips that a video consists of, as codes; videos of any length are read clip by clip.

        Raises:
            PromptError: not exactly one of the two is given.
            MediaError: a file cannot be read.
        """
        if image is not None and video is not None:
            raise PromptError("got image= and video=, expected one of them")
        if image is None and video is None:
            raise PromptError("got neither image= nor video=, expected one of them")
        options, work = self._options(None, {"choice": choice, "seed": seed}), Work(progress)
        if image is not None:
            pictures = [read_picture(one) for one in as_list_of_pictures(image)]
            clips = [ClipTokens(keyframe=codes) for codes in picture_codes(self, pictures, options, work)]
        else:
            clips = self._video_codes(as_video(video), choice, seed, work)
        metadata = self._metadata("tokenize", "", options)
        return Tokens(
            clips=tuple(clips), ids=tokens_as_ids(clips, self.vocabulary), metadata=metadata, timings=work.timings
        )

    def detokenize(
        self,
        tokens: Coded,
        *,
        detokenizer: Detokenizer = "diffusion",
        options: DrawOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """Frames of clips, each drawn for itself; a clip without motion gives one frame.

        Args:
            tokens: what `tokenize` returned, its `.ids`, or its `.text`.
            detokenizer: "warp" moves keyframes along their motion, without diffusion.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name.

        Raises:
            PromptError: there is no clip, one has no keyframe codes, or a line of the text is something else.
            ShapeError: a clip has not as many motion codes as the motion tokenizer makes.
            VocabularyError: a code is not in its codebook, or ids do not make clips.
        """
        options, work = self._options(options, changes), Work(progress)
        clips = self._coded(tokens)
        tokens_as_ids(clips, self.vocabulary)  # refuses codes that are in no codebook
        moving = any(clip.motion is not None for clip in clips)
        painter = Painter(self, options, work, drawn_size(self, options, moving=moving))
        frames = drawn_frames(painter, map(Sketch.of, clips), detokenizer)
        metadata = self._metadata("detokenize", "", options, detokenizer=detokenizer)
        return self._video(frames, clips, options, metadata, work)

    def reconstruct(
        self,
        video: Videos,
        *,
        keyframe: Form = "tokens",
        motion: Form = "tokens",
        detokenizer: Detokenizer = "diffusion",
        max_clips: int = 64,
        options: DrawOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Reconstruction:
        """A video through the tokens and back: what the model sees of it, and how close that comes.

        Args:
            video: anything `decompose` takes, or one that was drawn.
            keyframe: "raw" keeps the keyframes as they are, so that only motion is judged.
            motion: "raw" keeps the motion that was found.
            detokenizer: "warp" moves keyframes along their motion, without diffusion.
            max_clips: longer videos are refused.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name.

        Raises:
            MediaError: the file cannot be read.
            LimitError: the video is too long.
            ConfigError: an option does not exist or is out of range.
        """
        options, work = self._options(options, changes), Work(progress)
        video = as_video(video)
        size = self._redrawn_size(video, options, detokenizer, keyframe)
        reader = SketchReader(
            model=self, options=options, work=work, keyframe=keyframe, motion=motion, max_clips=max_clips
        )
        passages = list(reader.passages(video, size))
        sketches = [passage.sketch for passage in passages]
        frames = drawn_frames(Painter(self, options, work, size), sketches, detokenizer)
        original = np.stack([picture for passage in passages for picture in passage.pictures])
        ways = {"keyframe": keyframe, "motion": motion, "detokenizer": detokenizer}
        metadata = self._metadata("reconstruct", "", options, **ways)
        clips, (num_ids, num_bits) = tokens_of(sketches), information(sketches, self)
        close = similarity(frames, original)
        return Reconstruction(
            frames=frames,
            fps=options.frames.fps,
            tokens=clips,
            ids=self._ids(clips),
            metadata=metadata,
            timings=work.timings,
            original=original,
            psnr_db=close.psnr_db,
            ssim=close.ssim,
            num_ids=num_ids,
            num_bits=num_bits,
        )

    def edit(
        self,
        video: Videos | Pictures | Coded,
        *,
        motion_of: Videos | Coded | None = None,
        reverse: bool = False,
        scale: float | int = 1.0,
        freeze: bool = False,
        keyframe: Form = "tokens",
        motion: Form = "tokens",
        detokenizer: Detokenizer = "diffusion",
        max_clips: int = 64,
        options: DrawOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """Draw a video with other motion: what is seen and how it moves are apart, and each can be changed alone.

        Args:
            video: what is seen: a video, a picture, or tokens.
            motion_of: how it moves, if not as in `video`: its first keyframe then moves like this.
            reverse: play the motion backwards, from the last frame.
            scale: go so many times as far; -1 goes the opposite way.
            freeze: let the keyframes stand still.
            keyframe: "raw" keeps a video's keyframes as they are.
            motion: "raw" edits the motion that was found and draws that; "tokens" makes codes of it again.
            detokenizer: "warp" moves keyframes along their motion, without diffusion.
            max_clips: longer videos are refused.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name.

        Raises:
            PromptError: motion is taken from something that does not move.
            MediaError: a file cannot be read.
            LimitError: a video is too long.
            ConfigError: an option does not exist or is out of range.
        """
        change = MotionEdit(reverse=reverse, scale=scale, freeze=freeze)
        options, work = self._options(options, changes), Work(progress)
        size = drawn_size(self, options, moving=True)
        reader = SketchReader(
            model=self, options=options, work=work, keyframe=keyframe, motion=motion, max_clips=max_clips
        )
        painter = Painter(self, options, work, size)
        sketches = edited(
            self._passages(video, reader, size),
            None if motion_of is None else self._passages(motion_of, reader, size),
            change,
            keyframe=keyframe,
            motion=motion,
            painter=painter,
            detokenizer=detokenizer,
        )
        frames = drawn_frames(painter, sketches, detokenizer)
        ways = {"keyframe": keyframe, "motion": motion, "detokenizer": detokenizer}
        metadata = self._metadata("edit", "", options, edit=to_dict(change), **ways)
        return self._video(frames, tokens_of(sketches), options, metadata, work)

    def _video_codes(self, video: Any, choice: Choice, seed: int, work: Work) -> list[ClipTokens]:
        """Codes of a video of any length; a few clips are in memory at a time."""
        check_video(video)
        clips = whole_video_clips(video, self.settings.front_end)
        codes = clip_codes(self.visual_tokenizer, self.motion_tokenizer, clips, choice, seed)
        seen: list[ClipTokens] = []
        with work.step("perceive") as report:
            for clip in codes:
                seen.append(clip)
                report(len(seen))
        return seen

    def _coded(self, tokens: Any) -> tuple[ClipTokens, ...]:
        """Clips in any of their forms."""
        if isinstance(tokens, str):
            return parse_tokens(tokens)
        if isinstance(tokens, Tensor):
            return ids_as_tokens(tokens.cpu(), self.vocabulary)
        if all(isinstance(item, ClipTokens) for item in tokens):
            return tuple(tokens)
        return ids_as_tokens(torch.tensor(list(tokens)), self.vocabulary)

    def _passages(self, source: Any, reader: SketchReader, size: tuple[int, int]) -> list[Passage]:
        """What is to be drawn again, from whatever shows it."""
        if isinstance(source, GeneratedVideo) and source.tokens:
            return passages_of_tokens(source.tokens)
        if isinstance(source, Tokens | Tensor) or _is_list_of(source, ClipTokens | int):
            return passages_of_tokens(self._coded(source))
        if is_picture(source):
            return [reader.still(read_picture(*as_list_of_pictures(source)))]
        return list(reader.passages(as_video(source), size))

    def _redrawn_size(self, video: Any, options: DrawOptions, detokenizer: Detokenizer, keyframe: Form) -> Any:
        """(height, width). Without a network the video may keep its own."""
        if detokenizer == "warp" and keyframe == "raw" and options.height is None:
            check_video(video)
            return next(pictures_on_ticks(video)).shape[:2]
        return drawn_size(self, options, moving=detokenizer == "diffusion")

    def _video(
        self,
        frames: np.ndarray,
        clips: tuple[ClipTokens, ...],
        options: DrawOptions,
        metadata: dict[str, Any],
        work: Work,
    ) -> GeneratedVideo:
        return GeneratedVideo(
            frames=frames,
            fps=options.frames.fps,
            tokens=clips,
            ids=self._ids(clips),
            metadata=metadata,
            timings=work.timings,
        )

    def _ids(self, clips: Sequence[ClipTokens]) -> Tensor:
        return tokens_as_ids(clips, self.vocabulary) if clips else torch.empty(0, dtype=torch.long)


def _is_list_of(source: Any, kind: Any) -> bool:
    return isinstance(source, list | tuple) and bool(source) and all(isinstance(item, kind) for item in source)
