"""Names of the world of things: 117 things and 18 places, with synonyms, kinds and the ways in which things move.

Only names and numbers stand here; the images come from packages that `sources.py` reads. The order is fixed: the first
24 things are the smallest world, the first 64 the next, and a thing keeps its number in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["HELD_OUT_STYLES", "PLACES", "STEPS", "THINGS", "Facing", "Gait", "Place", "Thing", "place", "thing"]

Gait = Literal["walks", "drives", "flies", "swims", "floats", "rolls"]
"""Support of a thing: `walks`, `drives` and `rolls` stand on the ground, the others need none."""
Facing = Literal["left", "right", "front"]

STEPS = (24, 64, 117)
"""Numbers of things of the three worlds."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One named thing."""

    name: str
    label: str
    """Name in emojibase, by which the packages' file is found."""
    kind: str
    """animal, vehicle, person, toy, food or plant."""
    gait: Gait
    synonyms: tuple[str, ...] = ()
    facing: Facing = "left"
    """Of the artwork; `front` for what has no side to face."""
    nose: float | None = None
    """Degrees, anticlockwise from the right, in which the artwork points; such a thing turns its nose where it goes."""

    @property
    def on_ground(self) -> bool:
        return self.gait in ("walks", "drives", "rolls")


@dataclass(frozen=True, slots=True)
class Place:
    """One named panorama."""

    name: str
    file: str
    """In the package of panoramas, without its suffix."""
    outdoors: bool
    synonyms: tuple[str, ...] = ()
    preposition: str = "in"
    article: str = "a"
    held_out: bool = False
    """Never seen in training."""


