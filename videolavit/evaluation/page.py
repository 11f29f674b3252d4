"""Findings of an evaluation as a page of the documentation (docs/results.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from videolavit.evaluation.evaluation_report import Report, TaskReport

__all__ = ["results_page"]

_HEADER = ("| measure | value | 95 % interval | n | target | met |", "| --- | --- | --- | --- | --- | --- |")

_INTRODUCTION = """\
# Results

Written by the command below, not by hand. Shares have Wilson's 95 % interval, means that of the normal distribution. n
counts what a share or mean is of: samples, or questions on them. A target in parentheses is the least that was set.
"""

_WORLDS = {"shapes": "[the shapes world](shapes.md)", "things": "[the world of things](things.md)"}
"""Rendered worlds by the names under which they are measured."""


def results_page(report: Report, facts: Mapping[str, str], measured: str = "") -> str:
    """Markdown; `facts` are said at its beginning: the command, and how the model was trained.

    `measured` is what was asked for, such as "shapes".
    """
    core = [task for task in report.tasks if task.is_core]
    beyond = [task for task in report.tasks if not task.is_core]
    lines = [_INTRODUCTION + _world(measured), *_facts(report, facts), *_targets(report.tasks)]
    lines += ["## The core world" if beyond else "## Tasks", "", *_sections(core)]
    if beyond:
        lines += ["## Beyond the core world", "", *_sections(beyond)]
    if report.skipped:
        lines += ["## Not measured", "", *(f"- {name}: {reason}" for name, reason in report.skipped.items()), ""]
    return "\n".join(lines).rstrip() + "\n"


def _world(measured: str) -> str:
    """A sentence on where samples come from, if they are rendered."""
    if measured not in _WORLDS:
        return ""
    return f"Scenes, prompts and the judge are those of {_WORLDS[measured]}; training never draws these scenes.\n"


def _facts(report: Report, facts: Mapping[str, str]) -> Iterator[str]:
    seconds = sum(task.seconds_per_sample * task.num_samples for task in report.tasks)
    own = {
        "evaluated on": report.machine,
        "evaluation took": f"{seconds / 60:.0f} min of one process",
        "seed": str(report.seed),
        "version": report.version,
    }
    for name, text in {**facts, **own}.items():
        yield f"- {name}: {text}"
    yield ""


def _targets(tasks: Sequence[TaskReport]) -> Iterator[str]:
    """All measures that have a target, in one table."""
    yield "## Targets"
    yield ""
    yield "| task " + _HEADER[0]
    yield "| --- " + _HEADER[1]
    for task in tasks:
        for row in task.rows:
            if row.target is not None:
                yield f"| {task.name} | {' | '.join(row.cells())} |"
    yield ""


def _sections(tasks: Sequence[TaskReport]) -> Iterator[str]:
    for task in tasks:
        yield f"### {task.name}"
        yield ""
        about = task.about[0].upper() + task.about[1:]
        yield f"{about}. {task.num_samples} samples, {task.seconds_per_sample:.2f} s each."
        yield ""
        yield from _HEADER
        for row in task.rows:
            yield f"| {' | '.join(row.cells())} |"
        yield ""
