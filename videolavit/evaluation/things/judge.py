"""The judge of the world of things: from pixels alone, whether a video shows what was asked, clean in every frame.

The names that were asked for are given, and where things are is found by their artwork (`templates.py`). What is seen
of motion is read from the places, sizes, sides and angles of all frames. A frame is clean if every thing's artwork
explains it within a bound, patch by patch, and nothing else appears beside the things that was not there before: so
torn, faded, smeared and doubled things, ghosts and stains fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from videolavit.data.things.catalogue import THINGS, thing
from videolavit.data.things.scene import FRAMES_PER_CLIP, SIDES, TURN_FRAMES, Actor, Scene
from videolavit.data.things.sources import Sources
from videolavit.evaluation.things.background import camera_motion, strange_area, unlike_the_rest
from videolavit.evaluation.things.motion import MotionReading, Track, is_same_motion, is_same_speed, read_motion
from videolavit.evaluation.things.places import read_place
from videolavit.evaluation.things.templates import Match, best_match, in_frame, look_alike, planes, template

__all__ = ["Bounds", "ThingVerdict", "Verdict", "judge_image", "judge_video"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Bounds of what counts as clean; differences are 0 to 255."""

    error: float = 24.0
    """Mean difference between a thing and its artwork."""
    worst: float = 76.0
    """The same of the worst patch of 8 x 8 pixels."""
    name_error: float = 30.0
    """Mean difference from which on a thing is not the one that was asked for."""
    place: float = 34.0
    """Mean difference to the nearest view of a place."""
    strange: int = 44
    """Pixels of one patch that belongs to nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ThingVerdict:
    """One thing that was asked for."""

    name: str
    found: bool
    """Something that its artwork explains is there, and no other thing's artwork explains it better."""
    size: bool
    motion: bool
    """Also its direction, and the side that it faces."""
    speed: bool
    animated: bool
    """Its poses change, if it has several."""
    clean: bool
    read: MotionReading
    problems: tuple[str, ...] = ()
    """Places that are not clean, for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Verdict on a video."""

    things: tuple[ThingVerdict, ...]
    place: bool
    camera: bool
    alone: bool
    """Nothing else appears in any frame, and no thing is there twice."""
    problems: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        return all(one.found for one in self.things)

    @property
    def moves(self) -> bool:
        return self.camera and all(one.motion and one.speed and one.animated for one in self.things)

    @property
    def clean(self) -> bool:
        return self.alone and all(one.clean for one in self.things)

    @property
    def right(self) -> bool:
        """Everything: things, sizes, place, motion, and clean in every frame."""
        return self.named and self.place and self.moves and self.clean and all(one.size for one in self.things)


def judge_image(
    image: UInt8[np.ndarray, "height width 3"],
    scene: Scene,
    sources: Sources,
    *,
    num_things: int = len(THINGS),
    bounds: Bounds | None = None,
) -> Verdict:
    """The first frame of a scene; motion and camera count as right."""
    bounds = bounds or Bounds()
    matches = _found(image, scene, sources)
    things = tuple(
        _of_image(actor, match, image, sources, num_things, bounds)
        for actor, match in zip(scene.actors, matches, strict=True)
    )
    hidden = _hidden(matches, sources, image.shape[:2])
    place, night, off = read_place(image, ~hidden, sources)
    right_place = (place, night) == (scene.view.place, scene.view.night) and off < bounds.place
    twice = _twice(image, scene, matches, sources, bounds)
    return Verdict(
        things=things,
        place=right_place,
        camera=True,
        alone=not twice,
        problems=tuple([] if right_place else [f"read {place}{' at night' if night else ''}, {off:.0f} off"]) + twice,
    )


