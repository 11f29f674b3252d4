"""Work of the page on the engine's thread, as events that an async generator can pass on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

from videolavit.errors import VideoLaVITError
from videolavit.server.engine import Engine, Event, Lane, Listener, NotReadyError, Task, Ticket

__all__ = ["HEARTBEAT_SECONDS", "ModelCalls", "Work"]

HEARTBEAT_SECONDS = 0.25
"""Between events while nothing happens: a visitor who has left is noticed so soon."""

Emit = Callable[[str, Any], None]
Work = Callable[[Any, Callable[[str, int, int], None], Emit], Any]
"""Called as work(model, progress, emit) on the engine's thread; gives the result."""


class ModelCalls:
    """Submits work for visitors, and cancels it when they say so or leave."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._tickets: dict[str, set[Ticket]] = defaultdict(set)

    async def events(
        self, work: Work, session: str, *, lane: Lane = "images", cost: float | int = 1
    ) -> AsyncIterator[Event]:
        """Do something with the model; see `_listened` for the events.

        Raises:
            QueueFullError, NotReadyError, WorkCancelledError, WorkTimeoutError: it was not taken, or not finished.
            VideoLaVITError: what the work itself raised.
        """
        tasks: list[Task] = []

        def run(model: Any, _: list[Task], progress: Callable[[str, int, int], None]) -> list[Any]:
            return [work(model, progress, tasks[0].emit)]

        def submit(listener: Listener) -> Ticket:
            tasks.append(Task(lane=lane, cost=cost, run=run))
            return self.engine.submit_task(tasks[0], listener=listener)

        async for event in self._listened(submit, session):
            yield event

    async def answer_events(self, request: Any, session: str, *, cost: float | int) -> AsyncIterator[Event]:
        """Write an answer; its events are those of `AnswerWriter`. Errors as in `events`."""
        async for event in self._listened(
            lambda listener: self.engine.submit_answer(request, cost=cost, listener=listener), session
        ):
            yield event

    async def result(self, work: Work, session: str, *, lane: Lane = "images", cost: float | int = 1) -> Any:
        """The result of `events` alone."""
        async for kind, content in self.events(work, session, lane=lane, cost=cost):
            if kind == "done":
                return content
        raise AssertionError("work ends in a result or an error")

    def stop(self, session: str) -> int:
        """Cancel all work of a visitor; how many pieces there were."""
        tickets = list(self._tickets.get(session, ()))
        for ticket in tickets:
            ticket.cancel()
        return len(tickets)

    async def _listened(self, submit: Callable[[Listener], Ticket], session: str) -> AsyncIterator[Event]:
        """Events as they come: ("loading", None) while the model is being loaded, ("waiting", number of pieces of work
        ahead), what the work tells, and last ("done", result)."""
        while self.engine.state == "loading":
            yield "loading", None
            await asyncio.sleep(HEARTBEAT_SECONDS)
        if self.engine.state == "failed":
            raise NotReadyError(f"the model could not be loaded: {_reason(self.engine.failure)}")
        loop, queue = asyncio.get_running_loop(), asyncio.Queue()
        ticket = submit(lambda event: _put(loop, queue, event))
        self._tickets[session].add(ticket)
        try:
            async for event in _until_done(queue, lambda: ("waiting", self.engine.ahead_of(ticket))):
                yield event
        finally:
            ticket.cancel()  # does nothing to work that is done
            self._tickets[session].discard(ticket)
            if not self._tickets[session]:
                del self._tickets[session]


async def _until_done(queue: asyncio.Queue[Event], heartbeat: Callable[[], Event]) -> AsyncIterator[Event]:
    while True:
        try:
            kind, content = await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
        except TimeoutError:
            yield heartbeat()
            continue
        if kind == "failed":
            raise content
        yield kind, content
        if kind == "done":
            return


def _put(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Event], event: Event) -> None:
    """Hand an event from the engine's thread to the event loop."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, event)


def _reason(error: BaseException | None) -> str:
    return str(error) if isinstance(error, VideoLaVITError) else "the log says why"
