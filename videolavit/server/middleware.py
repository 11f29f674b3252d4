"""Layers before every route, as plain ASGI so that a client that goes away is seen: measures, hosts, keys, size."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from videolavit.server.api_error import ApiError
from videolavit.server.engine import Lane
from videolavit.server.metrics import Metrics

__all__ = ["Admission", "BodyLimit", "HostCheck", "KeyCheck", "Measured", "OriginCheck", "is_key", "send_error"]

_log = logging.getLogger(__name__)

Scope = dict[str, Any]
App = Callable[[Scope, Any, Any], Any]

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


class Measured:
    """Counter of requests and their times; adds headers that every answer has."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 499  # nginx's status for a client that was gone before the answer

        async def send_on(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", []), *_missing(message)]}
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        except Exception:
            status = 500 if status == 499 else status
            raise
        finally:
            handler = getattr(scope.get("route"), "path", None)
            handler = handler or (scope["path"] if scope["path"] in Admission.LANES else "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            counted = {"handler": handler, "method": method, "status": str(status)}
            self.metrics.labelled(self.metrics.requests, **counted).inc()
            seconds = time.monotonic() - started
            self.metrics.labelled(self.metrics.request_seconds, handler=handler).observe(seconds)


_METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")


def _missing(message: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in message.get("headers", [])}
    return [(name, value) for name, value in _HEADERS if name not in present]


class HostCheck:
    """Refusal of requests for other hosts than this one: a page elsewhere may have bent its name to this address."""

    def __init__(self, app: App, hosts: Iterable[str]) -> None:
        """Set up; `hosts` are names without port, or "*" for any."""
        self.app = app
        self._hosts = {*_LOCAL, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] in ("http", "websocket") and "*" not in self._hosts:
            host = _header(scope, b"host").decode("latin-1").lower()
            if re.sub(r":\d+\Z", "", host) not in self._hosts:
                message = "this server does not answer for that host; it can be allowed with --allow-host"
                await send_error(ApiError(message, status=403, code="invalid_host"), send)
                return
        await self.app(scope, receive, send)


class OriginCheck:
    """Refusal of what a page from elsewhere sends: a browser posts the forms of any page without asking this server.

    Only for servers without keys, which no such page knows. Programs that are no browsers name no origin.
    """

    def __init__(self, app: App, origins: Iterable[str]) -> None:
        """Set up; `origins` are those of pages that may use the server beside its own."""
        self.app = app
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS") and not self._knows(scope):
            message = "this server takes nothing from pages of other origins; --allow-origin names those that it may"
            await send_error(ApiError(message, status=403, code="invalid_origin"), send)
            return
        await self.app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        """True for its own origin, one that is allowed, and none."""
        origin, own = (_header(scope, name).decode("latin-1").lower() for name in (b"origin", b"host"))
        return not origin or origin in self._origins or origin.partition("://")[2] == own


class KeyCheck:
    """Refusal of requests without one of the keys, for every route but `/health` and a page with its own login."""

    OPEN = ("/health",)

    def __init__(self, app: App, keys: Iterable[str], page: str | None = None) -> None:
        """Set up; without keys nothing is refused. `page` is the path below which a page asks for keys itself."""
        self.app, self._page = app, page
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] == "http" and self._digests and not self._is_open(scope["path"]) and not self._knows(scope):
            message = "this server needs a key: send it as `Authorization: Bearer KEY`"
            await send_error(ApiError(message, status=401, code="invalid_api_key"), send)
            return
        await self.app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        is_page = self._page is not None and (
            path in ("/", "/favicon.ico", self._page) or path.startswith(f"{self._page}/")
        )
        return is_page or path in self.OPEN

    def _knows(self, scope: Scope) -> bool:
        """True if the request has a key."""
        scheme, _, key = _header(scope, b"authorization").partition(b" ")
        return scheme.lower() == b"bearer" and is_key(key.strip(), self._digests)


def is_key(key: bytes, digests: Iterable[bytes]) -> bool:
    """True if a key is one of those with these SHA-256 digests; every one is compared, and in constant time."""
    digest = hashlib.sha256(key).digest()
    known = [hmac.compare_digest(digest, one) for one in digests]
    return any(known)


class BodyLimit:
    """Bounds of size and time for bodies, of each and of all together, by what arrives and not by what headers say."""

    def __init__(self, app: App, *, max_bytes: int, together: int, seconds: float | int) -> None:
        """Set up; `max_bytes` and `seconds` are for each body, `together` are bytes of all that are kept at once."""
        self.app, self.max_bytes, self.together, self.seconds = app, max_bytes, together, seconds
        self.held = 0
        """Bytes of the bodies of all requests under way: each stays in memory until its request has ended."""

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if (declared := _header(scope, b"content-length")).isdigit() and int(declared) > self.max_bytes:
            await self._refuse(send)
            return
        body = _Body(receive, self)
        answered = False

        async def send_on(message: dict[str, Any]) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, body, send_on)
        except ApiError as error:
            if answered:
                raise
            await send_error(error, send)
        finally:
            self.held -= body.num_bytes

    async def _refuse(self, send: Any) -> None:
        await send_error(self.too_large, send)

    @property
    def too_large(self) -> ApiError:
        """The error for a body that is too large."""
        return ApiError(f"the body has more than {self.max_bytes} bytes", status=413, code="request_too_large")

    @property
    def too_many(self) -> ApiError:
        """The error for a body for which those of other requests leave no room."""
        message = "too much is being sent to this server at once; try again soon"
        return ApiError(message, status=429, code="queue_full", retry_after=5.0)


