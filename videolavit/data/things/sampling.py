"""Scenes drawn at random from a seed, each by the rules of its split.

`train` never shows what is held out. `held-out` always shows a combination of thing and place or of thing and motion
that training never does; `new-places` has a place, `new-styles` a style of a thing that it never shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from videolavit.data.things.catalogue import HELD_OUT_STYLES, PLACES, STEPS, THINGS, Thing, thing
from videolavit.data.things.catalogue import place as place_of
from videolavit.data.things.scene import (
    CAMERAS,
    DIRECTIONS,
    FOV_DEGREES,
    FRAMES_PER_CLIP,
    MOTIONS,
    PAN_DEGREES,
    RELATIONS,
    SIDES,
    SIZE,
    SPEEDS,
    STYLES,
    Actor,
    Camera,
    Event,
    Scene,
    View,
    is_held_out,
)
from videolavit.errors import ConfigError

__all__ = ["GROUND_ROW", "SceneOptions", "Split", "sample_scene"]

Split = Literal["train", "held-out", "new-places", "new-styles"]
_MOST_PLANS, _MOST_TRIES = 200, 100

GROUND_ROW = 72.0
"""Highest row on which feet stand; the horizon lies above it."""
_LOWEST_ROW = SIZE - 2.0
_GROUND_PITCH = (-12.0, -7.0)
_SKY_PITCH = (-7.0, 6.0)
_TEST_SECTOR = 255.0
"""Degrees of yaw from which on a panorama belongs to the splits that are held out."""
_STYLED = 0.12
"""Share of training scenes with one thing in another style."""
_NIGHT, _MOVING_CAMERA, _TWO_THINGS = 0.25, 0.35, 0.35


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneOptions:
    """Kinds of scenes."""

    things: int = STEPS[-1]
    """Number of the catalogue's things, from its beginning; at least 24."""
    split: Split = "train"
    num_clips: int = 1
    num_things: int = 0
    """1 or 2; 0 for either."""

    def __post_init__(self) -> None:
        if not STEPS[0] <= self.things <= len(THINGS) or self.num_clips < 1 or self.num_things not in (0, 1, 2):
            raise ConfigError(
                f"got things={self.things}, num_clips={self.num_clips}, num_things={self.num_things}; expected "
                f"{STEPS[0]} to {len(THINGS)} things, at least one clip and 0 to 2 things in a scene"
            )


def sample_scene(seed: int, options: SceneOptions | None = None) -> Scene:
    """Draw a scene; equal arguments give equal scenes on every machine.

    Raises:
        ConfigError: no scene of so many clips was found; things would leave the frame.
    """
    options = options or SceneOptions()
    key = [11, seed, options.things, options.num_clips, options.num_things, _SPLITS.index(options.split)]
    random = np.random.default_rng(key)
    for _ in range(_MOST_PLANS):
        plan = _plan(random, options)
        for _ in range(_MOST_TRIES):
            scene = _drawn(random, options, plan)
            if scene is not None:
                return scene
    raise ConfigError(f"found no {options.split} scene of {options.num_clips} clips; try fewer clips")


_SPLITS = ("train", "held-out", "new-places", "new-styles")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """Choices that rejected draws must not wear away: what fits rarely would hardly ever be seen."""

    num_things: int
    relation: str
    camera: Camera
    moves: tuple[bool, ...]
    """For each thing whether it moves in the first clip, or does something else."""


def _plan(random: np.random.Generator, options: SceneOptions) -> _Plan:
    num_things = options.num_things or 1 + int(random.random() < _TWO_THINGS)
    if options.split == "new-styles":
        num_things = 1
    relation = _one(random, RELATIONS) if num_things == 2 else "apart"
    moving = random.random() < _MOVING_CAMERA and relation in ("apart", "chases")
    camera = _one(random, CAMERAS[1:]) if moving else "still"
    if camera == "nearer" and num_things == 2:
        camera = "still"
    moves = tuple(bool(random.random() < 0.5) for _ in range(num_things))
    return _Plan(num_things=num_things, relation=relation, camera=camera, moves=moves)


def _belongs(scene: Scene, split: Split) -> bool:
    held_out = [[is_held_out(actor.name, scene.view.place, event) for event in actor.events] for actor in scene.actors]
    if split == "train":
        return not any(map(any, held_out))
    return held_out[0][0] if split == "held-out" else True


