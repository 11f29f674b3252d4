"""Questions on whether a caption is true of a scene.

A caption that is not true differs from a true one by one thing, place, motion, direction, speed, size, style, time or
turn of the camera, so that nothing but looking helps. They are the questions of VQAScore (Lin et al., ECCV 2024), which
takes the probability of "yes" for the fit of an image and a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from videolavit.data.things.captions import captions, image_captions, motion_captions
from videolavit.data.things.catalogue import PLACES, THINGS, Thing, place
from videolavit.data.things.questions import Question
from videolavit.data.things.scene import CAMERAS, DIRECTIONS, MOTIONS, SIDES, SPEEDS, STYLES, Actor, Event, Scene
from videolavit.data.things.wording import RELATION_WORDS, TIME_WORDS, pick

__all__ = ["MATCHING_QUESTION", "TOPIC", "caption_questions"]

MATCHING_QUESTION = "Do you see: {prompt}?"
TOPIC = "caption yes or no"

_TRIES = 20
_ALIKE = ({"jumps", "bounces"}, {"turns round", "spins"}, {"comes nearer", "goes away"})
"""Motions that are not taken for one another's false ones: the first two pairs share some of their words."""

Change = Callable[[Scene, np.random.Generator, tuple[Thing, ...]], Scene | None]


def caption_questions(scene: Scene, seed: int, num_things: int = len(THINGS), count: int = 8) -> list[Question]:
    """`count` questions that the first frame answers and as many about the whole video; half of the answers are yes.

    Captions of the video are asked about its first frame too, where what is wrong with them is seen there.
    """
    random = np.random.default_rng([17, seed])
    things, asked = THINGS[:num_things], {}
    for about_image, number in np.ndindex(2, count):
        changes = _SEEN_AT_ONCE if about_image else _SEEN_AT_ONCE[:2] + 2 * _SEEN_IN_TIME
        for wording in range(seed + number, seed + _TRIES * count, count):
            tell = pick(random, _tellers(scene, about_image=bool(about_image)))
            text = tell(scene, wording) if number % 2 else _untrue(scene, tell, wording, random, things, changes)
            question = MATCHING_QUESTION.format(prompt=text.removesuffix("."))
            if text and question not in asked:
                answer = "yes" if number % 2 else "no"
                asked[question] = Question(text=question, answer=answer, topic=TOPIC, about_image=bool(about_image))
                break
    return list(asked.values())


def _tellers(scene: Scene, *, about_image: bool) -> tuple[Callable[[Scene, int], str], ...]:
    """Ways to tell a scene in words: of the first frame, of the video, and, of one thing, of its motion alone."""

    def of_image(scene: Scene, seed: int) -> str:
        return image_captions(scene, seed, 1)[0]

    def of_video(scene: Scene, seed: int) -> str:
        return captions(scene, seed, 1)[0]

    def of_motion(scene: Scene, seed: int) -> str:
        return motion_captions(scene, seed, 1)[0]

    if about_image:
        return of_image, of_video
    return (of_video, of_video, of_video, of_motion) if len(scene.actors) == 1 else (of_video,)


def _untrue(
    scene: Scene,
    tell: Callable[[Scene, int], str],
    seed: int,
    random: np.random.Generator,
    things: tuple[Thing, ...],
    changes: tuple[Change, ...],
) -> str:
    """A caption of a scene that differs from this one in what the caption says; empty if none is found.

    The words of a caption are drawn from its seed: if another scene is told otherwise, then because they name what
    differs.
    """
    true = tell(scene, seed)
    for _ in range(_TRIES):
        other = pick(random, changes)(scene, random, things)
        if other is None or (text := tell(other, seed)) == true:
            continue
        if _names_its_time(other, scene, text) and _tells_who(other, scene, text, tell, seed):
            return text
    return ""


def _names_its_time(other: Scene, scene: Scene, text: str) -> bool:
    """False for words that leave the time open where that alone is other: they are true as well."""
    same_time = other.view.night == scene.view.night or other.view.place != scene.view.place
    return same_time or any(words in text for words in TIME_WORDS)


def _tells_who(other: Scene, scene: Scene, text: str, tell: Callable[[Scene, int], str], seed: int) -> bool:
    """False for words that leave open which of two things does what where that alone is other: they are true as well.

    Of things in the other order a text says what is so; but who chases is the first of the two.
    """
    if [actor.name for actor in other.actors] != [actor.name for actor in scene.actors][::-1]:
        return True
    if scene.relation == "chases" and scene.num_clips == 1:
        return any(word in text for forms in RELATION_WORDS["chases"] for word in forms)
    return tell(replace(scene, actors=scene.actors[::-1]), seed) != text


