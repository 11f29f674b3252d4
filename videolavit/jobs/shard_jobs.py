"""Shards as pieces of work: each is made where it is missing, by whoever comes first, and appears whole.

`run_jobs` is what every `videolavit prepare` task does with its shards. Several launches may work on one folder, with
`--part I/N` each on its own shards, without it on whatever is free. A shard whose work kills its process is looked
into after two attempts of a launch, and given up after three; the reason stands in `.NAME.failed` until asked again.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from tqdm import tqdm

from videolavit.errors import ConfigError, MediaError, VideoLaVITError
from videolavit.jobs.claims import Attempts, ClaimWatch, claimed
from videolavit.jobs.partial_files import remove_abandoned, write_text
from videolavit.jobs.pool import for_each, survives

__all__ = [
    "ALONE",
    "Engine",
    "JobError",
    "JobOptions",
    "Outcome",
    "Part",
    "ShardJob",
    "raise_failures",
    "run_jobs",
    "write_alone",
]

Engine = Literal["processes", "ray"]

_LOOK_INTO = 2
_GIVE_UP = 3
_POLL_SECONDS = 0.5
_MOST_DEATHS = 3
"""Seen from outside, for processes that die before the work notes its attempt."""


class JobError(VideoLaVITError):
    """Some shards could not be made; the others were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Every `count`-th shard from `index` on."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part that `I/N` names, I from 0 to N-1.

        Raises:
            ConfigError: it names none.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"got --part {text!r}, expected I/N with I from 0 to N-1, as in 0/4")
        return cls(index=int(index), count=int(count))

    def of(self, jobs: Sequence[Any]) -> Sequence[Any]:
        return jobs[self.index :: self.count]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions:
    """Engine that does the work."""

    workers: int = 1
    """Processes of this launch; actors with Ray."""
    part: Part = Part()
    engine: Engine = "processes"
    retry_failed: bool = False
    """Try again what was given up before."""


ALONE = JobOptions()
"""All shards in this process, one after another."""


