"""VideoLaVIT: one model that answers about, generates and continues images and videos. Read this first.

    text -> ids -> codes -> keyframe -> motion -> frames          generate_image, generate_video, continue_video
    video -> keyframes, motion -> features, ids -> text           answer, stream_answer
    video -> codes -> text, frames, other motion                  tokenize, detokenize, reconstruct, edit

Each method shows its steps (paper, section 3); what a step does is in the file that its name comes from:

    token_generation   the language model writes keyframes and motion
    clip_decoder       the detokenizers turn them into pixels
    remembering        a long video is read into a memory, and clips of it are chosen for a question
    encoding           the tokenizers turn images and clips into codes and features
    answering          questions and what they show become prompts, and ids become words
    video_segments, reconstruction, motion_editing    a video's clips, decoded again as they are or with other motion
    stories             any number of clips, each with words of its own
    pretrained          folders, the hub, devices

Components are loaded when they are first needed: answering never reads a UNet. The parts of a model know nothing of one
another; ids, codes and pixels pass between them here.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

from videolavit import __version__
from videolavit.clip_tokens import ClipTokens
from videolavit.config import options_of, refuse_unknown, to_dict, whole_number
from videolavit.errors import ConfigError, PromptError
from videolavit.generation_options import MOST_CLIPS, RUN_TIME_OPTIONS, GenerationOptions
from videolavit.language.conversation import Turn
from videolavit.language.grammar import Modality
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import text_sampling
from videolavit.memory.context import ContextOptions
from videolavit.memory.token_memory import TokenMemory
from videolavit.pipeline.answering import (
    ANSWERS_ELSEWHERE,
    AnswerGeneration,
    AnswerStream,
    PromptBuilder,
    VisualEncoding,
)
from videolavit.pipeline.chat_messages import is_one_question
from videolavit.pipeline.clip_decoder import ClipDecoder, Detokenizer, EncodedClip, generated_size
from videolavit.pipeline.encoding import clip_codes, ids_as_tokens, tokens_as_ids
from videolavit.pipeline.encoding_cache import EncodingCache
from videolavit.pipeline.generation_states import (
    first_images,
    image_codes,
    image_states,
    sample_options,
    shared_image_codes,
    video_size,
    video_states,
)
from videolavit.pipeline.media import (
    ImageSource,
    as_list_of_images,
    as_video,
    check_video,
    is_image,
    read_image,
)
from videolavit.pipeline.motion_editing import MotionEdit
from videolavit.pipeline.motion_only import processor_with
from videolavit.pipeline.outputs import Answer, GeneratedImage, GeneratedVideo, Reconstruction
from videolavit.pipeline.pretrained import PretrainedModel
from videolavit.pipeline.reconstruction import decode_clips, edit_motion, information, similarity, tokens_of
from videolavit.pipeline.remembering import read_video
from videolavit.pipeline.stories import Stories
from videolavit.pipeline.token_generation import GenerationState, TokenGenerator
from videolavit.pipeline.token_text import Tokens, check_codes, is_row_of_ids, is_token_text, parse_tokens
from videolavit.pipeline.video_segments import Recoding, Segment, SegmentReader, segments_of_tokens
from videolavit.progress import Progress, ProgressCallback
from videolavit.tokenizers.selector import PatchSelection
from videolavit.video.clips.decompose import VideoSource
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.processor import KeyframeChoice, VideoProcessorConfig, whole_video_clips

if TYPE_CHECKING:
    from typing import Self
else:
    Self = Any  # checkers of types at run time know it in whole classes alone

__all__ = ["GenerationOptions", "VideoLaVIT"]

Images = ImageSource | GeneratedImage
Videos = VideoSource | Tensor | Sequence[Tensor] | GeneratedVideo
Coded = Tokens | Sequence[ClipTokens] | Sequence[int] | Tensor | str
Prompts = str | Prompt
LongVideos = Videos | TokenMemory
Context = Literal["whole", "window", "budget", "retrieval"]
Preview = Callable[[np.ndarray, int], None]
"""Called with the frames of a clip as motion compensation gives them, (frames, height, width, 3) uint8, and its
number, before diffusion of the frames starts."""
OnKeyframe = Callable[[np.ndarray, int], None]
"""Called with a clip's keyframe, (height, width, 3) uint8, and the clip's number, before its motion is written."""


class VideoLaVIT(PretrainedModel, Stories):
    """A Video-LaVIT model; its components are the attributes of `Components`, opened by `from_pretrained`.

    Everything but the first argument is given by name. What generates takes `options`, or single ones of them by their
    own names, such as `seed=1, num_inference_steps=10`, and tells `progress(stage, done, total)` how far it is.
    Lists of prompts are generated together and equal single calls with the same seeds; `seed` may then be a list.
    """

    def __repr__(self) -> str:
        return f"VideoLaVIT({self.components.name!r}, loaded={self.components.loaded})"

    # Text to images and videos ----------------------------------------------------------------------------------------

    @overload
    def generate_image(self, prompt: Prompts = ..., **arguments: Any) -> GeneratedImage: ...
    @overload
    def generate_image(self, prompt: list[Prompts] | tuple[Prompts, ...], **arguments: Any) -> list[GeneratedImage]: ...
    def generate_image(
        self,
        prompt: Prompts | Sequence[Prompts] = "",
        *,
        image: Images | Sequence[Images] | None = None,
        candidates: int | None = None,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> GeneratedImage | list[GeneratedImage]:
        """Generate an image of what a text says; or of each of several texts, together.

        Args:
            prompt: words, or a ready-made row of ids; or a list of them.
            image: images that the prompt speaks of, where it says `<image>`, or else before it.
            candidates: best of n: write the ids of so many, and decode the one that the model finds to fit the words
                best; None for the model's own number.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name, such as `seed=1, height=512, width=512, keyframe_guidance_scale=7.0,
                negative_prompt="blue"`; `seed`, `generator` and `negative_prompt` may be lists with one for each
                prompt.

        Raises:
            PromptError: the prompt is empty or too long.
            MediaError: an image cannot be read.
            ConfigError: an option does not exist, is one of videos alone, or is out of range.
        """
        prompts, work = _listed(prompt), Progress(progress)
        samples = sample_options(self, prompts, options, changes, writes=("keyframe",))
        size = generated_size(self, samples[0], moving=False)
        images = [] if image is None else [read_image(one) for one in as_list_of_images(image)]
        codes = shared_image_codes(self, images, samples, work)

        states = image_states(self, prompts, samples, codes, candidates)
        blocks = TokenGenerator(self, work, constrained=samples[0].constrained).keyframes(states)
        decoded = ClipDecoder(self, samples, work, size).keyframes([block.codes for block in blocks])

        results = [
            GeneratedImage(
                pixels=pixels,
                tokens=ClipTokens(keyframe=block.codes),
                ids=block.context,
                metadata=self._metadata("image", words, one, candidates=state.candidates),
                timings=dict(work.timings),
            )
            for pixels, block, words, one, state in zip(decoded, blocks, prompts, samples, states, strict=True)
        ]
        return results if _is_list(prompt) else results[0]

    @overload
    def generate_video(self, prompt: Prompts = ..., **arguments: Any) -> GeneratedVideo: ...
    @overload
    def generate_video(self, prompt: list[Prompts] | tuple[Prompts, ...], **arguments: Any) -> list[GeneratedVideo]: ...
    def generate_video(
        self,
        prompt: Prompts | Sequence[Prompts] = "",
        *,
        image: Images | Sequence[Images] | None = None,
        keyframe: Images | Sequence[Images] | None = None,
        clips: int = 1,
        candidates: int | None = None,
        on_keyframe: OnKeyframe | None = None,
        preview: Preview | None = None,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> GeneratedVideo | list[GeneratedVideo]:
        """Generate a video of what a text says, or one that starts with an image; or several, together.

        Args:
            prompt: words, or a ready-made row of ids; may be empty if there is an image. Or a list of them.
            image: any image, brought to the size of the video: what is seen first. Only motion, and later keyframes,
                are generated. With a list of prompts, one for all or a list with one for each.
            keyframe: the same for an image that another model generated for the prompt: the video takes its shape, and
                motion is sampled as it is after words.
            clips: number of clips, each going on from the last frame of the one before.
            candidates: best of n: write the ids of so many videos, and decode the one that the model finds to fit the
                words best; None for the model's own number.
            on_keyframe: is called with each clip's keyframe and number, as soon as it is decoded; for a single prompt.
            preview: is called with each clip's frames by motion compensation and its number, before they are decoded;
                for a single prompt only.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name, such as `seed=1, num_inference_steps=10, continuation="inversion",
                negative_prompt="blue"`; `seed`, `generator` and `negative_prompt` may be lists with one for each
                prompt.

        Raises:
            PromptError: there is neither text nor image, or not even one clip fits into the context.
            MediaError: the image cannot be read.
            ConfigError: an option does not exist or is out of range.
        """
        if _is_list(prompt) and not (preview is None and on_keyframe is None):
            raise ConfigError(
                "preview= and on_keyframe= show one video; generate prompts one by one, or leave them out"
            )
        show = on_keyframe, preview
        clips_of_all = list(
            self._stream_videos(
                _listed(prompt), image, keyframe, None, clips, candidates, show, options, progress, changes
            )
        )
        videos = [GeneratedVideo.join(parts) if clips > 1 else parts[0] for parts in zip(*clips_of_all, strict=True)]
        return videos if _is_list(prompt) else videos[0]

    def stream_video(
        self,
        prompt: Prompts = "",
        *,
        image: Images | None = None,
        keyframe: Images | None = None,
        after: Videos | None = None,
        clips: int = 1,
        candidates: int | None = None,
        on_keyframe: OnKeyframe | None = None,
        preview: Preview | None = None,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> Iterator[GeneratedVideo]:
        """The clips of `generate_video`, or of `continue_video` with `after`, each as soon as it is decoded.

        Each comes with its new frames alone; `GeneratedVideo.join` makes one video of them. Where the context is full,
        the prompt and the last clips stay in it. Arguments and errors are those of those two.
        """
        if _is_list(prompt):
            raise PromptError("got a list of prompts, expected one; generate_video takes several together")
        show = on_keyframe, preview
        videos = self._stream_videos(
            [prompt], image, keyframe, after, clips, candidates, show, options, progress, changes
        )
        return (video for [video] in videos)

    def continue_video(
        self,
        video: Videos,
        prompt: str = "",
        *,
        clips: int = 1,
        on_keyframe: OnKeyframe | None = None,
        preview: Preview | None = None,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """Generate what happens next.

        Args:
            video: a generated video, which is returned with the new frames behind its own; or a file, of which the
                last clip is the context, and only the new frames are returned.
            prompt: words to go on with, in place of those that a generated video was made from.
            clips: number of clips to add.
            on_keyframe: as in `generate_video`.
            preview: as in `generate_video`.
            options: by default the model's own; `continuation` says how a new keyframe starts from the last frame.
            progress: is told how far the work is.
            changes: single options by name.

        Raises:
            PromptError: not even one clip fits behind the prompt.
            MediaError: the file cannot be read.
        """
        parts = self.stream_video(
            prompt,
            after=video,
            clips=clips,
            on_keyframe=on_keyframe,
            preview=preview,
            options=options,
            progress=progress,
            **changes,
        )
        before = [dataclasses.replace(video, timings={})] if isinstance(video, GeneratedVideo) else []
        return GeneratedVideo.join([*before, *parts])

    image, video = generate_image, generate_video
    """Short names of the two."""

    def _stream_videos(
        self,
        prompts: list[Prompts],
        image: Any,
        keyframe: Any,
        after: Any,
        clips: int,
        candidates: int | None,
        show: tuple[OnKeyframe | None, Preview | None],
        options: GenerationOptions | None,
        progress: ProgressCallback | None,
        changes: dict[str, Any],
    ) -> Iterator[list[GeneratedVideo]]:
        """Check what was asked for, find where each video begins, and generate clip after clip of all of them."""
        if sum(given is not None for given in (image, keyframe, after)) > 1:
            raise PromptError("got more than one of image=, keyframe= and after=, expected one thing to start from")
        for name, function in zip(("on_keyframe", "preview"), show, strict=True):
            if function is not None and not callable(function):
                raise ConfigError(f"got {name}={function!r}, expected a function of an array and the number of a clip")
        clips, work = whole_number("clips", clips, at_least=1, at_most=MOST_CLIPS), Progress(progress)
        starts_with_image = image is not None or keyframe is not None
        writes = ("motion",) if starts_with_image and clips == 1 else ("keyframe", "motion")
        samples = sample_options(self, prompts, options, changes, after_image=image is not None, writes=writes)
        images = first_images(image if keyframe is None else keyframe, len(prompts))
        is_given = changes.get("height", None if options is None else options.height) is not None
        size = video_size(self, samples[0], images if keyframe is not None else [], after, is_given=is_given)
        samples = [one.changed(height=size[0], width=size[1]) for one in samples]

        states = video_states(self, prompts, samples, images, after, size, candidates, work)
        task = "video" if after is None else "continue_video"
        notes = [
            self._metadata(task, words, one, clips=clips, candidates=state.candidates)
            for words, one, state in zip(prompts, samples, states, strict=True)
        ]
        return self._generate_clips(states, clips, size, notes, work, show)

    def _generate_clips(
        self,
        states: Sequence[GenerationState],
        count: int,
        size: tuple[int, int],
        metadata: Sequence[Mapping[str, Any]],
        work: Progress,
        show: tuple[OnKeyframe | None, Preview | None] = (None, None),
    ) -> Iterator[list[GeneratedVideo]]:
        """`count` clips of every sample, each as a video of its new frames alone.

        keyframe ids -> keyframe -> motion ids -> preview -> frames -> the next clip's keyframe ids ...
        """
        on_keyframe, preview = show
        generator = TokenGenerator(self, work, constrained=states[0].options.constrained)
        decoder = ClipDecoder(self, [state.options for state in states], work, size)
        codes: list[Any] = [state.keyframe_codes for state in states]
        keyframes: list[Any] = [state.keyframe for state in states]
        last_frames: Any = None if states[0].last_frame is None else [state.last_frame for state in states]
        is_continued = states[0].is_continued
        for blocks in generator.clips(states, count):
            clip = blocks[0].clip
            if blocks[0].modality is Modality.KEYFRAME:
                codes = [None if block.is_left_out else block.codes for block in blocks]
                keyframes = decoder.keyframes_or_last(codes, clip, last_frames)
                if on_keyframe is not None:
                    on_keyframe(keyframes[0].copy(), clip)  # whoever draws on it must not change the video
                continue
            motions = [block.codes for block in blocks]
            if preview is not None:
                preview(decoder.preview(keyframes[0], motions[0]), clip)
            frames = decoder.frames(keyframes, motions, clip)
            timings = work.take_timings()
            yield [
                GeneratedVideo(
                    frames=own[1:] if is_continued else own,
                    fps=decoder.options.frames.fps,
                    tokens=(ClipTokens(keyframe=keyframe, motion=block.codes),),
                    ids=block.context,
                    metadata=note,
                    timings=timings,
                )
                for own, keyframe, block, note in zip(frames, codes, blocks, metadata, strict=True)
            ]
            last_frames, is_continued = [own[-1] for own in frames], True

    # Questions --------------------------------------------------------------------------------------------------------

    @cached_property
    def memory(self) -> EncodingCache:
        """Features of images and videos that were asked about: a second question does not encode them again."""
        return EncodingCache()

    def to(self, *where: str | torch.device | torch.dtype) -> Self:
        """Move the model as `PretrainedModel.to` does, and forget what was encoded."""
        super().to(*where)
        self.memory.forget()
        return self

    def answer(
        self,
        question: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
        *,
        image: Images | Sequence[Images] | None = None,
        video: LongVideos | Sequence[LongVideos] | None = None,
        history: Answer | Sequence[Turn] | None = None,
        max_new_tokens: int = 512,
        temperature: float | int | None = None,
        top_k: int | None = None,
        top_p: float | int | None = None,
        max_clips: int | None = None,
        context: ContextOptions | Context = "retrieval",
        patch_selection: PatchSelection = "likeliest",
        seed: int = 0,
        progress: ProgressCallback | None = None,
        **unknown: Any,
    ) -> Any:
        """Answer a question in words about images, videos, both or neither; or several at once.

        Returns an `Answer`, or a list of them for a list of questions.

        Images and videos are encoded once each: later questions find them in `memory`.

        Args:
            question: may say `<image>` and `<video>` where they belong; without, images come first, then videos.
                Of several questions each is answered for itself, about what all share or, as
                `{"question": ..., "image": ..., "video": ..., "history": ...}`, about what it brings along; a single
                one may be written so, too. A list of
                messages with roles, as transformers writes conversations, is one question with its history.
            image: one image or several.
            video: one video or several; a list of images is one. Or a memory that `remember` made, by its folder or
                as it is: the answer's `moments` say which clips were looked at.
            history: the last answer of a conversation to go on with, or turns.
            max_new_tokens: length limit of the answer.
            temperature: higher is more varied. Without it, `top_k` and `top_p`, or with 0, the likeliest words come.
            top_k: sample among so many likeliest ids.
            top_p: sample among the likeliest ids that together have this probability.
            max_clips: most clips of a video that are encoded; None for as many as the model was made for.
            context: which clips of a memory a question is asked about: "whole", "window", "budget", "retrieval", or
                `ContextOptions` that say more.
            patch_selection: which patches become tokens; "gumbel" is how the released model does it.
            seed: for that draw, and for sampling.
            progress: is told how far the work is.
            unknown: names of other libraries, to be answered with those of this one.

        Raises:
            ConfigError: an option does not exist or is out of range.
            PromptError: media and question do not fit, an image is given as a video or the reverse, or all of it is
                longer than the context.
            MediaError: a file cannot be read.
        """
        refuse_unknown(unknown, options_of(self.answer), ANSWERS_ELSEWHERE)
        if not is_one_question(question):
            question = _listed_questions(question)
        builder = PromptBuilder(self, self.memory, Progress(progress))
        encoding = self._visual_encoding(max_clips, patch_selection, seed, context)
        sampling = text_sampling(temperature, top_k, top_p)
        writing = AnswerGeneration(max_new_tokens=max_new_tokens, sampling=sampling, seed=seed)
        shared = {"image": image, "video": video, "history": history}
        answers = builder.answers(*builder.prompts_of(question, shared, encoding), writing)
        return answers[0] if is_one_question(question) else answers

    def stream_answer(
        self,
        question: str | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        image: Images | Sequence[Images] | None = None,
        video: LongVideos | Sequence[LongVideos] | None = None,
        history: Answer | Sequence[Turn] | None = None,
        max_new_tokens: int = 512,
        temperature: float | int | None = None,
        top_k: int | None = None,
        top_p: float | int | None = None,
        max_clips: int | None = None,
        context: ContextOptions | Context = "retrieval",
        patch_selection: PatchSelection = "likeliest",
        seed: int = 0,
        progress: ProgressCallback | None = None,
        **unknown: Any,
    ) -> AnswerStream:
        """The same answer piece by piece, as it comes; `.answer` of what is returned is the whole of it.

        Arguments and errors are those of `answer`, for one question.
        """
        refuse_unknown(unknown, options_of(self.answer), ANSWERS_ELSEWHERE)
        if not is_one_question(question):
            kind = "a list of questions" if _is_list(question) else f"a question of type {type(question).__name__}"
            raise PromptError(f"got {kind}, expected one question; answer takes several together")
        builder = PromptBuilder(self, self.memory, Progress(progress))
        encoding = self._visual_encoding(max_clips, patch_selection, seed, context)
        sampling = text_sampling(temperature, top_k, top_p)
        writing = AnswerGeneration(max_new_tokens=max_new_tokens, sampling=sampling, seed=seed)
        shared = {"image": image, "video": video, "history": history}
        [turns], [prompt] = builder.prompts_of(question, shared, encoding)
        return builder.stream(turns, prompt, writing)

    def remember(
        self,
        video: Videos,
        folder: str | os.PathLike[str],
        *,
        append: bool = False,
        ask: str | Sequence[str] = (),
        describe: bool = True,
        images: bool = True,
        keyframes: KeyframeChoice | None = None,
        progress: ProgressCallback | None = None,
    ) -> TokenMemory:
        """Read a video of any length into a memory on the disk, to be asked about by `answer(video=folder)`.

        A memory that is there is gone on with from where it ends, as after a run that was killed: clips of this video
        that it holds are left out.

        Args:
            video: a file, a pipe, images as they come, or a generated video.
            folder: for the memory.
            append: add all of the video behind what the memory holds.
            ask: questions that each clip is asked by itself; retrieval compares their answers with a question's words.
                Without any, the model describes clips freely.
            describe: False to note nothing, for scorers that need no words.
            images: keep a small image of each keyframe, for people and image-text encoders.
            keyframes: "adaptive" keeps none where motion explains the clip from the one before, "every" keeps all; by
                default as the model was trained.
            progress: is told how many clips were read.

        Raises:
            MediaError: the video cannot be read, or the memory is damaged.
            OutputError: the folder cannot be written, or another process appends to the memory.
            CheckpointError: the memory was made by a model of another vocabulary.
            ConfigError: the folder holds something else, or another video and `append` is False; or the model does not
                know clips of motion alone.
            PromptError: a question of `ask` is empty.
        """
        work = Progress(progress)
        with work.step("load"):
            _ = self.answering.language_model, self.answering.visual_tokenizer, self.answering.motion_tokenizer
        options: Any = {"append": append, "ask": ask, "describe": describe, "images": images, "keyframes": keyframes}
        with work.step("encode") as report:
            for memory in read_video(self, as_video(video), folder, **options):
                report(len(memory))
        return TokenMemory(folder)

    # Videos as tokens, and tokens as videos ---------------------------------------------------------------------------

    def tokenize(
        self,
        *,
        image: Images | None = None,
        video: Videos | None = None,
        patch_selection: PatchSelection = "likeliest",
        keyframes: KeyframeChoice | None = None,
        motion_layers: int = 1,
        seed: int = 0,
        progress: ProgressCallback | None = None,
    ) -> Tokens:
        """An image, or the clips that a video consists of, as codes; videos of any length are read clip by clip.

        With `keyframes="adaptive"` clips that motion explains from the one before have motion alone; every detokenizer
        goes on from their last frame. By default clips are what the language model knows. `motion_layers` above 1 adds
        codes that make motion finer, for motion tokenizers that have them.

        Raises:
            PromptError: not exactly one of the two is given.
            MediaError: a file cannot be read.
            ConfigError: an option is out of range, or an image is given with one of motion.
        """
        if (image is None) == (video is None):
            found = "neither image= nor video=" if image is None else "image= and video="
            raise PromptError(f"got {found}, expected one of them")
        if image is not None and (motion_layers != 1 or keyframes == "adaptive"):
            given = f"motion_layers={motion_layers}" if motion_layers != 1 else f"keyframes={keyframes}"
            raise ConfigError(f"got {given} for an image, which has no motion; leave it out")
        options, work = self._options(None, {"patch_selection": patch_selection, "seed": seed}), Progress(progress)
        if image is not None:
            images = [read_image(one) for one in as_list_of_images(image)]
            if not images:
                raise PromptError("got an empty list of images, expected at least one")
            clips = [ClipTokens(keyframe=codes) for codes in image_codes(self, images, options, work)]
        else:
            processor = processor_with(self.settings, keyframes)
            clips = self._video_codes(as_video(video), processor, motion_layers, options, work)
        return Tokens(
            clips=tuple(clips),
            ids=tokens_as_ids(clips, self.vocabulary),
            metadata=self._metadata("tokenize", "", options),
            timings=work.timings,
        )

    def detokenize(
        self,
        tokens: Coded,
        *,
        detokenizer: Detokenizer = "diffusion",
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """Frames of clips, each decoded for itself; a clip without motion gives one frame.

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
            ConfigError: there is no such detokenizer, or an option does not exist or is out of range.
        """
        detokenizer = Recoding(detokenizer=detokenizer).detokenizer
        options, work = self._options(options, changes), Progress(progress)
        clips = self._coded(tokens)
        tokens_as_ids(clips, self.vocabulary)  # refuses an empty list
        moving = any(clip.motion is not None for clip in clips)
        decoder = ClipDecoder(self, [options], work, generated_size(self, options, moving=moving))
        frames = decode_clips(decoder, map(EncodedClip.of, clips), detokenizer)
        return self._video(
            frames, clips, options, self._metadata("detokenize", "", options, detokenizer=detokenizer), work
        )

    def reconstruct(
        self,
        video: Videos,
        *,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> Reconstruction:
        """A video through the tokens and back: what the model sees of it, and how close that comes.

        Args:
            video: anything `decompose` takes, or one that was generated.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: those of `Recoding` by name, such as `keyframe="raw"` so that motion alone is judged, and single
                options of generation.

        Raises:
            MediaError: the file cannot be read.
            LimitError: the video is too long.
            ConfigError: an option does not exist or is out of range.
        """
        recoding, changes = Recoding.among(changes)
        options, work = self._options(options, changes), Progress(progress)
        video = as_video(video)
        size = self._reconstructed_size(video, options, recoding)
        reader = SegmentReader(model=self, options=options, progress=work, recoding=recoding)
        segments = list(reader.segments(video, size))
        clips = [segment.clip for segment in segments]
        frames = decode_clips(ClipDecoder(self, [options], work, size), clips, recoding.detokenizer)
        original = np.stack([image for segment in segments for image in segment.images])

        tokens, near = tokens_of(clips), similarity(frames, original)
        num_ids, num_bits = information(clips, self.vocabulary)
        return Reconstruction(
            frames=frames,
            fps=options.frames.fps,
            tokens=tokens,
            ids=self._ids(tokens),
            metadata=self._metadata("reconstruct", "", options, **recoding.ways),
            timings=work.timings,
            original=original,
            psnr_db=near.psnr_db,
            ssim=near.ssim,
            num_ids=num_ids,
            num_bits=num_bits,
        )

    def edit(
        self,
        video: Videos | Images | Coded,
        *,
        motion_of: Videos | Coded | None = None,
        reverse: bool = False,
        mirror: bool = False,
        scale: float | int = 1.0,
        freeze: bool = False,
        options: GenerationOptions | None = None,
        progress: ProgressCallback | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """A video with other motion: what is seen and how it moves are apart, and each can be changed alone.

        Args:
            video: what is seen: a video, an image, or tokens.
            motion_of: how it moves, if not as in `video`: its first keyframe then moves like this.
            reverse: play the motion backwards, from the last frame.
            mirror: exchange left and right of the motion.
            scale: factor of the distances that things go; -1 sends them the opposite way.
            freeze: let the keyframes stand still.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: those of `Recoding` by name (with `motion="raw"` the motion that was found is edited, with "tokens"
                codes are made of it again), and single options of generation.

        Raises:
            PromptError: motion is taken from something that does not move.
            MediaError: a file cannot be read.
            LimitError: a video is too long.
            ConfigError: an option does not exist or is out of range.
        """
        change = MotionEdit(reverse=reverse, mirror=mirror, scale=scale, freeze=freeze)
        recoding, changes = Recoding.among(changes)
        options, work = self._options(options, changes), Progress(progress)
        size = generated_size(self, options, moving=True)
        reader = SegmentReader(model=self, options=options, progress=work, recoding=recoding)
        decoder = ClipDecoder(self, [options], work, size)
        clips = edit_motion(
            self._segments(video, reader, size),
            None if motion_of is None else self._segments(motion_of, reader, size),
            change,
            keyframe=recoding.keyframe,
            motion=recoding.motion,
            decoder=decoder,
            detokenizer=recoding.detokenizer,
        )
        frames = decode_clips(decoder, clips, recoding.detokenizer)
        note = self._metadata("edit", "", options, edit=to_dict(change), **recoding.ways)
        return self._video(frames, tokens_of(clips), options, note, work)

    # Steps that several methods share ---------------------------------------------------------------------------------

    def _options(
        self, options: GenerationOptions | None, changes: dict[str, Any], *, after_image: bool = False
    ) -> GenerationOptions:
        """Options that were asked for, completed by the model's own values."""
        asked = GenerationOptions.given(options, changes)
        if asked.negative_prompt:
            raise ConfigError(
                "negative_prompt= has no effect here, where the language model writes nothing; leave it out"
            )
        return asked.completed(self.settings, after_image=after_image)

    def _visual_encoding(
        self,
        max_clips: int | None,
        patch_selection: PatchSelection,
        seed: int,
        context: ContextOptions | Context,
    ) -> VisualEncoding:
        max_clips = self.settings.max_clips if max_clips is None else whole_number("max_clips", max_clips, at_least=1)
        if not isinstance(context, ContextOptions):
            context = ContextOptions(context=context)
        seed = seed if patch_selection == "gumbel" else 0  # else what was seen is found again whatever the seed
        return VisualEncoding(max_clips=max_clips, patch_selection=patch_selection, seed=seed, context=context)

    def _video_codes(
        self,
        video: Any,
        processor: VideoProcessorConfig,
        motion_layers: int,
        options: GenerationOptions,
        work: Progress,
    ) -> list[ClipTokens]:
        """Codes of a video of any length; a few clips are in memory at a time."""
        check_video(video)
        clips = whole_video_clips(video, processor)
        how = options.patch_selection, options.seed, motion_layers
        seen: list[ClipTokens] = []
        with work.step("encode") as report:
            for clip in clip_codes(self.visual_tokenizer, self.motion_tokenizer, clips, *how):
                seen.append(clip)
                report(len(seen))
        return seen

    def _coded(self, tokens: Any) -> tuple[ClipTokens, ...]:
        """Clips in any of their forms, with codes that the model has.

        Raises:
            PromptError: there is no clip, or these are no tokens.
        """
        clips = self._clips_of(tokens)
        if not clips:
            raise PromptError("got tokens without clips, expected what tokenize returned, its .ids, or its .text")
        check_codes(clips, self.vocabulary, lambda: self.components.config("motion_tokenizer").num_tokens)
        return clips

    def _clips_of(self, tokens: Any) -> tuple[ClipTokens, ...]:
        if isinstance(tokens, str):
            return parse_tokens(tokens)
        if isinstance(tokens, Tensor):
            if not is_row_of_ids(tokens):
                shape, kind = tuple(tokens.shape), str(tokens.dtype).removeprefix("torch.")
                raise PromptError(f"got tokens of shape {shape} and type {kind}, expected one row of whole numbers")
            return ids_as_tokens(tokens.cpu(), self.vocabulary)
        is_row = isinstance(tokens, Iterable) and not isinstance(tokens, bytes | bytearray | memoryview)
        listed: list[Any] = list(tokens) if is_row else [tokens]
        if all(isinstance(item, ClipTokens) for item in listed):
            return tuple(listed)
        if not is_row or not all(isinstance(item, Integral) for item in listed):
            kinds = ", ".join(sorted({type(item).__name__ for item in listed}))
            raise PromptError(f"got tokens of type {kinds}, expected what tokenize returned, its .ids, or its .text")
        return ids_as_tokens(torch.tensor(list(map(int, listed))), self.vocabulary)

    def _segments(self, source: Any, reader: SegmentReader, size: tuple[int, int]) -> list[Segment]:
        """Video to decode again, from anything that shows one."""
        if isinstance(source, GeneratedVideo) and source.tokens:
            return segments_of_tokens(source.tokens)
        is_text = isinstance(source, str) and is_token_text(source)
        is_ids = isinstance(source, Tensor) and is_row_of_ids(source)
        if is_text or is_ids or isinstance(source, Tokens) or _is_list_of(source, ClipTokens | int):
            return segments_of_tokens(self._coded(source))
        if is_image(source):
            return [reader.still(read_image(*as_list_of_images(source)))]
        return list(reader.segments(as_video(source), size))

    def _reconstructed_size(self, video: Any, options: GenerationOptions, recoding: Recoding) -> Any:
        """(height, width). Without a network the video may keep its own."""
        if recoding.detokenizer == "warp" and recoding.keyframe == "raw":
            if options.height is not None:
                return options.height, options.width
            check_video(video)
            return next(images_on_ticks(video)).shape[:2]
        return generated_size(self, options, moving=recoding.detokenizer == "diffusion")

    def _metadata(self, task: str, prompt: Prompts, options: GenerationOptions, **ways: Any) -> dict[str, Any]:
        """All that is needed to do the same again; `ways` are the task's own arguments."""
        values = {
            f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name not in RUN_TIME_OPTIONS
        }
        plain = {name: to_dict(value) if dataclasses.is_dataclass(value) else value for name, value in values.items()}
        return {
            "made_by": f"videolavit {__version__}",
            "task": task,
            "prompt": prompt if isinstance(prompt, str) else repr(prompt),
            # Results are passed on, and the folder of a model is private; the hash says which model it is.
            "model": Path(self.components.name).name if Path(self.components.name).is_dir() else self.components.name,
            "model_hash": self.components.hash,
            **ways,
            "seed": options.seed if options.generator is None else None,
            "options": plain,
        }

    def _video(
        self,
        frames: np.ndarray,
        clips: tuple[ClipTokens, ...],
        options: GenerationOptions,
        metadata: dict[str, Any],
        work: Progress,
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


def _is_list(prompt: Any) -> bool:
    return isinstance(prompt, list | tuple)


def _listed(prompt: Any) -> list[Any]:
    return list(prompt) if _is_list(prompt) else [prompt]


def _listed_questions(questions: Any) -> list[Any]:
    if isinstance(questions, bytes | bytearray) or not isinstance(questions, Iterable):
        raise PromptError(f"got a question of type {type(questions).__name__}, expected a text, or a list of texts")
    return list(questions)


def _is_list_of(source: Any, kind: Any) -> bool:
    return isinstance(source, list | tuple) and bool(source) and all(isinstance(item, kind) for item in source)