def _drawn(random: np.random.Generator, options: SceneOptions, plan: _Plan) -> Scene | None:
    """A scene, or None if a thing would leave the frame or stand in another's way."""
    names = _names(random, options, plan.num_things)
    things = [thing(name) for name in names]
    on_ground = any(what.on_ground for what in things)
    if on_ground and plan.camera in ("up", "down"):  # things on the ground would slide over it
        return None
    style = _style(random, options, names)
    actors = []
    for number, happens in enumerate(_story(random, things, plan, options.num_clips)):
        actor = Actor(
            name=names[number],
            size="small" if plan.relation != "apart" else _one(random, list(SIDES)),
            events=happens,
            scale=float(random.uniform(0.94, 1.06)),
            facing=_facing(random, happens),
            phase=int(random.integers(18)),
            style=style,
        )
        actors.append(actor)
    view = _view(random, options, plan.camera, on_ground)
    scene = Scene(actors=tuple(actors), view=view, relation=plan.relation)
    return _placed(random, scene) if _belongs(scene, options.split) else None


def _names(random: np.random.Generator, options: SceneOptions, num_things: int) -> list[str]:
    if options.split == "new-styles":
        known = {thing.name for thing in THINGS[: options.things]}
        return [_one(random, [name for name in HELD_OUT_STYLES if name in known])]
    picked = random.choice(options.things, size=num_things, replace=False)
    return [THINGS[index].name for index in picked.tolist()]


def _style(random: np.random.Generator, options: SceneOptions, names: list[str]) -> str:
    if options.split == "new-styles":
        return _one(random, STYLES[1:])
    styled = options.split == "train" and len(names) == 1 and names[0] not in HELD_OUT_STYLES
    return _one(random, STYLES[1:]) if styled and random.random() < _STYLED else STYLES[0]


def _story(random: np.random.Generator, things: list[Thing], plan: _Plan, num_clips: int) -> list[tuple[Event, ...]]:
    """Events of each thing: what the relation asks for in the first clip, then anything that goes with the camera."""
    told = [list(events) for events in _related(random, plan)]
    for what, moves, events in zip(things, plan.moves, told, strict=True):
        while len(events) < num_clips:
            events.append(_event(random, what, plan.camera, moves if not events else random.random() < 0.5))
    return [tuple(events) for events in told]


def _related(random: np.random.Generator, plan: _Plan) -> tuple[tuple[Event, ...], ...]:
    """First events of two things of which one chases, meets or passes the other; none for others."""
    if plan.relation == "apart":
        return ((),) * plan.num_things
    way, speed = _one(random, ("left", "right")), _one(random, list(SPEEDS))
    if plan.camera in ("left", "right"):
        way = plan.camera
    first = Event(motion="moves", direction=way, speed="slowly" if plan.relation == "meets" else speed)
    if plan.relation == "meets":
        return (first,), (Event(motion="rests"),)
    back = {"left": "right", "right": "left"}[way]
    return (first,), (replace(first, direction=way if plan.relation == "chases" else back),)


def _event(random: np.random.Generator, what: Thing, camera: Camera, moves: bool) -> Event:
    """Something that a thing can do; on the ground it goes where the camera goes, or would slide over it."""
    speed = _one(random, list(SPEEDS))
    if what.on_ground and camera in ("left", "right"):
        return Event(motion="moves", direction=camera, speed=speed)
    if moves:
        return Event(motion="moves", direction=_one(random, list(DIRECTIONS)), speed=speed)
    motions = [motion for motion in MOTIONS[1:] if _can(what, motion)]
    if camera == "nearer":
        motions = [motion for motion in motions if motion in ("rests", "turns round")]
    return Event(motion=_one(random, motions))


def _can(what: Thing, motion: str) -> bool:
    if motion == "turns round":
        return what.facing != "front" and what.nose is None
    if motion == "spins":
        return what.gait in ("rolls", "floats") or (what.gait == "flies" and what.nose is None)
    if motion in ("jumps", "bounces"):
        return what.gait in ("walks", "rolls", "swims")
    if motion == "circles":
        return what.nose is None and (what.gait in ("flies", "swims", "floats") or what.facing == "front")
    return True


def _facing(random: np.random.Generator, events: tuple[Event, ...]) -> str:
    x = events[0].velocity[0]
    return ("right" if x > 0 else "left") if abs(x) > 0.1 else _one(random, ("left", "right"))


