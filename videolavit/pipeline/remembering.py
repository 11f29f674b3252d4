"""Videos read into a memory, clip by clip, and the clips of a memory that a question is asked about."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from videolavit import __version__
from videolavit.checkpoints.model_components import Components
from videolavit.clip import Clip
from videolavit.errors import CheckpointError, ConfigError, PromptError
from videolavit.language.conversation import Turn, conversation
from videolavit.language.generate import generate
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import ClipInput, Moment, Prompt, VideoInput, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.language.stream_answer import answer
from videolavit.memory.context import Chosen, ContextOptions, Scorer, choose_clips
from videolavit.memory.description_scores import description_scores
from videolavit.memory.image_text import ClipEncoder, ImageTextScorer
from videolavit.memory.likelihood_scores import LikelihoodScorer
from videolavit.memory.readings import begin_reading
from videolavit.memory.token_memory import RememberedClip, TokenMemory
from videolavit.nn.random import sample_generators
from videolavit.pipeline.encoding import keyframe_codes, seen_video
from videolavit.pipeline.media import check_video
from videolavit.pipeline.motion_only import check_motion_only, processor_with
from videolavit.video.io.limits import Limits
from videolavit.video.io.sources import can_read_again, is_file, local_path
from videolavit.video.processor import KeyframeChoice, whole_video_clips

__all__ = ["chosen_video", "is_memory", "moment_image", "open_memory", "read_video", "remembered_clips"]

DESCRIPTIONS = 8
"""Sampled texts about each clip: more of them say more exactly how sure the model is."""
NOTE_IDS = 16
DESCRIPTION_IDS = 24
_CLIPS_AT_A_TIME = 8
_TEXTS_AT_A_TIME = 64
_LONGEST_SIDE = 256
"""Of the small images of keyframes."""
_Write = Callable[[Sequence[Prompt], Sequence[torch.Generator]], list[str]]


def is_memory(source: Any) -> bool:
    """True if this is a memory of a video, open or as a folder."""
    if isinstance(source, TokenMemory):
        return True
    return isinstance(source, str | PathLike) and Path(local_path(source), "memory.json").is_file()


def open_memory(source: TokenMemory | str | PathLike[str]) -> TokenMemory:
    """The memory of a folder, or one that is open already."""
    return source if isinstance(source, TokenMemory) else TokenMemory(source)


def read_video(
    model: Components,
    video: Any,
    folder: str | PathLike[str],
    *,
    append: bool = False,
    ask: str | Sequence[str] = (),
    describe: bool = True,
    images: bool = True,
    keyframes: KeyframeChoice | None = None,
) -> Iterator[TokenMemory]:
    """Read a video to its end into a memory, which comes after each clip that was added.

    A memory that is there is gone on with from where its last video ends, as after a run that was killed; with
    `append` all of the video is added behind it. For `ask` and `describe` see `remembered_clips`; `images` keeps small
    images of keyframes; `keyframes` is which clips have one, by default as the model's settings say.

    Raises:
        MediaError: the video cannot be read, or the memory is damaged.
        OutputError: the folder cannot be written, or another process appends to the memory.
        CheckpointError: the memory was made by a model of another vocabulary.
        ConfigError: keyframes are to be adaptive, and the model does not know clips of motion alone; the memory goes on
            with another video; or there are questions, and nothing is to be noted.
        PromptError: a question is empty.
    """
    questions = _questions(ask)
    if questions and not describe:
        raise ConfigError("got questions for each clip, and nothing is to be noted; leave out ask= or describe=False")
    processor = processor_with(model.settings, keyframes)
    if processor.keyframes == "adaptive":
        check_motion_only(model.settings, "a memory with adaptive keyframes")
    check_video(video)
    with _open(model, Path(local_path(folder))) as memory:
        done = begin_reading(memory, video, append=append)
        limits = Limits(max_duration_seconds=math.inf) if getattr(video, "is_live", False) else None
        clips = itertools.islice(whole_video_clips(video, processor, limits=limits), done, None)
        # What may be happening now is remembered clip by clip.
        batch = 1 if _may_be_live(video) else _CLIPS_AT_A_TIME
        how = {"ask": questions, "describe": describe, "images": images, "batch": batch, "first": len(memory)}
        read = remembered_clips(model, clips, start_seconds=memory.seconds, **how)
        yield memory
        for clip in read:
            memory.append(clip)
            yield memory


@torch.inference_mode()
def remembered_clips(
    model: Components,
    clips: Iterable[tuple[Clip, int]],
    *,
    start_seconds: float = 0.0,
    ask: Sequence[str] = (),
    describe: bool = True,
    images: bool = True,
    batch: int = _CLIPS_AT_A_TIME,
    first: int = 0,
) -> Iterator[RememberedClip]:
    """Clips, each with the number of frames that it shows, as the model sees and describes them.

    `ask` are questions that each clip is asked by itself; their answers, sampled several times, describe it. Without
    any, the model describes clips freely. A model that was tuned on questions knows better what it is asked. Without
    `describe` nothing is noted, and the words of a question find nothing. `first` is the number of the first clip: the
    draws of each clip are its own, however many are taken at a time.
    """
    parts, vocabulary, how = model.answering, model.vocabulary, model.settings.visual_input
    clips, start = iter(clips), start_seconds
    while taken := list(itertools.islice(clips, batch)):
        # Each is described by what it shows, whether or not its keyframe is kept.
        seen = [replace(clip, has_keyframe=True) for clip, _ in taken]
        inputs = seen_video(parts.visual_tokenizer, parts.motion_tokenizer, seen, vocabulary, how, "likeliest", 0).clips
        codes = keyframe_codes(parts.visual_tokenizer, [clip.keyframe for clip in seen], "likeliest", 0)
        texts = _texts(parts.language_model, inputs, ask, first) if describe else [()] * len(seen)
        first += len(seen)
        for (clip, frames), one, visual, described in zip(taken, inputs, codes, texts, strict=True):
            end = start + frames / float(clip.fps)
            assert one.keyframe is not None
            assert one.motion_ids is not None
            features = one.keyframe.features
            kept = slice(None) if clip.has_keyframe else slice(0)
            yield RememberedClip(
                visual_ids=vocabulary.visual_ids(visual)[kept],
                motion_ids=one.motion_ids,
                start_seconds=start,
                end_seconds=end,
                features=None if features is None else features[kept],
                descriptions=described,
                jpeg=_jpeg(clip.keyframe) if images and clip.has_keyframe else b"",
            )
            start = end


def chosen_video(
    model: Components, memory: TokenMemory, question: str, options: ContextOptions, *, room: int
) -> VideoInput:
    """Those clips of a memory that a question is asked about, in order of time, each with its moment.

    Args:
        model: the one that read the video, or one with the same tokenizers.
        memory: the video.
        question: in words.
        options: how clips are chosen.
        room: positions of the context that they may take.

    Raises:
        CheckpointError: the memory was made by a model of another vocabulary.
        ConfigError: there is no clip, not even one fits, or some have motion alone and the model knows no such clips.
    """
    _check_vocabulary(model, memory)
    if memory.motion_only:
        check_motion_only(model.settings, str(memory.folder))
    if options.max_clips is None:
        options = replace(options, max_clips=model.settings.max_clips)
    chosen = choose_clips(memory, question, options, room=room, scorer=_scorer(model, options))
    return VideoInput(clips=tuple(_as_input(memory, one) for one in chosen))


def moment_image(model: Components, moment: Moment) -> UInt8[np.ndarray, "height width 3"]:
    """The keyframe of a moment: the small image that was kept, or what the detokenizer makes of its ids."""
    from videolavit.generation_options import GenerationOptions
    from videolavit.pipeline.clip_decoder import ClipDecoder, generated_size
    from videolavit.progress import Progress

    memory = TokenMemory(moment.source)
    number = moment.clip
    while number and not len(memory.visual_ids(number)):  # it goes on from an earlier keyframe
        number -= 1
    if jpeg := memory.jpeg(number):
        return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    codes = model.vocabulary.visual_codes(memory[number].visual_ids)
    options = GenerationOptions(seed=0).completed(model.settings)
    decoder = ClipDecoder(model, [options], Progress(), generated_size(model, options, moving=False))
    return decoder.keyframes([codes])[0]


def _as_input(memory: TokenMemory, chosen: Chosen) -> ClipInput:
    clip = memory[chosen.number]
    moment = Moment(
        clip=chosen.number,
        num_clips=len(memory),
        start_seconds=clip.start_seconds,
        end_seconds=clip.end_seconds,
        with_motion=chosen.with_motion,
        score=chosen.score,
        source=str(memory.folder),
    )
    return clip.as_input(with_motion=chosen.with_motion, moment=moment)


def _scorer(model: Components, options: ContextOptions) -> Scorer:
    if isinstance(options.scorer, Path):
        return _encoder_scorer(options.scorer)
    if callable(options.scorer):
        return options.scorer
    return description_scores if options.scorer == "words" else LikelihoodScorer(model.answering.language_model)


@lru_cache(maxsize=2)
def _encoder_scorer(path: Path) -> ImageTextScorer:
    """A scorer whose encoder stays loaded for the next question."""
    return ImageTextScorer(ClipEncoder(path))


def _check_vocabulary(model: Components, memory: TokenMemory) -> None:
    if memory.vocabulary != model.vocabulary:
        raise CheckpointError(f"{memory.folder}: was made by a model of another vocabulary; read the video again")


def _open(model: Components, folder: Path) -> TokenMemory:
    if (folder / "memory.json").exists():
        _check_vocabulary(model, TokenMemory(folder))
        return TokenMemory(folder, append=True)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already and is no memory of a video; name a new folder")
    width = model.answering.language_model.width if model.settings.visual_input == "continuous" else 0
    return TokenMemory.create(folder, model.vocabulary, feature_width=width, made_by=_made_by(model))


def _made_by(model: Components) -> dict[str, Any]:
    """The model as the metadata of results name it: by its folder's name, and not by where that is."""
    name = model.components.name
    shown = Path(name).name if Path(name).is_dir() else name
    return {"made_by": f"videolavit {__version__}", "model": shown, "model_hash": model.components.hash}