THINGS: tuple[Thing, ...] = (
    # the world of 24
    Thing("dog", "dog", "animal", "walks", ("puppy", "hound")),
    Thing("cat", "cat", "animal", "walks", ("kitten", "kitty")),
    Thing("T-Rex", "T-Rex", "animal", "walks", ("dinosaur", "tyrannosaurus")),
    Thing("rocket", "rocket", "vehicle", "flies", ("spaceship", "space rocket"), nose=45.0),
    Thing("elephant", "elephant", "animal", "walks", ()),
    Thing("penguin", "penguin", "animal", "walks", (), facing="front"),
    Thing("butterfly", "butterfly", "animal", "flies", (), facing="front"),
    Thing("bus", "bus", "vehicle", "drives", ("coach",)),
    Thing("helicopter", "helicopter", "vehicle", "flies", ("chopper",)),
    Thing("sailboat", "sailboat", "vehicle", "swims", ("sailing boat", "yacht")),
    Thing("crab", "crab", "animal", "walks", (), facing="front"),
    Thing("dolphin", "dolphin", "animal", "swims", ()),
    Thing("flamingo", "flamingo", "animal", "walks", ("pink bird",)),
    Thing("turtle", "turtle", "animal", "walks", ("tortoise",)),
    Thing("rabbit", "rabbit", "animal", "walks", ("bunny", "hare")),
    Thing("tractor", "tractor", "vehicle", "drives", ()),
    Thing("motorcycle", "motorcycle", "vehicle", "drives", ("motorbike",)),
    Thing("runner", "person running", "person", "walks", ("person running", "jogger")),
    Thing("cyclist", "person biking", "person", "drives", ("person on a bicycle", "biker")),
    Thing("football", "soccer ball", "toy", "rolls", ("soccer ball",), facing="front"),
    Thing("balloon", "balloon", "toy", "floats", ("red balloon",), facing="front"),
    Thing("panda", "panda", "animal", "rolls", ("panda bear",), facing="front"),
    Thing("ladybird", "lady beetle", "animal", "flies", ("ladybug", "lady beetle"), facing="front"),
    Thing("flying saucer", "flying saucer", "vehicle", "flies", ("UFO",), facing="front"),
    # the world of 64
    Thing("horse", "horse", "animal", "walks", ("pony",)),
    Thing("zebra", "zebra", "animal", "walks", ()),
    Thing("giraffe", "giraffe", "animal", "walks", ()),
    Thing("tiger", "tiger", "animal", "walks", ("big cat",)),
    Thing("owl", "owl", "animal", "flies", (), facing="front"),
    Thing("parrot", "parrot", "animal", "flies", ("macaw",)),
    Thing("peacock", "peacock", "animal", "walks", (), facing="front"),
    Thing("duck", "duck", "animal", "swims", ("mallard",)),
    Thing("rooster", "rooster", "animal", "walks", ("cock", "cockerel")),
    Thing("frog", "frog", "animal", "rolls", ("toad",), facing="front"),
    Thing("snake", "snake", "animal", "walks", ("serpent",), facing="right"),
    Thing("snail", "snail", "animal", "walks", ()),
    Thing("bee", "honeybee", "animal", "flies", ("honeybee",)),
    Thing("spider", "spider", "animal", "walks", (), facing="front"),
    Thing("octopus", "octopus", "animal", "swims", (), facing="front"),
    Thing("shark", "shark", "animal", "swims", ()),
    Thing("fish", "tropical fish", "animal", "swims", ("tropical fish",)),
    Thing("fox", "fox", "animal", "rolls", ("fox head",), facing="front"),
    Thing("kangaroo", "kangaroo", "animal", "walks", ()),
    Thing("dragon", "dragon", "animal", "flies", ()),
    Thing("taxi", "taxi", "vehicle", "drives", ("cab",)),
    Thing("fire engine", "fire engine", "vehicle", "drives", ("fire truck",)),
    Thing("ambulance", "ambulance", "vehicle", "drives", ()),
    Thing("locomotive", "locomotive", "vehicle", "drives", ("steam engine", "steam train")),
    Thing("racing car", "racing car", "vehicle", "drives", ("race car",)),
    Thing("airplane", "airplane", "vehicle", "flies", ("plane", "aeroplane"), nose=45.0),
    Thing("parachute", "parachute", "vehicle", "floats", ("parachutist",), facing="front"),
    Thing("walker", "person walking", "person", "walks", ("person walking", "pedestrian")),
    Thing("dancer", "woman dancing", "person", "walks", ("woman dancing",), facing="front"),
    Thing("disco dancer", "man dancing", "person", "walks", ("man dancing",), facing="front"),
    Thing("surfer", "person surfing", "person", "swims", ("person surfing",)),
    Thing("skier", "skier", "person", "drives", ()),
    Thing("astronaut", "astronaut", "person", "floats", ("spaceman",), facing="front"),
    Thing("mermaid", "mermaid", "person", "swims", (), facing="front"),
    Thing("robot", "robot", "toy", "rolls", ("android",), facing="front"),
    Thing("orange", "tangerine", "food", "rolls", ("tangerine",), facing="front"),
    Thing("strawberry", "strawberry", "food", "rolls", (), facing="front"),
    Thing("gift", "wrapped gift", "toy", "rolls", ("present", "parcel"), facing="front"),
    Thing("teddy bear", "teddy bear", "toy", "walks", ("teddy",), facing="front"),
    Thing("whale", "spouting whale", "animal", "swims", ()),
    # the world of 117
    Thing("cow", "cow", "animal", "walks", ()),
    Thing("pig", "pig", "animal", "walks", ("piglet",)),
    Thing("goat", "goat", "animal", "walks", ()),
    Thing("sheep", "ewe", "animal", "walks", ("ewe", "lamb")),
    Thing("llama", "llama", "animal", "walks", ("alpaca",)),
    Thing("camel", "camel", "animal", "walks", ("dromedary",)),
    Thing("leopard", "leopard", "animal", "walks", ("cheetah",)),
    Thing("deer", "deer", "animal", "walks", ("stag",)),
    Thing("rhinoceros", "rhinoceros", "animal", "walks", ("rhino",)),
    Thing("hippopotamus", "hippopotamus", "animal", "walks", ("hippo",)),
    Thing("mouse", "mouse", "animal", "walks", ()),
    Thing("hedgehog", "hedgehog", "animal", "walks", ()),
    Thing("bat", "bat", "animal", "flies", (), facing="front"),
    Thing("sloth", "sloth", "animal", "floats", (), facing="front"),
    Thing("skunk", "skunk", "animal", "walks", ()),
    Thing("turkey", "turkey", "animal", "walks", ()),
    Thing("chick", "baby chick", "animal", "walks", ("baby chick",)),
    Thing("red bird", "bird", "animal", "flies", ("cardinal",)),
    Thing("eagle", "eagle", "animal", "flies", ()),
    Thing("swan", "swan", "animal", "swims", ()),
    Thing("dodo", "dodo", "animal", "walks", ()),
    Thing("lizard", "lizard", "animal", "walks", ("gecko",), facing="front"),
    Thing("sauropod", "sauropod", "animal", "walks", ("long-necked dinosaur",)),
    Thing("seal", "seal", "animal", "swims", ("sea lion",), facing="front"),
    Thing("pufferfish", "blowfish", "animal", "swims", ("blowfish",)),
    Thing("jellyfish", "jellyfish", "animal", "swims", (), facing="front"),
    Thing("lobster", "lobster", "animal", "walks", (), facing="front"),
    Thing("squid", "squid", "animal", "swims", (), facing="front"),
    Thing("caterpillar", "bug", "animal", "walks", ()),
    Thing("ant", "ant", "animal", "walks", ()),
    Thing("scorpion", "scorpion", "animal", "walks", (), facing="front"),
    Thing("mammoth", "mammoth", "animal", "walks", ()),
    Thing("gorilla", "gorilla", "animal", "walks", ("ape",)),
    Thing("poodle", "poodle", "animal", "walks", ()),
    Thing("monkey", "monkey", "animal", "walks", (), facing="front"),
    Thing("ghost", "ghost", "toy", "floats", ("spook",), facing="front"),
    Thing("snowman", "snowman without snow", "toy", "walks", (), facing="front"),
    Thing("police car", "police car", "vehicle", "drives", ()),
    Thing("delivery truck", "delivery truck", "vehicle", "drives", ("truck", "lorry")),
    Thing("rickshaw", "auto rickshaw", "vehicle", "drives", ("tuk-tuk",)),
    Thing("canoe", "canoe", "vehicle", "swims", (), facing="front"),
    Thing("ship", "ship", "vehicle", "swims", ("cruise ship", "ferry")),
    Thing("speedboat", "speedboat", "vehicle", "swims", ("motorboat",)),
    Thing("pumpkin", "jack-o-lantern", "toy", "rolls", ("jack-o-lantern",), facing="front"),
    Thing("basketball", "basketball", "toy", "rolls", (), facing="front"),
    Thing("doughnut", "doughnut", "food", "rolls", ("donut",), facing="front"),
    Thing("hamburger", "hamburger", "food", "rolls", ("burger",), facing="front"),
    Thing("mushroom", "mushroom", "plant", "walks", ("toadstool",), facing="front"),
    Thing("cactus", "cactus", "plant", "walks", (), facing="front"),
    Thing("umbrella", "umbrella", "toy", "floats", (), facing="front"),
    Thing("fairy", "fairy", "person", "flies", (), facing="front"),
    Thing("ninja", "ninja", "person", "walks", (), facing="front"),
    Thing("alien", "alien monster", "toy", "floats", ("space invader",), facing="front"),
)

