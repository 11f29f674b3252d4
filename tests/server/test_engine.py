"""The engine without a model: lanes, admission, cancellation, draining, and answers between the steps of a task."""

from __future__ import annotations

import threading
import time

import pytest

from videolavit.errors import PromptError
from videolavit.server.engine import (
    Engine,
    EngineConfig,
    LaneConfig,
    NotReadyError,
    QueueFullError,
    Task,
    WorkCancelledError,
    WorkTimeoutError,
)

SECONDS = 120


class Letters:
    """Answers that are the letters of a word, one a step."""

    slots = 2

    def __init__(self, _model) -> None:
        self.under_way, self.steps, self.most = {}, 0, 0

    @property
    def active(self):
        return len(self.under_way)

    def submit(self, request, ticket):
        if request == "":
            raise PromptError("an empty word")
        self.under_way[ticket] = list(request)

    def cancel(self, ticket):
        self.under_way.pop(ticket, None)

    def step(self):
        self.steps += 1
        self.most = max(self.most, len(self.under_way))
        for ticket, letters in list(self.under_way.items()):
            ticket.emit("text", letters.pop(0))
            if not letters:
                del self.under_way[ticket]
                ticket.succeed("done")


def steps(count: int, *, every=lambda: None):
    def run(_model, tasks, progress):
        for step in range(count):
            every()
            progress("frames", step, count)
        return [f"{task.params} of {len(tasks)}" for task in tasks]

    return run


def waits_for(event: threading.Event):
    def run(_model, tasks, progress):
        while not event.is_set():
            time.sleep(0.002)
            progress("frames", 0, 1)
        return ["done" for _ in tasks]

    return run


@pytest.fixture
def make():
    engines = []

    def make_engine(**config):
        engine = Engine(lambda: "model", Letters, EngineConfig(**config)).start()
        until = time.monotonic() + SECONDS
        while engine.state == "loading":
            assert time.monotonic() < until
            time.sleep(0.001)
        engines.append(engine)
        return engine

    yield make_engine
    for engine in engines:
        engine.drain(0)


def test_more_answers_than_slots_are_all_given(make):
    engine = make()
    said = {word: [] for word in ("one", "three", "five")}
    tickets = [
        engine.submit_answer(word, cost=1, listener=lambda event, word=word: said[word].append(event)) for word in said
    ]
    assert [ticket.result(SECONDS) for ticket in tickets] == ["done"] * 3
    for word, events in said.items():
        assert "".join(content for kind, content in events if kind == "text") == word
        assert events[0] == ("started", None)
        assert events[-1] == ("done", "done")
    assert engine._answers.most <= 2


def test_an_answer_goes_on_while_a_task_is_under_way(make):
    engine, done = make(), threading.Event()
    task = Task(lane="videos", cost=1, run=waits_for(done))
    video = engine.submit_task(task)
    answer = engine.submit_answer("word", cost=1)
    assert answer.result(SECONDS) == "done"
    assert not video.future.done()
    done.set()
    assert video.result(SECONDS) == "done"


def test_a_wrong_answer_fails_alone(make):
    engine = make()
    wrong, right = engine.submit_answer("", cost=1), engine.submit_answer("word", cost=1)
    with pytest.raises(PromptError):
        wrong.result(SECONDS)
    assert right.result(SECONDS) == "done"
    assert engine.idle


def test_a_full_lane_refuses_and_says_when_to_come_back(make):
    done = threading.Event()
    engine = make(videos=LaneConfig(max_cost=10))
    first = engine.submit_task(Task(lane="videos", cost=8, run=waits_for(done)))
    with pytest.raises(QueueFullError) as refused:
        engine.submit_task(Task(lane="videos", cost=3, run=steps(1)))
    assert refused.value.retry_after > 0
    assert engine.submit_answer("word", cost=1).result(SECONDS) == "done"  # another lane
    done.set()
    first.result(SECONDS)
    assert engine.submit_task(Task(lane="videos", cost=30, run=steps(1), params=1)).result(SECONDS) == "1 of 1"


def test_waiting_work_is_cancelled_at_once_and_running_work_at_its_next_step(make):
    engine, never = make(), threading.Event()
    running = engine.submit_task(Task(lane="videos", cost=1, run=waits_for(never)))
    waiting = engine.submit_task(Task(lane="videos", cost=1, run=steps(1)))
    waiting.cancel()
    running.cancel()
    for ticket in (running, waiting):
        with pytest.raises(WorkCancelledError):
            ticket.result(SECONDS)
    assert engine.submit_answer("word", cost=1).result(SECONDS) == "done"
    assert engine.idle


def test_waiting_work_that_is_cancelled_makes_room_while_a_task_is_under_way(make):
    engine, done = make(videos=LaneConfig(max_cost=10)), threading.Event()
    running = engine.submit_task(Task(lane="videos", cost=5, run=waits_for(done)))
    waiting = engine.submit_task(Task(lane="videos", cost=5, run=steps(1)))
    waiting.cancel()
    with pytest.raises(WorkCancelledError):
        waiting.result(SECONDS)
    assert not running.future.done()
    next_one = engine.submit_task(Task(lane="videos", cost=5, run=steps(1), params="next"))
    done.set()
    assert next_one.result(SECONDS) == "next of 1"


