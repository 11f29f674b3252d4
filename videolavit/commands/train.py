"""Train one stage of a model, or go on with it where it stopped.

  videolavit train STAGE [--preset tiny|things|paper] [-o FOLDER] [--data FOLDER] [any option of the stage]

Stages, in an order in which they can be run (docs/training.md says what each needs):

  autoencoder            image autoencoder whose latents the detokenizers denoise, for small presets
  vision_encoder         encoder of images, for small presets
  motion_tokenizer       motion fields to codes and back
  motion_decoder         the way back alone, for codes that stay as they are, for small presets
  visual_tokenizer       keyframes to a varying number of codes; selector, merger, codebook
  condition_decoder      codes to what the next stage draws from, for the things preset
  keyframe_detokenizer   codes to an image
  video_detokenizer      an image and motion to frames
  learned_compensation   an image and motion to frames in one step, for the things preset
  thing_appearance       things that are recognised and painted in each of these frames
  pretraining            the language model, on text, images and videos in both orders
  instruction_tuning     the language model, on answers alone

`videolavit train STAGE --help` shows all options of a stage, with the values of the preset. FOLDER
(runs/STAGE if not given) gets log.jsonl, TensorBoard files, images, checkpoints and, at the end,
`export`, which the later stages take. The same command resumes a run that was stopped or killed,
and ends with the same weights as if it had not been. Under torchrun it uses all its processes.

examples:
  videolavit train motion_tokenizer --preset tiny --data data/train
  videolavit train pretraining --preset tiny --data data/tokens --training.steps 2000
  videolavit train motion_tokenizer --model.num-codes 256 -o runs/motion-256
  videolavit train pretraining --from-model tiny --data data/my_tokens
  videolavit train autoencoder --data data/things=3 data/shapes
  torchrun --nproc-per-node 2 -m videolavit train pretraining --data data/tokens
  videolavit train pretraining --preset paper --dry-run --processes 64 --tokens-per-second 6000
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from videolavit.commands._shared.console import is_quiet, tell_written
from videolavit.errors import ConfigError
from videolavit.old_names import current_flags

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit train` that no stage has; the others are the stage's own fields."""

    stage: Annotated[str, Positional]
    """Name of the stage; see above."""
    preset: Literal["tiny", "things", "paper"] = "tiny"
    """Preset that the stage's options start from."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER")] = None
    """Folder of the run; by default runs/STAGE."""
    from_model: Annotated[str, arg(metavar="MODEL")] = ""
    """Start from the weights of this model wherever they fit: a folder, a hub id, or `tiny` for the one in the package.
    Without it weights are random, or what options of the stage say. For LoRA, whose layers have other names, give the
    model as --start-from."""
    replicate: int | None = None
    """Groups of processes that each hold all weights: the same as --training.replicate."""
    quiet: bool = False
    """Show no progress bar."""
    dry_run: bool = False
    """Print the memory, tokens and hours that the run would take, and start nothing."""
    processes: int = 1
    """Of a dry run."""
    tokens_per_second: float = 0.0
    """Of one process, to tell the hours of a dry run; docs/scale.md has measured ones."""
    options: Annotated[tuple[str, ...], arg(constructor=lambda: ())] = ()
    """Rest of the command line, for the stage."""


def parse(arguments: Sequence[str]) -> Config:
    """Read the options that no stage has, and leave the rest to the stage."""
    import tyro

    asks_for_help = {"-h", "--help"} & set(arguments)
    own = [argument for argument in arguments if argument not in ("-h", "--help")]
    if asks_for_help and not [argument for argument in own if not argument.startswith("-")]:
        own, arguments = ["STAGE"], ["--help"]
    markers = (tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalMetavarFromFieldName, tyro.conf.AvoidSubcommands)
    config, rest = tyro.cli(Config, prog="videolavit train", args=own, config=markers, return_unknown_args=True)
    if asks_for_help:
        if config.stage == "STAGE":
            tyro.cli(Config, prog="videolavit train", description="", args=["--help"], config=markers)
        rest = [*rest, "--help"]
    return dataclasses.replace(config, options=tuple(rest))


def run(config: Config) -> int:
    """Train, and say where the result is."""
    if config.processes < 1 or config.tokens_per_second < 0:
        raise ConfigError(
            f"got --processes {config.processes} and --tokens-per-second {config.tokens_per_second}, expected at least "
            "1 process and a speed that is not negative"
        )
    stage = _stage(config)
    if config.replicate is not None:
        stage = dataclasses.replace(stage, training=dataclasses.replace(stage.training, replicate=config.replicate))
    if config.dry_run:
        from videolavit.training.planning import plan

        print(*plan(stage, processes=config.processes, tokens_per_second=config.tokens_per_second).lines(), sep="\n")
        return 0
    from videolavit.training.loop import train

    folder = config.output or Path("runs") / config.stage
    is_first = int(os.environ.get("RANK", "0")) == 0
    with _telling(logging.INFO if is_first and not is_quiet() else logging.WARNING):
        exported = train(stage, folder, model=config.from_model, quiet=config.quiet or is_quiet())
    if is_first:
        tell_written(f"{config.stage}: {exported}")
    return 0


@contextmanager
def _telling(level: int) -> Iterator[None]:
    """Let training say, from a level on, where a run goes on, whether it has ended, and what it took of a model."""
    speaker = logging.getLogger("videolavit.training")
    before = speaker.level
    speaker.setLevel(level)
    try:
        yield
    finally:
        speaker.setLevel(before)


def _stage(config: Config) -> Any:
    """The stage of the preset, changed by the command line."""
    import tyro

    from videolavit.commands._shared.arguments import quiet_parse
    from videolavit.training.presets import PRESETS, stage_names, stage_of

    stages = stage_names(config.preset)
    if config.stage not in stages:
        if having := [name for name, others in PRESETS.items() if config.stage in others]:
            hint = f"add --preset {' or --preset '.join(having)}"
        else:
            close = difflib.get_close_matches(config.stage, stages, n=1)
            hint = f"did you mean {close[0]}?" if close else f"stages are {', '.join(stages)}"
        raise ConfigError(f"the preset {config.preset} has no stage {config.stage!r}; {hint}")
    default: Any = stage_of(config.preset, config.stage)
    markers = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)
    name, options = f"train {config.stage}", current_flags(config.options)
    return quiet_parse(
        lambda: tyro.cli(
            type(default), default=default, prog=f"videolavit {name}", description="", args=options, config=markers
        ),
        name=name,
        arguments=options,
    )
