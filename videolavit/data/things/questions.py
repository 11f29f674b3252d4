"""Questions about scenes of the world of things, of 22 kinds; several wordings ask, one answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from videolavit.data.ordinals import ordinal
from videolavit.data.things.catalogue import PLACES, THINGS, Thing
from videolavit.data.things.scene import SIZE, Actor, Scene
from videolavit.data.things.wording import article, motion_name, pick, place_phrase, the

__all__ = ["TOPICS", "Question", "distinct_questions", "questions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question with its one right answer."""

    text: str
    answer: str
    topic: str
    about_image: bool
    """True if the first frame alone answers it."""


_CAMERA_ANSWERS = {
    "still": "it does not move",
    "left": "it pans left",
    "right": "it pans right",
    "up": "it tilts up",
    "down": "it tilts down",
    "nearer": "it comes nearer",
}
_KIND_NAMES = {"animal": "an animal", "vehicle": "a vehicle", "person": "a person", "toy": "a toy"}


def questions(scene: Scene, seed: int, num_things: int = len(THINGS)) -> list[Question]:
    """One question of every kind that can be asked of a scene; names of what is not there come from `num_things`."""
    random = np.random.default_rng([13, seed])
    asked = [question for ask in _KINDS for question in ask(scene, random, THINGS[:num_things])]
    return [asked[index] for index in random.permutation(len(asked))]


def distinct_questions(scene: Scene, seed: int, drawings: int, num_things: int = len(THINGS)) -> list[Question]:
    """The different ones of several drawings of `questions`, the first drawing first.

    What can be asked in one way comes once. Yes or no is asked of another thing or place in each drawing, and it takes
    many of these to learn to look instead of to guess.
    """
    found: dict[str, Question] = {}
    for number in range(drawings):
        for question in questions(scene, seed + number * 10**9, num_things):
            found.setdefault(question.text, question)
    return list(found.values())