def _other_thing(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    shown = [actor.name for actor in scene.actors]
    changed = int(random.integers(len(shown)))
    what = scene.actors[changed].thing
    # Half of the time one of the same kind: what is told apart with difficulty teaches most.
    alike = [one for one in things if one.kind == what.kind] if random.random() < 0.5 else list(things)
    names = [one.name for one in alike if one.name not in shown]
    return _with_actor(scene, changed, replace(scene.actors[changed], name=pick(random, names))) if names else None


def _other_place(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    name = pick(random, [one.name for one in PLACES if one.name != scene.view.place])
    night = scene.view.night and place(name).outdoors
    return replace(scene, view=replace(scene.view, place=name, night=night))


def _other_size(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    changed = int(random.integers(len(scene.actors)))
    actor = scene.actors[changed]
    return _with_actor(scene, changed, replace(actor, size=pick(random, [one for one in SIDES if one != actor.size])))


def _other_style(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    if len(scene.actors) != 1:
        return None
    actor = scene.actors[0]
    others = [style for style in STYLES[1:] if style != actor.style]
    return _with_actor(scene, 0, replace(actor, style=pick(random, others)))


def _other_time(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    return replace(scene, view=replace(scene.view, night=not scene.view.night))


def _one_more(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    """The same with another thing that is not there."""
    if len(scene.actors) != 1:
        return None
    actor = scene.actors[0]
    names = [thing.name for thing in things if thing.name != actor.name]
    return replace(scene, actors=(actor, replace(actor, name=pick(random, names), style=STYLES[0])))


def _other_event(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    """Another motion, direction or speed of one thing in one clip."""
    if scene.relation != "apart":
        return None
    changed, part = int(random.integers(len(scene.actors))), int(random.integers(scene.num_clips))
    actor = scene.actors[changed]
    event = actor.events[part]
    if event.motion == "moves" and random.random() < 0.7:
        other = _other_way(event, random)
    else:
        alike = [event.motion, *(name for group in _ALIKE if event.motion in group for name in group)]
        name = pick(random, [one for one in MOTIONS if one not in alike])
        direction = pick(random, list(DIRECTIONS)) if name == "moves" else ""
        if {event.motion, direction} & {"jumps", "bounces"} and direction in ("up", "down"):
            return None  # who jumps goes up and down
        other = replace(event, motion=name, direction=direction)
    events = (*actor.events[:part], other, *actor.events[part + 1 :])
    return _with_actor(scene, changed, replace(actor, events=events))


def _other_way(event: Event, random: np.random.Generator) -> Event:
    """Another direction, at a right angle or more from the true one, or another speed."""
    if random.random() < 0.3:
        return replace(event, speed=pick(random, [one for one in SPEEDS if one != event.speed]))
    own = DIRECTIONS[event.direction]
    others = [name for name, (x, y) in DIRECTIONS.items() if x * own[0] + y * own[1] < 0.1]
    return replace(event, direction=pick(random, others))


def _other_order(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    """The events of all clips, backwards."""
    if scene.relation != "apart" or all(actor.events == actor.events[::-1] for actor in scene.actors):
        return None
    return replace(scene, actors=tuple(replace(actor, events=actor.events[::-1]) for actor in scene.actors))


def _other_roles(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    """The two things with each other's deeds."""
    if len(scene.actors) == 1 or scene.relation == "meets":
        return None
    first, second = scene.actors
    if scene.relation == "apart" and first.events == second.events:
        return None
    if scene.relation == "passes":
        return None  # each passes the other
    return replace(scene, actors=(replace(first, name=second.name), replace(second, name=first.name)))


def _other_camera(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> Scene | None:
    # Of a still camera captions hardly speak, and one that says nothing of it is true of all.
    camera = pick(random, [one for one in CAMERAS if one not in (scene.view.camera, "still")])
    return replace(scene, view=replace(scene.view, camera=camera))


def _with_actor(scene: Scene, number: int, actor: Actor) -> Scene:
    actors = (*scene.actors[:number], actor, *scene.actors[number + 1 :])
    return replace(scene, actors=actors)


_SEEN_AT_ONCE: tuple[Change, ...] = (
    _other_thing, _other_place, _other_thing, _other_thing, _other_place, _other_size, _other_style, _other_time,
    _one_more,
)  # fmt: skip
_SEEN_IN_TIME: tuple[Change, ...] = (_other_event, _other_event, _other_camera, _other_order, _other_roles)
