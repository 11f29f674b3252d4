"""Parts that all routes share: engine, gate for media, jobs; and waiting for work, which ends with its client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request

from videolavit.server.api_error import ApiError, as_api_error
from videolavit.server.engine import (
    Engine,
    Event,
    Lane,
    NotReadyError,
    QueueFullError,
    Task,
    Ticket,
    WorkCancelledError,
    WorkTimeoutError,
)
from videolavit.server.jobs import JobStore
from videolavit.server.media_gate import MediaGate
from videolavit.server.metrics import Metrics
from videolavit.server.request_limits import RequestLimits

__all__ = ["Services", "services_of"]


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything that routes need."""

    engine: Engine
    model_name: str
    fingerprint: str
    """Of model and version: equal seeds give equal answers while it stays the same."""
    limits: RequestLimits
    gate: MediaGate
    jobs: JobStore
    metrics: Metrics
    files: Executor
    """Threads that encode and write files."""
    memories: Path | None
    """Folder of the memories of long videos that clients may name."""
    created: int
    """Start of the server, in seconds since 1970."""
    has_keys: bool = False
    """True if requests need a key."""

    def check_model(self, name: str | None) -> None:
        """Refuse another model than the one that is served; None is that one."""
        if name is not None and name != self.model_name:
            message = f"there is no model {name[:80]!r} here, only {self.model_name!r}"
            raise ApiError(message, status=404, code="model_not_found", param="model")

    def memory(self, name: str, param: str) -> str:
        """The folder of a long video that was read before.

        Raises:
            ApiError: there is none by that name.
        """
        folder = None if self.memories is None or not _NAME.fullmatch(name) else self.memories / name
        if folder is None or not (folder / "memory.json").is_file():
            message = f"{param}: there is no memory {name[:80]!r} here"
            raise ApiError(message, status=404, code="memory_not_found", param=param)
        return str(folder)

    def refusal_at_the_door(self, lane: Lane) -> ApiError | None:
        """The answer to any work for a lane that has no room; None where the least work would be taken."""
        if self.engine.state != "ready":
            return self.refusal(NotReadyError(_STATES[self.engine.state]))
        full = self.engine.has_room(lane)
        return None if full is None else self.refusal(full)

    def submit_answer(self, request: Any, *, cost: float | int, listener: Callable[[Event], None]) -> Ticket:
        """`Engine.submit_answer` with the errors of the API."""
        try:
            return self.engine.submit_answer(request, cost=cost, listener=listener)
        except (QueueFullError, NotReadyError) as error:
            raise self.refusal(error) from None

    def submit_task(self, task: Task, *, listener: Callable[[Event], None]) -> Ticket:
        """`Engine.submit_task` with the errors of the API."""
        try:
            return self.engine.submit_task(task, listener=listener)
        except (QueueFullError, NotReadyError) as error:
            raise self.refusal(error) from None

    def refusal(self, error: Exception) -> ApiError:
        """The answer to work that was not taken, or not finished; it is counted."""
        if isinstance(error, QueueFullError):
            answer = ApiError(str(error), status=429, code="queue_full", retry_after=error.retry_after)
        elif isinstance(error, NotReadyError):
            answer = ApiError(str(error), status=503, code="not_ready", retry_after=5.0)
        elif isinstance(error, WorkTimeoutError):
            waited = error.where == "queue"
            status, code = (429, "queue_timeout") if waited else (504, "run_timeout")
            answer = ApiError(str(error), status=status, code=code, retry_after=5.0 if waited else None)
        elif isinstance(error, WorkCancelledError):
            answer = ApiError("the request was cancelled", status=499, code="cancelled")
        else:
            return as_api_error(error)
        self.metrics.labelled(self.metrics.rejected, reason=answer.code or "other").inc()
        return answer

    async def run(self, request: Request, submit: Callable[[Callable[[Event], None]], Ticket]) -> Any:
        """The result of work, which is cancelled when its client goes away.

        Raises:
            ApiError: it was not taken, or failed.
        """
        async for kind, content in self.events(request, submit):
            if kind == "done":
                return content
        raise AssertionError("work ends in a result or an error")

    async def events(
        self, request: Request, submit: Callable[[Callable[[Event], None]], Ticket]
    ) -> AsyncIterator[Event]:
        """Events of work as they come, the last one ("done", result).

        Raises:
            ApiError: it was not taken, or failed, or its client is gone.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event] = asyncio.Queue()
        ticket = submit(lambda event: _put(loop, queue, event))
        gone = asyncio.ensure_future(_until_gone(request, queue))
        try:
            while True:
                kind, content = await queue.get()
                if kind == "gone":
                    raise ApiError("the client is gone", status=499, code="cancelled")
                if kind == "failed":
                    raise self.refusal(content)
                yield kind, content
                if kind == "done":
                    return
        finally:
            ticket.cancel()  # does nothing to work that is done
            gone.cancel()


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
"""Of a memory: one plain folder."""

_STATES = {
    "loading": "the model is being loaded; try again soon",
    "draining": "the server is shutting down",
    "failed": "the model could not be loaded; the server's log says why",
    "stopped": "the server is shutting down",
}


def services_of(request: Request) -> Services:
    """The services of the app that a request came to."""
    return request.app.state.services


def _put(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Event], event: Event) -> None:
    """Hand an event from the engine's thread to the event loop."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, event)


async def _until_gone(request: Request, queue: asyncio.Queue[Event]) -> None:
    """Wait for the client to go away; the body has been read by now."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    queue.put_nowait(("gone", None))