def judge_video(
    frames: UInt8[np.ndarray, "frames height width 3"],
    scene: Scene,
    sources: Sources,
    *,
    num_things: int = len(THINGS),
    bounds: Bounds | None = None,
) -> Verdict:
    """All frames of a scene of one clip or several."""
    bounds = bounds or Bounds()
    tracks = _tracks(frames, scene, sources, bounds)
    first = judge_image(frames[0], scene, sources, num_things=num_things, bounds=bounds)
    hidden = np.stack(
        [_hidden([track[number] for track in tracks], sources, frames.shape[1:3]) for number in range(len(frames))]
    )
    camera = camera_motion(frames, hidden)
    right_camera = camera == scene.view.camera
    problems = [] if right_camera else [f"the camera was read as {camera}"]
    last_twice = _twice(frames[-1], scene, [track[-1] for track in tracks], sources, bounds)
    strange = unlike_the_rest(frames, hidden, scene.view.camera)
    edge_on = [any(_is_edge_on(actor, number) for actor in scene.actors) for number in range(len(frames))]
    largest = [0 if turning else strange_area(part) for part, turning in zip(strange, edge_on, strict=True)]
    if max(largest) > bounds.strange:
        worst = int(np.argmax(largest))
        problems.append(f"frame {worst}: {largest[worst]} pixels belong to nothing")
    things = tuple(
        _of_video(actor, track, seen, scene, bounds)
        for actor, track, seen in zip(scene.actors, tracks, first.things, strict=True)
    )
    return Verdict(
        things=things,
        place=first.place,
        camera=right_camera,
        alone=first.alone and not last_twice and max(largest) <= bounds.strange,
        problems=(*first.problems, *problems, *last_twice),
    )


def _found(image: np.ndarray, scene: Scene, sources: Sources) -> list[Match]:
    """Masks of the things, one after the other."""
    return [
        best_match(
            image,
            actor.name,
            sources,
            turned=_turns(actor),
            night=scene.view.night,
            style=actor.style,
        )
        for actor in scene.actors
    ]


def _turns(actor: Actor) -> bool:
    return actor.thing.gait == "rolls" or any(event.motion == "spins" for event in actor.events)


def _tracks(frames: np.ndarray, scene: Scene, sources: Sources, bounds: Bounds) -> list[list[Match]]:
    """Matches of each thing in every frame: looked for nearby first, then everywhere."""
    tracks = []
    for actor in scene.actors:
        options = {"turned": _turns(actor), "night": scene.view.night, "style": actor.style}
        track = [best_match(frames[0], actor.name, sources, **options)]
        for frame in frames[1:]:
            match = best_match(frame, actor.name, sources, near=_next(track), **options)
            if match.error > 0.5 * bounds.error:
                everywhere = best_match(frame, actor.name, sources, **options)
                match = min(match, everywhere, key=lambda found: found.error / found.look.side)
            track.append(match)
        tracks.append(track)
    return tracks


def _next(track: list[Match]) -> Match:
    """The last match, moved on as it moved before."""
    if len(track) < 2:
        return track[-1]
    (x0, y0), (x1, y1) = track[-2].centre, track[-1].centre
    step = np.clip([x1 - x0, y1 - y0], -6, 6)
    return Match(track[-1].look, (x1 + float(step[0]), y1 + float(step[1])), 0.0, 0.0)


def _of_image(
    actor: Actor, match: Match, image: np.ndarray, sources: Sources, num_things: int, bounds: Bounds
) -> ThingVerdict:
    other = _better_name(image, match, sources, num_things) if match.error < bounds.name_error else None
    clean = match.error < bounds.error and match.worst < bounds.worst
    problems = [] if clean else [f"{actor.name} differs by {match.error:.0f}, a patch of it by {match.worst:.0f}"]
    if other is not None:
        problems.append(f"{actor.name} looks like {other}")
    return ThingVerdict(
        name=actor.name,
        found=match.error < bounds.name_error and other is None,
        size=_size(match.look.side) == actor.size,
        motion=True,
        speed=True,
        animated=True,
        clean=clean,
        read=MotionReading(motion="rests"),
        problems=tuple(problems),
    )


