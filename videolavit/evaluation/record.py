"""The record of an evaluation: all that is needed to argue with a number, in one file of JSON lines.

    header   benchmarks with their settings (data hashes, prompts, decoding, scorer), model and its settings, part
    sample   one line for each: id, prompt, answer, truth, values, why it failed
    scores   for each benchmark: scores with intervals, n, failures, the official count, judge
    run      machine, version, seconds: the only line in which two runs of the same thing differ

Records of parts are merged only if everything in their headers but the part is equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from videolavit import __version__
from videolavit.errors import ConfigError, OutputError
from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions, Outcome
from videolavit.evaluation.journal import load_arrays, outcome_from_json, outcome_to_json, save_arrays
from videolavit.evaluation.runner import Part, Runner, features_folder
from videolavit.evaluation.statistics import Estimate

__all__ = [
    "Record",
    "known_outcomes",
    "merge_records",
    "read_record",
    "record_of",
    "summarising_benchmarks",
    "write_record",
]

FORMAT = "videolavit evaluation record 1"
_FAILURES_NAMED = 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Record:
    """A record in memory."""

    header: Mapping[str, Any]
    outcomes: Mapping[str, Mapping[int, Outcome | None]]
    """By benchmark and number of the sample."""
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By benchmark the line of its scores."""
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def part(self) -> Part:
        """Share of the samples that it holds."""
        return Part(index=self.header["part"][0], total=self.header["part"][1])

    def value(self, task: str, measure: str) -> Estimate:
        """One score."""
        line = self.scores[task]["scores"][measure]
        return estimate_from_json(line)


def score_lines(
    benchmarks: Sequence[Benchmark], outcomes: Mapping[str, Mapping[int, Outcome | None]]
) -> dict[str, dict[str, Any]]:
    """The line of scores of each benchmark that has outcomes."""
    return {
        benchmark.name: _score_line(benchmark, outcomes[benchmark.name])
        for benchmark in benchmarks
        if outcomes.get(benchmark.name)
    }


def record_of(
    runner: Runner,
    name: str,
    *,
    model: str,
    settings: Mapping[str, Any] | None = None,
    judge: Mapping[str, Any] | None = None,
) -> Record:
    """The record of a runner that has measured everything of its part.

    Args:
        runner: its benchmarks and outcomes.
        name: of the benchmark, or of the set of tasks.
        model: where the model came from, as a reader would name it.
        settings: of the model, such as steps and guidance, as JSON values.
        judge: facts of the judge that graded the outcomes.
    """
    from videolavit.evaluation.evaluation_report import machine

    outcomes = {task: {n: one.outcome for n, one in runner.stored(task).items()} for task in runner.benchmarks}
    seconds = sum(one.seconds for task in runner.benchmarks for one in runner.stored(task).values())
    return Record(
        header=_header(runner, name, model, settings) | ({} if judge is None else {"judge": dict(judge)}),
        outcomes=outcomes,
        scores=score_lines(list(runner.benchmarks.values()), outcomes),
        run={"machine": machine(), "seconds": round(seconds, 1), "skipped": runner.skipped},
    )


def known_outcomes(path: Path, runner: Runner) -> Iterator[tuple[str, int, Outcome | None, float]]:
    """Outcomes of a finished record of the same run: task, number, outcome, and seconds, of all of them alike.

    Raises:
        OutputError: the file is no record, or that of another run.
    """
    record = read_record(path)
    for task, identity in runner.identities.items():
        found = record.header["tasks"].get(task, {}).get("identity")
        if found != identity or record.part != runner.part:
            raise OutputError(
                f"{path}: is the record of another model, part or setting of {task}; choose another file, or delete it"
            )
    known = {task: record.outcomes.get(task, {}) for task in runner.identities}
    each = float(record.run.get("seconds", 0.0)) / max(sum(map(len, known.values())), 1)
    for task, outcomes in known.items():
        for number, outcome in outcomes.items():
            yield task, number, outcome, each


def summarising_benchmarks(header: Mapping[str, Any]) -> list[Benchmark]:
    """Benchmarks of a header, without their data: enough to summarise outcomes."""
    from videolavit.evaluation.benchmarks import make_benchmarks
    from videolavit.evaluation.tasks import Task

    settings = next(iter(header["tasks"].values()))["settings"]
    made = make_benchmarks(header["name"], BenchmarkOptions(variant=settings.get("variant") or None))
    found = {one.name: one for one in made if one.name in header["tasks"]}
    for one in made:
        if isinstance(one, Task):  # tasks of a set are summarised in one way, those too that need data to be made
            found |= {name: replace(one, name=name) for name in header["tasks"] if name not in found}
    return [found[name] for name in header["tasks"] if name in found]