def _may_be_live(video: Any) -> bool:
    """True for cameras and pipes, of which the next clip may take its time."""
    return getattr(video, "is_live", False) or (is_file(video) and not can_read_again(video))


def _questions(ask: Any) -> tuple[str, ...]:
    """Questions for each clip; a single one may come by itself.

    Raises:
        PromptError: one is no text, or empty.
    """
    questions = (ask,) if isinstance(ask, str) else tuple(ask)
    if not all(isinstance(one, str) and one.strip() for one in questions):
        raise PromptError("got an empty question for each clip, expected texts such as 'What shape is the object?'")
    return questions


def _jpeg(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    small, data = Image.fromarray(image), io.BytesIO()
    small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    small.save(data, "JPEG", quality=85)
    return data.getvalue()


def _texts(model: LanguageModel, clips: Sequence[ClipInput], ask: Sequence[str], first: int) -> list[tuple[str, ...]]:
    """Several texts about each clip."""
    videos = [VideoInput(clips=(one,)) for one in clips]
    return _notes(model, videos, ask, first) if ask else _descriptions(model, videos, first)


def _notes(model: LanguageModel, videos: Sequence[VideoInput], ask: Sequence[str], first: int) -> list[tuple[str, ...]]:
    """Sampled answers to all questions about each video, several texts with one answer to each question."""
    turns = [Turn(question=question, media=(video,)) for video in videos for question in ask]
    prompts = [conversation([turn], model.vocabulary, model.text_tokenizer, template=model.chat) for turn in turns]
    options = SamplingOptions(top_k=0)

    def write(some: Sequence[Prompt], generators: Sequence[torch.Generator]) -> list[str]:
        return answer(model, some, max_new_tokens=NOTE_IDS, options=options, generators=generators)

    answers = _several(prompts, first * len(ask), "notes", write)
    each = len(ask) * DESCRIPTIONS
    by_video = [answers[start : start + each] for start in range(0, len(answers), each)]
    return [tuple(". ".join(found[one::DESCRIPTIONS]) for one in range(DESCRIPTIONS)) for found in by_video]


def _descriptions(model: LanguageModel, videos: Sequence[VideoInput], first: int) -> list[tuple[str, ...]]:
    """Several sentences about each, sampled, in the form that pre-training gave descriptions."""
    prompts = [assemble([video], model.vocabulary, model.text_tokenizer, start=True) for video in videos]
    tokenizer: Any = model.text_tokenizer
    sampling = Sampling(text=SamplingOptions(top_k=0))

    def write(some: Sequence[Prompt], generators: Sequence[torch.Generator]) -> list[str]:
        written = generate(model, some, [Block.text(DESCRIPTION_IDS)], sampling, generators)
        return [tokenizer.decode(one.ids.tolist(), skip_special_tokens=True) for one in written]

    texts = _several(prompts, first, "descriptions", write)
    return [tuple(texts[start : start + DESCRIPTIONS]) for start in range(0, len(texts), DESCRIPTIONS)]


def _several(prompts: Sequence[Prompt], first: int, stream: str, write: _Write) -> list[str]:
    """Texts of each prompt, each by a random stream of its own, and no more at a time than memory has room for."""
    several = [prompt for prompt in prompts for _ in range(DESCRIPTIONS)]
    generators = sample_generators(0, len(several), first=first * DESCRIPTIONS, stream=stream)
    starts = range(0, len(several), _TEXTS_AT_A_TIME)
    parts = [slice(start, start + _TEXTS_AT_A_TIME) for start in starts]
    return [text for part in parts for text in write(several[part], generators[part])]
