"""Words of the world of things: names, verbs and places in the forms in which sentences need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from videolavit.data.things.catalogue import Thing, place
from videolavit.data.things.scene import Actor, Event, View

__all__ = [
    "CAMERA_WORDS",
    "RELATION_WORDS",
    "SIZE_WORDS",
    "SPEED_WORDS",
    "TIME_WORDS",
    "article",
    "deed",
    "motion_name",
    "noun",
    "pick",
    "place_phrase",
    "the",
]

Word = TypeVar("Word")

SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
_STYLES = {"cartoon": ("cartoon", "drawn"), "flat": ("flat", "flat clip-art")}
_GO = {
    "walks": (("moves", "moving"), ("walks", "walking"), ("runs", "running"), ("goes", "going")),
    "drives": (("moves", "moving"), ("drives", "driving"), ("rides", "riding"), ("goes", "going")),
    "flies": (("moves", "moving"), ("flies", "flying"), ("goes", "going")),
    "swims": (("moves", "moving"), ("swims", "swimming"), ("glides", "gliding"), ("goes", "going")),
    "floats": (("moves", "moving"), ("floats", "floating"), ("drifts", "drifting")),
    "rolls": (("moves", "moving"), ("rolls", "rolling"), ("goes", "going")),
}
_WAYS = {
    "left": ("left", "to the left", "leftwards"),
    "right": ("right", "to the right", "rightwards"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
    "up-left": ("up and left", "to the upper left", "up and to the left"),
    "up-right": ("up and right", "to the upper right", "up and to the right"),
    "down-left": ("down and left", "to the lower left", "down and to the left"),
    "down-right": ("down and right", "to the lower right", "down and to the right"),
}
SPEED_WORDS = {"slowly": ("slowly", "at a slow pace"), "quickly": ("quickly", "fast")}
_DEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    "rests": (("rests", "resting"), ("stays in place", "staying in place"), ("does not move", "keeping still")),
    "jumps": (("jumps", "jumping"), ("jumps up", "jumping up"), ("leaps", "leaping")),
    "bounces": (("bounces", "bouncing"), ("hops", "hopping"), ("bounces up and down", "bouncing up and down")),
    "circles": (("circles", "circling"), ("moves in a circle", "moving in a circle"), ("goes round", "going round")),
    "comes nearer": (
        ("comes nearer", "coming nearer"),
        ("approaches", "approaching"),
        ("comes closer", "coming closer"),
    ),
    "goes away": (("goes away", "going away"), ("moves away", "moving away"), ("moves off", "moving off")),
    "turns round": (("turns round", "turning round"), ("turns around", "turning around")),
    "spins": (("spins", "spinning"), ("rotates", "rotating"), ("turns over", "turning over")),
}
TIME_WORDS = ("at night", "in the dark", "by night", "by day")
CAMERA_WORDS = {
    "left": ("pans left", "pans to the left", "turns left"),
    "right": ("pans right", "pans to the right", "turns right"),
    "up": ("tilts up", "tilts upwards", "looks up"),
    "down": ("tilts down", "tilts downwards", "looks down"),
    "nearer": ("zooms in", "comes nearer", "moves closer"),
}

RELATION_WORDS = {
    "chases": (("chases", "chasing"), ("follows", "following"), ("goes after", "going after")),
    "meets": (("meets", "meeting"), ("goes up to", "going up to"), ("approaches", "approaching")),
    "passes": (("passes", "passing"), ("goes past", "going past"), ("crosses paths with", "crossing paths with")),
}


def pick(random: np.random.Generator, words: Sequence[Word]) -> Word:
    """One of some words, each as likely as the others."""
    return words[int(random.integers(len(words)))]


def article(word: str) -> str:
    """A word or phrase with "a" or "an" before it."""
    sounds_like_you = word.lower().startswith(("uni", "ufo", "use", "eu"))
    return f"{'an' if word[0].lower() in 'aeiou' and not sounds_like_you else 'a'} {word}"


def noun(actor: Actor, random: np.random.Generator, *, plain: bool = False) -> str:
    """A thing with its article, now and then by another name, often with its size; always with a style of its own."""
    words = [_named(actor.thing, random, plain)]
    if actor.style in _STYLES:
        words.insert(0, pick(random, _STYLES[actor.style]))
    if not plain and random.random() < 0.4:
        words.insert(0, pick(random, SIZE_WORDS[actor.size]))
    return article(" ".join(words))


def the(thing: Thing) -> str:
    """A thing that was spoken of."""
    return f"the {thing.name}"


def deed(event: Event, what: Thing, random: np.random.Generator, form: int) -> str:
    """Action as a verb ("flies up", form 0) or a participle ("flying up", form 1)."""
    if event.motion != "moves":
        return pick(random, _DEEDS[event.motion])[form]
    way = pick(random, _WAYS[event.direction])
    speed = pick(random, SPEED_WORDS[event.speed]) if random.random() < 0.6 else ""
    verb = pick(random, _GO[what.gait])[form]
    if event.direction in ("up", "down") and not what.on_ground and random.random() < 0.4:
        verb, way = {"up": (("rises", "rising")[form], ""), "down": (("falls", "falling")[form], "")}[event.direction]
    return " ".join(word for word in (verb, way, speed) if word)


def motion_name(event: Event) -> str:
    """Action in the one wording of answers."""
    if event.motion != "moves":
        return {"rests": "it does not move"}.get(event.motion, f"it {event.motion}")
    return f"it moves {event.direction.replace('-', ' and ')}"


def place_phrase(view: View, random: np.random.Generator | None = None) -> str:
    """Place as a phrase, "in a forest"; by one name if nothing is to be random."""
    where = place(view.place)
    if random is None:
        return f"{where.preposition} {where.article} {where.name}"
    name = where.name if random.random() < 0.6 or not where.synonyms else pick(random, where.synonyms)
    if where.article == "the" or random.random() < 0.4:
        return f"{where.preposition} the {name}"
    return f"{where.preposition} {article(name)}"


def _named(what: Thing, random: np.random.Generator, plain: bool) -> str:
    return what.name if plain or not what.synonyms or random.random() < 0.7 else pick(random, what.synonyms)
