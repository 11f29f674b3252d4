"""Videos as tokens, and tokens as videos: the part of `VideoLaVIT` that codes, reconstructs and edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videolavit.config import to_dict
from videolavit.errors import PromptError
from videolavit.pipeline.base import Tasks
from videolavit.pipeline.clip_decoder import ClipDecoder, Detokenizer, EncodedClip, generated_size
from videolavit.pipeline.encoding import clip_codes, ids_as_tokens, tokens_as_ids
from videolavit.pipeline.media import as_list_of_images, as_video, is_image
from videolavit.pipeline.motion_editing import MotionEdit
from videolavit.pipeline.options import GenerationOptions, ImageSource, check_video, read_image
from videolavit.pipeline.outputs import ClipTokens, GeneratedImage, GeneratedVideo, Reconstruction
from videolavit.pipeline.progress import Progress, Work
from videolavit.pipeline.prompt_building import image_codes
from videolavit.pipeline.reconstruction import decoded_frames, edited, information, similarity, tokens_of
from videolavit.pipeline.segments import Form, Segment, SegmentReader, passages_of_tokens
from videolavit.pipeline.token_text import Tokens, parse_tokens
from videolavit.tokenizers.selector import PatchSelection
from videolavit.video.clips.decompose import VideoSource
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.processor import whole_video_clips

__all__ = ["Coding"]

Images = ImageSource | GeneratedImage
Videos = VideoSource | GeneratedVideo
Coded = Tokens | Sequence[ClipTokens] | Sequence[int] | Tensor | str


class Coding(Tasks):
    """Turns videos into tokens and back."""

    def tokenize(
        self,
        *,
        image: Images | None = None,
        video: Videos | None = None,
        patch_selection: PatchSelection = "likeliest",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tokens:
        """An image, or the clips that a video consists of, as codes; videos of any length are read clip by clip.

        Raises:
            PromptError: not exactly one of the two is given.
            MediaError: a file cannot be read.
        """
        if image is not None and video is not None:
            raise PromptError("got image= and video=, expected one of them")
        if image is None and video is None:
            raise PromptError("got neither image= nor video=, expected one of them")
        options, work = self._options(None, {"patch_selection": patch_selection, "seed": seed}), Work(progress)
        if image is not None:
            images = [read_image(one) for one in as_list_of_images(image)]
            clips = [ClipTokens(keyframe=codes) for codes in image_codes(self, images, options, work)]
        else:
            clips = self._video_codes(as_video(video), patch_selection, seed, work)
        metadata = self._metadata("tokenize", "", options)
        return Tokens(
            clips=tuple(clips), ids=tokens_as_ids(clips, self.vocabulary), metadata=metadata, timings=work.timings
        )

    def detokenize(
        self,
        tokens: Coded,
        *,
        detokenizer: Detokenizer = "diffusion",
        options: GenerationOptions | None = None,
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
        painter = ClipDecoder(self, options, work, generated_size(self, options, moving=moving))
        frames = decoded_frames(painter, map(EncodedClip.of, clips), detokenizer)
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
        options: GenerationOptions | None = None,
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
        reader = SegmentReader(
            model=self, options=options, work=work, keyframe=keyframe, motion=motion, max_clips=max_clips
        )
        passages = list(reader.passages(video, size))
        sketches = [passage.sketch for passage in passages]
        frames = decoded_frames(ClipDecoder(self, options, work, size), sketches, detokenizer)
        original = np.stack([image for passage in passages for image in passage.images])
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
        video: Videos | Images | Coded,
        *,
        motion_of: Videos | Coded | None = None,
        reverse: bool = False,
        scale: float | int = 1.0,
        freeze: bool = False,
        keyframe: Form = "tokens",
        motion: Form = "tokens",
        detokenizer: Detokenizer = "diffusion",
        max_clips: int = 64,
        options: GenerationOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """Draw a video with other motion: what is seen and how it moves are apart, and each can be changed alone.

        Args:
            video: what is seen: a video, an image, or tokens.
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
        size = generated_size(self, options, moving=True)
        reader = SegmentReader(
            model=self, options=options, work=work, keyframe=keyframe, motion=motion, max_clips=max_clips
        )
        painter = ClipDecoder(self, options, work, size)
        sketches = edited(
            self._passages(video, reader, size),
            None if motion_of is None else self._passages(motion_of, reader, size),
            change,
            keyframe=keyframe,
            motion=motion,
            painter=painter,
            detokenizer=detokenizer,
        )
        frames = decoded_frames(painter, sketches, detokenizer)
        ways = {"keyframe": keyframe, "motion": motion, "detokenizer": detokenizer}
        metadata = self._metadata("edit", "", options, edit=to_dict(change), **ways)
        return self._video(frames, tokens_of(sketches), options, metadata, work)

    def _video_codes(self, video: Any, patch_selection: PatchSelection, seed: int, work: Work) -> list[ClipTokens]:
        """Codes of a video of any length; a few clips are in memory at a time."""
        check_video(video)
        clips = whole_video_clips(video, self.settings.video_processor)
        codes = clip_codes(self.visual_tokenizer, self.motion_tokenizer, clips, patch_selection, seed)
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

    def _passages(self, source: Any, reader: SegmentReader, size: tuple[int, int]) -> list[Segment]:
        """What is to be drawn again, from whatever shows it."""
        if isinstance(source, GeneratedVideo) and source.tokens:
            return passages_of_tokens(source.tokens)
        if isinstance(source, Tokens | Tensor) or _is_list_of(source, ClipTokens | int):
            return passages_of_tokens(self._coded(source))
        if is_image(source):
            return [reader.still(read_image(*as_list_of_images(source)))]
        return list(reader.passages(as_video(source), size))

    def _redrawn_size(self, video: Any, options: GenerationOptions, detokenizer: Detokenizer, keyframe: Form) -> Any:
        """(height, width). Without a network the video may keep its own."""
        if detokenizer == "warp" and keyframe == "raw" and options.height is None:
            check_video(video)
            return next(images_on_ticks(video)).shape[:2]
        return generated_size(self, options, moving=detokenizer == "diffusion")

    def _video(
        self,
        frames: np.ndarray,
        clips: tuple[ClipTokens, ...],
        options: GenerationOptions,
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