def _what(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    texts = ("What is this?", "What do you see?", "What is in the image?", "Name what you see.", "What is it?")
    answer = " and ".join(sorted(article(actor.name) for actor in scene.actors))
    return [_image("what", pick(random, texts if len(scene.actors) == 1 else texts[:-1]), answer)]


def _kind(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    actor = pick(random, scene.actors)
    if actor.thing.kind not in _KIND_NAMES or len(scene.actors) > 1:
        return []
    return [
        _image(
            "kind",
            pick(random, ("What kind of thing is it?", "Is it an animal, a vehicle, a person or a toy?")),
            _KIND_NAMES[actor.thing.kind],
        )
    ]


def _where(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    texts = (
        "Where is this?",
        "What place is this?",
        "Where does it happen?",
        "Which place do you see?",
        "Where is it?",
    )
    return [_image("place", pick(random, texts), place_phrase(scene.view))]


def _is_place(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    where, right = scene.view.place, random.random() < 0.5
    asked = where if right else pick(random, [place.name for place in PLACES if place.name != where])
    phrase = place_phrase(replace(scene.view, place=asked))
    text = pick(random, (f"Is this the {asked}?", f"Is it {phrase}?", f"Does it happen {phrase}?"))
    return [_image("place yes or no", text, "yes" if right else "no")]


def _time(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    texts = ("Is it day or night?", "What time of day is it?")
    return [_image("time", pick(random, texts), "night" if scene.view.night else "day")]


def _count(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    texts = ("How many things are there?", "How many things do you see?", "Count the things.")
    return [_image("count", pick(random, texts), ("one", "two")[len(scene.actors) - 1])]


def _is_there(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    shown, right = [actor.name for actor in scene.actors], random.random() < 0.5
    absent = [thing.name for thing in things if thing.name not in shown]
    asked = article(pick(random, shown if right else absent))
    texts = (f"Is there {asked}?", f"Do you see {asked}?", f"Is {asked} in the image?", f"Is it {asked}?")
    text = pick(random, texts if len(scene.actors) == 1 else texts[:-1])
    return [_image("yes or no", text, "yes" if right else "no")]


def _absent(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    """About something that is not there: the answer says so."""
    shown = [actor.name for actor in scene.actors]
    missing = pick(random, [thing.name for thing in things if thing.name not in shown])
    text = pick(
        random, (f"What does the {missing} do?", f"Which way does the {missing} go?", f"Where is the {missing}?")
    )
    return [_image("nothing of the kind", text, f"there is no {missing}")]


def _size(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    actor = pick(random, scene.actors)
    named = _name(actor, scene, random)
    text = pick(random, (f"Is {named} small or large?", f"How large is {named}?"))
    return [_image("size", text, actor.size)]


def _side(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    """Left or right half of the first frame; not asked close to the middle."""
    actor = pick(random, scene.actors)
    offset = actor.start[0] - (SIZE - 1) / 2
    if abs(offset) < 10:
        return []
    named = _name(actor, scene, random)
    text = pick(random, (f"On which side is {named} at first?", f"Is {named} on the left or on the right at first?"))
    return [_image("side", text, "left" if offset < 0 else "right")]


def _facing(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    actor = pick(random, scene.actors)
    if actor.thing.facing == "front" or actor.thing.nose is not None:
        return []
    named = _name(actor, scene, random)
    text = pick(random, (f"Which way does {named} face at first?", f"Does {named} look left or right at first?"))
    return [_image("facing", text, actor.faces)]


def _position(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    """One thing left of, right of, above or below the other, where one of these is plain."""
    if len(scene.actors) != 2:
        return []
    first, second = scene.actors
    across, down = (a - b for a, b in zip(first.start, second.start, strict=True))
    if min(abs(across), abs(down)) * 1.7 > max(abs(across), abs(down)):
        return []
    words = ("left of", "right of") if abs(across) > abs(down) else ("above", "below")
    word = words[int((across if abs(across) > abs(down) else down) > 0)]
    text = f"Where is {the(first.thing)} at first, seen from {the(second.thing)}?"
    return [_image("relation", text, f"{word} {the(second.thing)}")]


def _which_side(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    """Questions on which of two things is further left, right, up or down."""
    if len(scene.actors) != 2:
        return []
    axis = int(random.random() < 0.5)
    places = [actor.start[axis] for actor in scene.actors]
    if abs(places[0] - places[1]) < 16:
        return []
    words = (("left", "right"), ("up", "down"))[axis]
    last = int(random.random() < 0.5)
    found = scene.actors[int(np.argmax(places) if last else np.argmin(places))]
    return [_image("which of two", f"What is further {words[last]} at first?", the(found.thing))]


def _style(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    if len(scene.actors) != 1 or random.random() < 0.6:
        return []
    answers = {"rendered": "a solid thing", "cartoon": "a cartoon", "flat": "flat clip-art"}
    return [_image("style", "How is it drawn?", answers[scene.actors[0].style])]


def _does(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    actor = pick(random, scene.actors)
    if scene.num_clips != 1:
        return []
    named = _name(actor, scene, random)
    text = pick(random, (f"What does {named} do?", f"How does {named} move?", f"What is {named} doing?"))
    return [_video("motion", text, motion_name(actor.events[0]))]


def _does_it(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    actor, right = pick(random, scene.actors), random.random() < 0.5
    if scene.num_clips != 1:
        return []
    real = actor.events[0]
    ways = ("rests", "jumps", "bounces", "comes nearer", "goes away", "moves")
    asked = real.motion if right else pick(random, [way for way in ways if way != real.motion])
    verb = {
        "rests": "rest",
        "jumps": "jump",
        "bounces": "bounce",
        "comes nearer": "come nearer",
        "goes away": "go away",
        "moves": "go across the image",
        "circles": "go in a circle",
        "turns round": "turn round",
        "spins": "spin",
    }
    text = f"Does {_name(actor, scene, random)} {verb[asked]}?"
    return [_video("motion yes or no", text, "yes" if right else "no")]


def _direction(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    actor = pick(random, scene.actors)
    if scene.num_clips != 1 or actor.events[0].motion != "moves":
        return []
    named, direction = _name(actor, scene, random), actor.events[0].direction
    ways = [word for word in ("left", "right", "up", "down") if word in direction.split("-")]
    if len(ways) == 1 and random.random() < 0.3:
        pair = "left or right" if ways[0] in ("left", "right") else "up or down"
        return [_video("direction", f"Does {named} go {pair}?", ways[0])]
    texts = (f"Which way does {named} go?", f"In which direction does {named} move?", f"Which way does {named} move?")
    return [_video("direction", pick(random, texts), direction.replace("-", " and "))]


def _speed(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    actor = pick(random, scene.actors)
    if scene.num_clips != 1 or actor.events[0].motion != "moves":
        return []
    named = _name(actor, scene, random)
    texts = (f"How fast is {named}?", f"Does {named} move slowly or quickly?")
    return [_video("speed", pick(random, texts), actor.events[0].speed)]


def _camera(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    texts = ("What does the camera do?", "How does the camera move?")
    return [_video("camera", pick(random, texts), _CAMERA_ANSWERS[scene.view.camera])]


def _relates(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    """Questions on who chases, meets or passes whom."""
    if scene.relation == "apart" or scene.num_clips != 1:
        return []
    first, second = scene.actors
    verb = {"chases": "chase", "meets": "go up to", "passes": "pass"}[scene.relation]
    return [_video("who", f"What does {the(first.thing)} {verb}?", the(second.thing))]


def _order(scene: Scene, random: np.random.Generator, things: tuple[Thing, ...]) -> list[Question]:
    """Questions on what happens in which part, before and after, of what only one thing does, and once."""
    if scene.num_clips == 1:
        return []
    actor = pick(random, scene.actors)
    part = int(random.integers(scene.num_clips))
    asked = [_video("order", f"What does {the(actor.thing)} do in the {ordinal(part + 1)} part?", _told(actor, part))]
    names = [motion_name(event) for event in actor.events]
    part = int(random.integers(scene.num_clips - 1))
    done = [motion_name(event) for one in scene.actors for event in one.events]
    if done.count(names[part]) == 1 and done.count(names[part + 1]) == 1:
        after = f"What happens after this: {names[part]}?", names[part + 1]
        before = f"What happens before this: {names[part + 1]}?", names[part]
        asked.append(_video("before and after", *pick(random, (after, before))))
    return asked


_KINDS: tuple[Callable[[Scene, np.random.Generator, tuple[Thing, ...]], list[Question]], ...] = (
    _what, _kind, _where, _is_place, _time, _count, _is_there, _absent, _size, _side, _facing, _position, _which_side,
    _style, _does, _does_it, _direction, _speed, _camera, _relates, _order,
)  # fmt: skip

TOPICS = (
    "what", "kind", "place", "place yes or no", "time", "count", "yes or no", "nothing of the kind", "size", "side",
    "facing", "relation", "which of two", "style", "motion", "motion yes or no", "direction", "speed", "camera", "who",
    "order", "before and after",
)  # fmt: skip
"""Kinds of questions; the last eight need the video."""


def _name(actor: Actor, scene: Scene, random: np.random.Generator) -> str:
    """A thing by its name, or as "it" now and then where there is no other."""
    return "it" if len(scene.actors) == 1 and random.random() < 0.35 else the(actor.thing)


def _told(actor: Actor, part: int) -> str:
    return motion_name(actor.events[part])


def _image(topic: str, text: str, answer: str) -> Question:
    return Question(text=text, answer=answer, topic=topic, about_image=True)


def _video(topic: str, text: str, answer: str) -> Question:
    return Question(text=text, answer=answer, topic=topic, about_image=False)
