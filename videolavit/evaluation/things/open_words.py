"""Captions that leave things open: which of a scene's facts a caption says, so that only those are judged."""

from __future__ import annotations

import re
from dataclasses import dataclass

from videolavit.data.things.catalogue import place
from videolavit.data.things.scene import Scene
from videolavit.data.things.wording import SIZE_WORDS, SPEED_WORDS, TIME_WORDS

__all__ = ["Said", "said_in"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """Demands of a caption; the rest may be either way."""

    place: bool
    time: bool
    camera: bool
    size: bool
    speed: bool


def said_in(caption: str, scene: Scene) -> Said:
    """Facts that a caption of a scene names; "large hall" and "big cat" are names, and say no size."""
    where = place(scene.view.place)
    words = f" {caption.lower().rstrip('.')} "
    names_place = any(f" {name} " in words for name in (where.name, *where.synonyms))
    for named in (where, *(actor.thing for actor in scene.actors)):
        words = re.sub("|".join(rf"\b{re.escape(name.lower())}\b" for name in (named.name, *named.synonyms)), "", words)
    return Said(
        place=names_place,
        time=any(text in words for text in TIME_WORDS),
        camera="camera" in words,
        size=any(f" {word} " in words for sizes in SIZE_WORDS.values() for word in sizes),
        speed=any(word in words for speeds in SPEED_WORDS.values() for word in speeds),
    )
