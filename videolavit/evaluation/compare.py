"""Two records of one benchmark, sample by sample: paired differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.record import Record
from videolavit.evaluation.statistics import Bootstrap, Estimate

__all__ = ["Difference", "compare", "comparison_table"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Second record minus first, of one measure."""

    task: str
    measure: str
    first: float
    second: float
    difference: Estimate
    """With the paired interval: both models are drawn on the same videos."""
    only_first: int
    """Samples on which only the first did better."""
    only_second: int


def compare(first: Record, second: Record) -> list[Difference]:
    """Differences in every measure that both records have of the same samples.

    Raises:
        ConfigError: the records share no sample, or their settings or judges differ, and not only their models.
    """
    _check_judges(first, second)
    found = []
    for task in first.outcomes:
        if task in second.outcomes:
            _check_settings(task, first, second)
            found += _task_differences(task, _by_id(first, task), _by_id(second, task))
    if not found:
        raise ConfigError("the two records share no measure of any sample")
    return found


def comparison_table(differences: Sequence[Difference]) -> str:
    """Markdown."""
    lines = ["| task | measure | first | second | difference | 95 % interval | n | only first | only second |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for one in differences:
        scale = 100 if one.difference.is_share else 1
        unit = " points" if one.difference.is_share else ""
        low, high = one.difference.low * scale, one.difference.high * scale
        cells = [one.task, one.measure, f"{one.first * scale:.2f}", f"{one.second * scale:.2f}"]
        cells += [f"{one.difference.value * scale:+.2f}{unit}", f"{low:+.2f} to {high:+.2f}"]
        cells += [str(one.difference.count), str(one.only_first), str(one.only_second)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _check_settings(task: str, first: Record, second: Record) -> None:
    settings = [dict(record.header["tasks"][task]["settings"]) for record in (first, second)]
    for name in sorted({*settings[0], *settings[1]} - {"limit"}):
        left, right = settings[0].get(name), settings[1].get(name)
        if left != right:
            raise ConfigError(f"{task}: the records differ in {name} ({left!r} and {right!r}), not only in the model")


def _check_judges(first: Record, second: Record) -> None:
    """Refuse records that two judges graded: one without grades shares no measure of theirs, and may be compared."""
    judges = [record.header.get("judge") for record in (first, second)]
    graded = [judge for judge in judges if judge is not None and judge.get("prompts")]
    if len(graded) == 2 and graded[0] != graded[1]:
        raise ConfigError(
            f"the records were graded by different judges ({graded[0]!r} and {graded[1]!r}); grade both by one"
        )


def _by_id(record: Record, task: str) -> dict[str, Outcome]:
    return {one.id: one for one in record.outcomes[task].values() if one is not None}


def _task_differences(task: str, first: Mapping[str, Outcome], second: Mapping[str, Outcome]) -> list[Difference]:
    shared = [name for name in first if name in second]
    if not shared:
        return []
    bootstrap = Bootstrap([first[name].group for name in shared])
    measures = dict.fromkeys(measure for name in shared for measure in first[name].values)
    return [
        _difference(task, measure, [first[name] for name in shared], [second[name] for name in shared], bootstrap)
        for measure in measures
        if any(measure in first[name].values and measure in second[name].values for name in shared)
    ]


def _difference(
    task: str, measure: str, first: Sequence[Outcome], second: Sequence[Outcome], bootstrap: Bootstrap
) -> Difference:
    values = np.array([[_mean(one, measure) for one in outcomes] for outcomes in (first, second)])
    known = np.isfinite(values).all(axis=0)
    values = np.where(known, values, np.nan)
    is_share = bool(((values[:, known] >= 0) & (values[:, known] <= 1)).all())
    change = values[1] - values[0]
    return Difference(
        task=task,
        measure=measure,
        first=float(values[0, known].mean()),
        second=float(values[1, known].mean()),
        difference=bootstrap.mean(change.tolist(), is_share=is_share),
        only_first=int((change[known] < 0).sum()),
        only_second=int((change[known] > 0).sum()),
    )


def _mean(outcome: Outcome, measure: str) -> float:
    value = np.atleast_1d(np.asarray(outcome.values.get(measure, np.nan), dtype=np.float64))
    return float(value.mean()) if value.size else np.nan
