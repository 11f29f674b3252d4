"""Words that mean nearly the same, or are of one kind: what a model is told to know instead of a word it never met."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["near_words"]

_GROUPS = tuple(
    group.split()
    for group in (
        # colours and shapes
        "red crimson scarlet ruby maroon",
        "blue navy azure indigo",
        "cyan turquoise teal aqua",
        "green lime olive emerald",
        "yellow gold golden lemon",
        "magenta purple violet pink",
        "pink rose salmon magenta",
        "orange amber yellow red",
        "black dark night",
        "white bright plain",
        "circle ball disc dot round sphere ring oval ellipse",
        "square box cube rectangle block rhombus diamond",
        "triangle pyramid cone wedge",
        "star asterisk sun",
        # things
        "dog puppy hound wolf fox poodle",
        "cat kitten kitty lion tiger leopard cheetah panther",
        "rabbit bunny hare mouse rat squirrel hedgehog hamster",
        "elephant mammoth rhinoceros rhino hippopotamus hippo giraffe camel",
        "dog horse pony donkey zebra cow bull deer goat sheep pig llama",
        "panda bear koala monkey gorilla ape sloth",
        "dinosaur tyrannosaurus dragon sauropod crocodile lizard snake monster",
        "turtle tortoise frog toad snail",
        "flamingo penguin bird duck goose swan owl eagle parrot chicken rooster stork pigeon",
        "dolphin whale shark fish seal orca",
        "crab lobster octopus squid jellyfish shrimp spider scorpion",
        "butterfly ladybird ladybug bee fly moth dragonfly beetle ant insect",
        "animal creature beast pet",
        "bus coach car taxi cab truck lorry van train tram ambulance automobile",
        "tractor bulldozer digger excavator",
        "motorcycle motorbike scooter moped bicycle bike",
        "helicopter chopper plane airplane aeroplane jet drone aircraft",
        "rocket spaceship missile shuttle spacecraft",
        "saucer ufo alien",
        "sailboat yacht boat ship canoe ferry",
        "vehicle machine",
        "runner jogger cyclist biker man woman boy girl child human people walker dancer skier surfer astronaut robot",
        "football soccer ball basketball volleyball toy",
        "balloon kite parachute zeppelin",
        # places
        "sea ocean beach coast shore water lake river bay",
        "harbour quay waterfront port dock pier canal",
        "forest wood woods jungle trees park grove",
        "meadow lawn park garden grass farm",
        "field farmland farm countryside hill mountain",
        "savanna steppe plain prairie",
        "desert sand dune canyon",
        "city town street road downtown square piazza village avenue",
        "apartment flat room house home kitchen bedroom",
        "mall shop store market supermarket",
        "ballroom hall castle palace church theatre lobby",
        "laboratory lab school hospital office",
        "factory workshop garage warehouse",
        "sky air clouds space",
        # motion
        "moves goes moving going travels travelling wanders heads",
        "walks walking strolls strolling marches limps",
        "runs running sprints races gallops trots rushes",
        "flies flying soars hovers glides floats",
        "swims swimming dives floats sails",
        "drives driving rides riding",
        "jumps jumping leaps leaping skips",
        "bounces bouncing hops hopping dances dancing",
        "circles circling orbits",
        "spins spinning rotates rotating twirls whirls rolls",
        "falls falling down drops sinks",
        "rises rising up climbs ascends",
        "rests resting still stands standing sits sleeps waits lies",
        "chases chasing follows following hunts pursues",
        "meets meeting greets hugs kisses",
        "passes passing overtakes crosses",
        "approaches approaching nearer closer",
        "right rightwards east",
        "left leftwards west",
        "up upwards north",
        "down downwards south",
        "across past through along between",
        "slowly slow gently",
        "quickly fast rapidly swiftly",
        "small little tiny mini",
        "large big huge giant enormous gigantic",
        "night dark evening midnight",
        "day morning noon sunny bright",
        "zooms pans tilts",
    )
)


def near_words(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Known words of the groups that a word is in, in their order; empty where no group has it.

    Args:
        word: in small letters; a plural is its singular, which is near to nothing else if it is known.
        known: words that the model was trained on.
        most: at most so many.
    """
    known = set(known)
    names = dict.fromkeys((word, word.removesuffix("s"), word.removesuffix("es")))
    if itself := [name for name in names if name in known]:
        return itself[:1]
    found = dict.fromkeys(one for group in _GROUPS if not names.keys().isdisjoint(group) for one in group)
    return [one for one in found if one in known][:most]
