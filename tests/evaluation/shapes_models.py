"""Models of the shapes world without weights: one renders the truth, one something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from videolavit.clip import MotionField
from videolavit.data.shapes import Scene, image_questions, render
from videolavit.data.shapes import questions as shapes_questions
from videolavit.data.shapes.scene import COLOURS, RADII, SHAPES, Event
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks.shapes import shapes_tasks
from videolavit.evaluation.samples import SceneSample

OPPOSITE = {"left": "right", "up": "down", "up-left": "down-right", "up-right": "down-left"}
OPPOSITE |= {there: here for here, there in OPPOSITE.items()} | {"still": "right"}


class TruthfulModel:
    """Knows the samples of one task, and does all of it right."""

    def __init__(self, task: str, count: int, seed: int = 0) -> None:
        [found] = shapes_tasks(BenchmarkOptions(limit=count, seed=seed), [task])
        self.samples = [found.sample(number) for number in range(count)]
        self.by_seed = {sample.seed: sample for sample in self.samples}

    def missing(self, parts: Sequence[str]) -> list[str]:
        return []

    def identity(self, parts: Sequence[str]) -> str:
        return type(self).__name__

    def num_patches(self):
        return 64

    def num_motion_ids(self):
        return 48

    def motion_grid(self):
        return 16, 16

    def shown(self, sample: SceneSample) -> np.ndarray:
        """What is drawn of a scene."""
        return sample.frames

    def generate_images(self, prompts, seeds):
        return [self.shown(self.by_seed[seed])[0] for seed in seeds]

    def generate_videos(self, prompts, seeds, first_frames=None):
        return [self.shown(self.by_seed[seed]) for seed in seeds]

    def generate_long_videos(self, prompts, seeds, *, clips, continuations):
        """Smooth ones; without noise the second clip starts elsewhere."""
        smooth = [np.delete(self.shown(self.by_seed[seed]), [24, 48], axis=0) for seed in seeds]
        jumping = [np.concatenate([video[:24], np.roll(video[24:], 40, axis=2)]) for video in smooth]
        return [
            {"none": one, **dict.fromkeys(continuations[1:], other)} for one, other in zip(jumping, smooth, strict=True)
        ]

    def answer(self, questions, *, images, videos, max_new_tokens):
        return [self.answer_one(*asked) for asked in zip(questions, images, videos, strict=True)]

    def option_losses(self, question, options, *, image=None, video=None):
        return [float(option != self.answer_one(question, image, video)) for option in options]

    def answer_one(self, text, image, video):
        sample = self._of(video, image)
        known = shapes_questions(sample.scene, sample.seed) if video is not None else []
        answers = {one.text: one.answer for one in [*known, *image_questions(sample.scene, sample.seed)]}
        return f" {answers.get(text, 'nobody knows')}. ".capitalize()

    def _of(self, video, image) -> SceneSample:
        first = video[0] if video is not None else image
        return next(sample for sample in self.samples if np.array_equal(sample.first_frame, first))

    def visual_counts(self, images):
        return [20 for _ in images]

    def reconstruct_image(self, image, seed):
        return self.shown(self.by_seed[seed])[0]

    def reconstruct_video(self, video, seed, *, keyframes, motion):
        raise NotImplementedError

    def autoencode(self, image):
        return self.shown(self._of(None, image))[0]

    def reconstruct_motion(self, motion):
        return motion

    def decode_clip(self, keyframe, motion, seed):
        return self.shown(self.by_seed[seed])


class LyingModel(TruthfulModel):
    """Draws another object that moves elsewhere, and never knows an answer."""

    def shown(self, sample):
        return render(other_scene(sample.scene))

    def answer_one(self, text, image, video):
        return "purple"

    def reconstruct_motion(self, motion):
        return MotionField(values=-motion.values, height=motion.height, width=motion.width)


class SilentModel(TruthfulModel):
    """Draws black images, says nothing, and lets everything stand still."""

    def shown(self, sample):
        return np.zeros_like(sample.frames)

    def answer_one(self, text, image, video):
        return ""

    def reconstruct_motion(self, motion):
        return MotionField(values=np.zeros_like(motion.values), height=motion.height, width=motion.width)


class GuessingModel(TruthfulModel):
    """Draws noise, answers with some right answer to some question, and moves anywhere."""

    def __init__(self, task: str, count: int, seed: int = 0, *, luck: int = 0) -> None:
        super().__init__(task, count, seed)
        self.random = np.random.default_rng(luck)

    def shown(self, sample):
        return self.random.integers(0, 256, sample.frames.shape, dtype=np.uint8)

    def answer_one(self, text, image, video):
        sample = self.samples[int(self.random.integers(len(self.samples)))]
        asked = [*shapes_questions(sample.scene, sample.seed), *image_questions(sample.scene, sample.seed)]
        return asked[int(self.random.integers(len(asked)))].answer

    def reconstruct_motion(self, motion):
        values = self.random.normal(size=motion.values.shape).astype(np.float32)
        return MotionField(values=values, height=motion.height, width=motion.width)


def other_scene(scene: Scene) -> Scene:
    """A scene in which everything about the object is different."""
    actors = []
    for actor in scene.actors:
        events = tuple(Event(direction=OPPOSITE[event.direction]) for event in actor.events)
        actors.append(
            replace(
                actor,
                shape=SHAPES[(SHAPES.index(actor.shape) + 1) % len(SHAPES)],
                colour=COLOURS[(COLOURS.index(actor.colour) + 1) % len(COLOURS)],
                size=next(size for size in RADII if size != actor.size),
                start=(64.0, 64.0),
                events=events,
            )
        )
    return replace(scene, actors=tuple(actors))