PLACES: tuple[Place, ...] = (
    Place("apartment", "apartment", False, ("empty room", "flat"), article="an"),
    Place("city", "city", True, ("downtown street",)),
    Place("desert", "dawn", True, ("rocky desert",)),
    Place("mall", "esplanade", False, ("shopping centre",)),
    Place("forest", "forest", True, ("wood", "woods"), article="a"),
    Place("ballroom", "hall", False, ("large hall",)),
    Place("laboratory", "lab", False, ("lab",)),
    Place("savanna", "night", True, ("steppe",), preposition="on"),
    Place("meadow", "park", True, ("lawn", "park"), preposition="on"),
    Place("sea", "sky", True, ("ocean",), preposition="on", article="the"),
    Place("studio", "studio", False, ("photo studio",)),
    Place("field", "sunrise", True, ("farmland",)),
    Place("square", "sunset", True, ("town square", "piazza"), preposition="on"),
    Place("harbour", "venice", True, ("waterfront", "quay"), preposition="at", article="the"),
    Place("warehouse", "warehouse", False, ("empty warehouse",)),
    Place("factory", "workshop", False, ("workshop",)),
    Place("lobby", "lobby", False, ("entrance hall",), held_out=True),
    Place("walkway", "bridge", False, ("glass bridge",), preposition="on", held_out=True),
)

HELD_OUT_STYLES = ("dog", "elephant", "bus", "penguin", "rocket", "turtle", "horse", "snail", "taxi", "owl")
"""Things whose other styles are never seen in training."""


def thing(name: str) -> Thing:
    """The thing of a name; a KeyError that names it if there is none."""
    return _BY_NAME[name]


def place(name: str) -> Place:
    """The place of a name; a KeyError that names it if there is none."""
    return _PLACE_BY_NAME[name]


_BY_NAME = {thing.name: thing for thing in THINGS}
_PLACE_BY_NAME = {place.name: place for place in PLACES}
