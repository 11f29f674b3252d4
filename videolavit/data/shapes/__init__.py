"""The shapes world: rendered videos with exact ground truth, captions and questions (docs/shapes.md)."""

from videolavit.data.shapes.render import render
from videolavit.data.shapes.scene import Actor, Event, Ground, Scene, is_held_out, sample_scene
from videolavit.data.shapes.words import (
    Question,
    captions,
    image_captions,
    image_questions,
    motion_captions,
    names_size,
    questions,
)

__all__ = [
    "Actor",
    "Event",
    "Ground",
    "Question",
    "Scene",
    "captions",
    "image_captions",
    "image_questions",
    "is_held_out",
    "motion_captions",
    "names_size",
    "questions",
    "render",
    "sample_scene",
]
