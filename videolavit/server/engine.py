"""One thread that owns a model and does all work with it, for a server, a page, or any program with many users.

Work waits in lanes: answers, images and videos each have a line of their own, bounded by cost and not by count. A task
(an image, a video) runs alone or with others like it; answers are written together, one id of each at a time, and go on
between the steps of a task: the task's progress callback is where they do. So an answer never waits for a video.

Submitted work is held as a `Ticket`, which tells events, gives the result, and cancels. Work that is cancelled stops at
the next id or denoising step. Nothing here knows of HTTP.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from videolavit.errors import ConfigError, VideoLaVITError

__all__ = [
    "THREAD",
    "Answers",
    "Engine",
    "EngineConfig",
    "Event",
    "LaneConfig",
    "NotReadyError",
    "QueueFullError",
    "Task",
    "Ticket",
    "WorkCancelledError",
    "WorkTimeoutError",
]

_log = logging.getLogger(__name__)

THREAD = "videolavit-engine"
"""Name of the thread that owns a model."""

Event = tuple[str, Any]
"""Kind and content of what happens to a piece of work, such as ("progress", (stage, done, total))."""


Listener = Callable[[Event], None]


class QueueFullError(VideoLaVITError):
    """A lane has no room; `retry_after` says after how many seconds it may."""

    def __init__(self, message: str, *, retry_after: float | int, lane: str) -> None:
        super().__init__(message)
        self.retry_after, self.lane = retry_after, lane


class NotReadyError(VideoLaVITError):
    """The model is being loaded, or the engine is stopping."""


class WorkCancelledError(VideoLaVITError):
    """The work was cancelled by whoever asked for it."""


class WorkTimeoutError(VideoLaVITError):
    """The work took longer than the engine allows; `where` is "queue" or "run"."""

    def __init__(self, message: str, where: str) -> None:
        super().__init__(message)
        self.where = where


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneConfig:
    """Bounds of one lane. Cost is counted in the lane's own unit: ids of answers, denoising steps of the others."""

    max_cost: float | int
    """Of all work that waits or runs. A lane that is empty takes work of any cost."""
    max_wait_seconds: float | int = 600.0
    """Work that would wait longer than this, as far as the speed so far tells, is refused; so is work that does."""
    max_run_seconds: float | int = 3600.0

    def __post_init__(self) -> None:
        for name in ("max_cost", "max_wait_seconds", "max_run_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """Bounds of the engine."""

    answers: LaneConfig = field(default_factory=lambda: LaneConfig(max_cost=16384, max_wait_seconds=60))
    images: LaneConfig = field(default_factory=lambda: LaneConfig(max_cost=1000))
    videos: LaneConfig = field(default_factory=lambda: LaneConfig(max_cost=4000))
    max_batch: int = 4
    """Tasks of one kind that are done together."""
    answer_share: float | int = 0.5
    """Share of the time that answers may take from a task that is under way."""

    def lane(self, name: str) -> LaneConfig:
        """Bounds of the lane of that name."""
        return getattr(self, name)


Lane = Literal["answers", "images", "videos"]

_STOPPED = (WorkCancelledError, WorkTimeoutError, NotReadyError)
"""Errors that end a task from outside."""


@dataclass(kw_only=True, eq=False)
class Task:
    """Work that runs from beginning to end.

    `run(model, tasks, progress)` gives a result for each of `tasks`: this one alone, or several whose `batch_key` is
    equal and not None. It calls `progress(stage, done, total)` at every id and denoising step, which may raise.
    """

    lane: Lane
    cost: float | int
    run: Callable[[Any, list[Task], Callable[[str, int, int], None]], list[Any]]
    batch_key: Hashable | None = None
    params: Any = None
    """For `run`."""
    ticket: Ticket = field(init=False)

    def emit(self, kind: str, content: Any) -> None:
        """Tell whoever asked for the work."""
        self.ticket.emit(kind, content)


class Answers(Protocol):
    """Writer of several answers at once, an id of each at a time; `videolavit.server.answers` has one."""

    @property
    def active(self) -> int:
        """Answers under way."""
        ...

    @property
    def slots(self) -> int:
        """Most answers that are under way at once."""
        ...

    def submit(self, request: Any, ticket: Ticket) -> None:
        """Begin an answer. Its end is `ticket.succeed` or `ticket.fail`. Raises if it cannot be begun."""

    def cancel(self, ticket: Ticket) -> None:
        """Drop an answer."""

    def step(self) -> None:
        """One id of each answer under way."""


class Ticket:
    """A piece of work under way, as seen by whoever asked for it; all methods may be called from any thread."""

    def __init__(self, lane: Lane, cost: float | int, listener: Listener | None) -> None:
        self.lane: Lane = lane
        self.cost = cost
        self.submitted = time.monotonic()
        self.started: float | int | None = None
        """Of `time.monotonic`, as are the others; None until then."""
        self.first_output: float | int | None = None
        self.finished: float | int | None = None
        self.future: Future[Any] = Future()
        self._cancelled = threading.Event()
        self._listener = listener
        self._engine: Engine | None = None

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def status(self) -> Literal["queued", "running", "done"]:
        """State of the work."""
        return "done" if self.future.done() else "queued" if self.started is None else "running"

    def cancel(self) -> None:
        """Stop the work: at once if it waits, at the next id or denoising step if it runs."""
        self._cancelled.set()
        if self._engine is not None:
            self._engine._wake()

    def result(self, timeout: float | int | None = None) -> Any:
        """The result; waits for it.

        Raises:
            WorkCancelledError, WorkTimeoutError: the work did not come to its end.
            VideoLaVITError: what the work itself raised.
        """
        return self.future.result(timeout)

    def emit(self, kind: str, content: Any) -> None:
        """Tell the listener of output; for the engine's own thread, as are `succeed` and `fail`."""
        self.first_output = self.first_output or time.monotonic()
        self._notify(kind, content)

    def succeed(self, result: Any) -> None:
        """End the work."""
        self._end()
        if not self.future.done():
            self.future.set_result(result)
            self._notify("done", result)

    def fail(self, error: BaseException) -> None:
        """End the work with an error."""
        self._end()
        if not self.future.done():
            self.future.set_exception(error)
            self._notify("failed", error)

    def _end(self) -> None:
        self.finished = self.finished or time.monotonic()

    def _notify(self, kind: str, content: Any) -> None:
        if self._listener is None:
            return
        try:
            self._listener((kind, content))
        except Exception:  # a listener that is gone must not stop the work of others
            _log.debug("a listener failed", exc_info=True)


class _Line:
    """Work of one lane that waits, what of it runs, and how fast it goes."""

    def __init__(self, config: LaneConfig) -> None:
        self.config = config
        self.waiting: deque[tuple[Any, Ticket]] = deque()
        self.running: dict[Ticket, float | int] = {}
        self.cost_per_second = 0.0
        self.measured = time.monotonic()
        """Time at which the speed was last measured, or the lane last empty."""

    @property
    def cost(self) -> float | int:
        return sum(ticket.cost for _, ticket in self.waiting) + sum(ticket.cost for ticket in self.running)

    def check(self, cost: float | int, name: str) -> None:
        """Refuse what would be too much, or would wait too long."""
        present = self.cost
        if not present:
            return
        wait = present / self.cost_per_second if self.cost_per_second else 0.0
        if present + cost > self.config.max_cost or wait > self.config.max_wait_seconds:
            message = f"too many {name} are waiting; try again in {math.ceil(max(wait, 1))} s"
            raise QueueFullError(message, retry_after=min(max(wait / 2, 0.5), 60.0), lane=name)

    def measure(self, cost: float | int) -> None:
        """Learn from work that was done since the last time: an average that forgets."""
        now = time.monotonic()
        speed, self.measured = cost / max(now - self.measured, 1e-6), now
        self.cost_per_second = speed if not self.cost_per_second else 0.8 * self.cost_per_second + 0.2 * speed


class Engine:
    """The thread that owns the model."""

    def __init__(
        self,
        load: Callable[[], Any],
        answers: Callable[[Any], Answers],
        config: EngineConfig | None = None,
        *,
        on_end: Callable[[Ticket], None] | None = None,
    ) -> None:
        """Set up without starting.

        Args:
            load: gives the model, on the engine's thread, with all loaded that should be before the first request.
            answers: makes the writer of answers for that model.
            config: bounds.
            on_end: called on the engine's thread with every ticket that ends, for measuring.
        """
        self.config = config or EngineConfig()
        self.state: Literal["loading", "ready", "draining", "failed", "stopped"] = "loading"
        self.model: Any = None
        self.failure: BaseException | None = None
        self._load, self._make_answers, self._on_end = load, answers, on_end
        self._answers: Answers | None = None
        self._lines: dict[str, _Line] = {
            name: _Line(self.config.lane(name)) for name in ("answers", "images", "videos")
        }
        self._condition = threading.Condition()
        self._closed: float | int | None = None
        """Time at which no more work was taken; None until then."""
        self._deadline = math.inf
        self._tick: _Tick | None = None
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)

    def start(self) -> Engine:
        """Begin to load the model, and then to work."""
        self._thread.start()
        return self

    def submit_answer(self, request: Any, *, cost: float | int, listener: Listener | None = None) -> Ticket:
        """Put an answer in line.

        Raises:
            QueueFullError: its lane has no room.
            NotReadyError: the engine is loading or stopping.
        """
        return self._submit(request, Ticket("answers", cost, listener))

    def submit_task(self, task: Task, *, listener: Listener | None = None) -> Ticket:
        """Put a task in line; raises as `submit_answer` does."""
        task.ticket = Ticket(task.lane, task.cost, listener)
        return self._submit(task, task.ticket)

    def has_room(self, lane: Lane) -> QueueFullError | None:
        """The error that the least work would meet now; None where it would be taken."""
        try:
            with self._condition:
                self._lines[lane].check(1, lane)
        except QueueFullError as error:
            return error
        return None

    @property
    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Pieces of work that wait and that run, by lane."""
        with self._condition:
            return {name: (len(line.waiting), len(line.running)) for name, line in self._lines.items()}

    def ahead_of(self, ticket: Ticket) -> int:
        """Pieces of work, running or waiting, whose turn comes before that of a task or answer that waits."""
        if ticket.started is not None:
            return 0
        with self._condition:
            lines = [line for name, line in self._lines.items() if (name == "answers") == (ticket.lane == "answers")]
            running = sum(len(line.running) for line in lines)
            waiting = sum(one.submitted < ticket.submitted for line in lines for _, one in line.waiting)
        return running + waiting

    @property
    def idle(self) -> bool:
        """True if nothing waits and nothing runs."""
        return not any(sum(pair) for pair in self.counts.values())

    def pause(self) -> None:
        """Let answers go on in the middle of a step of a task; for places in the model, on the engine's thread."""
        if self._tick is not None:
            self._tick.pause()

    def close_door(self) -> None:
        """Take no more work from now on; what there is goes on. Safe in a signal handler."""
        if self.state in ("ready", "loading"):
            self._closed, self.state = time.monotonic(), "draining"

    def drain(self, seconds: float | int) -> None:
        """Take no more work, finish what there is, and stop the thread; the rest is cancelled so many seconds after the
        door was closed, which may have been before."""
        self.close_door()
        with self._condition:
            self._deadline = (self._closed or time.monotonic()) + seconds
            self._condition.notify_all()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(seconds + 30)

    # What follows runs on the engine's thread, but for `_submit` and `_wake`.

    def _submit(self, work: Any, ticket: Ticket) -> Ticket:
        with self._condition:
            if self.state != "ready":
                raise NotReadyError(f"the model is {'being loaded' if self.state == 'loading' else 'not available'}")
            line = self._lines[ticket.lane]
            line.check(ticket.cost, ticket.lane)
            ticket._engine = self
            line.waiting.append((work, ticket))
            self._condition.notify_all()
        return ticket

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _run(self) -> None:
        try:
            self.model = self._load()
            self._answers = self._make_answers(self.model)
        except BaseException as error:
            self.failure, self.state = error, "failed"
            _log.error("the model cannot be loaded: %s", error)
            return
        with self._condition:
            if self.state == "loading":
                self.state = "ready"
        while self._wait():
            try:
                self._work()
            except Exception:  # one fault must not end the service
                _log.exception("the engine met an unexpected error")
        self.state = "stopped"

    def _wait(self) -> bool:
        """Wait for something to do; False when the engine is to stop."""
        with self._condition:
            while True:
                busy = any(line.waiting or line.running for line in self._lines.values())
                if self.state == "draining" and (not busy or time.monotonic() >= self._deadline):
                    self._give_up()
                    return False
                if busy:
                    return True
                self._condition.wait()

    def _give_up(self) -> None:
        for line in self._lines.values():
            tickets = [*(ticket for _, ticket in line.waiting), *line.running]
            line.waiting.clear()
            for ticket in tickets:
                self._finish(ticket, NotReadyError("the server is shutting down"))

    def _work(self) -> None:
        tasks = self._next_tasks()
        if tasks:
            self._run_tasks(tasks)
        else:
            self._step_answers()

    def _next_tasks(self) -> list[Task]:
        """The task that has waited longest, and others of its lane that can be done together with it."""
        with self._condition:
            self._drop_all_ended()
            lines = [line for name, line in self._lines.items() if name != "answers" and line.waiting]
            if not lines:
                return []
            line = min(lines, key=lambda one: one.waiting[0][1].submitted)
            first: Task = line.waiting[0][0]
            alike = [task for task, _ in line.waiting if first.batch_key is not None and _is_like(task, first)]
            taken = (alike or [first])[: self.config.max_batch]
            line.waiting = deque(pair for pair in line.waiting if pair[0] not in taken)
            for task in taken:
                line.running[task.ticket] = task.cost
            return taken

    def _drop_all_ended(self) -> None:
        """Make room in every lane, also while a task is under way."""
        with self._condition:
            for line in self._lines.values():
                self._drop_ended(line)

    def _drop_ended(self, line: _Line) -> None:
        """Take out what waits and was cancelled, or has waited too long."""
        now, kept = time.monotonic(), deque()
        for work, ticket in line.waiting:
            if ticket.cancelled:
                self._finish(ticket, WorkCancelledError("cancelled"))
            elif now - ticket.submitted > line.config.max_wait_seconds:
                seconds = f"{line.config.max_wait_seconds:g} s"
                self._finish(
                    ticket, WorkTimeoutError(f"waited longer than {seconds} for its turn; try again later", "queue")
                )
            else:
                kept.append((work, ticket))
        line.waiting = kept

    def _run_tasks(self, tasks: list[Task]) -> None:
        line = self._lines[tasks[0].lane]
        line.measured = time.monotonic()
        for task in tasks:
            task.ticket.started = task.ticket.started or time.monotonic()
            task.ticket._notify("started", None)
        self._tick = _Tick(self, tasks, line.config.max_run_seconds)
        try:
            results = tasks[0].run(self.model, tasks, self._tick)
        except _STOPPED as error:
            self._tick = None
            self._fail_all(tasks, error)
        except Exception as error:
            self._tick = None
            if len(tasks) == 1:
                self._fail_all(tasks, error)
            for task in tasks if len(tasks) > 1 else []:  # one of them is at fault: alone, it fails alone
                self._run_tasks([task])
        else:
            self._tick = None
            line.measure(sum(task.cost for task in tasks))
            for task, result in zip(tasks, results, strict=True):
                self._finish(task.ticket, WorkCancelledError("cancelled") if task.ticket.cancelled else None, result)

    def _fail_all(self, tasks: list[Task], error: Exception) -> None:
        for task in tasks:
            self._finish(task.ticket, WorkCancelledError("cancelled") if task.ticket.cancelled else error)

    def _finish(self, ticket: Ticket, error: BaseException | None, result: Any = None) -> None:
        with self._condition:
            self._lines[ticket.lane].running.pop(ticket, None)
        if error is None:
            ticket.succeed(result)
        else:
            ticket.fail(error)
            if not isinstance(error, VideoLaVITError):
                _log.error("work failed", exc_info=error)
        if self._on_end is not None:
            self._on_end(ticket)

    def _step_answers(self) -> bool:
        """One id of every answer under way, after those that wait have begun; False if there is none."""
        assert self._answers is not None
        line = self._lines["answers"]
        self._begin_answers(line)
        if not line.running:
            return False
        now, most = time.monotonic(), line.config.max_run_seconds
        for ticket in [one for one in line.running if one.cancelled or now - (one.started or now) > most]:
            self._answers.cancel(ticket)
            error = (
                WorkCancelledError("cancelled")
                if ticket.cancelled
                else WorkTimeoutError(f"ran longer than {most:g} s", "run")
            )
            self._finish(ticket, error)
        if line.running:
            self._step_or_fail(line)
        self._collect_answers(line)
        return True

    def _step_or_fail(self, line: _Line) -> None:
        """A step; if it fails as a whole, nobody's answer would ever end, so all of them end here."""
        assert self._answers is not None
        try:
            self._answers.step()
        except Exception as error:
            _log.exception("answers failed")
            for ticket in list(line.running):
                self._answers.cancel(ticket)
                self._finish(ticket, error)

    def _collect_answers(self, line: _Line) -> None:
        ended = [one for one in line.running if one.future.done()]
        if ended:
            line.measure(sum(ticket.cost for ticket in ended))
        for ticket in ended:
            with self._condition:
                line.running.pop(ticket, None)
            if self._on_end is not None:
                self._on_end(ticket)

    def _begin_answers(self, line: _Line) -> None:
        assert self._answers is not None
        while True:
            with self._condition:
                self._drop_ended(line)
                if not line.waiting or self._answers.active >= self._answers.slots:
                    return
                request, ticket = line.waiting.popleft()
                line.measured = line.measured if line.running else time.monotonic()
                line.running[ticket] = ticket.cost
            ticket.started = time.monotonic()
            try:
                self._answers.submit(request, ticket)
            except Exception as error:
                self._finish(ticket, error)
            else:
                ticket._notify("started", None)


