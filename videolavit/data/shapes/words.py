"""What can be said about a scene of the shapes world: captions in several wordings, questions with their answers.

Every sentence is true of the scene by construction. Answers are one or a few words and always the same word for the
same thing, so that they can be compared letter by letter.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videolavit.data.shapes.scene import SIZE, Actor, Event, Scene

__all__ = ["Question", "captions", "picture_captions", "picture_questions", "questions"]

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
_VERBS = ("moves", "slides", "drifts", "goes", "travels")
_STILL = ("stays still", "rests", "does not move", "stands still")
_SPEED_WORDS = {"slowly": ("slowly", "at low speed"), "quickly": ("quickly", "fast", "at high speed")}
_GROUND_WORDS = {
    "plain": ("plain", "flat", "uniform"),
    "textured": ("textured", "cloudy", "patterned"),
    "photo": ("photographic", "real"),
}
_GROUND_NOUNS = ("background", "ground")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, its one right answer and what it is about."""

    text: str
    answer: str
    topic: str
    """colour, shape, size, position, direction, speed, background, camera, count or order."""


def captions(scene: Scene, seed: int, count: int = 4) -> list[str]:
    """`count` wordings of what happens in the video; equal seeds give equal wordings."""
    random = np.random.default_rng([seed, 1])
    return [_caption(scene, random) for _ in range(count)]


def picture_captions(scene: Scene, seed: int, count: int = 4) -> list[str]:
    """`count` wordings of what the first frame shows."""
    random = np.random.default_rng([seed, 2])
    sentences = []
    for _ in range(count):
        things = " and ".join(_noun(actor, random) for actor in scene.actors)
        lead = _pick(random, ("", "a picture of ", "an image of ", "there is "))
        sentences.append(_join(lead + things, _behind(scene, random), random))
    return sentences


def questions(scene: Scene) -> list[Question]:
    """Questions on the whole video; includes those of `picture_questions`."""
    asked = picture_questions(scene)
    for actor in scene.actors:
        name = _name(actor, scene)
        if scene.num_clips == 1:
            asked += _event_questions(name, actor.events[0])
        else:
            asked += _order_questions(name, actor.events)
    if scene.ground.kind != "plain":
        answer = "it does not move" if scene.camera == "still" else scene.camera
        asked.append(Question(text="Which way does the camera move?", answer=answer, topic="camera"))
        moves = "no" if scene.camera == "still" else "yes"
        asked.append(Question(text="Does the camera move?", answer=moves, topic="camera"))
    return asked


def picture_questions(scene: Scene) -> list[Question]:
    """Questions that the first frame answers."""
    asked = []
    for actor in scene.actors:
        name = _name(actor, scene)
        kind = "object" if len(scene.actors) == 1 else f"{actor.shape}"
        if len(scene.actors) == 1 or scene.actors[0].shape != scene.actors[1].shape:
            asked.append(Question(text=f"What colour is the {kind}?", answer=actor.colour, topic="colour"))
        asked.append(Question(text=f"What shape is {name}?", answer=actor.shape, topic="shape"))
        asked.append(Question(text=f"Is {name} small or large?", answer=actor.size, topic="size"))
        if (place := _position(actor)) is not None:
            asked.append(Question(text=f"Where is {name} at the start?", answer=place, topic="position"))
    count = str(len(scene.actors))
    asked.append(Question(text="How many objects are there?", answer=count, topic="count"))
    asked.append(Question(text="What is the background like?", answer=scene.ground.kind, topic="background"))
    return asked


def _event_questions(name: str, event: Event) -> list[Question]:
    if event.growth:
        change = "it grows" if event.growth > 0 else "it shrinks"
        return [Question(text=f"How does {name} change?", answer=change, topic="direction")]
    asked = [Question(text=f"Which way does {name} move?", answer=_way(event), topic="direction")]
    moves = "no" if event.direction == "still" else "yes"
    asked.append(Question(text=f"Does {name} move?", answer=moves, topic="direction"))
    if event.direction != "still":
        asked.append(Question(text=f"Does {name} move slowly or quickly?", answer=event.speed, topic="speed"))
    return asked


def _order_questions(name: str, events: Sequence[Event]) -> list[Question]:
    asked = []
    for ordinal, event in zip(_ORDINALS[: len(events)], events, strict=True):
        text = f"Which way does {name} move in the {ordinal} part?"
        asked.append(Question(text=text, answer=_way(event), topic="order"))
    ways = [_way(event) for event in events]
    for before, after in itertools.pairwise(ways):
        if ways.count(before) == 1 and "grows" not in before and "shrinks" not in before:
            moves = "rests" if before == "it does not move" else f"moves {before}"
            text = f"What does {name} do after it {moves}?"
            asked.append(Question(text=text, answer=after, topic="order"))
    return asked


def _way(event: Event) -> str:
    if event.growth:
        return "it grows" if event.growth > 0 else "it shrinks"
    return "it does not move" if event.direction == "still" else event.direction.replace("-", " and ")


def _position(actor: Actor) -> str | None:
    """Which ninth of the picture the start lies in; None where it is too close to a border between two to ask."""
    words = []
    for value, names in zip(actor.start, (("left", "middle", "right"), ("top", "middle", "bottom")), strict=True):
        third = SIZE / 3
        if min(abs(value - third), abs(value - 2 * third)) < 5:
            return None
        words.append(names[int(value // third)])
    across, along = words
    return "middle" if across == along == "middle" else f"{along} {across}"


def _caption(scene: Scene, random: np.random.Generator) -> str:
    clauses = [f"{_noun(actor, random)} {_story(actor.events, random)}" for actor in scene.actors]
    return _join(_pick(random, (" and ", " while ")).join(clauses), _behind(scene, random), random)


def _story(events: Sequence[Event], random: np.random.Generator) -> str:
    parts = [_deed(event, random) for event in events]
    return _pick(random, (", then ", ", and then ", " and after that ")).join(parts)


def _deed(event: Event, random: np.random.Generator) -> str:
    if event.growth:
        return _pick(random, ("grows", "gets larger") if event.growth > 0 else ("shrinks", "gets smaller"))
    if event.direction == "still":
        return _pick(random, _STILL)
    words = [_pick(random, _VERBS), _pick(random, _DIRECTION_WORDS[event.direction])]
    words.insert(int(random.integers(1, 3)), _pick(random, _SPEED_WORDS[event.speed]))
    return " ".join(words)


def _behind(scene: Scene, random: np.random.Generator) -> str:
    """Ground and camera; the ground goes unmentioned now and then, as people do."""
    words = []
    if random.random() < 0.7:
        ground = _pick(random, _GROUND_WORDS[scene.ground.kind])
        words.append(f"{_pick(random, ('over', 'on', 'in front of'))} a {ground} {_pick(random, _GROUND_NOUNS)}")
    if scene.camera != "still":
        words.append(f"while the camera {_pick(random, ('pans', 'moves'))} {scene.camera}")
    return " ".join(words)


def _noun(actor: Actor, random: np.random.Generator) -> str:
    size = _pick(random, _SIZE_WORDS[actor.size])
    return f"a {size} {actor.colour} {_pick(random, _SHAPE_WORDS[actor.shape])}"


def _name(actor: Actor, scene: Scene) -> str:
    """How a question calls an object: by its colour where there are two, which is never equal."""
    return "the object" if len(scene.actors) == 1 else f"the {actor.colour} object"


def _join(sentence: str, behind: str, random: np.random.Generator) -> str:
    whole = f"{sentence} {behind}".strip()
    return whole + _pick(random, ("", "", "."))


def _pick(random: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(random.integers(len(words)))]
