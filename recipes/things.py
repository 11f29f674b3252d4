"""The model of the world of things, from nothing or from the tiny one: a list of commands, in order.

    python recipes/things.py                     everything, into runs/things
    python recipes/things.py --until learned_compensation
    python recipes/things.py --ship              and put the model into the package
    python recipes/things.py --show              only print the commands

Every command goes on where it was stopped, so this may be stopped and started again at any time; what is finished is
skipped. Images come from packages first: docs/things.md says which.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

TRAIN_SEEDS, MIXED_SEEDS = 1_000_000, 3_000_000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options of the recipe."""

    folder: Path = Path("runs/things")
    """Where everything goes."""
    node_modules: Path = Path("node_modules")
    """Where npm has put the packages with the images."""
    things: int = 24
    """How many things there are: 24, 64 or 117."""
    videos: int = 24_000
    """Rendered videos of things; a quarter as many of shapes and of collages come beside them."""
    workers: int = 2
    """Processes that render side by side."""
    start_from: str = "tiny"
    """Model whose weights the stages of autoencoder, motion and vision start from; empty for none."""
    until: str = ""
    """Stop after this step."""
    ship: bool = False
    """Put the model into the package at the end."""
    show: bool = False
    """Print the commands and do nothing."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of `videolavit`."""

    name: str
    command: list[str]
    result: Path
    """What is there when the step is finished."""