class _Tick:
    """The progress callback of a task: tells, stops, and lets answers go on in between."""

    def __init__(self, engine: Engine, tasks: list[Task], max_run_seconds: float | int) -> None:
        self._engine, self._tasks, self._max = engine, tasks, max_run_seconds
        self._started = self._last = time.monotonic()
        self._inside = False

    def pause(self) -> None:
        """Let answers go on."""
        self._let_answers_go_on(time.monotonic())

    def __call__(self, stage: str, done: int, total: int) -> None:
        for task in self._tasks:
            task.ticket._notify("progress", (stage, done, total))
        if all(task.ticket.cancelled for task in self._tasks):
            raise WorkCancelledError("cancelled")
        now = time.monotonic()
        if now - self._started > self._max:
            raise WorkTimeoutError(f"ran longer than {self._max:g} s", "run")
        if now > self._engine._deadline:
            raise NotReadyError("the server is shutting down")
        self._engine._drop_all_ended()
        self._let_answers_go_on(now)

    def _let_answers_go_on(self, now: float | int) -> None:
        """Answers take their share of the time since the last call, and at least one step."""
        if self._inside:
            return
        self._inside = True
        share = self._engine.config.answer_share
        until = now + (now - self._last) * share / max(1 - share, 1e-3)
        try:
            while self._engine._step_answers() and time.monotonic() < until:
                pass
        finally:
            self._inside, self._last = False, time.monotonic()


def _is_like(task: Task, first: Task) -> bool:
    return task.batch_key == first.batch_key
