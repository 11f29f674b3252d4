"""Videos through the trained tokenizers, once, into token shards (`videolavit.data.tokens`).

One token shard is made of one shard of prepared videos, or of as many files of videos in one pass: their frames are
decoded, sent through the front end and the tokenizers, and not kept. Shards are made side by side, on one machine or
several, and appear only when complete, so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from videolavit.checkpoints.artifacts import load_artifact, weights_files
from videolavit.data.made_of import SourceNote, digest_of_shards
from videolavit.data.shards import Record, ShardReader
from videolavit.data.tokens import TokenizedClip, TokenizedVideo, TokenReader, TokenShard, TokensMadeBy, write_tokens
from videolavit.data.video_files import VideoFiles, planned_shards
from videolavit.data.video_lists import NamedVideo
from videolavit.errors import CheckpointError, ConfigError, MediaError, OutputError
from videolavit.jobs.devices import worker_device
from videolavit.jobs.partial_files import create_once
from videolavit.jobs.shard_jobs import ALONE, JobOptions, raise_failures, run_jobs, write_alone
from videolavit.nn.random import sample_generators
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer
from videolavit.tokenizers.selector import PatchSelection
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer
from videolavit.vocabulary import Vocabulary

__all__ = ["TokenizeOptions", "tokenize_records", "tokenize_shards", "tokenize_videos"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizeOptions:
    """Origin of the ids: the trained tokenizers, and how they are used."""

    visual_tokenizer: str
    """Folder that the stage `visual_tokenizer` exported."""
    motion_tokenizer: str
    """Folder that the stage `motion_tokenizer` exported."""
    num_text: int
    """Ids of the text tokenizer, which come before all others."""
    text_start: int = 1
    """Of these, the one that starts a text."""
    text_end: int = 2
    features: bool = True
    """Keep the continuous features of the kept patches too, as float16; without, only discrete ids can be learnt."""
    patch_selection: PatchSelection = "likeliest"
    """Choice of the patches that become tokens; must be the one that the model will be used with."""
    seed: int = 0
    """For the choice "gumbel"."""
    batch_size: int = 32
    """Videos that go through the tokenizers together."""
    digests: dict[str, str] = field(default_factory=dict, hash=False)
    """Of the tokenizers, by name, as they are noted in the shards; found out when the work begins."""


def tokenize_shards(source: Path, target: Path, options: TokenizeOptions, *, jobs: JobOptions = ALONE) -> TokenReader:
    """Token shards of a folder of shards; those that are there already are kept.

    Raises:
        CheckpointError: a tokenizer is missing, or keeps nothing of any image.
        ConfigError: the target holds shards of other tokenizers or options.
        JobError: some shards could not be made; the others are there.
        MediaError: the folder holds no shards.
        OutputError: the target cannot be written.
    """
    options = _claimed(target, options)
    shards = sorted(source.glob("*.tar"))
    if not shards:
        raise MediaError(f"{source}: holds no shards (*.tar with *.index.json); make some with `prepare`")
    raise_failures(run_jobs([_OfShard(source=path, target=target, options=options) for path in shards], jobs))
    return TokenReader(target)


def tokenize_videos(
    videos: list[NamedVideo],
    target: Path,
    options: TokenizeOptions,
    files: VideoFiles,
    *,
    videos_per_shard: int = 100,
    jobs: JobOptions = ALONE,
) -> tuple[TokenReader, list[str]]:
    """Token shards of files of videos in one pass, without frames on disk; those that are there already are kept.

    Args:
        videos: files, and what is said about them.
        target: folder for the token shards; it can grow.
        options: the tokenizers.
        files: how files are read; its `videos` are none of these.
        videos_per_shard: files that go into one shard.
        jobs: who does the work.

    Returns:
        The token shards, and what is wrong with each video that was left out.

    Raises:
        CheckpointError, ConfigError, JobError, OutputError: as for `tokenize_shards`.
        MediaError: no video gave a sample.
    """
    options = _claimed(target, options)
    plan = planned_shards(target, videos, files, videos_per_shard=videos_per_shard)
    shards = [_OfVideos(name=name, files=files.of(chosen), target=target, options=options) for name, chosen in plan]
    raise_failures(run_jobs(shards, jobs, isolated=True))
    problems = [problem for shard in jobs.part.of(shards) for problem in SourceNote(shard.path).problems.values()]
    if problems and not any(shard.path.exists() and len(TokenShard(shard.path)) for shard in shards):
        raise MediaError(f"no video could be made into ids: {'; '.join(problems[:5])}")
    return TokenReader(target), problems


def tokenize_records(
    records: Iterable[Record],
    visual: VisualTokenizer,
    motion: MotionTokenizer,
    vocabulary: Vocabulary,
    *,
    features: bool = True,
    patch_selection: PatchSelection = "likeliest",
    seed: int = 0,
    stream: str = "",
    batch_size: int = 32,
) -> Iterator[TokenizedVideo]:
    """Videos as ids; every keyframe has one at least. With `patch_selection="gumbel"` seed and stream decide."""
    records = iter(records)
    for number in itertools.count():
        if not (batch := list(itertools.islice(records, batch_size))):
            break
        streams = None
        if patch_selection != "likeliest":
            num_keyframes = sum(record.num_clips - len(record.motion_only) for record in batch)
            streams = sample_generators(seed, num_keyframes, stream=f"selector {stream} {number}")
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
    has_keyframe = [number not in record.motion_only for record in records for number in range(record.num_clips)]
    keyframes = [keyframe for record in records for keyframe in record.keyframes]
    pixels = visual.preprocess(list(itertools.compress(keyframes, has_keyframe))).to(device)
    seen = visual.encode(pixels, patch_selection=patch_selection, generators=streams, at_least_one=True)
    grid = motion.config.rows, motion.config.cols
    moved = np.stack([record.motion_of(i).for_tokenizer(*grid) for record in records for i in range(record.num_clips)])
    motion_codes = motion.encode(torch.from_numpy(moved).to(device)).cpu()
    nothing = seen.codes[0][:0], seen.features[0][:0]
    shown = iter(zip(seen.codes, seen.features, strict=True))
    clips = []
    for is_shown, moving in zip(has_keyframe, motion_codes, strict=True):
        codes, rows = next(shown) if is_shown else nothing
        clips.append(
            TokenizedClip(
                visual_ids=vocabulary.visual_ids(codes.cpu()),
                motion_ids=vocabulary.motion_ids(moving),
                features=rows.cpu() if features else None,
            )
        )
    return clips


@dataclass(frozen=True, kw_only=True, slots=True)
class _OfShard:
    """A token shard of a shard of prepared videos, as a piece of work."""

    source: Path
    target: Path
    options: TokenizeOptions

    @property
    def path(self) -> Path:
        return self.target / f"{self.source.stem}.tokens.json"

    def is_current(self) -> bool:
        """True if the token shard is there, and its source still is what it was made of."""
        if not self.path.exists():
            return False
        old_note = self.target / f"{self.source.stem}.made_of.txt"
        made_of = TokenShard(self.path).made_of or (old_note.read_text() if old_note.is_file() else "")
        return made_of in ("", digest_of_shards([self.source]))

    def write(self) -> None:
        made_of = digest_of_shards([self.source])
        reader = ShardReader(self.source)
        records = (reader.without_frames(number) for number in range(len(reader)))
        _write_tokens(records, self.target / self.source.stem, self.options, made_of)

    def look_into(self) -> None:
        write_alone(self)

    def forget_failures(self) -> None:
        """Nothing of it can fail alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _OfVideos:
    """A token shard of files of videos, as a piece of work."""

    name: str
    files: VideoFiles
    target: Path
    options: TokenizeOptions

    @property
    def path(self) -> Path:
        return self.target / f"{self.name}.tokens.json"

    def is_current(self) -> bool:
        """True if the token shard is there, and its videos as they were, those that could not be read among them."""
        return self.path.exists() and SourceNote(self.path).is_current(self.files.paths, _digest_of(self.path))

    def write(self) -> None:
        note, states = SourceNote(self.path), self.files.states()
        problems = note.known_killers(self.files.paths)
        killers = tuple(problems)
        _write_tokens(self.files.records(problems), self.target / self.name, self.options, "")
        note.write(states, problems, killers=killers, digest=_digest_of(self.path))

    def look_into(self) -> None:
        self.files.note_killers(SourceNote(self.path))

    def forget_failures(self) -> None:
        SourceNote(self.path).forget_problems()


