"""VideoLaVIT: one model that answers about, draws and continues pictures and videos. Read this first.

    text -> ids -> codes -> keyframe -> motion -> frames          draw a video
    video -> keyframes, motion -> features, ids -> text           answer a question

Each method below is one of those stories, told in order. The parts that it needs are loaded when it first needs them:
answering never reads a UNet. What the parts do is in `tokenizers`, `language` and `detokenizers`, which know nothing of
one another; ids, codes and pixels pass between them here (paper, section 3).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videolavit.assembly import Assembly
from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.model_parts import ModelParts
from videolavit.clip import Clip
from videolavit.config import to_dict
from videolavit.detokenizers.continuation import inversion_latents, join_clips, restart_latents
from videolavit.detokenizers.keyframe import KeyframeDetokenizer, KeyframeStart
from videolavit.detokenizers.pixels import to_uint8, vae_factor
from videolavit.detokenizers.video import VideoDetokenizer
from videolavit.errors import ConfigError, PromptError
from videolavit.inputs import DrawOptions, PictureSource, check_video, read_picture, resize_picture
from videolavit.language.answer import answer
from videolavit.language.conversation import Turn, conversation
from videolavit.language.generate import Generated, generate
from videolavit.language.grammar import Block, GrammarConfig, Modality, fit_motion, only_visual
from videolavit.language.prompts import Ids, Picture, Piece, Prompt, Text, Video, assemble
from videolavit.language.sampling import Sampling
from videolavit.perception import clip_codes, keyframe_codes, picture_features, tokens_as_ids, video_features
from videolavit.results import Answer, ClipTokens, GeneratedImage, GeneratedVideo
from videolavit.tokenizers.selector import Choice
from videolavit.video.decompose import VideoSource, decompose
from videolavit.video.sources import Source
from videolavit.video.timeline import pictures_on_ticks, timeline

__all__ = ["DrawOptions", "VideoLaVIT"]


class VideoLaVIT(Assembly):
    """A Video-LaVIT model; see the module's text. Its parts are the attributes of `Assembly`."""

    def __repr__(self) -> str:
        return f"VideoLaVIT({self.parts.name!r}, loaded={self.parts.loaded})"

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | os.PathLike[str],
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> VideoLaVIT:
        """Open a checkpoint in the released or the native layout; parts are loaded, or downloaded, when needed.

        Args:
            folder_or_hub_id: a folder, or `owner/name` on the hub.
            device: where the parts go.
            dtype: of their weights, such as `torch.bfloat16`; None for the type that they are stored in. Codebooks
                and the decoder of keyframes stay float32.
            revision: branch, tag or commit on the hub.

        Raises:
            CheckpointError: no such folder, and no such model on the hub.
        """
        source = os.fspath(folder_or_hub_id)
        return cls(ModelParts(open_checkpoint(source, revision=revision), device=device, dtype=dtype))

    def save_pretrained(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the whole model in the native layout.

        Raises:
            CheckpointError: the folder exists and is not empty, and `overwrite` is False.
        """
        self.parts.save(Path(folder), overwrite=overwrite)

    # Understanding

    def answer(
        self,
        question: str,
        *,
        image: PictureSource | Sequence[PictureSource] | None = None,
        video: VideoSource | None = None,
        max_ids: int = 512,
        max_clips: int = 8,
        choice: Choice = "argmax",
        seed: int = 0,
    ) -> Answer:
        """Answer a question in words, greedily, about pictures, a video, both or neither.

        Args:
            question: may say `<image>` and `<video>` where they belong; without, they come first.
            image: one picture or several.
            video: anything `decompose` takes.
            max_ids: length limit of the answer.
            max_clips: how many clips of the video are looked at.
            choice: which patches become tokens; "gumbel" is how the released model does it.
            seed: for that draw.

        Raises:
            PromptError: media and question do not fit, a picture is given as a video or the reverse, or all of it is
                longer than the context.
            MediaError: a file cannot be read.
        """
        pictures = [read_picture(one) for one in _as_list(image)]
        media: list[Picture | Video] = []
        if pictures:
            media += picture_features(self.answering.visual_tokenizer, pictures, choice, seed)
        if video is not None:
            visual, motion = self.answering.visual_tokenizer, self.answering.motion_tokenizer
            clips = _decompose(video, frames_per_clip=motion.config.frames, max_clips=max_clips)
            media.append(video_features(visual, motion, clips, self.vocabulary, choice, seed))
        model = self.answering.language_model
        prompt = conversation([Turn(question=question, media=tuple(media))], self.vocabulary, model.text_tokenizer)
        [text] = answer(model, [prompt], max_ids=max_ids)
        return Answer(text=text, question=question, num_prompt_ids=len(prompt))

    # Drawing

    def image(self, prompt: str | Prompt, options: DrawOptions | None = None, **changes: Any) -> GeneratedImage:
        """Draw a picture of what a text says.

        Args:
            prompt: words, or a ready-made row of ids.
            options: by default the released model's.
            changes: single options by name, such as `seed=1, height=512, width=512, keyframe_guidance=7.0`.

        Raises:
            PromptError: the prompt is empty or too long.
            ConfigError: an option does not exist or is out of range.
        """
        options = (options or DrawOptions()).changed(**changes)
        context = self._prompt([Text(prompt)] if isinstance(prompt, str) else [Ids(prompt.ids)])
        drawn = self._write(context, [self._keyframe_block(options)], options)
        [tokens] = self._clip_tokens(drawn, None)
        pixels = self._draw_keyframe(tokens.keyframe, self._size(options, self.keyframe_detokenizer), options)
        return GeneratedImage(
            pixels=pixels,
            tokens=tokens,
            ids=torch.cat([context.ids, drawn.ids]),
            metadata=self._metadata("image", prompt, options),
        )

    def video(
        self,
        prompt: str | Prompt = "",
        options: DrawOptions | None = None,
        *,
        image: PictureSource | None = None,
        num_clips: int = 1,
        **changes: Any,
    ) -> GeneratedVideo:
        """Draw a video of what a text says, or one that starts with a picture.

        Args:
            prompt: words, or a ready-made row of ids; may be empty if there is a picture.
            options: by default the released model's.
            image: the first keyframe; then only motion, and later keyframes, are drawn.
            num_clips: how many clips, each going on from the last frame of the one before.
            changes: single options by name, such as `seed=1, steps=10, noise="inversion"`.

        Raises:
            PromptError: there is neither text nor picture, or the clips do not fit into the context.
            MediaError: the picture cannot be read.
            ConfigError: an option does not exist or is out of range.
        """
        options = (options or DrawOptions()).changed(**changes)
        blocks = [self._keyframe_block(options), self._motion_block(options)] * num_clips
        pieces: list[Piece] = [Text(prompt)] if isinstance(prompt, str) else [Ids(prompt.ids)]
        picture = first_codes = None
        if image is not None:
            picture = read_picture(image)
            first_codes = keyframe_codes(self.visual_tokenizer, [picture], options.choice, options.seed)[0]
            pieces.append(Picture(ids=self.vocabulary.visual_ids(first_codes)))
            blocks = blocks[1:]
            options = options if options.sampling else options.changed(sampling=Sampling.image_to_video())
        context = self._prompt(pieces)
        drawn = self._write(context, blocks, options)
        tokens = self._clip_tokens(drawn, first_codes)
        frames = self._draw_clips(tokens, options, keyframe=picture)
        return self._video(frames, tokens, torch.cat([context.ids, drawn.ids]), "video", prompt, options)

    def continue_video(
        self,
        video: GeneratedVideo | Source,
        options: DrawOptions | None = None,
        *,
        num_clips: int = 1,
        **changes: Any,
    ) -> GeneratedVideo:
        """Draw what happens next.

        Args:
            video: a generated video, which is returned with the new frames behind its own; or a file, of which the
                last clip is the context, and only the new frames are returned.
            options: by default the released model's; `noise` says how a new keyframe starts from the last frame.
            num_clips: how many clips to add.
            changes: single options by name.

        Raises:
            PromptError: the context is full.
            MediaError: the file cannot be read.
        """
        options = (options or DrawOptions()).changed(**changes)
        before = video if isinstance(video, GeneratedVideo) else self._read_end(video, options)
        context = Prompt.from_ids(before.ids)
        blocks = [self._keyframe_block(options), self._motion_block(options)] * num_clips
        drawn = self._write(context, blocks, options, first_clip=len(before.tokens))
        tokens = self._clip_tokens(drawn, None)
        height, width = before.frames.shape[1:3]
        options = options if options.height else options.changed(height=height, width=width)
        last_frame = resize_picture(before.frames[-1], *self._size(options, self.video_detokenizer))
        frames = self._draw_clips(tokens, options, last_frame=last_frame, first_clip=len(before.tokens))
        if isinstance(video, GeneratedVideo):
            frames, tokens = join_clips([video.frames, frames]), (*video.tokens, *tokens)
        ids = torch.cat([context.ids, drawn.ids])
        return self._video(frames, tokens, ids, "continue_video", "", options)

    # Tokens and back

    def tokenize(
        self,
        *,
        image: PictureSource | None = None,
        video: VideoSource | None = None,
        choice: Choice = "argmax",
        seed: int = 0,
    ) -> tuple[ClipTokens, ...]:
        """A picture, or the clips that a video consists of, as codes.

        Raises:
            PromptError: not exactly one of the two is given.
            MediaError: a file cannot be read.
        """
        if image is not None and video is not None:
            raise PromptError("got image= and video=, expected one of them")
        if image is not None:
            [codes] = keyframe_codes(self.visual_tokenizer, [read_picture(image)], choice, seed)
            return (ClipTokens(keyframe=codes),)
        if video is None:
            raise PromptError("got neither image= nor video=, expected one of them")
        clips = _decompose(video, frames_per_clip=self.motion_tokenizer.config.frames, select="all")
        return clip_codes(self.visual_tokenizer, self.motion_tokenizer, list(timeline(clips)), choice, seed)

    def detokenize(
        self, tokens: Sequence[ClipTokens], options: DrawOptions | None = None, **changes: Any
    ) -> GeneratedVideo:
        """Frames of clips, each drawn for itself; a clip without motion gives one frame.

        Raises:
            PromptError: there is no clip, or one has no keyframe codes.
            ShapeError: a clip has not as many motion codes as the motion tokenizer makes.
            VocabularyError: a code is not in its codebook.
        """
        options = (options or DrawOptions()).changed(**changes)
        ids = tokens_as_ids(tokens, self.vocabulary)
        clips = [self._draw_clip(clip, i, options)[: clip.num_frames] for i, clip in enumerate(tokens)]
        return self._video(np.concatenate(clips), tuple(tokens), ids, "detokenize", "", options)

    def reconstruct(self, video: VideoSource, options: DrawOptions | None = None, **changes: Any) -> GeneratedVideo:
        """A video through the tokens and back: what the model sees of it.

        Raises:
            MediaError: the file cannot be read.
            ConfigError: an option does not exist or is out of range.
        """
        options = (options or DrawOptions()).changed(**changes)
        return self.detokenize(self.tokenize(video=video, choice=options.choice, seed=options.seed), options)

    # Steps of the stories above

    def _prompt(self, pieces: Sequence[Piece]) -> Prompt:
        return assemble(pieces, self.vocabulary, self.language_model.text_tokenizer)

    def _write(self, prompt: Prompt, blocks: Sequence[Block], options: DrawOptions, first_clip: int = 0) -> Generated:
        """Ids after a prompt. What goes on from earlier clips has a random stream of its own."""
        generators = options.generators(f"ids {first_clip}")
        [drawn] = generate(self.language_model, [prompt], blocks, options.sampling, generators)
        return drawn

    def _keyframe_block(self, options: DrawOptions) -> Block:
        most = self.parts.config("condition_decoder").num_positions
        least = min(GrammarConfig().min_keyframe_ids, most)
        return GrammarConfig(min_keyframe_ids=least, max_keyframe_ids=most, released=options.released).keyframe()

    def _motion_block(self, options: DrawOptions) -> Block:
        num_ids = self.parts.config("motion_tokenizer").num_tokens
        return GrammarConfig(motion_ids=num_ids, released=options.released).motion()

    def _clip_tokens(self, drawn: Generated, first_keyframe: Tensor | None) -> tuple[ClipTokens, ...]:
        """Codes of what was written; the first keyframe may have been given."""
        keyframes = [] if first_keyframe is None else [first_keyframe]
        keyframes += [self._fitted_keyframe(ids) for ids in drawn.of(Modality.KEYFRAME)]
        motion = [self._fitted_motion(ids) for ids in drawn.of(Modality.MOTION)] or [None] * len(keyframes)
        return tuple(ClipTokens(keyframe=codes, motion=moved) for codes, moved in zip(keyframes, motion, strict=True))

    def _fitted_keyframe(self, ids: Tensor) -> Tensor:
        most = self.parts.config("condition_decoder").num_positions
        return self.vocabulary.visual_codes(only_visual(ids, self.vocabulary)[:most])

    def _fitted_motion(self, ids: Tensor) -> Tensor:
        num_ids = self.parts.config("motion_tokenizer").num_tokens
        return self.vocabulary.motion_codes(fit_motion(ids, num_ids, self.vocabulary))

    def _draw_clips(
        self,
        tokens: Sequence[ClipTokens],
        options: DrawOptions,
        *,
        keyframe: np.ndarray | None = None,
        last_frame: np.ndarray | None = None,
        first_clip: int = 0,
    ) -> np.ndarray:
        """Clips that go on from one another, joined."""
        clips: list[np.ndarray] = []
        for i, clip in enumerate(tokens):
            frames = self._draw_clip(clip, first_clip + i, options, keyframe=keyframe, last_frame=last_frame)
            clips.append(frames)
            keyframe, last_frame = None, frames[-1]
        return join_clips(clips)

    @torch.no_grad()
    def _draw_clip(
        self,
        clip: ClipTokens,
        index: int,
        options: DrawOptions,
        *,
        keyframe: np.ndarray | None = None,
        last_frame: np.ndarray | None = None,
    ) -> np.ndarray:
        """Frames of one clip: its keyframe, unless that is given, and then what moves."""
        detokenizer = self.keyframe_detokenizer if clip.motion is None else self.video_detokenizer
        size = self._size(options, detokenizer)
        if keyframe is None:
            keyframe = self._draw_keyframe(clip.keyframe, size, options, index, last_frame)
        keyframe = resize_picture(keyframe, *size)
        if clip.motion is None:
            return keyframe[None]
        factor = vae_factor(self.video_detokenizer.vae)
        codes = clip.motion[None].to(self.parts.device)
        motion = self.motion_tokenizer.condition(codes, size[0] // factor, size[1] // factor)
        generators = options.generators(f"frames {index}")
        frames = self.video_detokenizer.draw(keyframe[None], motion, options=options.frames, generators=generators)
        return frames[0].cpu().numpy()

    @torch.no_grad()
    def _draw_keyframe(
        self,
        codes: Tensor,
        size: tuple[int, int],
        options: DrawOptions,
        index: int = 0,
        last_frame: np.ndarray | None = None,
    ) -> np.ndarray:
        """A picture of codes; after a last frame it starts from that."""
        vectors = [self.parts.quantizer("visual_tokenizer").vectors(codes.to(self.parts.device))]
        pictures = self.keyframe_detokenizer.draw(
            vectors,
            height=size[0],
            width=size[1],
            steps=options.keyframe_steps,
            guidance=options.keyframe_guidance,
            generators=options.generators(f"keyframe {index}"),
            start=None if last_frame is None else self._start(last_frame, vectors, options, index),
        )
        return to_uint8(pictures)[0].cpu().numpy()

    def _start(
        self, last_frame: np.ndarray, vectors: list[Tensor], options: DrawOptions, index: int
    ) -> KeyframeStart | None:
        """Latents of the last frame for the next keyframe to start from."""
        detokenizer, steps = self.keyframe_detokenizer, options.keyframe_steps
        rate: dict[str, Any] = {} if options.inverse_rate is None else {"inverse_rate": options.inverse_rate}
        if options.noise == "restart":
            generators = options.generators(f"restart {index}")
            return restart_latents(detokenizer, last_frame[None], steps=steps, generators=generators, **rate)
        if options.noise == "inversion":
            condition = detokenizer.condition(vectors)
            return inversion_latents(detokenizer, last_frame[None], condition, steps=steps, **rate)
        return None

    def _size(self, options: DrawOptions, detokenizer: KeyframeDetokenizer | VideoDetokenizer) -> tuple[int, int]:
        """(height, width) of what is drawn."""
        if options.height is not None and options.width is not None:
            return options.height, options.width
        size = detokenizer.unet.config["sample_size"] or self.keyframe_detokenizer.unet.config["sample_size"]
        if size is None:
            raise ConfigError("the model does not say what size it was made for; give height= and width=")
        rows, cols = (size, size) if isinstance(size, int) else size
        factor = vae_factor(detokenizer.vae)
        return rows * factor, cols * factor

    def _read_end(self, video: Source, options: DrawOptions) -> GeneratedVideo:
        """The last clip of a file as if it had been generated, with the last frame alone."""
        frames = self.motion_tokenizer.config.frames
        *_, last = timeline(_decompose(video, frames_per_clip=frames, select="all"))
        tokens = clip_codes(self.visual_tokenizer, self.motion_tokenizer, [last], options.choice, options.seed)
        *_, last_frame = pictures_on_ticks(video)
        ids = tokens_as_ids(tokens, self.vocabulary)
        return self._video(last_frame[None], (), ids, "continue_video", "", options)

    def _video(
        self,
        frames: np.ndarray,
        tokens: tuple[ClipTokens, ...],
        ids: Tensor,
        task: str,
        prompt: str | Prompt,
        options: DrawOptions,
    ) -> GeneratedVideo:
        metadata = self._metadata(task, prompt, options)
        return GeneratedVideo(frames=frames, fps=options.frames.fps, tokens=tokens, ids=ids, metadata=metadata)

    def _metadata(self, task: str, prompt: str | Prompt, options: DrawOptions) -> dict[str, Any]:
        words = prompt if isinstance(prompt, str) else repr(prompt)
        values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "generator"}
        plain = {name: to_dict(value) if dataclasses.is_dataclass(value) else value for name, value in values.items()}
        return {"task": task, "prompt": words, "model": self.parts.name, "options": plain}


def _decompose(video: VideoSource, **options: Any) -> list[Clip]:
    check_video(video)
    return decompose(video, **options)


def _as_list(image: PictureSource | Sequence[PictureSource] | None) -> list[PictureSource]:
    if image is None:
        return []
    return list(image) if isinstance(image, list | tuple) else [image]  # type: ignore[arg-type]
