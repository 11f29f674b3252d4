"""The evaluation in the world of things: every task, on which scenes, and what is aimed at (docs/things.md).

`--data` names the file of images that `videolavit prepare things-sources` wrote; `--variant` says of how many things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from videolavit.data.things.catalogue import STEPS
from videolavit.data.things.sampling import SceneOptions
from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions, Target
from videolavit.evaluation.needs import ANIMATION, IMAGE, QUESTIONS, RECONSTRUCTION, VIDEO
from videolavit.evaluation.tasks import Task, choose_tasks, each
from videolavit.evaluation.things.samples import ThingsWorld
from videolavit.evaluation.things.tasks import (
    captions_or_not,
    image_to_video,
    motion_questions,
    questions_on_image,
    questions_on_video,
    reconstructed_keyframes,
    text_to_image,
    text_to_video,
    video_detokenizer,
)

__all__ = ["things_task_names", "things_tasks"]

SAMPLES = 500
"""Of each task, by default."""

VARIANTS = tuple(str(step) for step in STEPS)


def _scenes(**options: object) -> ThingsWorld:
    return ThingsWorld(file=None, scenes=SceneOptions(**{"num_things": 1, **options}))  # type: ignore[arg-type]


ONE, UNSEEN, TWO = _scenes(), _scenes(split="held-out"), _scenes(num_things=2)
STYLES, PLACES, TWO_CLIPS = _scenes(split="new-styles"), _scenes(split="new-places"), _scenes(num_clips=2)

_TASKS = (
    Task(
        name="things_keyframes",
        about="an image to ids and, by the keyframe detokenizer, back",
        needs=RECONSTRUCTION,
        samples=ONE,
        results=each(reconstructed_keyframes),
        targets={"thing": Target(0.95, 0.85)},
        cost=0.5,
    ),
    Task(
        name="things_detokenizer",
        about="frames of a keyframe and its motion, against warping the keyframe by the same motion",
        needs=ANIMATION,
        samples=ONE,
        results=each(video_detokenizer),
        targets={"PSNR above warp, dB": Target(3.0, 1.5), "clean from true motion": Target(0.97, 0.92)},
        cost=3.0,
    ),
    Task(
        name="things_text_to_image",
        about="an image of a caption",
        needs=IMAGE,
        samples=ONE,
        results=text_to_image,
        targets={"thing and place": Target(0.92, 0.80)},
        cost=1.0,
    ),
    Task(
        name="things_text_to_video",
        about="a video of a caption",
        needs=VIDEO,
        samples=ONE,
        results=text_to_video,
        targets={"thing, motion and clean": Target(0.80, 0.60)},
        cost=5.0,
    ),
    Task(
        name="things_text_to_video_unseen",
        about="the same with combinations of thing, place and motion that training never showed",
        needs=VIDEO,
        samples=UNSEEN,
        results=text_to_video,
        targets={"thing, motion and clean": Target(0.70, 0.50)},
        cost=5.0,
    ),
    Task(
        name="things_two",
        about="videos of captions of two things",
        needs=VIDEO,
        samples=TWO,
        results=text_to_video,
        targets={"thing, motion and clean": Target(0.50, 0.25)},
        cost=7.0,
    ),
    Task(
        name="things_new_styles_to_video",
        about="an image of a thing in a style that training never showed, moved as a text says",
        needs=VIDEO,
        samples=STYLES,
        results=image_to_video,
        targets={"motion and clean": Target(0.80, 0.60)},
        cost=5.0,
    ),
    Task(
        name="things_new_places_to_video",
        about="an image from a place that training never showed, moved as a text says",
        needs=VIDEO,
        samples=PLACES,
        results=image_to_video,
        targets={"motion and clean": Target(0.80, 0.60)},
        cost=5.0,
    ),
    Task(
        name="things_questions",
        about="questions on a video of one thing",
        needs=QUESTIONS,
        samples=ONE,
        results=each(questions_on_video),
        targets={"all": Target(0.95, 0.88), "what": Target(0.98, 0.92)},
    ),
    Task(
        name="things_order",
        about="questions on a video of two clips",
        needs=QUESTIONS,
        samples=TWO_CLIPS,
        results=each(questions_on_video),
        targets={"order": Target(0.92, 0.85)},
    ),
    Task(
        name="things_two_questions",
        about="questions on a video of two things",
        needs=QUESTIONS,
        samples=TWO,
        results=each(questions_on_video),
        targets={"all": Target(0.90, 0.75)},
    ),
    Task(
        name="things_captions",
        about="whether a caption is true of an image or a video, where false ones differ from a true one in one point",
        needs=QUESTIONS,
        samples=ONE,
        results=each(captions_or_not),
    ),
    Task(
        name="things_motion_ids",
        about="questions on motion, asked about the video and about its keyframe alone",
        needs=QUESTIONS,
        samples=ONE,
        results=each(motion_questions),
        targets={"fall in points": Target(30.0)},
    ),
    Task(
        name="things_new_styles",
        about="questions on an image of a thing in a style that training never showed",
        needs=QUESTIONS,
        samples=STYLES,
        results=each(questions_on_image),
        targets={"all": Target(0.80, 0.60)},
    ),
)


def things_task_names() -> list[str]:
    """All tasks in order."""
    return [task.name for task in _TASKS]


def things_tasks(options: BenchmarkOptions | None = None, names: Sequence[str] = ()) -> list[Benchmark]:
    """Tasks in the order in which they are done.

    Args:
        options: `data` is the file of images; `limit` samples of each task, 500 by default; `variant` is the number of
            things, "24" by default.
        names: of the tasks; all of them if none is named.

    Raises:
        ConfigError: there is no such task or variant, or no sample is wanted.
    """
    options = options or BenchmarkOptions()
    variant = options.variant or VARIANTS[0]
    if variant not in VARIANTS:
        raise ConfigError(f"got --variant {variant}, expected the number of things, {', '.join(VARIANTS)}")
    wanted = SAMPLES if options.limit is None else options.limit
    tasks = []
    for task in _TASKS:
        world = task.samples
        if not isinstance(world, ThingsWorld):
            raise TypeError(f"got samples {world!r}, expected scenes of the world of things")
        world = replace(world, file=options.data, scenes=replace(world.scenes, things=int(variant)))
        tasks.append(replace(task, samples=world).with_samples(wanted, options.seed))
    return choose_tasks(tasks, names)
