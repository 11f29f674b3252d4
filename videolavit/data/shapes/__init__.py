"""The shapes world: rendered videos with exact ground truth, captions and questions (docs/shapes.md)."""

from videolavit.data.shapes.render import render
from videolavit.data.shapes.scene import Actor, Event, Ground, Scene, is_held_out, sample_scene
from videolavit.data.shapes.words import (
    Question,
    captions,
    motion_captions,
    names_size,
    picture_captions,
    picture_questions,
    questions,
)

__all__ = [
    "Actor",
    "Event",
    "Ground",
    "Question",
    "Scene",
    "captions",
    "is_held_out",
    "motion_captions",
    "names_size",
    "picture_captions",
    "picture_questions",
    "questions",
    "render",
    "sample_scene",
]
