"""Sentences about a scene of the shapes world: captions in several wordings, questions with their answers.

Every sentence is true of the scene by construction, but need not say everything. Questions come in several wordings,
too. Answers are one or a few words and always the same word for the same thing, so that they can be compared letter by
letter.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from videolavit.data.ordinals import ordinal
from videolavit.data.shapes.scene import SIZE, Actor, Event, Scene

__all__ = [
    "Question",
    "captions",
    "image_captions",
    "image_questions",
    "motion_captions",
    "names_size",
    "questions",
]

Word = TypeVar("Word", str, tuple[str, str])

_SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
_SHAPE_WORDS = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
}
_DIRECTION_WORDS = {
    "left": ("left", "to the left", "leftwards"),
    "right": ("right", "to the right", "rightwards"),
    "up": ("up", "upwards", "to the top"),
    "down": ("down", "downwards", "to the bottom"),
    "up-left": ("up and left", "diagonally up and to the left", "towards the top left"),
    "up-right": ("up and right", "diagonally up and to the right", "towards the top right"),
    "down-left": ("down and left", "diagonally down and to the left", "towards the bottom left"),
    "down-right": ("down and right", "diagonally down and to the right", "towards the bottom right"),
}
_VERBS = (
    ("moves", "moving"),
    ("slides", "sliding"),
    ("drifts", "drifting"),
    ("goes", "going"),
    ("travels", "travelling"),
)
"""As people write captions: a sentence, or a thing that does something."""
_STILL = (
    ("stays still", "staying still"),
    ("rests", "resting"),
    ("does not move", "not moving"),
    ("stands still", "standing still"),
)
_GROWTH = (("grows", "growing"), ("gets larger", "getting larger"))
_SHRINKAGE = (("shrinks", "shrinking"), ("gets smaller", "getting smaller"))
_SPEED_WORDS = {"slowly": ("slowly", "at low speed"), "quickly": ("quickly", "fast", "at high speed")}
_GROUND_WORDS = {
    "plain": ("plain", "flat", "uniform"),
    "textured": ("textured", "cloudy", "patterned"),
    "photo": ("photographic", "real"),
}
_GROUND_NOUNS = ("background", "ground")
_COLOUR = ("What colour is {0}?", "What color is {0}?", "What is the colour of {0}?", "Which colour does {0} have?")
_SHAPE = ("What shape is {0}?", "What is the shape of {0}?", "Which shape does {0} have?", "What kind of shape is {0}?")
_SIZE = ("Is {0} small or large?", "What size is {0}?", "How big is {0}?")
_POSITION = ("Where is {0} at the start?", "Where does {0} start?", "Where is {0} in the first frame?")
_COUNT = ("How many objects are there?", "How many things can be seen?", "How many objects do you see?")
_BACKGROUND = (
    "What is the background like?",
    "What kind of background is there?",
    "What does the background look like?",
)
_DIRECTION = (
    "Which way does {0} move?",
    "In which direction does {0} move?",
    "What direction is {0} moving in?",
    "Where does {0} go?",
    "Which direction does {0} go?",
)
_MOVES = ("Does {0} move?", "Is {0} moving?", "Is there any motion of {0}?")
_SPEED = ("Does {0} move slowly or quickly?", "How fast does {0} move?", "Is {0} moving slowly or quickly?")
_CHANGE = ("How does {0} change?", "What happens to {0}?")
_PART = ("Which way does {0} move in the {1} part?", "In the {1} part, which way does {0} move?")
_CAMERA_WAY = ("Which way does the camera move?", "In which direction does the camera pan?")
_CAMERA_MOVES = ("Does the camera move?", "Is the camera moving?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, its one right answer and what it is about."""

    text: str
    answer: str
    topic: str
    """colour, shape, size, position, direction, speed, background, camera, count or order."""


def captions(scene: Scene, seed: int, count: int = 4) -> list[str]:
    """`count` wordings of what happens in the video; equal seeds give equal wordings.

    Colour, shape and direction are always named, size, speed and ground not always.
    """
    random = np.random.default_rng([seed, 1])
    return [_caption(scene, random) for _ in range(count)]


