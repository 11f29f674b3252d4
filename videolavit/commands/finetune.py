"""Teach a model your own videos: tokenize them, grow its vocabulary, train, and write a model.

The list is a CSV, JSON lines or a folder, as docs/training.md says: a video in each line, with
captions, or questions and answers. Words that the model does not know become new ids of its
vocabulary, and are named. Half of what it is trained on is data that it knew before, so that it
forgets little. Tokenizers and detokenizers stay as they are: a small model draws your videos in
the shapes and colours of its own world, and answers about them.

What is made on the way stays in MODEL.work, so that the same command goes on where it stopped.

examples:
  videolavit finetune clips.csv -o mine
  videolavit finetune clips.csv --from-model tiny -o mine --steps 400
  videolavit answer "Who reads?" --video baby.mp4 --model mine
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from videolavit.commands._shared.console import is_quiet, print_json, printable, tell_written
from videolavit.errors import ConfigError

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit finetune`."""

    videos: Annotated[str, Positional, arg(metavar="LIST")]
    """Videos and what is said about them: a CSV, JSON lines, or a folder."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="MODEL")]
    """Folder for the model."""
    from_model: str = "tiny"
    """Model to start from: a folder, a hub id, tiny or things."""
    steps: int = 200
    """Steps of training; the rate warms up over the first tenth."""
    batch_size: int = 16
    """Samples of a step."""
    learning_rate: float = 3e-4
    """Highest rate; more learns sooner and forgets more."""
    old_videos: int = 48
    """Scenes of the small model's own world that are mixed in; 0 for none."""
    old_tokens: str = ""
    """Token shards to mix in instead, as `prepare tokens` writes them."""
    own_share: int = 1
    """Share of your videos in what is trained on."""
    old_share: int = 1
    """Share of the old data."""
    seed: int = 0
    """Same seed, data and machine: same model."""
    workers: int = 1
    """Processes that tokenize videos."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Make the model, and say what it learnt; 1 if some videos were left out."""
    import sys

    if config.output.exists() and (not config.output.is_dir() or any(config.output.iterdir())):
        raise ConfigError(f"{config.output} exists and is not empty; name another folder with -o")

    from videolavit.training.finetune import FinetuneOptions, finetune

    quiet = config.json or is_quiet()
    options = FinetuneOptions(
        model=config.from_model,
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        old_videos=config.old_videos,
        old_tokens=config.old_tokens,
        own_share=config.own_share,
        old_share=config.old_share,
        seed=config.seed,
        workers=config.workers,
    )

    def tell(line: str) -> None:
        if not quiet:
            print(printable(line), file=sys.stderr, flush=True)

    made = finetune(config.videos, config.output, options, tell=tell, quiet=quiet)
    for problem in made.problems:
        print(printable(f"videolavit: skipped: {problem}"), file=sys.stderr)
    if config.json:
        counts = {"videos": made.num_videos, "samples": made.num_samples}
        print_json(
            {"model": str(made.folder), **counts, "new_words": list(made.new_words), "skipped": list(made.problems)}
        )
    else:
        tell_written(f"{made.folder}: a model of {made.num_videos} videos; use it with --model {made.folder}")
    return 1 if made.problems else 0