def _of_video(actor: Actor, track: Sequence[Match], first: ThingVerdict, scene: Scene, bounds: Bounds) -> ThingVerdict:
    problems = list(first.problems)
    for number, match in enumerate(track):
        if not _is_edge_on(actor, number) and (match.error >= bounds.error or match.worst >= bounds.worst):
            problems.append(f"frame {number}: {actor.name} differs by {match.error:.0f}, {match.worst:.0f}")
    zoom = scene.zoom()
    readings = [
        read_motion(
            Track.of(track[start : start + FRAMES_PER_CLIP], zoom[start : start + FRAMES_PER_CLIP]), actor.thing
        )
        for start in range(0, len(track), FRAMES_PER_CLIP)
    ]
    told = list(zip(readings, actor.events, strict=True))
    poses = [match.look.pose for match in track]
    changes = np.count_nonzero(np.diff(poses)) / max(len(poses) - 1, 1)
    return ThingVerdict(
        name=actor.name,
        found=first.found,
        size=first.size,
        motion=all(is_same_motion(read, event, actor.thing) for read, event in told),
        speed=all(is_same_speed(read, event) for read, event in told),
        animated=bool(actor.style != "rendered" or actor.name in _FEW_POSES or changes > 0.25),
        clean=not any("differs" in problem for problem in problems),
        read=readings[0],
        problems=tuple(problems),
    )


def _is_edge_on(actor: Actor, frame: int) -> bool:
    """True if a thing that turns round is seen from its edge, of which there is no artwork."""
    first, last = TURN_FRAMES
    turns = actor.events[frame // FRAMES_PER_CLIP].motion == "turns round"
    return turns and first <= frame % FRAMES_PER_CLIP <= last


_FEW_POSES = {"football", "balloon", "orange", "strawberry", "gift", "jellyfish", "basketball", "doughnut", "hamburger"}
_FEW_POSES |= {"mushroom", "cactus"}


def _size(side: float) -> str:
    small, large = SIDES["small"], SIDES["large"]
    return "small" if side < (small * large) ** 0.5 else "large"


def _better_name(image: np.ndarray, match: Match, sources: Sources, num_things: int) -> str | None:
    """Another thing whose artwork explains the place better; None if there is none."""
    best, found, values = match.error, None, planes(image)
    for other in THINGS[:num_things]:
        if other.name != match.look.name:
            error = look_alike(values, other.name, match, sources)
            if error < 0.9 * best:
                best, found = error, other.name
    return found


def _hidden(matches: Sequence[Match], sources: Sources, size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """Mask of things and their shadows, with a margin."""
    from scipy.ndimage import binary_dilation

    hidden = np.zeros(size, bool)
    for match in matches:
        alpha = template(match.look, sources).alpha
        covered, inside = in_frame(alpha.shape[0], match.centre, *size)
        hidden[covered] |= alpha[inside] > 0.1
        if thing(match.look.name).on_ground:
            hidden |= _shadow(match, size)
    return binary_dilation(hidden, iterations=4)


def _shadow(match: Match, size: tuple[int, ...]) -> np.ndarray:
    """Around the feet, and below them as far as a thing can be lifted."""
    side, (x, y) = match.look.side, match.centre
    rows, cols = np.arange(size[0])[:, None], np.arange(size[1])[None]
    feet = y + side / 2
    return (np.abs(cols - x) < 0.55 * side) & (rows > feet - 0.14 * side) & (rows < feet + 0.55 * side)


def _twice(
    image: np.ndarray, scene: Scene, matches: Sequence[Match], sources: Sources, bounds: Bounds
) -> tuple[str, ...]:
    """Things that are there a second time."""
    ignored = _hidden(matches, sources, image.shape[:2]).astype(np.float32)
    problems = []
    for actor, match in zip(scene.actors, matches, strict=True):
        again = best_match(
            image, actor.name, sources, night=scene.view.night, style=actor.style, turned=_turns(actor), ignored=ignored
        )
        apart = np.hypot(*np.subtract(again.centre, match.centre)) > 0.4 * match.look.side
        if apart and again.error < 0.7 * bounds.error and again.look.side > 0.6 * match.look.side:
            problems.append(f"{actor.name} is there twice")
    return tuple(problems)