@runtime_checkable
class ShardJob(Protocol):
    """One shard to make; it is sent to other processes, so it must be picklable."""

    @property
    def path(self) -> Path:
        """The shard's last file."""
        ...

    def is_current(self) -> bool:
        """True if the shard is there and still fits what it is made of."""
        ...

    def write(self) -> None:
        """Make the shard; it appears whole."""
        ...

    def look_into(self) -> None:
        """Find in processes of their own what killed the work twice, so that `write` can leave it out."""
        ...

    def forget_failures(self) -> None:
        """Make the shard count as missing if something of it failed."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Outcome of one piece of work; small, since it may travel between machines."""

    number: int
    name: str
    state: Literal["made", "kept", "held", "died", "failed"]
    """`held`: another launch works on it; `died`: its process ended without a word."""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A job with what its worker needs to know of the launch."""

    number: int
    job: ShardJob
    launch: str

    def outcome(self, state: Any, reason: str = "", seconds: float = 0.0) -> Outcome:
        return Outcome(
            number=self.number, name=self.job.path.name, state=state, reason=_one_line(reason), seconds=seconds
        )


def run_jobs(
    jobs: Sequence[ShardJob], options: JobOptions, *, isolated: bool = False, what: str = "shards"
) -> list[Outcome]:
    """Make the shards that are missing in this launch's part, and wait for those on which other launches work.

    Args:
        jobs: all shards of the folder, in an order that all launches share.
        isolated: work in another process even with one worker, since foreign files may kill it.
        what: for the progress bar.

    Returns:
        An outcome for each shard that was not there: made, failed, or kept because another launch made it.

    Raises:
        VideoLaVITError: what a shard's work raised, but for `MediaError`, which is an outcome.
    """
    launch = uuid.uuid4().hex
    tasks = [Task(number=n, job=job, launch=launch) for n, job in enumerate(options.part.of(jobs))]
    if options.retry_failed:
        for task in tasks:
            _failed_note(task.job.path).unlink(missing_ok=True)
            task.job.forget_failures()
    waiting = [task for task in tasks if not task.job.is_current()]
    outcomes: list[Outcome] = []
    watch, deaths = ClaimWatch(), Counter[int]()
    with tqdm(total=len(waiting), desc=what, disable=None) as bar:
        while waiting:
            free = [task for task in waiting if watch.is_free(task.job.path)]
            again = {task.number for task in waiting} - {task.number for task in free}
            for outcome in _engine(options, isolated)(free) if free else ():
                deaths[outcome.number] += outcome.state == "died"
                if deaths[outcome.number] > _MOST_DEATHS:
                    outcome = replace(outcome, state="failed", reason="its process died again and again")
                if outcome.state in ("held", "died"):
                    again.add(outcome.number)
                else:
                    outcomes.append(outcome)
                    bar.update()
            waiting = [task for task in waiting if task.number in again]
            if waiting and not free:
                time.sleep(_POLL_SECONDS)
    return sorted(outcomes, key=lambda outcome: outcome.number)


def raise_failures(outcomes: Iterable[Outcome]) -> None:
    """Say which shards failed.

    Raises:
        JobError: any did.
    """
    outcomes = list(outcomes)
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        reasons = "; ".join(f"{outcome.name}: {outcome.reason}" for outcome in failed[:10])
        raise JobError(
            f"{len(failed)} of {len(outcomes)} shards could not be made, the others are there: {reasons}; "
            "mend their sources and run it again with --retry-failed"
        )


def do(task: Task) -> Outcome:
    """Make one shard, unless it is there, another process makes it, or it was given up."""
    job, began = task.job, time.perf_counter()
    with claimed(job.path) as mine:
        if not mine:
            return task.outcome("held")
        if job.is_current():
            return task.outcome("kept")
        if reason := _given_up(job.path):
            return task.outcome("failed", reason)
        attempts = Attempts(job.path)
        own, others = attempts.counts(task.launch)
        if own >= _GIVE_UP:
            return _give_up(task, attempts)
        remove_abandoned(job.path)
        attempts.begin(task.launch)
        try:
            if own >= _LOOK_INTO or others >= _LOOK_INTO:
                job.look_into()
            job.write()
        except MediaError as error:
            attempts.end()
            return task.outcome("failed", str(error))
        except BaseException:
            attempts.end()
            raise
        attempts.end()
    return task.outcome("made", seconds=time.perf_counter() - began)


def do_and_tell(task: Task) -> Outcome:
    """`do`, with whatever goes wrong as an outcome: for engines that would lose or repeat an exception."""
    try:
        return do(task)
    except Exception as error:
        return task.outcome("failed", f"{type(error).__name__}: {error}")


def give_up(path: Path, reason: str) -> None:
    """Note that a shard is not to be tried again."""
    write_text(_failed_note(path), f"{_one_line(reason)}\n")


def write_alone(job: ShardJob) -> None:
    """`look_into` for work without parts: do it in a process of its own, and give the shard up if that dies.

    Raises:
        MediaError: it died.
    """
    if not survives(_write, job):
        reason = "its work killed its process, alone as well"
        give_up(job.path, reason)
        raise MediaError(f"{job.path.name}: {reason}")


def _write(job: ShardJob) -> None:
    job.write()


def _give_up(task: Task, attempts: Attempts) -> Outcome:
    reason = f"its work killed its process {_GIVE_UP} times"
    give_up(task.job.path, reason)
    attempts.end()
    return task.outcome("failed", reason)


def _given_up(path: Path) -> str:
    try:
        return f"{_failed_note(path).read_text(encoding='utf-8').strip()} (not tried again)"
    except (OSError, ValueError):
        return ""


def _failed_note(path: Path) -> Path:
    return path.with_name(f".{path.name}.failed")


def _engine(options: JobOptions, isolated: bool) -> Callable[[list[Task]], Iterator[Outcome]]:
    if options.engine == "ray":
        from videolavit.jobs.ray_engine import for_each_on_ray

        return partial(for_each_on_ray, workers=options.workers)
    return partial(_in_processes, workers=options.workers, isolated=isolated)


def _in_processes(tasks: list[Task], *, workers: int, isolated: bool) -> Iterator[Outcome]:
    workers = min(workers, len(tasks))
    yield from for_each(do, tasks, workers=workers, died=_died, isolated=isolated)


def _died(task: Task) -> Outcome:
    return task.outcome("died")


def _one_line(text: str) -> str:
    return " ".join(text.split())
