"""Images that show what a language model in training can do: answers as text, drawn motion as colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from videolavit.checkpoints.artifacts import load_artifact
from videolavit.clip import MotionField
from videolavit.data.tokens import TokenizedClip, TokenizedVideo, TokenReader
from videolavit.language.conversation import Turn, conversation
from videolavit.language.generate import generate
from videolavit.language.grammar import Block
from videolavit.language.prompts import ClipInput, ImageInput, Prompt, Text, VideoInput, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.language.stream_answer import answer
from videolavit.nn.random import sample_generators
from videolavit.training.language_loss import LanguageTraining
from videolavit.training.sequences import SequenceMaker
from videolavit.video.visualize import draw_colors

__all__ = ["shown_motion", "shown_words"]

_PIXELS_PER_CELL = 8
_LINE_PIXELS = 14
_WIDTH = 900


def shown_words(
    module: LanguageTraining, reader: TokenReader, maker: SequenceMaker, count: int = 8
) -> UInt8[np.ndarray, "height width 3"]:
    """Questions about videos, right answers and the model's."""
    lines = []
    for video in _first(reader, "questions", count):
        question, right, _ = video.questions[0]
        [said] = answer(module.model, [_asked(module, maker, video, question)], max_new_tokens=32)
        lines.append(f"{question}   right: {right}   said: {said}")
    return _panel(lines)


def shown_motion(
    module: LanguageTraining, reader: TokenReader, motion_tokenizer: str, count: int = 6
) -> UInt8[np.ndarray, "height width 3"]:
    """Mean motion that captions ask for: what the videos show, above what the model draws."""
    vocabulary = module.model.vocabulary
    tokenizer = load_artifact("motion_tokenizer", motion_tokenizer)
    videos = _first(reader, "captions", count)
    if not videos:
        return _panel(["no captions of videos"])
    prompts = [assemble([Text(video.captions[0])], vocabulary, module.model.text_tokenizer) for video in videos]
    most = max(len(video.clips[0].visual_ids) for video in videos)
    blocks = [Block.keyframe(1, most), Block.motion(tokenizer.config.num_tokens)]
    warm = SamplingOptions()
    drawn = generate(
        module.model, prompts, blocks, Sampling(keyframe=warm, motion=warm), sample_generators(0, len(prompts))
    )
    rows = ([video.clips[0].motion_ids for video in videos], [one.blocks[1].ids for one in drawn])
    shown = []
    for row in rows:
        motion = tokenizer.decode(vocabulary.motion_codes(torch.stack(row).cpu()))
        shown.append(np.concatenate([_colours(field) for field in motion.numpy()], axis=1))
    return np.concatenate(shown)


def _first(reader: TokenReader, words: str, count: int) -> list[TokenizedVideo]:
    return [reader[int(number)] for number in reader.with_words(words)[:count]]


def _asked(module: LanguageTraining, maker: SequenceMaker, video: TokenizedVideo, question: str) -> Prompt:
    clips = tuple(ClipInput(keyframe=_keyframe(module, clip), motion_ids=clip.motion_ids) for clip in video.clips)
    turn = Turn(question=question, media=(VideoInput(clips=clips),))
    return conversation([turn], maker.vocabulary, maker.text_tokenizer, template=maker.chat)


def _keyframe(module: LanguageTraining, clip: TokenizedClip) -> ImageInput | None:
    """Input that shows a keyframe; None for a clip of motion alone."""
    if not clip.has_keyframe:
        return None
    if module.projection is None or clip.features is None:
        return ImageInput(ids=clip.visual_ids)
    return ImageInput(features=module.projection(clip.features.to(module.projection.weight)))


def _panel(lines: Sequence[str]) -> np.ndarray:
    image = Image.new("RGB", (_WIDTH, _LINE_PIXELS * max(len(lines), 1)), "white")
    canvas = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        canvas.text((4, row * _LINE_PIXELS), line.encode("ascii", "replace").decode(), fill="black")
    return np.asarray(image)


def _colours(motion: np.ndarray) -> np.ndarray:
    height, width = (_PIXELS_PER_CELL * cells for cells in motion.shape[-2:])
    return draw_colors(MotionField.from_tokenizer_units(motion.astype(np.float32), height=height, width=width))
