"""Work spread over processes comes back whole, also when a process dies."""

from __future__ import annotations

import math
import multiprocessing
import os
import time

import pytest

from videolavit.jobs.pool import for_each, survives

# The task is `eval`, which every process can import.
WHERE_AM_I = "__import__('os').getpid()"
DIE = "__import__('os')._exit(9)"


def died(item: str) -> str:
    return f"died: {item}"


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_gives_one_result(workers):
    results = list(for_each(eval, ["1 + 1", "2 + 2", "3 + 3", "4 + 4", "5 + 5"], workers=workers, died=died))
    assert sorted(results) == [2, 4, 6, 8, 10]


def test_one_worker_is_this_process_and_two_are_others():
    assert set(for_each(eval, [WHERE_AM_I] * 2, workers=1, died=died)) == {os.getpid()}
    assert os.getpid() not in for_each(eval, [WHERE_AM_I] * 2, workers=2, died=died)


def test_a_process_that_dies_takes_no_other_item_with_it():
    items = ["1", DIE, "2", "3", DIE + " or 1", "4"]
    results = list(for_each(eval, items, workers=2, died=died))
    assert sorted(map(str, results)) == ["1", "2", "3", "4", died(DIE), died(DIE + " or 1")]


def test_workers_compute_on_one_thread():
    threads = for_each(eval, ["__import__('os').environ['OMP_NUM_THREADS']"] * 2, workers=2, died=died)
    assert list(threads) == [os.environ.get("OMP_NUM_THREADS", "1")] * 2


def test_nobody_waits_for_work_that_is_no_longer_wanted():
    started = time.monotonic()
    results = for_each(eval, ["1", "__import__('time').sleep(600)"], workers=2, died=died)
    assert next(results) == 1
    results.close()
    assert time.monotonic() - started < 300
    assert multiprocessing.active_children() == []


def test_processes_of_the_caller_are_left_alone():
    mine = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    mine.start()
    try:
        assert survives(math.sqrt, 4.0)
        assert mine.is_alive()
    finally:
        mine.kill()
        mine.join()