def write_record(path: Path, record: Record) -> None:
    """Write a record whole or not at all, samples in the order of their numbers.

    Raises:
        OutputError: it cannot be written.
    """
    lines = [{"kind": "header", **record.header}]
    for task, found in record.outcomes.items():
        for number, outcome in sorted(found.items()):
            lines.append({"kind": "sample", "task": task, "number": number, **outcome_to_json(outcome)})
            if outcome is not None and outcome.arrays:
                save_arrays(features_folder(path), task, number, outcome.arrays)
    lines += [{"kind": "scores", **line} for line in record.scores.values()]
    lines.append({"kind": "run", "version": __version__, **record.run})
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"{path}: the record cannot be written: {error}") from error


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        OutputError: the file is no record, or ends too early.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not lines or lines[0].get("format") != FORMAT:
            raise ValueError("its first line is no header")
        if lines[-1].get("kind") != "run":
            raise ValueError("its last line is missing: it was cut off")
        return _from_lines(path, lines)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{path}: is no record of an evaluation ({error})") from error


def merge_records(records: Mapping[Path, Record], make: Callable[[Mapping[str, Any]], Sequence[Benchmark]]) -> Record:
    """One record of all parts of a run.

    Args:
        records: parts by their files; their order does not matter.
        make: gives the benchmarks of a header, to summarise.

    Raises:
        ConfigError: settings differ, a part is missing or there twice.
    """
    (first_path, first), *others = records.items()
    for path, record in others:
        if difference := _difference(first.header, record.header):
            raise ConfigError(f"{path} and {first_path} differ in {difference}; only parts of one run can be merged")
    indices = sorted(record.part.index for record in records.values())
    if indices != list(range(1, first.part.total + 1)):
        raise ConfigError(f"got the parts {indices} of {first.part.total}, expected each part once")
    ordered = sorted(records.values(), key=lambda record: record.part.index)
    tasks = dict.fromkeys(task for record in ordered for task in record.outcomes)
    outcomes = {
        task: {number: one for record in ordered for number, one in record.outcomes.get(task, {}).items()}
        for task in tasks
    }
    header = {**first.header, "part": [1, 1]}
    runs = [dict(record.run) for record in ordered]
    return Record(
        header=header,
        outcomes=outcomes,
        scores=score_lines(make(header), outcomes),
        run={"merged": len(runs), "parts": runs},
    )


def estimate_to_json(estimate: Estimate) -> dict[str, Any]:
    """Values of an estimate; ends that are not known are null."""
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.count}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return finite | {"share": estimate.is_share}


def estimate_from_json(values: Mapping[str, Any]) -> Estimate:
    """An estimate of what `estimate_to_json` made."""
    low, high = values["low"], values["high"]
    return Estimate(
        value=math.nan if values["value"] is None else values["value"],
        low=-math.inf if low is None else low,
        high=math.inf if high is None else high,
        count=values["n"],
        is_share=values["share"],
    )


def _header(runner: Runner, name: str, model: str, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    tasks = {
        task: {
            "settings": benchmark.settings(),
            "identity": runner.identities[task],
            "count": benchmark.count(),
            "needs": list(benchmark.needs),
            "targets": {measure: asdict(target) for measure, target in benchmark.targets.items()},
        }
        for task, benchmark in runner.benchmarks.items()
    }
    part = [runner.part.index, runner.part.total]
    digests = {task: runner.model_digests[task] for task in runner.benchmarks}
    told = {"name": model, "digests": digests} | ({} if settings is None else {"settings": dict(settings)})
    return {"format": FORMAT, "name": name, "model": told, "part": part, "tasks": tasks}


def _score_line(benchmark: Benchmark, outcomes: Mapping[int, Outcome | None]) -> dict[str, Any]:
    used = [one for _, one in sorted(outcomes.items()) if one is not None]
    failed = [one for one in used if one.failure]
    return {
        "task": benchmark.name,
        "n": len(used),
        "unusable": len(outcomes) - len(used),
        "failed": len(failed),
        "failures": [{"id": one.id, "reason": one.failure} for one in failed[:_FAILURES_NAMED]],
        "scores": {name: estimate_to_json(found) for name, found in benchmark.summary(used).items()} if used else {},
    }


def _from_lines(path: Path, lines: Sequence[dict[str, Any]]) -> Record:
    outcomes: dict[str, dict[int, Outcome | None]] = {}
    scores: dict[str, dict[str, Any]] = {}
    for line in lines[1:-1]:
        task = line["task"]
        if line["kind"] == "sample":
            arrays = load_arrays(features_folder(path), task, line["number"]) if line.get("arrays") else None
            outcomes.setdefault(task, {})[line["number"]] = outcome_from_json(line, arrays)
        else:
            scores[task] = {name: value for name, value in line.items() if name != "kind"}
    header = {name: value for name, value in lines[0].items() if name != "kind"}
    return Record(header=header, outcomes=outcomes, scores=scores, run=lines[-1])


def _difference(one: Mapping[str, Any], other: Mapping[str, Any], where: str = "") -> str:
    """First place where two headers differ, but for the index of the part; empty if none."""
    for name in sorted({*one, *other}):
        left, right = one.get(name), other.get(name)
        if name == "part" and not where:
            left, right = left and left[1], right and right[1]
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            if inner := _difference(left, right, f"{where}{name}."):
                return inner
        elif left != right:
            return f"{where}{name} ({left!r} and {right!r})"
    return ""
