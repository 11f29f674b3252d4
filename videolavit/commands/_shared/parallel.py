"""One function over many inputs, in one process per worker, and nothing lost when a process dies.

Workers are spawned, compute on one thread each, and end with the process that started them, even if that is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

__all__ = ["for_each"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def for_each(
    task: Callable[[Item], Result], items: Sequence[Item], *, workers: int, died: Callable[[Item], Result]
) -> Generator[Result, None, None]:
    """`task(item)` for every item, in the order in which they finish.

    Args:
        task: a function of a module, so that another process can import it.
        items: its arguments.
        workers: processes; with 1 everything happens in this one.
        died: the result for an item whose process ended without one, killed for memory perhaps.
    """
    if workers == 1:
        yield from map(task, items)
        return
    waiting = list(reversed(items))
    while waiting:
        suspects = yield from _until_one_dies(task, waiting, workers)
        for item in suspects:  # one of them did it: alone, each shows whether it was
            died_again = yield from _until_one_dies(task, [item], 1)
            if died_again:
                yield died(item)


def _until_one_dies(
    task: Callable[[Item], Result], waiting: list[Item], workers: int
) -> Generator[Result, None, list[Item]]:
    """Take items off the end of `waiting`, yield results, and return the items in work when a process died.

    Never more are in work than there are workers, so that suspects are few.
    """
    begun: dict[Future[Result], Item] = {}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare_worker) as pool:
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
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return []


def _prepare_worker() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
