"""The tiny model, from nothing: data, every stage, the model folder and a report.

    python recipes/tiny.py                  everything, into runs/tiny; hours on two cores (docs/training.md)
    python recipes/tiny.py --quick          a few steps of everything, in minutes: does it work at all?
    python recipes/tiny.py --jobs 1         one stage after another
    python recipes/tiny.py --ship           and put the model into the package

Stages that do not need one another run side by side, each on its share of the cores (`side_by_side.py`). Whatever
stopped the recipe, the same command goes on from there: what is finished is skipped, and a stage that was killed
resumes where it was. What each step prints is in runs/tiny/logs; `runs/tiny/report.md` says how long everything took
and what came out.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from side_by_side import Runner, Step, wanted

FOLDERS = ("data", "text_tokenizer", "tokens", "clips", "latents", "model")
STAGES = (
    "motion_tokenizer",
    "motion_decoder",
    "vision_encoder",
    "visual_tokenizer",
    "autoencoder",
    "pretraining",
    "instruction_tuning",
    "video_detokenizer",
    "keyframe_detokenizer",
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options of the recipe."""

    folder: Path = Path("runs/tiny")
    """Folder of everything that is made."""
    videos: int = 24_000
    """To train on: three fifths of one clip, one of two, one of three."""
    latent_clips: int = 8_000
    """Clips that the video detokenizer is trained on, half of them collages; 0.3 MB each."""
    jobs: int = 2
    """Steps that run side by side."""
    quick: bool = False
    """A few videos and steps of everything: shows that the recipe works, and nothing else."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float16"
    """Of the weights in the model folder, but for those that must stay float32. Float16 is for storage: on a CPU it is
    computed with in float32."""
    ship: bool = False
    """Put the model into the package, as what `VideoLaVIT.from_pretrained()` opens."""
    until: str = ""
    """Stop after this step and what it needs."""
    only: Annotated[str, tyro.conf.arg(help="Do this one step in this process; the recipe calls itself so.")] = ""


def steps(recipe: Recipe) -> list[Step]:
    """Everything there is to do; where two are possible, the earlier one goes first: the longest chains lead."""
    make = Commands(recipe)
    rendered = "--num-videos {videos} --first-seed 1000000 --clips 1 1 2 1 3 --workers {jobs}"
    to_tune = "--start-from {pretraining} --text-tokenizer {text_tokenizer} --motion-tokenizer {motion_tokenizer}"
    to_decode = "--autoencoder {autoencoder} --motion-tokenizer {motion_decoder}"
    of_clips = "--num-videos {half_clips} --first-seed 3000000"
    ours = [
        make("data", "prepare shapes -o {data}", rendered),
        make("text_tokenizer", "prepare text-tokenizer {data} -o {text_tokenizer} -f"),
        make.stage("motion_tokenizer", "--data {data}"),
        make.stage("motion_decoder", "--data {data} --keep-ids-of {motion_tokenizer}"),
        make.stage("vision_encoder", "--data {data}"),
        make.stage("visual_tokenizer", "--data {data} --encoder {vision_encoder}"),
        make(
            "tokens",
            "prepare tokens {data} -o {tokens} --text-tokenizer {text_tokenizer}",
            "--visual-tokenizer {visual_tokenizer} --motion-tokenizer {motion_tokenizer}",
            # A selector that has learnt nothing may never be sure enough to keep a patch.
            "--patch-selection gumbel" if recipe.quick else "",
        ),
        make.stage("autoencoder", "--data {data}"),
        make.stage(
            "pretraining",
            "--data {tokens} --text-tokenizer {text_tokenizer} --motion-tokenizer {motion_tokenizer}",
        ),
        make.stage("instruction_tuning", "--data {tokens}", to_tune),
        make("collages", "prepare collages -o {clips}", of_clips),
        make("clips", "prepare shapes -o {clips}", of_clips, needs=("collages",)),
        make("latents", "prepare latents {clips} -o {latents} --num-clips {all_clips}", to_decode),
        make.stage("video_detokenizer", "--data {latents}", to_decode),
        make.stage("keyframe_detokenizer", "--data {data} --autoencoder {autoencoder} --tokenizer {visual_tokenizer}"),
        Step(name="model", needs=("instruction_tuning", "video_detokenizer", "keyframe_detokenizer")),
        make(
            "evaluation",
            "evaluate shapes --model {model} --samples {samples} --workers {jobs}",
            "--results {folder}/evaluation.jsonl --markdown {folder}/results.md",
        ),
    ]
    shipping = [Step(name="ship", needs=("model",))] if recipe.ship else []
    return [*ours, *shipping, Step(name="report", needs=("evaluation",))]


class Commands:
    """Command lines in which `{name}` stands for a folder, the export of a stage or a number of the recipe.

    A step needs the steps whose folders and exports it names, but for the folder that it writes into, behind `-o`.
    """

    def __init__(self, recipe: Recipe) -> None:
        clips = 8 if recipe.quick else recipe.latent_clips
        self.quick = recipe.quick
        self.places = {name: recipe.folder / name for name in FOLDERS}
        self.places |= {name: recipe.folder / name / "export" for name in STAGES}
        self.values = {
            "folder": recipe.folder,
            "jobs": recipe.jobs,
            "videos": 24 if recipe.quick else recipe.videos,
            "half_clips": clips // 2,
            "all_clips": clips,
            "samples": 4 if recipe.quick else 500,
        }

    def __call__(self, name: str, *lines: str, needs: tuple[str, ...] = ()) -> Step:
        """A step from the lines of its command."""
        words = " ".join(lines).split()
        read = [word for before, word in zip(["", *words], words, strict=False) if before != "-o"]
        named = tuple(place for place in self.places if "{" + place + "}" in read)
        command = [word.format(**self.places, **self.values) for word in words]
        return Step(name=name, needs=needs + named, command=command)

    def stage(self, name: str, *options: str) -> Step:
        """A step that trains one stage."""
        quick = quick_options(name) if self.quick else ""
        return self(name, f"train {name} --preset tiny -o {{folder}}/{name}", *options, quick)


def quick_options(stage: str) -> str:
    """So few steps that nothing is learnt."""
    few = "--training.steps 3 --training.warmup-steps 1 --training.batch-size 4 --training.images-every 0"
    return f"{few} --codebook.warm-up-steps 1" if stage in ("motion_tokenizer", "visual_tokenizer") else few


def write_model_folder(recipe: Recipe) -> None:
    """The exports of all stages as one model."""
    import torch

    from videolavit.training.model_folder import ModelExports, write_model
    from videolavit.training.presets import TINY_SETTINGS

    stages = ("autoencoder", "visual_tokenizer", "keyframe_detokenizer", "video_detokenizer")
    exports = {stage: recipe.folder / stage / "export" for stage in stages}
    motion, language = (recipe.folder / stage / "export" for stage in ("motion_decoder", "instruction_tuning"))
    whole = ModelExports(**exports, motion_tokenizer=motion, language_model=language)
    dtype = getattr(torch, recipe.dtype)
    write_model(whole, recipe.folder / "model", TINY_SETTINGS, dtype=dtype, overwrite=True)


def ship_model(recipe: Recipe) -> None:
    """The model folder into the package."""
    from videolavit.training.model_folder import ship

    ship(recipe.folder / "model", "tiny")


def write_report(recipe: Recipe) -> None:
    """Time of every step, and the last numbers of every stage."""
    size = sum(path.stat().st_size for path in (recipe.folder / "model").rglob("*") if path.is_file()) / 1e6
    lines = [
        "# Report of recipes/tiny.py",
        "",
        "This was a quick run, which says nothing about quality." if recipe.quick else "",
        f"Machine: {_machine()}; {recipe.jobs} steps side by side. The model folder has {size:.1f} MB. Minutes are "
        "those of the last process that worked on a step: of the whole step, if it was not interrupted.",
        "",
        "| step | minutes | last numbers |",
        "| --- | --- | --- |",
    ]
    for step in steps(recipe)[:-1]:
        minutes = runner(recipe).seconds(step.name) / 60
        lines.append(f"| {step.name} | {minutes:.1f} | {_last_numbers(recipe.folder / step.name / 'log.jsonl')} |")
    (recipe.folder / "report.md").write_text("\n".join(lines) + "\n")


FUNCTIONS = {"model": write_model_folder, "ship": ship_model, "report": write_report}


def main(recipe: Recipe) -> int:
    """Run what is not done yet."""
    if recipe.only:
        FUNCTIONS[recipe.only](recipe)
        return 0
    return runner(recipe).run(lambda: _wanted(recipe))


def runner(recipe: Recipe) -> Runner:
    """Runs the steps; those that are functions by calling this file again."""
    own = [str(Path(__file__).resolve()), "--folder", str(recipe.folder), "--jobs", str(recipe.jobs)]
    own += ["--dtype", recipe.dtype, *(["--quick"] if recipe.quick else []), *(["--ship"] if recipe.ship else [])]
    return Runner(folder=recipe.folder, jobs=recipe.jobs, own_command=[*own, "--only"])


def _wanted(recipe: Recipe) -> list[Step]:
    return wanted(steps(recipe), recipe.until)


def _last_numbers(log: Path) -> str:
    if not log.is_file():
        return ""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    last = next((entry for entry in reversed(entries) if "loss" in entry), {})
    hidden = {"time", "step", "learning_rate", "gradient_norm"}
    return ", ".join(f"{name} {value:.3g}" for name, value in last.items() if name not in hidden)


def _machine() -> str:
    models = [line.partition(":")[2].strip() for line in _cpu_info() if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def _cpu_info() -> Sequence[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Recipe, description=__doc__)))
