"""How often the judge of the world of things is right: on rendered clips, and on damaged ones of eight kinds.

python benchmarks/things_judge.py data/things_sources.npz --rendered 200 --damaged 200
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image, ImageFilter
from tyro.conf import Positional

from videolavit.data.things.render import render
from videolavit.data.things.sampling import SceneOptions, sample_scene
from videolavit.data.things.scene import Scene
from videolavit.data.things.sources import Sources, load_sources
from videolavit.evaluation.samples import FIRST_SEED
from videolavit.evaluation.things.damage import DAMAGES, damaged, moves_somewhere
from videolavit.evaluation.things.judge import judge_video


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options."""

    sources: Annotated[Path, Positional]
    """File that `videolavit prepare things-sources` wrote."""
    rendered: int = 200
    damaged: int = 200
    things: int = 24
    blur: float = 0.0
    """Deviation in pixels of a blur, as an autoencoder makes it."""


def main(config: Config) -> int:
    """Print a table."""
    sources = load_sources(str(config.sources))
    start = time.monotonic()
    wrong = _wrong_of_rendered(config, sources)
    seconds = (time.monotonic() - start) / max(config.rendered, 1)
    print("| clips | right |\n| --- | --- |")
    right = 1 - sum(wrong.values()) / max(config.rendered, 1)
    print(f"| rendered, {config.rendered} of {config.things} things | {right:.3f} |")
    for what, count in wrong.items():
        print(f"|   first wrong: {what} | {count} |")
    caught = _caught(config, sources)
    everything = list(itertools.chain.from_iterable(caught.values()))
    for kind, found in caught.items():
        print(f"| {kind}, {len(found)} | {np.mean(found):.3f} |")
    if everything:
        print(f"| all damaged, {len(everything)} | {np.mean(everything):.3f} |")
    print(f"\n{seconds:.2f} s for a clip")
    return 0


def _wrong_of_rendered(config: Config, sources: Sources) -> Counter[str]:
    wrong: Counter[str] = Counter()
    for number in range(config.rendered):
        scene = sample_scene(FIRST_SEED + number, SceneOptions(things=config.things, num_things=1))
        verdict = judge_video(_seen(render(scene, sources).frames, config), scene, sources, num_things=config.things)
        parts = {
            "name": verdict.named,
            "place": verdict.place,
            "motion": verdict.moves,
            "clean": verdict.clean,
            "size": all(one.size for one in verdict.things),
        }
        wrong.update(itertools.islice((name for name, right in parts.items() if not right), 1))
        if not verdict.right:
            print(f"{number}: {_described(scene)}: {[one.read for one in verdict.things]} {verdict}", file=sys.stderr)
    return wrong


def _caught(config: Config, sources: Sources) -> dict[str, list[bool]]:
    caught: dict[str, list[bool]] = defaultdict(list)
    seeds = itertools.count(FIRST_SEED + 500_000)
    for number in range(config.damaged):
        kind = list(DAMAGES)[number % len(DAMAGES)]
        scene = next(
            scene
            for seed in seeds
            if moves_somewhere((scene := _scene(seed, config)).actors[0].events[0]) and scene.view.camera == "still"
        )
        frames = _seen(damaged(kind, scene, sources, number), config)
        verdict = judge_video(frames, scene, sources, num_things=config.things)
        caught[kind].append(not verdict.right)
        if verdict.right:
            print(f"missed {kind}, {number}: {_described(scene)}", file=sys.stderr)
    return caught


def _scene(seed: int, config: Config) -> Scene:
    return sample_scene(seed, SceneOptions(things=config.things, num_things=1))


def _seen(frames: np.ndarray, config: Config) -> np.ndarray:
    if not config.blur:
        return frames
    blur = ImageFilter.GaussianBlur(config.blur)
    return np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in frames])


def _described(scene: Scene) -> str:
    actor = scene.actors[0]
    return f"{actor.size} {actor.style} {actor.name} {actor.events[0]} {scene.view.place} {scene.view.camera}"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