def _view(random: np.random.Generator, options: SceneOptions, camera: Camera, on_ground: bool) -> View:
    held_out = options.split == "new-places"
    name = _one(random, [place.name for place in PLACES if place.held_out == held_out])
    start, end = (0.0, _TEST_SECTOR) if options.split == "train" or held_out else (_TEST_SECTOR, 360.0)
    half, pan = FOV_DEGREES / 2, PAN_DEGREES
    yaw = random.uniform(start + half + pan * (camera == "left"), end - half - pan * (camera == "right"))
    return View(
        place=name,
        yaw=float(yaw),
        pitch=float(random.uniform(*(_GROUND_PITCH if on_ground else _SKY_PITCH))),
        night=bool(place_of(name).outdoors and random.random() < _NIGHT),
        camera=camera,
    )


def _placed(random: np.random.Generator, scene: Scene) -> Scene | None:
    """The scene with starts at which everything stays inside the frame; None if there are none."""
    actors = []
    for actor in scene.actors:
        room = _room(replace(scene, actors=(actor,)))
        if room is None:
            return None
        actors.append(replace(actor, start=tuple(random.uniform(*room).tolist())))
    if scene.relation in ("chases", "meets"):
        first, second = actors
        behind = -np.sign(first.events[0].velocity[0])
        gap = (SIDES[first.size] * first.scale + SIDES[second.size] * second.scale) / 2 * random.uniform(0.98, 1.1)
        gap += abs(first.events[0].velocity[0]) * FRAMES_PER_CLIP * (scene.relation == "meets")
        actors[0] = replace(first, start=(second.start[0] + behind * gap, first.start[1]))
    placed = replace(scene, actors=tuple(actors))
    return placed if _is_good(placed) else None


def _room(scene: Scene) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest start (x, y) of a scene's only thing; the camera's zoom is taken into account."""
    actor, zoom = scene.actors[0], scene.zoom()
    path = actor.path()  # from (0, 0)
    middle, half = (SIZE - 1) / 2, path.side / 2
    top = np.zeros_like(half)
    if actor.thing.on_ground:  # feet below the horizon; lifted feet still stand on that row
        top = GROUND_ROW + path.lift - 2 * half
    # Zooming is about the middle, so a bound b at zoom z is one of (b - middle) / z + middle without.
    lowest_x = (0 - middle) / zoom + middle + half - path.centre[:, 0]
    highest_x = (SIZE - 1 - middle) / zoom + middle - half - path.centre[:, 0]
    lowest_y = (np.maximum(top, -path.lift) - middle) / zoom + middle + half - path.centre[:, 1] - path.lift
    highest_y = (_LOWEST_ROW - middle) / zoom + middle - half - path.centre[:, 1] - path.lift
    lowest = np.array([lowest_x.max(), max(lowest_y.max(), (half - path.centre[:, 1]).max())])
    highest = np.array([highest_x.min(), highest_y.min()])
    return (lowest, highest) if (lowest < highest).all() else None


def _is_good(scene: Scene) -> bool:
    """True if all cells are inside, and two things stand as their relation says."""
    paths = scene.paths()
    for path in paths:
        left_top, right_bottom = path.centre - path.side[:, None] / 2, path.centre + path.side[:, None] / 2
        if left_top.min() < -0.5 or right_bottom.max() > SIZE + 0.5:
            return False
    if len(paths) == 1:
        return True
    offset = paths[0].centre - paths[1].centre
    reach = (paths[0].side + paths[1].side) / 2
    apart = np.any(np.abs(offset) > 0.95 * reach[:, None], axis=1)
    if scene.relation == "apart":
        return bool(apart.all())
    first, clip = scene.actors[0], slice(0, len(offset) // scene.num_clips)
    across, down = offset[clip].T
    toward = np.sign(first.events[0].velocity[0])
    if scene.relation in ("chases", "meets"):
        return bool((across * toward < 0).all() and np.abs(down).max() < 16 and apart.all())
    passes = across[0] * toward < 0 < across[-1] * toward
    return bool(passes and np.abs(down).min() > 18 and apart[len(across) :].all())


Word = TypeVar("Word")


def _one(random: np.random.Generator, words: Sequence[Word]) -> Word:
    return words[int(random.integers(len(words)))]