def test_waiting_work_times_out_while_a_task_is_under_way(make):
    engine, done = make(videos=LaneConfig(max_cost=10, max_wait_seconds=0.5)), threading.Event()
    running = engine.submit_task(Task(lane="images", cost=1, run=waits_for(done)))  # waits as long as it must
    waiting = engine.submit_task(Task(lane="videos", cost=1, run=steps(1)))
    with pytest.raises(WorkTimeoutError) as late:
        waiting.result(SECONDS)
    assert late.value.where == "queue"
    assert not running.future.done()
    done.set()
    assert running.result(SECONDS) == "done"


def test_room_is_asked_for_only_while_nobody_changes_the_lanes(make):
    """Both happen on threads of their own, and what waits must not change while it is counted."""
    engine, answers = make(), []
    asking = threading.Thread(target=lambda: answers.append(engine.has_room("videos")))
    with engine._condition:
        asking.start()
        asking.join(0.2)
        assert answers == []
    asking.join(SECONDS)
    assert answers == [None]


def test_an_answer_is_cancelled_between_its_ids(make):
    engine, came = make(), threading.Event()
    ticket = engine.submit_answer("x" * 10_000_000, cost=1, listener=lambda event: came.set())
    assert came.wait(SECONDS)
    ticket.cancel()
    with pytest.raises(WorkCancelledError):
        ticket.result(SECONDS)
    assert engine._answers.active == 0


def test_work_that_takes_too_long_ends(make):
    engine = make(videos=LaneConfig(max_cost=10, max_run_seconds=0.05))
    ticket = engine.submit_task(Task(lane="videos", cost=1, run=waits_for(threading.Event())))
    with pytest.raises(WorkTimeoutError) as late:
        ticket.result(SECONDS)
    assert late.value.where == "run"


def test_tasks_that_are_alike_are_done_together(make):
    engine, done = make(max_batch=3), threading.Event()
    first = engine.submit_task(Task(lane="images", cost=1, run=waits_for(done)))
    alike = [Task(lane="videos", cost=1, run=steps(1), batch_key="k", params=i) for i in range(4)]
    other = Task(lane="videos", cost=1, run=steps(1), batch_key="other", params="o")
    tickets = [engine.submit_task(task) for task in (*alike, other)]
    done.set()
    first.result(SECONDS)
    assert [ticket.result(SECONDS) for ticket in tickets] == ["0 of 3", "1 of 3", "2 of 3", "3 of 1", "o of 1"]


def test_one_wrong_task_does_not_spoil_those_beside_it(make):
    def run(_model, tasks, progress):
        if any(task.params == "wrong" for task in tasks):
            raise PromptError("wrong")
        return ["right" for _ in tasks]

    engine, done = make(), threading.Event()
    first = engine.submit_task(Task(lane="images", cost=1, run=waits_for(done)))
    tickets = [
        engine.submit_task(Task(lane="videos", cost=1, run=run, batch_key=1, params=name))
        for name in ("a", "wrong", "b")
    ]
    done.set()
    first.result(SECONDS)
    assert tickets[0].result(SECONDS) == tickets[2].result(SECONDS) == "right"
    with pytest.raises(PromptError):
        tickets[1].result(SECONDS)


def test_draining_finishes_what_there_is_and_takes_no_more(make):
    engine, done = make(), threading.Event()
    running = engine.submit_task(Task(lane="videos", cost=1, run=waits_for(done)))
    engine.close_door()
    with pytest.raises(NotReadyError):
        engine.submit_answer("word", cost=1)
    threading.Timer(0.05, done.set).start()
    engine.drain(SECONDS)
    assert running.result(0) == "done"
    assert engine.state == "stopped"


def test_draining_ends_what_does_not_finish_in_time(make):
    engine = make()
    running = engine.submit_task(Task(lane="videos", cost=1, run=waits_for(threading.Event())))
    waiting = engine.submit_task(Task(lane="videos", cost=1, run=steps(1)))
    engine.drain(0.05)
    for ticket in (running, waiting):
        with pytest.raises(NotReadyError):
            ticket.result(0)


def test_time_for_draining_counts_from_when_no_more_work_was_taken(make):
    engine = make()
    running = engine.submit_task(Task(lane="videos", cost=1, run=waits_for(threading.Event())))
    engine.close_door()
    closed = time.monotonic()
    time.sleep(0.05)
    engine.drain(0.2)
    assert engine._deadline <= closed + 0.2
    with pytest.raises(NotReadyError):
        running.result(0)


def test_a_model_that_cannot_be_loaded_is_told():
    def load():
        raise PromptError("no model")

    engine = Engine(load, Letters).start()
    engine._thread.join(SECONDS)
    assert engine.state == "failed"
    with pytest.raises(NotReadyError):
        engine.submit_answer("word", cost=1)
