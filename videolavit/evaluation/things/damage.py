"""Damaged videos of things, by rule: what a judge must not let through.

Each kind is something that models do. `torn` and `faded` are those of motion compensation that takes a thing apart and
lets half of its colour behind; `frozen` and `wrong way` are right in every frame and wrong as a video.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from videolavit.data.things.catalogue import THINGS
from videolavit.data.things.render import Rendering, ground_frames, render
from videolavit.data.things.scene import SIZE, Actor, Event, Scene
from videolavit.data.things.sources import Sources

__all__ = ["DAMAGES", "damaged", "moves_somewhere"]

Frames = UInt8[np.ndarray, "frames height width 3"]


def damaged(kind: str, scene: Scene, sources: Sources, seed: int) -> Frames:
    """A scene of one thing and one clip that is damaged from some frame on, in one of the ways of `DAMAGES`."""
    return DAMAGES[kind](scene, render(scene, sources), sources, np.random.default_rng([14, seed]))


def _torn(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """A band of the thing stays behind by some pixels from the sixth frame on."""
    frames, ground = rendered.frames.copy(), _ground(scene, sources)
    amount = int(random.integers(8, 14)) * int(random.choice([-1, 1]))
    for number in range(6, len(frames)):
        _, top, _, bottom = _box(rendered, number)
        middle = (top + bottom) // 2
        band, alpha = slice(middle, bottom), rendered.masks[0, number, middle:bottom, :, None] / 255
        shifted, shifted_alpha = np.roll(rendered.frames[number, band], amount, 1), np.roll(alpha, amount, 1)
        under = rendered.frames[number, band] * (1 - alpha) + ground[number, band] * alpha
        frames[number, band] = shifted * shifted_alpha + under * (1 - shifted_alpha)
    return frames


def _ghost(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """A second, half transparent image of the thing stays where it was, or beside it."""
    frames = rendered.frames.copy()
    offset = int(random.integers(24, 40)) * int(random.choice([-1, 1]))
    for number in range(8, len(frames)):
        shown = np.roll(rendered.frames[number], offset, 1)
        alpha = 0.5 * np.roll(rendered.masks[0, number], offset, 1)[..., None] / 255
        alpha = alpha * (rendered.masks[0, number, ..., None] < 20)
        frames[number] = shown * alpha + frames[number] * (1 - alpha)
    return frames


def _smear(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """The thing is drawn out to one side by more and more pixels."""
    frames = rendered.frames.copy()
    way = int(random.choice([-1, 1]))
    for number in range(4, len(frames)):
        length = min(4 + number, 20)
        for step in range(1, length):
            alpha = np.roll(rendered.masks[0, number], way * step, 1)[..., None] / 255 * 0.8
            alpha = alpha * (rendered.masks[0, number, ..., None] < 128)
            colour = np.roll(rendered.frames[number], way * step, 1)
            frames[number] = colour * alpha + frames[number] * (1 - alpha)
    return frames


def _faded(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """The thing loses more than a third of its own look to what lies behind it by the end."""
    frames, ground = rendered.frames.astype(np.float32), _ground(scene, sources)
    lost = random.uniform(0.45, 0.65)
    for number in range(len(frames)):
        share = lost * min(number / 16, 1) * rendered.masks[0, number, ..., None] / 255
        frames[number] = frames[number] * (1 - share) + ground[number] * share
    return (frames + 0.5).astype(np.uint8)


def _wrong_thing(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """Another thing does the same."""
    others = [
        other.name
        for other in THINGS[:24]
        if other.name != scene.actors[0].name and other.nose is None and other.gait == scene.actors[0].thing.gait
    ]
    others = others or [other.name for other in THINGS[:24] if other.name != scene.actors[0].name]
    return render(_with(scene, name=others[int(random.integers(len(others)))]), sources).frames


def _wrong_way(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """The video plays backwards, so that the thing goes back where it should have come from."""
    return np.ascontiguousarray(rendered.frames[::-1])


def _frozen(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """All frames are the first one."""
    return rendered.frames[:1].repeat(len(rendered.frames), axis=0)


def _doubled(scene: Scene, rendered: Rendering, sources: Sources, random: np.random.Generator) -> Frames:
    """The thing is there twice in every frame."""
    frames = rendered.frames.copy()
    x = (rendered.boxes()[0, :, 0] + rendered.boxes()[0, :, 2]).mean() / 2
    offset = SIZE // 2 if x < SIZE / 2 else -SIZE // 2
    for number in range(len(frames)):
        alpha = np.roll(rendered.masks[0, number], offset, 1)[..., None] / 255
        frames[number] = np.roll(rendered.frames[number], offset, 1) * alpha + frames[number] * (1 - alpha)
    return frames


DAMAGES: dict[str, Callable[[Scene, Rendering, Sources, np.random.Generator], Frames]] = {
    "torn": _torn,
    "ghost": _ghost,
    "smear": _smear,
    "faded": _faded,
    "wrong thing": _wrong_thing,
    "wrong way": _wrong_way,
    "frozen": _frozen,
    "doubled": _doubled,
}


def _with(scene: Scene, **changes: object) -> Scene:
    actor: Actor = replace(scene.actors[0], **changes)  # type: ignore[arg-type]
    return replace(scene, actors=(actor, *scene.actors[1:]))


def _ground(scene: Scene, sources: Sources) -> np.ndarray:
    return ground_frames(scene, sources)


def _box(rendered: Rendering, frame: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = rendered.boxes()[0, frame].astype(int).tolist()
    return left, top, right, bottom


def moves_somewhere(event: Event) -> bool:
    """True if a video of it played backwards, or standing still, shows something else."""
    return event.motion in ("moves", "comes nearer", "goes away")
