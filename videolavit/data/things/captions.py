"""Captions of scenes of the world of things, in many wordings.

They always say what there is and what it does; place, size, speed, time and camera only now and then, as people do.
"""

from __future__ import annotations

import numpy as np

from videolavit.data.things.scene import Actor, Scene
from videolavit.data.things.wording import (
    CAMERA_WORDS,
    RELATION_WORDS,
    TIME_WORDS,
    deed,
    noun,
    pick,
    place_phrase,
)

__all__ = ["captions", "image_captions", "motion_captions"]

_LEADS = ("", "", "", "a video of ", "there is ", "we see ")
_IMAGE_LEADS = ("", "", "a picture of ", "an image of ", "there is ")
_BETWEEN = (", then ", ", and then ", " and after that ")


def captions(scene: Scene, seed: int, count: int = 8) -> list[str]:
    """Captions of what a video shows and what happens in it."""
    return [_caption(scene, _random(seed, 1, number)) for number in range(count)]


def motion_captions(scene: Scene, seed: int, count: int = 2) -> list[str]:
    """Captions of what happens, without saying to what: for videos that start with a given image; only of one thing."""
    if len(scene.actors) != 1:
        return []
    return [_motion_caption(scene, _random(seed, 2, number)) for number in range(count)]


def image_captions(scene: Scene, seed: int, count: int = 8) -> list[str]:
    """Captions of the first frame."""
    return [_image_caption(scene, _random(seed, 3, number)) for number in range(count)]


def _random(seed: int, kind: int, number: int) -> np.random.Generator:
    return np.random.default_rng([12, seed, kind, number])


def _caption(scene: Scene, random: np.random.Generator) -> str:
    lead = pick(random, _LEADS)
    form = int(bool(lead))
    if scene.relation != "apart" and scene.num_clips == 1:
        sentence = _relation(scene, random, form)
    else:
        told = [f"{noun(actor, random)} {_story(actor, random, form)}" for actor in scene.actors]
        sentence = pick(random, (" and ", " while ")[: 2 - form]).join(told)
    return _ended(lead + sentence, _around(scene, random), random)


def _relation(scene: Scene, random: np.random.Generator, form: int) -> str:
    """Phrase for how one thing goes with another."""
    first, second = scene.actors
    one, other, event = noun(first, random), noun(second, random), first.events[0]
    if random.random() < 0.25:  # said plainly, as of any two things
        return " and ".join(f"{noun(actor, random)} {_story(actor, random, form)}" for actor in scene.actors)
    way = f" to the {event.direction}" if random.random() < 0.6 else ""
    return f"{one} {pick(random, RELATION_WORDS[scene.relation])[form]} {other}{way}"


def _story(actor: Actor, random: np.random.Generator, form: int) -> str:
    parts = [deed(event, actor.thing, random, form) for event in actor.events]
    return pick(random, _BETWEEN).join(parts)


def _motion_caption(scene: Scene, random: np.random.Generator) -> str:
    subject = pick(random, ("it", "the thing", "this"))
    return _ended(f"{subject} {_story(scene.actors[0], random, 0)}", _camera(scene, random), random)


def _image_caption(scene: Scene, random: np.random.Generator) -> str:
    sentence = pick(random, _IMAGE_LEADS) + " and ".join(noun(actor, random) for actor in scene.actors)
    around = place_phrase(scene.view, random) + _time(scene, random) if random.random() < 0.75 else ""
    return _ended(sentence, around, random)


def _around(scene: Scene, random: np.random.Generator) -> str:
    """Place, time and camera."""
    words = []
    if random.random() < 0.7:
        words.append(place_phrase(scene.view, random) + _time(scene, random))
    words.append(_camera(scene, random))
    return " ".join(word for word in words if word)


def _time(scene: Scene, random: np.random.Generator) -> str:
    if scene.view.night:
        return f" {pick(random, TIME_WORDS[:3])}" if random.random() < 0.8 else ""
    return f" {TIME_WORDS[3]}" if random.random() < 0.1 else ""


def _camera(scene: Scene, random: np.random.Generator) -> str:
    if scene.view.camera == "still":
        return "while the camera is still" if random.random() < 0.03 else ""
    return f"while the camera {pick(random, CAMERA_WORDS[scene.view.camera])}" if random.random() < 0.85 else ""


def _ended(sentence: str, around: str, random: np.random.Generator) -> str:
    return f"{sentence} {around}".strip() + pick(random, ("", "", "."))
