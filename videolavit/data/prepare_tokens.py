"""Prepared videos through the trained tokenizers, once, into token shards (`videolavit.data.tokens`).

One token shard is made of one shard of prepared videos. Shards are made side by side and appear only when complete, so
a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import file_digest, sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from videolavit.data.made_of import digest_of_shards
from videolavit.data.shards import Record, ShardReader
from videolavit.data.tokens import TokenizedClip, TokenizedVideo, TokenReader, write_tokens
from videolavit.errors import CheckpointError, ConfigError, OutputError
from videolavit.nn.random import sample_generators
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer
from videolavit.tokenizers.selector import PatchSelection
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.training.exports import load_motion_tokenizer, load_trained, weights_file
from videolavit.vocabulary import Vocabulary

__all__ = ["TokenizeOptions", "tokenize_records", "tokenize_shards"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizeOptions:
    """What makes the ids: the trained tokenizers, and how they are used."""

    visual_tokenizer: str
    """Folder that the stage `visual_tokenizer` exported."""
    motion_tokenizer: str
    """Folder that the stage `motion_tokenizer` exported."""
    num_text: int
    """Ids of the text tokenizer, which come before all others."""
    features: bool = True
    """Keep the continuous features of the kept patches too, as float16; without, only discrete ids can be learnt."""
    patch_selection: PatchSelection = "likeliest"
    """Which patches become tokens; must be what the model will be used with."""
    seed: int = 0
    """For the choice "gumbel"."""
    batch_size: int = 32
    """Videos that go through the tokenizers together."""


def tokenize_shards(source: Path, target: Path, options: TokenizeOptions, *, workers: int = 1) -> TokenReader:
    """Token shards of a folder of shards; those that are there already are kept.

    Raises:
        CheckpointError: a tokenizer is missing, or keeps nothing of any image.
        ConfigError: the target holds shards of other tokenizers or options.
        MediaError: the folder holds no shards.
        OutputError: the target cannot be written.
    """
    _claim(target, options)
    names = [path.stem for path in ShardReader(source).shards()]
    missing = [name for name in names if not _is_current(source, target, name)]
    work = partial(_tokenize_shard, source, target, options)
    if workers == 1:
        list(tqdm(map(work, missing), total=len(missing), desc="token shards", disable=None))
    else:
        with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            list(tqdm(pool.map(work, missing), total=len(missing), desc="token shards", disable=None))
    return TokenReader(target)


def tokenize_records(
    records: Iterable[Record],
    visual: VisualTokenizer,
    motion: MotionTokenizer,
    vocabulary: Vocabulary,
    *,
    features: bool = True,
    patch_selection: PatchSelection = "likeliest",
    seed: int = 0,
    batch_size: int = 32,
) -> Iterator[TokenizedVideo]:
    """Videos as ids; every keyframe has one at least."""
    records = iter(records)
    for number in itertools.count():
        if not (batch := list(itertools.islice(records, batch_size))):
            break
        num_clips = sum(record.num_clips for record in batch)
        streams = (
            None if patch_selection == "likeliest" else sample_generators(seed, num_clips, stream=f"selector {number}")
        )
        clips = iter(_clips(batch, visual, motion, vocabulary, features, patch_selection, streams))
        for record in batch:
            own = tuple(itertools.islice(clips, record.num_clips))
            yield TokenizedVideo(
                clips=own,
                captions=record.captions,
                image_captions=record.image_captions,
                questions=record.questions,
                about_image=record.about_image,
            )


@torch.inference_mode()
def _clips(
    records: list[Record],
    visual: VisualTokenizer,
    motion: MotionTokenizer,
    vocabulary: Vocabulary,
    features: bool,
    patch_selection: PatchSelection,
    streams: list[torch.Generator] | None,
) -> list[TokenizedClip]:
    """All clips of all records, in order."""
    device = visual.quantizer.codebook.device
    pixels = visual.preprocess([keyframe for record in records for keyframe in record.keyframes]).to(device)
    seen = visual.encode(pixels, patch_selection=patch_selection, generators=streams, at_least_one=True)
    grid = motion.config.rows, motion.config.cols
    moved = np.stack([record.motion_of(i).for_tokenizer(*grid) for record in records for i in range(record.num_clips)])
    motion_codes = motion.encode(torch.from_numpy(moved).to(device)).cpu()
    return [
        TokenizedClip(
            visual_ids=vocabulary.visual_ids(codes.cpu()),
            motion_ids=vocabulary.motion_ids(moving),
            features=rows.cpu() if features else None,
        )
        for codes, rows, moving in zip(seen.codes, seen.features, motion_codes, strict=True)
    ]


def _tokenize_shard(source: Path, target: Path, options: TokenizeOptions, name: str) -> int:
    visual, motion = _tokenizers(options)
    vocabulary = Vocabulary(
        num_text=options.num_text,
        num_visual_codes=visual.config.num_codes,
        num_motion_codes=motion.config.num_codes,
    )
    reader = ShardReader(source)
    numbers = reader.shards()[source / f"{name}.tar"]
    videos = tokenize_records(
        (reader.without_frames(number) for number in numbers),
        visual,
        motion,
        vocabulary,
        features=options.features,
        patch_selection=options.patch_selection,
        seed=options.seed + numbers.start,
        batch_size=options.batch_size,
    )
    digest = digest_of_shards([source / f"{name}.tar"])
    written = write_tokens(_watched(videos, f"{options.visual_tokenizer}: {name}"), target / name, vocabulary)
    _note(target, name).write_text(digest)
    return written


def _is_current(source: Path, target: Path, name: str) -> bool:
    """Whether a token shard is there, and its source still is what it was made of."""
    if not (target / f"{name}.tokens.json").exists():
        return False
    note = _note(target, name)
    return not note.is_file() or note.read_text() == digest_of_shards([source / f"{name}.tar"])


def _note(target: Path, name: str) -> Path:
    return target / f"{name}.made_of.txt"


def _watched(videos: Iterator[TokenizedVideo], where: str) -> Iterator[TokenizedVideo]:
    """The videos; an error at their end, before anything counts as written, if no keyframe had more than one token."""
    most = None
    for video in videos:
        most = max(most or 0, *(len(clip.visual_ids) for clip in video.clips))
        yield video
    if most == 1:
        raise CheckpointError(
            f"{where}: the visual tokenizer keeps nothing of any keyframe but the one patch that it must; its selector "
            "has collapsed, train it again with a larger keep_weight"
        )


def _claim(target: Path, options: TokenizeOptions) -> None:
    """Note which tokenizers a folder belongs to: shards that are kept must be of the same."""
    digest = sha256(repr((options.num_text, options.features, options.patch_selection, options.seed)).encode())
    for folder, name in ((options.visual_tokenizer, "visual"), (options.motion_tokenizer, "motion")):
        weights = weights_file(f"{name}_tokenizer", folder)
        if not weights.is_file():
            raise CheckpointError(f"{weights}: no such file; train the {name} tokenizer first, or check the folder")
        with weights.open("rb") as file:
            digest.update(file_digest(file, "sha256").digest())
    try:
        target.mkdir(parents=True, exist_ok=True)
        note = target / "made_by.txt"
        if not note.exists():
            note.write_text(digest.hexdigest())
        if note.read_text() != digest.hexdigest():
            raise ConfigError(f"{target}: holds shards of other tokenizers or options; choose another folder")
    except OSError as error:
        raise OutputError(f"{target}: cannot be used for token shards: {error}") from error


@lru_cache(maxsize=1)
def _tokenizers(options: TokenizeOptions) -> tuple[VisualTokenizer, MotionTokenizer]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    visual = load_trained("visual_tokenizer", options.visual_tokenizer)
    motion = load_motion_tokenizer(options.motion_tokenizer)
    return visual.to(device), motion.to(device)


def _one_thread() -> None:
    torch.set_num_threads(1)