def motion_captions(scene: Scene, seed: int, count: int = 4) -> list[str]:
    """`count` wordings of how things move that leave open what they are: for a video that starts with a given image.

    Empty where there are two objects, which such words could not tell apart.
    """
    random = np.random.default_rng([seed, 3])
    actor, *others = scene.actors
    if others:
        return []
    sentences = []
    for _ in range(count):
        shape = _pick(random, _SHAPE_WORDS[actor.shape])
        name = _pick(random, ("it ", "the object ", f"the {shape} ", f"the {actor.colour} {shape} ", ""))
        camera = (
            f"while the camera {_pick(random, ('pans', 'moves'))} {scene.camera}" if scene.camera != "still" else ""
        )
        sentences.append(_join(f"{name}{_story(actor.events, 0 if name else None, random)}", camera, random))
    return sentences


def image_captions(scene: Scene, seed: int, count: int = 4) -> list[str]:
    """`count` wordings of what the first frame shows."""
    random = np.random.default_rng([seed, 2])
    sentences = []
    for _ in range(count):
        things = " and ".join(_noun(actor, random) for actor in scene.actors)
        lead = _pick(random, ("", "", "a picture of ", "an image of ", "there is "))
        sentences.append(_join(lead + things, _behind(scene, random, camera=False), random))
    return sentences


def questions(scene: Scene, seed: int = 0) -> list[Question]:
    """Questions on the whole video, each in one of its wordings; starts with those of `image_questions`."""
    random = np.random.default_rng([seed, 5])
    asked = image_questions(scene, seed)
    for actor in scene.actors:
        if scene.num_clips == 1:
            asked += _event_questions(actor, scene, random)
        else:
            asked += _order_questions(actor, scene, random)
    if scene.ground.kind != "plain":
        way = "it does not move" if scene.camera == "still" else scene.camera
        moves = "no" if scene.camera == "still" else "yes"
        asked.append(_question("camera", _pick(random, _CAMERA_WAY), way))
        asked.append(_question("camera", _pick(random, _CAMERA_MOVES), moves))
    return asked


def image_questions(scene: Scene, seed: int = 0) -> list[Question]:
    """Questions that the first frame answers."""
    random = np.random.default_rng([seed, 4])
    alone = len(scene.actors) == 1
    shapes = {actor.shape for actor in scene.actors}
    asked = []
    for actor in scene.actors:
        if alone or len(shapes) > 1:
            kind = _pick(random, ("the object", "it", f"the {actor.shape}")) if alone else f"the {actor.shape}"
            asked.append(_question("colour", _pick(random, _COLOUR).format(kind), actor.colour))
        asked.append(_question("shape", _pick(random, _SHAPE).format(_name(actor, scene, random)), actor.shape))
        asked.append(_question("size", _pick(random, _SIZE).format(_name(actor, scene, random)), actor.size))
        if (place := _position(actor)) is not None:
            asked.append(_question("position", _pick(random, _POSITION).format(_name(actor, scene, random)), place))
    asked.append(_question("count", _pick(random, _COUNT), str(len(scene.actors))))
    asked.append(_question("background", _pick(random, _BACKGROUND), scene.ground.kind))
    return asked


def names_size(caption: str, actor: Actor) -> bool:
    """True if a caption says what size an actor has."""
    return any(f"{word} {actor.colour}" in caption for word in _SIZE_WORDS[actor.size])


def _event_questions(actor: Actor, scene: Scene, random: np.random.Generator) -> list[Question]:
    event = actor.events[0]
    names = [_name(actor, scene, random) for _ in range(3)]
    if event.growth:
        return [_question("direction", _pick(random, _CHANGE).format(names[0]), _way(event))]
    moves = "no" if event.direction == "still" else "yes"
    asked = [
        _question("direction", _pick(random, _DIRECTION).format(names[0]), _way(event)),
        _question("direction", _pick(random, _MOVES).format(names[1]), moves),
    ]
    if event.direction != "still":
        asked.append(_question("speed", _pick(random, _SPEED).format(names[2]), event.speed))
    return asked


