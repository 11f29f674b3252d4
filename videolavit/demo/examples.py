"""Texts of the page that depend on its model: what it knows, and examples for it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXAMPLES", "NO_EXAMPLES", "Examples"]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Texts of the page that depend on what its model knows."""

    knows: str = ""
    """One sentence for the header."""
    about: str = (
        "This page runs the model that its title names. It can be wrong, and it makes up what it does not know."
    )
    prompts: tuple[str, ...] = ()
    """Videos to draw; the first stands in the field."""
    clips: tuple[str, ...] = ()
    """Words for the clips of a longer video, in order."""
    animation: str = ""
    """Words for the motion of an image."""
    questions: tuple[str, ...] = ("What is shown?", "What happens?")
    """The first stands in the field."""
    tokens: str = "a video"
    """Words before tokens."""
    real_keyframes: str = "tokens"
    """Form of a real video's keyframes: through tokens, or raw where the model knows no photographs."""


NO_EXAMPLES = Examples()
"""For every other model."""

EXAMPLES = {
    "tiny": Examples(
        knows="Small model of this package: it knows simple shapes that move, nothing else.",
        about="""This page runs the **small model** of the package, trained in hours on a world of simple shapes. It
draws and animates circles, squares and triangles in a few colours, and answers about their colour, shape, place and
way. Of photographs it knows nothing: its keyframes of them look like shapes. *Take apart*, and motion with raw
keyframes, work for any video. The released 7B model opens with `videolavit demo --model owner/name`.""",
        prompts=(
            "a red circle moves to the right",
            "a large blue square moves up",
            "a green triangle moves to the left",
        ),
        clips=("a red circle moves to the right", "it moves up"),
        animation="the circle moves to the left",
        questions=("What colour is the object?", "What shape is it?", "Which way does it move?"),
        tokens="a red circle moves to the right",
        real_keyframes="raw",
    ),
    "things": Examples(
        knows="Small model of this package: it knows 24 things in 16 places and simple shapes, and draws them roughly.",
        about="""This page runs the model **things** of the package, trained on a laptop's processor with images of 24
things, from *dog* and *T-Rex* to *rocket* and *flying saucer*, that move in 16 photographed places. Colours, places and
motions come out better than outlines: what it draws is soft, and small things are often not to be recognised.
`videolavit info things` lists its words. The released 7B model opens with `videolavit demo --model owner/name`.""",
        prompts=(
            "an elephant walks to the right in the city",
            "a panda rolls to the left in the meadow",
            "a flying saucer moves up in the desert at night",
        ),
        clips=("an elephant walks to the right in the city", "it walks to the left"),
        animation="it moves to the left",
        questions=("What do you see?", "Where is this?", "Which way does it move?", "What colour is the object?"),
        tokens="a dog in the forest",
    ),
}
