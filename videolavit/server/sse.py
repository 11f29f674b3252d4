"""Events of a stream over HTTP, with a sign of life for proxies and an end when the client goes away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from videolavit.server.api_error import ApiError, as_api_error

__all__ = ["EventStream"]

_log = logging.getLogger(__name__)

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # or nginx keeps the events until there are enough
}
_PING_SECONDS = 15.0


class EventStream(Response):
    """Objects as `data:` lines, and `[DONE]` at the end; an error on the way is the last event.

    An error before the first object is an ordinary answer, so `start` is awaited before this is returned.
    """

    def __init__(self, objects: AsyncIterator[dict[str, Any]], *, ping_seconds: float | int = _PING_SECONDS) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._objects, self._ping_seconds = objects, ping_seconds
        self._next: asyncio.Future[dict[str, Any] | None] | None = None

    async def start(self) -> EventStream:
        """Wait for the first object.

        Raises:
            ApiError: there was an error in its place.
        """
        first = await anext(self._objects, None)
        self._next = asyncio.get_running_loop().create_future()
        self._next.set_result(first)
        return self

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send everything."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for line in self._lines():
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            _log.debug("a client left its stream")
        finally:
            if self._next is not None and not self._next.done():
                self._next.cancel()
                with suppress(asyncio.CancelledError, ApiError):
                    await self._next
            await self._objects.aclose()  # type: ignore[attr-defined] - a generator

    async def _lines(self) -> AsyncIterator[bytes]:
        try:
            while True:
                if self._next is None:
                    self._next = asyncio.ensure_future(anext(self._objects, None))  # type: ignore[arg-type]
                done, _ = await asyncio.wait([self._next], timeout=self._ping_seconds)
                if not done:
                    yield b": ping\n\n"
                    continue
                found, self._next = self._next.result(), None
                if found is None:
                    yield b"data: [DONE]\n\n"
                    return
                yield _line(found)
        except Exception as error:
            answer = as_api_error(error)
            if not isinstance(error, ApiError):
                _log.exception("a stream failed")
            yield _line(answer.body)


def _line(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
