"""Reading a video of any length into a memory, clip by clip, and answering questions about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from videolavit.checkpoints.model_components import Components
from videolavit.clip import Clip
from videolavit.errors import CheckpointError
from videolavit.language.conversation import Turn, conversation
from videolavit.language.generate import generate
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import ImageInput, VideoInput, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.language.stream_answer import answer
from videolavit.memory.context import ContextOptions, Scorer, choose_clips
from videolavit.memory.token_memory import RememberedClip, TokenMemory
from videolavit.nn.random import sample_generators
from videolavit.pipeline.encoding import keyframe_codes, seen_video
from videolavit.video.clips.decompose import VideoSource
from videolavit.video.processor import whole_video_clips

__all__ = ["LongVideoAnswer", "Moment", "answer_about", "read_video", "remembered_clips"]

DESCRIPTIONS = 8
"""Sampled texts about each clip: more of them say more exactly how sure the model is."""
NOTE_IDS = 16
DESCRIPTION_IDS = 24
_CLIPS_AT_A_TIME = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A clip that was looked at."""

    clip: int
    start_seconds: float
    end_seconds: float
    with_motion: bool
    score: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LongVideoAnswer:
    """An answer and the moments that it is about."""

    text: str
    moments: tuple[Moment, ...]
    num_prompt_ids: int
    num_clips: int
    """Of the whole video."""


def read_video(
    model: Components, video: VideoSource, folder: str | Path, *, append: bool = False, ask: Sequence[str] = ()
) -> TokenMemory:
    """Read a video to its end into a memory.

    A memory that is there is gone on with from where it ends, as after a run that was killed; with `append` all of the
    video is added behind it. For `ask` see `remembered_clips`.

    Raises:
        MediaError: the video cannot be read, or the memory is damaged.
        OutputError: the folder cannot be written, or another process appends to the memory.
    """
    memory = _open(model, Path(folder))
    done = 0 if append else len(memory)
    clips = itertools.islice(whole_video_clips(video, model.settings.video_processor), done, None)
    for clip in remembered_clips(model, clips, start_seconds=memory.seconds, ask=ask):
        memory.append(clip)
    return memory


@torch.inference_mode()
def remembered_clips(
    model: Components, clips: Iterable[tuple[Clip, int]], *, start_seconds: float = 0.0, ask: Sequence[str] = ()
) -> Iterator[RememberedClip]:
    """Clips, each with the number of frames that it shows, as the model sees and describes them.

    `ask` are questions that each clip is asked by itself; their answers, sampled several times, describe it. Without
    any, the model describes clips freely. A model that was tuned on questions knows better what it is asked.
    """
    parts, vocabulary, how = model.answering, model.vocabulary, model.settings.visual_input
    clips, start = iter(clips), start_seconds
    while batch := list(itertools.islice(clips, _CLIPS_AT_A_TIME)):
        seen = [clip for clip, _ in batch]
        inputs = seen_video(parts.visual_tokenizer, parts.motion_tokenizer, seen, vocabulary, how, "likeliest", 0).clips
        codes = keyframe_codes(parts.visual_tokenizer, [clip.keyframe for clip in seen], "likeliest", 0)
        videos = [VideoInput(clips=(one,)) for one in inputs]
        described = _notes(parts.language_model, videos, ask) if ask else _descriptions(parts.language_model, videos)
        for (clip, frames), one, visual, texts in zip(batch, inputs, codes, described, strict=True):
            end = start + frames / float(clip.fps)
            yield RememberedClip(
                visual_ids=vocabulary.visual_ids(visual),
                motion_ids=one.motion_ids,
                start_seconds=start,
                end_seconds=end,
                features=one.keyframe.features,
                descriptions=texts,
            )
            start = end


