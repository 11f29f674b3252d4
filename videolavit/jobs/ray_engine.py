"""Shards as pieces of work on Ray Data: on the cluster that `RAY_ADDRESS` names, or on one of this machine's own.

A row is one shard: what goes out is the task, what comes back its outcome, a few hundred bytes; the shard itself is
written to the disk that all machines share. Actors keep their models open from shard to shard. An actor that dies is
started again and its shard tried again, a bounded number of times; the attempts that `shard_jobs.do` notes let it look
into what kills it.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from videolavit.errors import ConfigError
from videolavit.jobs.shard_jobs import Outcome, Task, do_and_tell

__all__ = ["for_each_on_ray"]

_MAX_RESTARTS = 4
_MAX_TASK_RETRIES = 2
"""Ray's own default is to retry for ever."""


def for_each_on_ray(tasks: list[Task], *, workers: int) -> Iterator[Outcome]:
    """The outcome of every task, in the order in which they finish; `died` where an actor died too often.

    Raises:
        ConfigError: ray is not installed.
    """
    data = _started(workers)
    rows = [{"number": task.number, "task": pickle.dumps(task)} for task in tasks]
    outcomes = data.from_items(rows, override_num_blocks=len(rows)).map(
        _Worker,
        compute=data.ActorPoolStrategy(min_size=1, max_size=workers),
        num_cpus=1,
        num_gpus=_gpus_each(workers),
        max_restarts=_MAX_RESTARTS,
        max_task_retries=_MAX_TASK_RETRIES,
    )
    missing = {task.number: task for task in tasks}
    try:
        for row in outcomes.iter_rows():
            del missing[row["number"]]
            yield Outcome(**row)
    except _errors_of_actors() as error:
        logging.getLogger(__name__).warning("an actor died too often: %s", " ".join(str(error).split())[:500])
        for task in missing.values():
            yield task.outcome("died")


class _Worker:
    """Work of an actor on a row."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return asdict(do_and_tell(pickle.loads(row["task"])))


def _started(workers: int) -> Any:
    """`ray.data`, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.data  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError("--engine ray needs Ray: pip install 'videolavit[ray]'") from error
    if not ray.is_initialized():
        if "RAY_ADDRESS" in os.environ:
            ray.init(log_to_driver=False)
        else:  # one more than the actors need: Ray's own reader would starve
            ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray.data


def _gpus_each(workers: int) -> float:
    import ray  # pyright: ignore[reportMissingImports]

    return min(1.0, ray.cluster_resources().get("GPU", 0.0) / workers)


def _errors_of_actors() -> tuple[type[Exception], ...]:
    from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

    return (RayError,)
