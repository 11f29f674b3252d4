"""Measurements of how well a model does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videolavit.evaluation.evaluation_report import Report
    from videolavit.pipeline import VideoLaVIT

__all__ = ["evaluate"]


def evaluate(
    model: VideoLaVIT,
    *,
    tasks: tuple[str, ...] | list[str] | None = None,
    samples: int = 500,
    seed: int = 0,
    videos: Path | None = None,
    path: Path | None = None,
) -> Report:
    """Measure a model in the shapes world; `videolavit evaluate shapes` for Python.

    Args:
        model: what is measured. Tasks that need a part it does not have are left out and named in the report.
        tasks: their names (`videolavit evaluate --help`); None for all of them.
        samples: of each task.
        seed: another one gives other scenes, and other draws of the model.
        videos: folder of real videos, for one more task.
        path: file for the results, of which those that are in it already are not measured again.

    Raises:
        ConfigError: there is no such task, or no sample is wanted.
        OutputError: the file cannot be read or written, or holds something else.
    """
    # Imported here, so that the judge alone does not import torch.
    from videolavit.evaluation.benchmark import BenchmarkOptions
    from videolavit.evaluation.benchmarks.shapes import shapes_tasks
    from videolavit.evaluation.evaluation_report import report
    from videolavit.evaluation.pipeline_adapter import PipelineAdapter
    from videolavit.evaluation.runner import run_all

    benchmarks = shapes_tasks(BenchmarkOptions(limit=samples, seed=seed, data=videos), tuple(tasks or ()))
    runner = run_all(PipelineAdapter(model), benchmarks, path=path)
    return report(runner, samples=samples, seed=seed)