def answer_about(
    model: Components,
    memory: TokenMemory,
    question: str,
    options: ContextOptions | None = None,
    *,
    max_new_tokens: int = 64,
    scorer: Scorer | None = None,
) -> LongVideoAnswer:
    """Answer a question about a video that was read before, and say which moments were looked at.

    Args:
        model: the one that read the video, or one with the same tokenizers.
        memory: the video.
        question: in words.
        options: how clips are chosen.
        max_new_tokens: length limit of the answer.
        scorer: how well clips fit a question, in place of the model's own descriptions; of an image-text encoder say.

    Raises:
        CheckpointError: the memory was made by a model of another vocabulary.
        ConfigError: there is no clip, or not even one fits.
    """
    options = options or ContextOptions(max_clips=model.settings.max_clips)
    language = model.answering.language_model
    if memory.vocabulary != model.vocabulary:
        raise CheckpointError(f"{memory.folder}: was made by a model of another vocabulary; read the video again")
    bare = conversation([Turn(question=question)], model.vocabulary, language.text_tokenizer)
    # Each clip without its motion is an image of its own, with a line break that takes an id or two.
    room = language.context_length - len(bare) - max_new_tokens - 8
    chosen = choose_clips(memory, question, options, room=room, scorer=scorer)
    clips = [memory[one.number] for one in chosen]
    media = _media([(clip, one.with_motion) for clip, one in zip(clips, chosen, strict=True)])
    prompt = conversation([Turn(question=question, media=media)], model.vocabulary, language.text_tokenizer)
    [text] = answer(language, [prompt], max_new_tokens=min(max_new_tokens, language.context_length - len(prompt)))
    moments = [
        Moment(
            clip=one.number,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            with_motion=one.with_motion,
            score=one.score,
        )
        for one, clip in zip(chosen, clips, strict=True)
    ]
    return LongVideoAnswer(text=text, moments=tuple(moments), num_prompt_ids=len(prompt), num_clips=len(memory))


def _open(model: Components, folder: Path) -> TokenMemory:
    if (folder / "memory.json").exists():
        return TokenMemory(folder, append=True)
    width = model.answering.language_model.width if model.settings.visual_input == "continuous" else 0
    return TokenMemory.create(folder, model.vocabulary, feature_width=width)


def _notes(model: LanguageModel, videos: Sequence[VideoInput], ask: Sequence[str]) -> list[tuple[str, ...]]:
    """Sampled answers to all questions about each video, several texts with one answer to each question."""
    turns = [Turn(question=question, media=(video,)) for video in videos for question in ask]
    prompts = [conversation([turn], model.vocabulary, model.text_tokenizer) for turn in turns]
    several = [prompt for prompt in prompts for _ in range(DESCRIPTIONS)]
    generators = sample_generators(0, len(several), stream="notes")
    options = SamplingOptions(top_k=0)
    answers = answer(model, several, max_new_tokens=NOTE_IDS, options=options, generators=generators)
    by_video = [
        answers[first : first + len(ask) * DESCRIPTIONS] for first in range(0, len(answers), len(ask) * DESCRIPTIONS)
    ]
    return [tuple(". ".join(found[one::DESCRIPTIONS]) for one in range(DESCRIPTIONS)) for found in by_video]


def _descriptions(model: LanguageModel, videos: Sequence[VideoInput]) -> list[tuple[str, ...]]:
    """Several sentences about each, sampled, in the form that pre-training gave descriptions."""
    prompts = [assemble([video], model.vocabulary, model.text_tokenizer, start=True) for video in videos]
    several = [prompt for prompt in prompts for _ in range(DESCRIPTIONS)]
    sampling = Sampling(text=SamplingOptions(top_k=0))
    generators = sample_generators(0, len(several), stream="descriptions")
    written = generate(model, several, [Block.text(DESCRIPTION_IDS)], sampling, generators)
    assert model.text_tokenizer is not None
    texts = [model.text_tokenizer.decode(one.ids.tolist(), skip_special_tokens=True) for one in written]
    return [tuple(texts[first : first + DESCRIPTIONS]) for first in range(0, len(texts), DESCRIPTIONS)]


def _media(clips: Sequence[tuple[RememberedClip, bool]]) -> tuple[ImageInput | VideoInput, ...]:
    """Neighbouring clips with motion as one video, keyframes without as images."""
    media: list[ImageInput | VideoInput] = []
    for with_motion, group in itertools.groupby(clips, key=lambda one: one[1]):
        members = [clip for clip, _ in group]
        if with_motion:
            media.append(VideoInput(clips=tuple(clip.as_input() for clip in members)))
        else:
            media += [clip.keyframe() for clip in members]
    return tuple(media)
