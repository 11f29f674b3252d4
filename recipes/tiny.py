"""The tiny model, from nothing: data, every stage, the model folder and a report.

    python recipes/tiny.py                  everything, into runs/tiny; hours on two cores (docs/training.md)
    python recipes/tiny.py --quick          a few steps of everything, in minutes: does it work at all?
    python recipes/tiny.py --jobs 1         one stage after another
    python recipes/tiny.py --ship           and put the model into the package

Stages that do not need one another run side by side, each on its share of the cores. Whatever stopped the recipe, the
same command goes on from there: what is finished is skipped, and a stage that was killed resumes where it was. What
each step prints is in runs/tiny/logs; `runs/tiny/report.md` says how long everything took and what came out.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from videolavit.cli import COMMANDS

TRAIN_SEEDS, CLIP_SEEDS = 1_000_000, 3_000_000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options of the recipe."""

    folder: Path = Path("runs/tiny")
    """Where everything goes."""
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


@dataclass(frozen=True, kw_only=True)
class Step:
    """One process of the recipe."""

    name: str
    needs: tuple[str, ...] = ()
    command: list[str] = field(default_factory=list)
    """Of `videolavit`; empty for a function of this file."""


def steps(recipe: Recipe) -> list[Step]:
    """Everything there is to do; where two are possible, the earlier one goes first: the longest chains lead."""
    folder = recipe.folder
    names = ("data", "text_tokenizer", "tokens", "clips", "latents")
    data, text, tokens, clips, latents = (str(folder / name) for name in names)

    def export(stage: str) -> str:
        return str(folder / stage / "export")

    def train(stage: str, *needs: str, data: str = data, **options: str) -> Step:
        command = ["train", stage, "--preset", "tiny", "-o", str(folder / stage), "--data", data]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", value]
        return Step(name=stage, needs=needs, command=command + (_quick_options(stage) if recipe.quick else []))

    num_videos = 24 if recipe.quick else recipe.videos
    shapes = ["prepare", "shapes", "-o", data, "--num-videos", str(num_videos), "--first-seed", str(TRAIN_SEEDS)]
    shapes += ["--clips", "1", "1", "2", "1", "3", "--workers", str(recipe.jobs)]
    tokenize = ["prepare", "tokens", data, "-o", tokens, "--text-tokenizer", text]
    tokenize += ["--visual-tokenizer", export("visual_tokenizer"), "--motion-tokenizer", export("motion_tokenizer")]
    num_clips = 8 if recipe.quick else recipe.latent_clips
    prepare_clips = ["-o", clips, "--num-videos", str(num_clips // 2), "--first-seed", str(CLIP_SEEDS)]
    frozen = {"autoencoder": export("autoencoder"), "motion_tokenizer": export("motion_decoder")}
    prepare_latents = ["prepare", "latents", clips, "-o", latents, "--num-clips", str(num_clips)]
    for name, exported in frozen.items():
        prepare_latents += [f"--{name.replace('_', '-')}", exported]
    if recipe.quick:  # a selector that has learnt nothing may never be sure enough to keep a patch
        tokenize += ["--choice", "gumbel"]
    found = [
        Step(name="data", command=shapes),
        Step(name="text_tokenizer", needs=("data",), command=["prepare", "text-tokenizer", data, "-o", text]),
        train("motion_tokenizer", "data"),
        train("motion_decoder", "motion_tokenizer", keep_ids_of=export("motion_tokenizer")),
        train("vision_encoder", "data"),
        train("visual_tokenizer", "vision_encoder", encoder=export("vision_encoder")),
        Step(name="tokens", needs=("visual_tokenizer", "motion_tokenizer", "text_tokenizer"), command=tokenize),
        train("autoencoder", "data"),
        train("pretraining", "tokens", data=tokens, text_tokenizer=text, motion_tokenizer=export("motion_tokenizer")),
        train(
            "instruction_tuning",
            "pretraining",
            data=tokens,
            text_tokenizer=text,
            start_from=export("pretraining"),
            motion_tokenizer=export("motion_tokenizer"),
        ),
        Step(name="collages", command=["prepare", "collages", *prepare_clips]),
        Step(name="clips", needs=("collages",), command=["prepare", "shapes", *prepare_clips]),
        Step(name="latents", needs=("clips", "autoencoder", "motion_decoder"), command=prepare_latents),
        train("video_detokenizer", "latents", data=latents, **frozen),
        train(
            "keyframe_detokenizer",
            "autoencoder",
            "visual_tokenizer",
            autoencoder=export("autoencoder"),
            tokenizer=export("visual_tokenizer"),
        ),
        Step(name="model", needs=("instruction_tuning", "video_detokenizer", "keyframe_detokenizer")),
    ]
    if "evaluate" in COMMANDS:
        samples = ["--samples", "4" if recipe.quick else "500", "--workers", str(recipe.jobs)]
        written = ["--results", str(folder / "evaluation.jsonl"), "--markdown", str(folder / "results.md")]
        command = ["evaluate", "shapes", "--model", str(folder / "model"), *samples, *written]
        found.append(Step(name="evaluation", needs=("model",), command=command))
    shipping = [Step(name="ship", needs=("model",))] if recipe.ship else []
    return [*found, *shipping, Step(name="report", needs=(found[-1].name,))]


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
    from videolavit.checkpoints.shipped import SHIPPED_MODEL
    from videolavit.checkpoints.writing import new_folder

    with new_folder(SHIPPED_MODEL, overwrite=True) as target:
        shutil.copytree(recipe.folder / "model", target, dirs_exist_ok=True)


def write_report(recipe: Recipe) -> None:
    """What was done, how long it took, and the last numbers of every stage."""
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
        minutes = json.loads(_marker(recipe, step.name).read_text())["seconds"] / 60
        lines.append(f"| {step.name} | {minutes:.1f} | {_last_numbers(recipe.folder / step.name / 'log.jsonl')} |")
    (recipe.folder / "report.md").write_text("\n".join(lines) + "\n")


FUNCTIONS = {"model": write_model_folder, "ship": ship_model, "report": write_report}


def main(recipe: Recipe) -> int:
    """Run what is not done yet."""
    if recipe.only:
        FUNCTIONS[recipe.only](recipe)
        return 0
    (recipe.folder / "logs").mkdir(parents=True, exist_ok=True)
    lock = (recipe.folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{recipe.folder}: another run of the recipe, or a step that it left behind, is still at work")
        return 1
    return _run(recipe, _wanted(recipe), lock.fileno())


def _run(recipe: Recipe, todo: list[Step], lock: int) -> int:
    """Start steps whenever they can start; stop everything when one fails."""
    waiting = [step for step in todo if not _marker(recipe, step.name).exists()]
    print(f"{len(todo) - len(waiting)} of {len(todo)} steps are done", flush=True)
    working: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
    try:
        while waiting or working:
            for step in [step for step in waiting if _ready(recipe, step)][: recipe.jobs - len(working)]:
                working[step.name] = _start(recipe, step, lock), time.monotonic()
                waiting.remove(step)
                print(f"{step.name}: started; see {_log(recipe, step.name)}", flush=True)
            time.sleep(0.2)
            for name in [name for name, (process, _) in working.items() if process.poll() is not None]:
                process, started = working.pop(name)
                if process.returncode:
                    print(f"{name}: failed with code {process.returncode}; its log ends in\n{_tail(recipe, name)}")
                    return 1
                _note(recipe, name, time.monotonic() - started)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here")
        return 130
    finally:
        for process, _ in working.values():
            process.terminate()
        for process, _ in working.values():
            process.wait()
    return 0


def _wanted(recipe: Recipe) -> list[Step]:
    every = steps(recipe)
    if not recipe.until:
        return every
    names, wanted = {step.name: step for step in every}, {recipe.until}
    if recipe.until not in names:
        sys.exit(f"no step {recipe.until!r}; there are {', '.join(names)}")
    for step in reversed(every):
        if step.name in wanted:
            wanted |= set(step.needs)
    return [step for step in every if step.name in wanted]


def _ready(recipe: Recipe, step: Step) -> bool:
    return all(_marker(recipe, name).exists() for name in step.needs)


def _start(recipe: Recipe, step: Step, lock: int) -> subprocess.Popen[bytes]:
    """A process that holds the lock as long as it lives, so that nobody starts a second one of its kind."""
    own = [
        str(Path(__file__).resolve()),
        "--folder",
        str(recipe.folder),
        "--only",
        step.name,
        "--jobs",
        str(recipe.jobs),
    ]
    own += ["--dtype", recipe.dtype, *(["--quick"] if recipe.quick else []), *(["--ship"] if recipe.ship else [])]
    command = [sys.executable, *(["-m", "videolavit", *step.command] if step.command else own)]
    threads = max(1, (os.cpu_count() or 1) // recipe.jobs)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with _log(recipe, step.name).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, pass_fds=[lock])


def _note(recipe: Recipe, name: str, seconds: float) -> None:
    marker = _marker(recipe, name)
    marker.parent.mkdir(exist_ok=True)
    partial = marker.with_suffix(".partial")
    partial.write_text(json.dumps({"seconds": round(seconds, 1)}) + "\n")
    partial.replace(marker)
    print(f"{name}: done in {seconds / 60:.1f} min", flush=True)


def _marker(recipe: Recipe, name: str) -> Path:
    return recipe.folder / "done" / f"{name}.json"


def _log(recipe: Recipe, name: str) -> Path:
    return recipe.folder / "logs" / f"{name}.log"


def _tail(recipe: Recipe, name: str, lines: int = 15) -> str:
    return "\n".join(_log(recipe, name).read_text(errors="replace").splitlines()[-lines:])


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


def _quick_options(stage: str) -> list[str]:
    """So few steps that nothing is learnt."""
    options = ["--training.steps", "3", "--training.warmup-steps", "1", "--training.batch-size", "4"]
    options += ["--training.images-every", "0"]
    if stage in ("motion_tokenizer", "visual_tokenizer"):
        options += ["--codebook.warm-up-steps", "1"]
    return options


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Recipe, description=__doc__)))
