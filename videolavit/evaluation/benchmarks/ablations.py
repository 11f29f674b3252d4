"""The paper's ablations (section 4.4) as measurements of one model in the shapes world.

Motion ids left out (table 6), keyframe or motion replaced by the truth, ids of a clip against ids of every frame, half
the context, and how the next keyframe starts (figure 5). Two models, or two settings of one, are measured by themselves
and held against one another by `videolavit evaluate compare`.
"""

from __future__ import annotations

from collections.abc import Sequence

from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions
from videolavit.evaluation.benchmarks.shapes import CORE, TWO_CLIPS, shapes_tasks
from videolavit.evaluation.codec_tasks import replaced_by_truth
from videolavit.evaluation.needs import ANIMATION, QUESTIONS, RECONSTRUCTION
from videolavit.evaluation.question_tasks import shortened_context
from videolavit.evaluation.tasks import Task, choose_tasks, each

__all__ = ["ablation_tasks"]

SAMPLES = 100
"""Of each task, by default."""

_SHAPES = ("motion_ids", "ids_per_second", "borders")
_OWN = (
    Task(
        name="replaced_by_truth",
        about="frames from tokens, and with the true keyframe or the true motion",
        needs=tuple(dict.fromkeys((*RECONSTRUCTION, *ANIMATION))),
        samples=CORE,
        results=each(replaced_by_truth),
        cost=6.0,
    ),
    Task(
        name="context",
        about="questions on the order of events, about two clips and about the first alone",
        needs=QUESTIONS,
        samples=TWO_CLIPS,
        results=each(shortened_context),
        cost=1.0,
    ),
)


def ablation_tasks(options: BenchmarkOptions | None = None, names: Sequence[str] = ()) -> list[Benchmark]:
    """The paper's ablations as measurements in the shapes world: motion ids, truth in place of tokens, context, noise.

    Raises:
        ConfigError: no sample is wanted, or there is no such task.
    """
    options = options or BenchmarkOptions()
    wanted = SAMPLES if options.limit is None else options.limit
    own: list[Benchmark] = [task.with_samples(wanted, options.seed) for task in _OWN]
    known = BenchmarkOptions(limit=wanted, seed=options.seed)
    return choose_tasks([*shapes_tasks(known, _SHAPES), *own], names)
