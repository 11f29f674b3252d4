"""One function over many inputs, in one process per worker, and nothing lost when a process dies.

Workers are spawned, compute on one thread each, and end with the process that started them, even if that is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

__all__ = ["for_each", "survives", "worker_number"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_number = 0


def for_each(
    task: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    died: Callable[[Item], Result],
    isolated: bool = False,
) -> Generator[Result, None, None]:
    """`task(item)` for every item, in the order in which they finish.

    Args:
        task: a function of a module, so that another process can import it.
        items: its arguments.
        workers: processes; with 1 everything happens in this one.
        died: the result for an item whose process ended without one, killed for memory perhaps.
        isolated: work in another process even with one worker, since an item may kill it.
    """
    if workers == 1 and not isolated:
        yield from map(task, items)
        return
    waiting = list(reversed(items))
    while waiting:
        suspects = yield from _until_one_dies(task, waiting, workers)
        for item in suspects:  # one of them did it: alone, each shows whether it was
            died_again = yield from _until_one_dies(task, [item], 1)
            if died_again:
                yield died(item)


def survives(task: Callable[[Item], Any], item: Item) -> bool:
    """True if a process lives through `task(item)`; what the task raises is raised here."""
    [lived] = for_each(_nothing_of, [(task, item)], workers=1, died=_dead, isolated=True)
    return lived


def worker_number() -> int:
    """Number of this worker among those of its pool, 0 in the first process: tells workers which device to take."""
    return _number


def _nothing_of(call: tuple[Callable[[Any], Any], Any]) -> bool:
    task, item = call
    task(item)
    return True


def _dead(_: Any) -> bool:
    return False


def _until_one_dies(
    task: Callable[[Item], Result], waiting: list[Item], workers: int
) -> Generator[Result, None, list[Item]]:
    """Take items off the end of `waiting`, yield results, and return the items in work when a process died.

    Never more are in work than there are workers, so that suspects are few.
    """
    begun: dict[Future[Result], Item] = {}
    context, others = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, context, _prepare_worker, (context.Value("i", 0),)) as pool:
        try:
            while waiting or begun:
                while waiting and len(begun) < workers:
                    begun[pool.submit(task, waiting[-1])] = waiting[-1]
                    waiting.pop()
                for future in wait(begun, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    del begun[future]
                    yield result
        except BrokenProcessPool:
            return list(begun.values())
        except (
            BaseException
        ):  # interrupted, or the caller wants no more: leaving `with` would wait for the items in work
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise
    return []


def _prepare_worker(started: Any) -> None:
    global _number
    with started.get_lock():
        _number, started.value = started.value, started.value + 1
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    if torch := sys.modules.get("torch"):  # or after it, where the function's own module has done so
        torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
