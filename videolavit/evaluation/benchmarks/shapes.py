"""The evaluation in the shapes world: every task, on which samples, and what is aimed at.

Samples are scenes that training never drew (`FIRST_SEED`). Unless a task says otherwise they are of the core world and
of combinations of shape, colour and direction that training knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions, Target
from videolavit.evaluation.codec_tasks import (
    autoencoder,
    ids_per_second,
    motion_tokenizer,
    real_videos,
    reconstructed_keyframes,
    video_detokenizer,
    visual_tokenizer,
)
from videolavit.evaluation.generation_tasks import (
    image_to_video,
    jumps_at_borders,
    something_always_moves,
    text_to_image,
    text_to_video,
)
from videolavit.evaluation.needs import (
    ANIMATION,
    AUTOENCODER,
    IMAGE,
    MOTION,
    QUESTIONS,
    RECONSTRUCTION,
    VIDEO,
    VISUAL,
)
from videolavit.evaluation.question_tasks import (
    motion_questions,
    order_questions,
    questions_on_image,
    video_questions,
)
from videolavit.evaluation.samples import RealVideos, ShapesWorld
from videolavit.evaluation.tasks import Task, choose_tasks, each

__all__ = ["shapes_tasks", "task_names"]

SAMPLES = 500
"""Of each task, by default."""

CORE, UNSEEN, EXTENDED = ShapesWorld(), ShapesWorld(unseen=True), ShapesWorld(extended=True)
TWO_CLIPS = ShapesWorld(num_clips=2)
MOVING_CLIPS = ShapesWorld(num_clips=3, wanted=something_always_moves)


_TASKS = (
    Task(
        name="motion_tokenizer",
        about="motion to ids and back",
        needs=MOTION,
        samples=CORE,
        results=each(motion_tokenizer),
        targets={"endpoint error where it moves, px": Target(0.3, lower=True), "direction": Target(0.95)},
        cost=0.15,
    ),
    Task(
        name="autoencoder",
        about="an image to latents and back, without ids",
        needs=AUTOENCODER,
        samples=CORE,
        results=each(autoencoder),
        targets={"shape": Target(0.95)},
        cost=0.1,
    ),
    Task(
        name="visual_tokenizer",
        about="how many ids images have",
        needs=VISUAL,
        samples=CORE,
        results=each(visual_tokenizer),
        cost=0.05,
    ),
    Task(
        name="ids_per_second",
        about="ids of keyframe and motion against visual ids of every frame",
        needs=VISUAL + MOTION,
        samples=CORE,
        results=each(ids_per_second),
        targets={"times fewer": Target(5.0)},
        cost=0.3,
    ),
    Task(
        name="reconstructed_keyframes",
        about="an image to ids and, by the keyframe detokenizer, back",
        needs=RECONSTRUCTION,
        samples=CORE,
        results=each(reconstructed_keyframes),
        cost=0.3,
    ),
    Task(
        name="video_detokenizer",
        about="frames of a keyframe and motion from ids, against warping the keyframe by the same motion",
        needs=ANIMATION,
        samples=CORE,
        results=each(video_detokenizer),
        targets={
            "PSNR above warp, dB": Target(0.0),
            "overlap above warp": Target(0.0),
            "area nearer to 1 than warp": Target(0.0),
        },
        cost=1.5,
    ),
    Task(
        name="image_questions",
        about="questions on an image",
        needs=QUESTIONS,
        samples=CORE,
        results=each(questions_on_image),
        targets={"all": Target(0.97, 0.92)},
        cost=0.3,
    ),
    Task(
        name="video_questions",
        about="questions on a video of one clip",
        needs=QUESTIONS,
        samples=CORE,
        results=each(video_questions),
        targets={"all": Target(0.95, 0.90)},
        cost=0.6,
    ),
    Task(
        name="order",
        about="questions on the order of events in a video of two clips",
        needs=QUESTIONS,
        samples=TWO_CLIPS,
        results=each(order_questions),
        targets={"all": Target(0.90, 0.80)},
        cost=0.5,
    ),
    Task(
        name="motion_ids",
        about="questions on motion, asked about the video and about its keyframe alone",
        needs=QUESTIONS,
        samples=CORE,
        results=each(motion_questions),
        targets={"fall in points": Target(30.0)},
        cost=0.5,
    ),
    Task(
        name="text_to_image",
        about="an image of a caption",
        needs=IMAGE,
        samples=CORE,
        results=text_to_image,
        targets={"colour, shape and size": Target(0.95, 0.85)},
        cost=0.8,
    ),
    Task(
        name="text_to_video",
        about="a video of a caption",
        needs=VIDEO,
        samples=CORE,
        results=text_to_video,
        targets={"colour, shape and direction": Target(0.85, 0.70)},
        cost=2.5,
    ),
    Task(
        name="text_to_video_unseen",
        about="the same with combinations of shape, colour and direction that training never showed",
        needs=VIDEO,
        samples=UNSEEN,
        results=text_to_video,
        targets={"colour, shape and direction": Target(0.75, 0.55)},
        cost=2.5,
    ),
    Task(
        name="image_to_video",
        about="a given image, moved as a text says",
        needs=VIDEO,
        samples=CORE,
        results=image_to_video,
        targets={"direction": Target(0.85, 0.75), "colour and shape at the end": Target(0.95, 0.85)},
        cost=2.2,
    ),
    Task(
        name="borders",
        about="change between frames where clips meet, over that elsewhere, in videos of three clips",
        needs=VIDEO,
        samples=MOVING_CLIPS,
        results=jumps_at_borders,
        targets={
            "restart minus none": Target(0.0, lower=True),
            "inversion minus none": Target(0.0, lower=True),
        },
        cost=15.0,
    ),
    Task(
        name="extended_visual_tokenizer",
        about="how many ids images of the extended world have",
        needs=VISUAL,
        samples=EXTENDED,
        results=each(visual_tokenizer),
        cost=0.05,
        is_core=False,
    ),
    Task(
        name="extended_reconstructed_keyframes",
        about="keyframes of the extended world to ids and back",
        needs=RECONSTRUCTION,
        samples=EXTENDED,
        results=each(reconstructed_keyframes),
        cost=0.3,
        is_core=False,
    ),
    Task(
        name="extended_video_questions",
        about="questions on two objects, growing and shrinking, photographic grounds",
        needs=QUESTIONS,
        samples=EXTENDED,
        results=each(video_questions),
        cost=0.6,
        is_core=False,
    ),
    Task(
        name="extended_text_to_video",
        about="videos of captions of the extended world",
        needs=VIDEO,
        samples=EXTENDED,
        results=text_to_video,
        cost=2.5,
        is_core=False,
    ),
)


def task_names(*, videos: bool = False) -> list[str]:
    """All tasks in order; that on real videos only if there are any."""
    return [task.name for task in _TASKS] + ["real_videos"] * videos


def shapes_tasks(options: BenchmarkOptions | None = None, names: Sequence[str] = ()) -> list[Benchmark]:
    """Codecs, questions and generation in the world of moving shapes: tasks in the order in which they are done.

    Args:
        options: `limit` samples of each task, by default 500 scenes; `data` is a folder of real videos, for one more
            task, by default on all of them.
        names: of the tasks; all of them if none is named.

    Raises:
        ConfigError: there is no such task, `real_videos` is asked for without a folder of them, or no sample is wanted.
    """
    options = options or BenchmarkOptions()
    wanted = SAMPLES if options.limit is None else options.limit
    tasks = [task.with_samples(wanted, options.seed) for task in _TASKS]
    if options.data is not None:
        videos = RealVideos(folder=options.data)
        wanted = len(videos.paths) if options.limit is None else options.limit
        tasks.append(_real_videos(videos).with_samples(wanted, options.seed))
    hint = "; real_videos needs a folder of videos" if "real_videos" in names else ""
    return choose_tasks(tasks, names, hint=hint)


def _real_videos(videos: RealVideos) -> Task:
    return Task(
        name="real_videos",
        about="clips of real videos: frames from motion ids against warping by the same motion",
        needs=ANIMATION,
        samples=videos,
        results=each(real_videos),
        targets={"PSNR above warp, dB": Target(0.0)},
        batch_size=1,
        cost=8.0,
        is_core=False,
    )
