"""One's own videos to a model of one's own, in one go: tokenize, grow the vocabulary, train, assemble.

Each step leaves its result in the work folder, so a run that stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from videolavit.checkpoints.artifacts import load_text_tokenizer, open_artifact
from videolavit.data.made_of import claim
from videolavit.data.prepare_tokens import TokenizeOptions, tokenize_shards, tokenize_videos
from videolavit.data.prepare_videos import ShapesData, prepare_shapes
from videolavit.data.shards import Record, write_shard
from videolavit.data.tokens import TokenReader
from videolavit.data.video_files import VideoFiles
from videolavit.data.video_lists import NamedVideo, named_videos
from videolavit.errors import CheckpointError, ConfigError, MediaError, VideoLaVITError
from videolavit.jobs.shard_jobs import JobOptions
from videolavit.shipped import DEFAULT_MODEL
from videolavit.training.language_data import Shares
from videolavit.training.language_loss import LanguageTraining
from videolavit.training.language_parts import load_language, save_language
from videolavit.training.loop import train
from videolavit.training.model_folder import exports_of, write_model
from videolavit.training.sequences import LossWeights
from videolavit.training.stages.instruction_tuning import InstructionTuningStage
from videolavit.training.training_options import TrainingOptions
from videolavit.training.vocabulary_growth import grow_text_rows, grown_tokenizer
from videolavit.video.io.sources import local_path
from videolavit.video.processor import looked_at_clips

if TYPE_CHECKING:
    from videolavit.settings import ModelSettings

__all__ = ["FinetuneOptions", "Finetuned", "finetune"]

Tell = Callable[[str], None]

_LATEST_SEED = 5_000_000
"""Of scenes that are mixed in, apart from those that the model was trained and measured on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneOptions:
    """Options of one run. The rate is a third of the tiny model's own, so that little is forgotten."""

    model: str = DEFAULT_MODEL
    """Model to start from: a folder, a hub id, or one of the package, such as "tiny"."""
    steps: int = 200
    batch_size: int = 16
    learning_rate: float = 3e-4
    old_videos: int = 48
    """Scenes of the shapes world that are mixed in, for the model of the package; 0 for none."""
    old_tokens: str = ""
    """Folder of token shards to mix in instead."""
    own_share: int = 1
    old_share: int = 1
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch_size": 1, "workers": 1, "own_share": 1, "old_share": 0, "old_videos": 0}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected at least {number}")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"got learning_rate={self.learning_rate}, expected above 0 and less than 1")

    @property
    def warmup_steps(self) -> int:
        """A tenth of the steps, 100 at most."""
        return min(100, max(1, self.steps // 10))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finetuned:
    """A model that was made, and of what."""

    folder: Path
    num_videos: int
    num_samples: int
    new_words: tuple[str, ...]
    problems: tuple[str, ...]
    """Reasons why videos were left out."""


def finetune(
    source: Path | str,
    folder: Path,
    options: FinetuneOptions | None = None,
    *,
    tell: Tell | None = None,
    quiet: bool = False,
) -> Finetuned:
    """Make a model that also knows the videos of a list.

    Args:
        source: CSV, JSON lines or folder with videos and what is said about them, see `named_videos`.
        folder: for the model; what was made on the way stays in a folder beside it, FOLDER.work.
        options: of the run.
        tell: called with a line for each step.
        quiet: show no bar.

    Raises:
        ConfigError: nothing is said about the videos, or the model has no size that videos are brought to.
        MediaError: no video can be read.
        CheckpointError: there is no such model, or the folder is not empty.
    """
    options, tell = _with_whole_paths(options or FinetuneOptions()), tell or (lambda line: None)
    source, folder = Path(local_path(source)).resolve(), folder.resolve()  # a run may go on from elsewhere
    work = folder.with_name(folder.name + ".work")
    videos = named_videos(source)
    base = open_artifact(options.model)
    settings = base.settings
    _check(videos, settings, options)
    _check_folders(folder, work, repr((options.model, videos)))

    texts = [text for video in videos for text in _said(video)]
    words = _start(options.model, texts, work / "start")
    tell(f"{len(videos)} videos; new words: {', '.join(words) or 'none'}")

    num_text = load_language(work / "start").vocabulary.num_text
    tokenized, problems = _own_tokens(videos, work, options, settings, num_text)
    num_samples = sum(len(TokenReader(path)) for path in tokenized)
    tell(f"{num_samples} samples")
    old = _old_tokens(work, options, settings, num_text)

    stage = _stage(work, tokenized, old, options, settings)
    tell(f"train for {options.steps} steps" + (", old data mixed in" if old else ", on own data alone"))
    _set_aside_run_of_others(work / "run", _digest(tokenized))
    exported = train(stage, work / "run", quiet=quiet)
    write_model(replace(exports_of(options.model), language_model=exported), folder, settings)
    return Finetuned(
        folder=folder,
        num_videos=len(videos),
        num_samples=num_samples,
        new_words=tuple(words),
        problems=tuple(problems),
    )


def _with_whole_paths(options: FinetuneOptions) -> FinetuneOptions:
    """Options whose folders are found from any other folder, too."""
    whole = {
        name: str(Path(local_path(value)).resolve())
        for name in ("model", "old_tokens")
        if (value := getattr(options, name)) and Path(local_path(value)).is_dir()
    }
    return replace(options, **whole)


def _check(videos: Sequence[NamedVideo], settings: ModelSettings, options: FinetuneOptions) -> None:
    if not videos:
        raise MediaError("the list names no videos")
    if not any(video.captions or video.questions for video in videos):
        raise ConfigError("nothing is said about any of the videos; give captions, or questions with answers")
    if settings.video_processor.motion_size is None:
        raise ConfigError(
            f"{options.model}: takes videos at their own size, and samples must be of one; train its stages"
        )


def _check_folders(folder: Path, work: Path, made_of: str) -> None:
    """Refuse a model that is there, and a work folder whose words and shards are those of another list."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder}: exists already and is not overwritten; choose another folder or remove it")
    try:
        claim(work, "list.made_by.txt", made_of)
    except ConfigError as error:
        raise ConfigError(
            f"{work}: was made of another list or from another model; remove it, or choose another folder for the model"
        ) from error


def _said(video: NamedVideo) -> list[str]:
    """All texts about a video, as conversations hold them."""
    return [*video.captions, *(f"USER: \n{question} ASSISTANT: {answer}" for question, answer in video.questions)]


def _start(model: str, texts: Sequence[str], folder: Path) -> list[str]:
    """Write the language model with the new words, and return these; it is done once."""
    from videolavit.language.unknown_words import known_words

    language = load_language(model)
    before = set(known_words(language.text_tokenizer) or ())
    if not folder.is_dir():
        tokenizer, pieces = grown_tokenizer(language.text_tokenizer, texts)
        vocabulary = grow_text_rows(language.causal_lm, language.vocabulary, pieces)
        module = _as_training(replace(language, text_tokenizer=tokenizer, vocabulary=vocabulary))
        partial = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(partial, ignore_errors=True)
        save_language(module, partial)
        partial.rename(folder)
    return [word for word in known_words(load_text_tokenizer(folder)) or () if word not in before]


def _as_training(language: Any) -> LanguageTraining:
    from videolavit.language.language_model import LanguageModel

    model = LanguageModel(language.causal_lm, language.vocabulary, language.text_tokenizer)
    width = 0 if language.projection is None else language.projection["weight"].shape[1]
    module = LanguageTraining(model, width, LossWeights(), ())
    if module.projection is not None:
        module.projection.load_state_dict(language.projection or {})
    return module


def _own_tokens(
    videos: Sequence[NamedVideo], work: Path, options: FinetuneOptions, settings: ModelSettings, num_text: int
) -> tuple[list[Path], list[str]]:
    """Folders of token shards, of pieces of one clip and of whole videos as a question shows them; and problems."""
    # What failed may have been mended, or a worker was killed: nobody can ask for it by an option here.
    tokenizing, jobs = _tokenizing(options, num_text), JobOptions(workers=options.workers, retry_failed=True)
    pieces, whole = work / "tokens-of-clips", work / "tokens-of-videos"
    files = VideoFiles(videos=(), video_processor=settings.video_processor)
    _, problems = tokenize_videos(list(videos), pieces, tokenizing, files, jobs=jobs)
    shard, note = work / "videos" / "videos-00000.tar", work / "videos" / "files.json"
    files_now = json.dumps([_state(video.path) for video in videos])
    if not shard.exists() or not note.exists() or note.read_text() != files_now:
        for made in (shard.parent, whole):  # of files that were missing then, or others
            shutil.rmtree(made, ignore_errors=True)
        shard.parent.mkdir()
        write_shard((record for video in videos for record in _shown(video, settings)), shard)
        note.write_text(files_now)
    tokenize_shards(shard.parent, whole, tokenizing, jobs=jobs)
    return [folder for folder in (pieces, whole) if len(TokenReader(folder))], problems


def _state(file: Path) -> tuple[str, int, int] | None:
    """Facts that tell one state of a file from another; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return str(file), found.st_size, found.st_mtime_ns


def _set_aside_run_of_others(run: Path, digest: str) -> None:
    """Give a run of other samples another name, such as `run-before-1`: it does not know those that came since."""
    note = run.with_name("run.samples.txt")
    if run.exists() and note.exists() and note.read_text() != digest:
        number = next(number for number in itertools.count(1) if not run.with_name(f"run-before-{number}").exists())
        run.rename(run.with_name(f"run-before-{number}"))
    note.write_text(digest)


def _digest(folders: Sequence[Path]) -> str:
    """A digest of one's own samples, which are few; old ones may be many, and are named by the run's options."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.glob("*.ids.bin")) + sorted(folder.glob("*.tokens.json")):
            digest.update(f"{file.name} {file.stat().st_size}".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _shown(video: NamedVideo, settings: ModelSettings) -> Iterator[Record]:
    """A video as the model is shown it with a question: in as many clips as it takes, and in fewer.

    The last clip of a video is seldom full, and one behind a cut starts there: no piece of fixed length is like that.
    """
    counts = set()
    for most in range(settings.max_clips, 0, -1):
        try:
            clips = looked_at_clips(str(video.path), settings.video_processor, max_clips=most)
        except VideoLaVITError:  # told when its pieces were made
            return
        if len(clips) in counts:
            continue
        counts.add(len(clips))
        keyframes = np.stack([clip.keyframe for clip in clips])
        yield Record(
            keyframes=keyframes,
            motion=np.stack([clip.motion.values for clip in clips]).astype(np.float16),
            motion_size=(clips[0].motion.height, clips[0].motion.width),
            frames=keyframes,
            captions=video.captions,
            image_captions=video.captions,
            questions=tuple((question, answer, "") for question, answer in video.questions),
            about_image=(False,) * len(video.questions),
            source={"path": video.path.name},
            motion_only=tuple(number for number, clip in enumerate(clips) if not clip.has_keyframe),
        )


def _old_tokens(work: Path, options: FinetuneOptions, settings: ModelSettings, num_text: int) -> str:
    """Token shards of what the model knew; empty where there are none to be had."""
    if options.old_tokens or options.model != DEFAULT_MODEL or not (options.old_videos and options.old_share):
        return options.old_tokens
    clips = tuple(range(1, settings.max_clips))
    data = ShapesData(
        num_videos=options.old_videos, first_seed=_LATEST_SEED, clips=clips, video_processor=settings.video_processor
    )
    jobs = JobOptions(workers=options.workers)
    prepare_shapes(data, work / "old", jobs=jobs)
    tokenize_shards(work / "old", work / "old-tokens", _tokenizing(options, num_text), jobs=jobs)
    return str(work / "old-tokens")


def _tokenizing(options: FinetuneOptions, num_text: int) -> TokenizeOptions:
    return TokenizeOptions(visual_tokenizer=options.model, motion_tokenizer=options.model, num_text=num_text)


def _stage(
    work: Path, tokenized: Sequence[Path], old: str, options: FinetuneOptions, settings: ModelSettings
) -> InstructionTuningStage:
    from videolavit.training.presets import TINY

    usual = TINY["instruction_tuning"]
    training = TrainingOptions(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        betas=(0.9, 0.95),
        weight_decay=0.01,
        seed=options.seed,
        images_every=0,
        checkpoint_every=max(50, options.steps // 4),
    )
    own = [f"{path}={options.own_share}" for path in tokenized]
    mixed_in = [f"{old}={options.old_share * len(own)}"] if old else []
    return InstructionTuningStage(
        name="finetuning",
        data=(*own, *mixed_in),
        text_tokenizer=str(work / "start"),
        start_from=str(work / "start"),
        visual_input=settings.visual_input,
        weights=usual.weights,
        row_length=usual.row_length,
        shares=_shares([TokenReader(path) for path in (*tokenized, *([old] if old else []))]),
        training=training,
    )


def _shares(readers: Sequence[TokenReader]) -> Shares:
    """Shares that follow what is said about videos: of what there are no words, there are no samples."""
    kinds = ("captions", "image_captions", "image_questions", "questions")
    has = {kind: any(len(reader.with_words(kind)) for reader in readers) for kind in kinds}
    return Shares(
        generate_image=int(has["image_captions"]),
        generate_video=2 * has["captions"],
        describe_video=int(has["captions"]),
        answer_image=int(has["image_questions"]),
        answer_video=3 * has["questions"],
    )