def _order_questions(actor: Actor, scene: Scene, random: np.random.Generator) -> list[Question]:
    asked = []
    for part, event in enumerate(actor.events, 1):
        text = _pick(random, _PART).format(_name(actor, scene, random), ordinal(part))
        asked.append(_question("order", text, _way(event)))
    ways = [_way(event) for event in actor.events]
    for before, after in itertools.pairwise(ways):
        if ways.count(before) == 1 and "grows" not in before and "shrinks" not in before:
            name = _name(actor, scene, random)
            moves = "rests" if before == "it does not move" else f"moves {before}"
            asked.append(_question("order", f"What does {name} do after it {moves}?", after))
    return asked


def _question(topic: str, text: str, answer: str) -> Question:
    return Question(text=text, answer=answer, topic=topic)


def _way(event: Event) -> str:
    if event.growth:
        return "it grows" if event.growth > 0 else "it shrinks"
    return "it does not move" if event.direction == "still" else event.direction.replace("-", " and ")


def _position(actor: Actor) -> str | None:
    """Ninth of the image that the start lies in; None where it is too close to a border between two to ask."""
    words = []
    for value, names in zip(actor.start, (("left", "middle", "right"), ("top", "middle", "bottom")), strict=True):
        third = SIZE / 3
        if min(abs(value - third), abs(value - 2 * third)) < 5:
            return None
        words.append(names[int(value // third)])
    across, along = words
    return "middle" if across == along == "middle" else f"{along} {across}"


def _caption(scene: Scene, random: np.random.Generator) -> str:
    form = int(random.random() < 0.4)
    lead = _pick(random, ("", "a video of ", "there is ")) if form else ""
    clauses = [f"{_noun(actor, random)} {_story(actor.events, form, random)}" for actor in scene.actors]
    return _join(
        lead + (" and " if form else _pick(random, (" and ", " while "))).join(clauses), _behind(scene, random), random
    )


def _story(events: Sequence[Event], form: int | None, random: np.random.Generator) -> str:
    """Phrases for clip after clip; `form` is 0 for a sentence, 1 for a thing that does something, None for either."""
    form = int(random.random() < 0.5) if form is None else form
    between = _pick(random, (", then ", ", and then ", " and after that "))
    parts = [_deed(event, form, random) for event in events]
    if all(event.direction != "still" for event in events) and random.random() < 0.4:  # moves right, then up
        parts[1:] = [_pick(random, _DIRECTION_WORDS[event.direction]) for event in events[1:]]
    return between.join(parts)


def _deed(event: Event, form: int, random: np.random.Generator) -> str:
    if event.growth:
        return _pick(random, _GROWTH if event.growth > 0 else _SHRINKAGE)[form]
    if event.direction == "still":
        return _pick(random, _STILL)[form]
    words = [_pick(random, _VERBS)[form], _pick(random, _DIRECTION_WORDS[event.direction])]
    if random.random() < 0.6:
        words.insert(int(random.integers(1, 3)), _pick(random, _SPEED_WORDS[event.speed]))
    return " ".join(words)


def _behind(scene: Scene, random: np.random.Generator, camera: bool = True) -> str:
    """Ground and camera; the ground goes unmentioned now and then, as people do."""
    words = []
    if random.random() < 0.6:
        ground = _pick(random, _GROUND_WORDS[scene.ground.kind])
        words.append(f"{_pick(random, ('over', 'on', 'in front of'))} a {ground} {_pick(random, _GROUND_NOUNS)}")
    if camera and scene.camera != "still":
        words.append(f"while the camera {_pick(random, ('pans', 'moves'))} {scene.camera}")
    return " ".join(words)


def _noun(actor: Actor, random: np.random.Generator) -> str:
    size = f"{_pick(random, _SIZE_WORDS[actor.size])} " if random.random() < 0.7 else ""
    return f"a {size}{actor.colour} {_pick(random, _SHAPE_WORDS[actor.shape])}"


def _name(actor: Actor, scene: Scene, random: np.random.Generator) -> str:
    """Name of an object in a question: by its colour where there are two, which is never equal."""
    return _pick(random, ("the object", "it")) if len(scene.actors) == 1 else f"the {actor.colour} object"


def _join(sentence: str, behind: str, random: np.random.Generator) -> str:
    whole = f"{sentence} {behind}".strip()
    return whole + _pick(random, ("", "", "."))


def _pick(random: np.random.Generator, words: Sequence[Word]) -> Word:
    return words[int(random.integers(len(words)))]