def steps(recipe: Recipe) -> list[Step]:
    """Everything in order."""
    folder = recipe.folder
    sources, data, text, tokens = (folder / name for name in ("sources.npz", "data", "text_tokenizer", "tokens"))
    workers = ["--workers", str(recipe.workers)]

    def export(stage: str) -> Path:
        return folder / stage / "export"

    def train(stage: str, *options: str, name: str = "", where: Path = data, fresh: bool = False) -> Step:
        name = name or stage
        command = ["train", stage, "--preset", "things", "-o", str(folder / name), "--data", str(where), *options]
        if recipe.start_from and not fresh:
            command += ["--from-model", recipe.start_from]
        return Step(name=name, command=command, result=export(name))

    def render(name: str, world: str, count: int, *options: str) -> Step:
        command = ["prepare", world, "-o", str(data), "--num-videos", str(count), *options, *workers]
        last = (count - 1) // 500
        return Step(name=name, command=command, result=data / f"{world}-{last:05d}.tar")

    few = max(recipe.videos // 4, 1)
    motion, autoencoder = export("motion_tokenizer"), export("autoencoder")
    # Keyframes of every video twice, mirrored or not, and where their last shard of 128 starts.
    features, keyframes, shown = folder / "features", folder / "keyframes", 2 * (recipe.videos + 2 * few)
    last = (shown - 1) // 128 * 128
    # The stage of the condition decoder trains the codes: from there on its tokenizer is the model's.
    first_codes, codes = str(export("visual_tokenizer")), str(export("condition_decoder"))

    def latents(where: Path, tokenizer: str, *options: str) -> Step:
        command = ["prepare", "latents", str(data), "-o", str(where), "--preset", "things", "--num-clips", str(shown)]
        command += ["--autoencoder", str(autoencoder), "--visual-tokenizer", tokenizer, *options, *workers]
        return Step(name=where.name, command=command, result=where / f"latents-{last:08d}-{shown - last}.safetensors")

    drawn_from = ("--autoencoder", str(autoencoder), "--tokenizer")
    # The model draws keyframes in one step: the last training of its UNet is for that alone.
    one_step = ["--start-from", str(export("keyframe_detokenizer")), "--whole-decoder", "--pure-noise", "0.85"]
    one_step += ["--distance-weight", "0.2", "--pixel-weight", "1", "--feature-weight", "3"]
    one_step += ["--training.batch-size", "16", "--training.steps", "4000"]
    # A discriminator then asks for the texture and the outlines that errors against one image smooth.
    sharp = ["--start-from", str(export("one_step")), "--whole-decoder", "--pure-noise", "1", "--error-weight", "0.3"]
    sharp += ["--distance-weight", "0.2", "--pixel-weight", "1", "--feature-weight", "3", "--adversarial-weight", "0.2"]
    sharp += ["--training.batch-size", "16", "--training.steps", "1000", "--training.learning-rate", "1.5e-4"]
    # Few things rotate or turn round: what tells that learns by itself, from more clips than are drawn meanwhile.
    turning = ["--from-model", str(export("learned_compensation")), "--turning-alone", "--training.batch-size", "16"]
    turning += ["--training.steps", "650", "--training.learning-rate", "3e-3", "--training.ema-decay", "0.98"]
    tokenize = ["prepare", "tokens", str(data), "-o", str(tokens), "--text-tokenizer", str(text), *workers]
    tokenize += ["--visual-tokenizer", codes, "--motion-tokenizer", str(motion)]
    language = ["--text-tokenizer", str(text), "--motion-tokenizer", str(motion)]
    parts = {"autoencoder": "autoencoder", "motion_tokenizer": "motion_tokenizer", "keyframe_detokenizer": "sharp"}

    def assemble(name: str, compensation: str) -> Step:
        command = ["assemble", "-o", str(folder / name), "--preset", "things", "--dtype", "float16"]
        command += ["--language-model", str(export("instruction_tuning")), "--visual-tokenizer", codes]
        command += ["--video-compensation", str(export(compensation))]
        for part, step in parts.items():
            command += [f"--{part.replace('_', '-')}", str(export(step))]
        return Step(name=name, command=command, result=folder / name)

    # What things look like is learnt last, from keyframes as the model draws them.
    looks = ["--from-model", str(export("turning")), "--drawn-by", str(folder / "plain_things")]
    looks += ["--things", str(recipe.things)]
    things = ["--sources", str(sources), "--things", str(recipe.things), "--first-seed", str(TRAIN_SEEDS)]
    prepare_sources = ["prepare", "things-sources", "-o", str(sources), "--node-modules", str(recipe.node_modules)]
    return [
        Step(name="sources", command=prepare_sources, result=sources),
        render("data", "things", recipe.videos, *things, "--clips", "1", "1", "2", "1"),
        render("shapes", "shapes", few, "--first-seed", str(TRAIN_SEEDS), "--clips", "1", "1", "2"),
        render("collages", "collages", few, "--first-seed", str(MIXED_SEEDS)),
        train("autoencoder"),
        train("motion_tokenizer"),
        train("learned_compensation", "--motion-tokenizer", str(motion), fresh=True),
        train("learned_compensation", "--motion-tokenizer", str(motion), *turning, name="turning", fresh=True),
        train("vision_encoder"),
        train("visual_tokenizer", "--encoder", str(export("vision_encoder")), fresh=True),
        latents(features, first_codes, "--with-features"),
        train("condition_decoder", *drawn_from, first_codes, where=features, fresh=True),
        latents(keyframes, codes),
        train("keyframe_detokenizer", *drawn_from, codes, where=keyframes, fresh=True),
        train("keyframe_detokenizer", *drawn_from, codes, *one_step, name="one_step", where=keyframes, fresh=True),
        train("keyframe_detokenizer", *drawn_from, codes, *sharp, name="sharp", where=keyframes, fresh=True),
        Step(
            name="text",
            command=["prepare", "text-tokenizer", str(data), "-o", str(text), "--size", "2048"],
            result=text,
        ),
        Step(name="tokens", command=tokenize, result=tokens / f"things-{(recipe.videos - 1) // 500:05d}.tokens.json"),
        train("pretraining", *language, where=tokens, fresh=True),
        train("instruction_tuning", *language, "--start-from", str(export("pretraining")), where=tokens, fresh=True),
        assemble("plain_things", "turning"),
        train("thing_appearance", *looks, where=sources, fresh=True),
        assemble("model", "thing_appearance"),
    ]


def marker(step: Step, folder: Path) -> Path:
    """File that is there when a step has ended well."""
    return folder / "done" / step.name


def is_finished(step: Step, folder: Path) -> bool:
    """True if nothing of a step is left to do: of those that write shards side by side, the last one may come first."""
    return step.result.exists() and ("--workers" not in step.command or marker(step, folder).exists())


def main(recipe: Recipe) -> int:
    """Do what is not done yet."""
    todo = steps(recipe)
    names = [step.name for step in todo]
    if recipe.until and recipe.until not in names:
        sys.exit(f"no step {recipe.until!r}; there are {', '.join(names)}")
    for step in todo[: names.index(recipe.until) + 1 if recipe.until else None]:
        print(f"{step.name}: videolavit {shlex.join(step.command)}", flush=True)
        if recipe.show or is_finished(step, recipe.folder):
            continue
        code = subprocess.call([sys.executable, "-m", "videolavit", *step.command], env=os.environ)
        if code:
            print(f"{step.name}: failed with code {code}; the same command goes on from here")
            return code
        mark = marker(step, recipe.folder)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    if recipe.ship and not (recipe.show or recipe.until):
        from videolavit.training.model_folder import ship

        ship(recipe.folder / "model", "things")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Recipe, description=__doc__)))