def _write_tokens(records: Iterable[Record], path: Path, options: TokenizeOptions, made_of: str) -> None:
    visual, motion = _tokenizers(options)
    vocabulary = Vocabulary(
        num_text=options.num_text,
        text_start=options.text_start,
        text_end=options.text_end,
        num_visual_codes=visual.config.num_codes,
        num_motion_codes=motion.config.num_codes,
    )
    videos = tokenize_records(
        records,
        visual,
        motion,
        vocabulary,
        features=options.features,
        patch_selection=options.patch_selection,
        seed=options.seed,
        stream=path.name,
        batch_size=options.batch_size,
    )
    made_by = TokensMadeBy(tokenizers=options.digests, made_of=made_of)
    write_tokens(_watched(videos, f"{options.visual_tokenizer}: {path.name}"), path, vocabulary, made_by)


def _digest_of(tokens: Path) -> str:
    """Digest of the last file of a token shard, which holds the checksums of the others."""
    return sha256(tokens.read_bytes()).hexdigest()


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


def _claimed(target: Path, options: TokenizeOptions) -> TokenizeOptions:
    """Note which tokenizers a folder belongs to, and give the options their digests: kept shards must be of the same.

    Only the text tokenizer's digest is that of the options: its folder is not opened here.
    """
    ends = () if (options.text_start, options.text_end) == (1, 2) else (options.text_start, options.text_end)
    digest = sha256(repr((options.num_text, options.features, options.patch_selection, options.seed, *ends)).encode())
    digests = dict(options.digests)
    for folder, name in ((options.visual_tokenizer, "visual"), (options.motion_tokenizer, "motion")):
        content = sha256()
        for weights in weights_files(f"{name}_tokenizer", folder):
            with weights.open("rb") as file:
                for part in iter(lambda: file.read(2**20), b""):
                    content.update(part)
        digest.update(content.digest())
        digests[name] = content.hexdigest()
    try:
        target.mkdir(parents=True, exist_ok=True)
        kept = create_once(target / "made_by.txt", digest.hexdigest())
    except OSError as error:
        raise OutputError(f"{target}: cannot be used for token shards: {error}") from error
    if kept != digest.hexdigest():
        raise ConfigError(f"{target}: holds shards of other tokenizers or options; choose another folder")
    return replace(options, digests=digests)


@lru_cache(maxsize=1)
def _tokenizers(options: TokenizeOptions) -> tuple[VisualTokenizer, MotionTokenizer]:
    device = worker_device()
    visual = load_artifact("visual_tokenizer", options.visual_tokenizer)
    motion = load_artifact("motion_tokenizer", options.motion_tokenizer)
    return visual.to(device), motion.to(device)