class Admission:
    """Refusal of work that there is no room for, before its body is parsed: under load, refusing must cost little."""

    LANES: Mapping[str, Lane] = {
        "/v1/chat/completions": "answers",
        "/v1/images/generations": "images",
        "/v1/images/edits": "images",
        "/v1/tokens": "images",
        "/v1/videos": "videos",
        "/v1/videos/sync": "videos",
        "/v1/videos/edits": "videos",
        "/v1/videos/extensions": "videos",
    }
    _REMIX = re.compile(r"/v1/videos/[^/]+/remix\Z")

    def __init__(self, app: App, refusal: Callable[[Lane], ApiError | None]) -> None:
        """Set up; `refusal` gives the error for a lane without room, None for one that has some."""
        self.app, self._refusal = app, refusal

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        lane = self.lane(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        error = None if lane is None else self._refusal(lane)
        if error is None:
            await self.app(scope, receive, send)
            return
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass  # a client that is still sending would not see the answer
        await send_error(error, send)

    @classmethod
    def lane(cls, path: str) -> Lane | None:
        """The lane of the work that is asked for at a path; None for a path that asks for none."""
        return "videos" if cls._REMIX.fullmatch(path) else cls.LANES.get(path)


class _Body:
    """`receive` of a request whose body is counted; once it is complete, waiting has no bounds."""

    def __init__(self, receive: Any, limit: BodyLimit) -> None:
        self._receive, self._limit = receive, limit
        self.num_bytes, self._complete = 0, False
        self._until = time.monotonic() + limit.seconds

    async def __call__(self) -> dict[str, Any]:
        if self._complete:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError:
            message = f"the body did not arrive within {self._limit.seconds:g} s"
            raise ApiError(message, status=408, code="request_timeout") from None
        size, limit = len(message.get("body", b"")), self._limit
        self.num_bytes += size
        limit.held += size
        if self.num_bytes > limit.max_bytes:
            raise limit.too_large
        if limit.held > limit.together and limit.held > self.num_bytes:
            raise limit.too_many
        self._complete = not message.get("more_body", False)
        return message


async def send_error(error: ApiError, send: Any) -> None:
    """Answer with an error, from outside of any route."""
    body = json.dumps(error.body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")
