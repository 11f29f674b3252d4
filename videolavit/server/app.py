"""The ASGI app: routes, and around them what every request passes. Serve it with any ASGI server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from videolavit import __version__
from videolavit.server.answers import AnswerWriter
from videolavit.server.api_error import ApiError, as_api_error
from videolavit.server.engine import Engine
from videolavit.server.fetch import Fetcher
from videolavit.server.jobs import JobStore
from videolavit.server.media_gate import MediaGate
from videolavit.server.metrics import Metrics
from videolavit.server.middleware import Admission, BodyLimit, HostCheck, KeyCheck, Measured, OriginCheck
from videolavit.server.pauses import add_pauses
from videolavit.server.quiet_log import quiet_remarks
from videolavit.server.routes import chat, images, status, tokens, videos
from videolavit.server.schemas import VideoBody
from videolavit.server.server_config import ServerConfig
from videolavit.server.services import Services
from videolavit.server.video_jobs import VideoJobs
from videolavit.server.workers import MediaWorkers

__all__ = ["create_app"]

_log = logging.getLogger(__name__)


def create_app(load: Callable[[], Any], config: ServerConfig) -> FastAPI:
    """The app of one model, which is loaded when the server starts.

    Args:
        load: gives a `VideoLaVIT`; called on the engine's thread.
        config: how the server behaves.

    Raises:
        OutputError: the folder for videos cannot be used.
    """
    quiet_remarks()
    metrics = Metrics(config.model_name)

    def answers(model: Any) -> AnswerWriter:
        add_pauses(model, engine.pause)
        return AnswerWriter(model, slots=config.answer_slots)

    engine = Engine(load, answers, config.engine, on_end=metrics.end)
    services = Services(
        engine=engine,
        model_name=config.model_name,
        fingerprint=f"videolavit-{__version__}",
        limits=config.limits,
        gate=_gate(config, metrics),
        jobs=JobStore(config.store, keep_seconds=config.keep_seconds, max_bytes=config.store_bytes),
        metrics=metrics,
        files=ThreadPoolExecutor(2, thread_name_prefix="videolavit-files"),
        memories=config.memories,
        created=int(time.time()),
        has_keys=bool(config.keys),
    )
    metrics.watch(lambda: engine.counts, services.jobs.counts, services.jobs.num_bytes)
    app = FastAPI(
        title="videolavit",
        version=__version__,
        summary="Answers, images and videos of one Video-LaVIT model, in the shape of OpenAI's API.",
        lifespan=_lifespan(services, config.drain_seconds),
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.services, app.state.video_jobs = services, VideoJobs(services)
    app.state.drain_seconds = config.drain_seconds
    for module in (chat, images, videos, tokens, status):
        app.include_router(module.router)
    _describe_videos(app)
    _add_errors(app)
    _add_layers(app, config, services)
    return app


def _gate(config: ServerConfig, metrics: Metrics) -> MediaGate:
    workers = MediaWorkers(count=config.media_workers, memory_bytes=config.limits.read_memory_bytes)
    fetcher = Fetcher(hosts=config.fetch_hosts) if config.fetch else None

    def on_read(kind: str, seconds: float | int) -> None:
        metrics.labelled(metrics.media_seconds, kind=kind).observe(seconds)

    return MediaGate(config.limits, workers, fetcher, on_read=on_read)


def _lifespan(services: Services, drain_seconds: float | int) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.engine.start()
        sweeping = asyncio.ensure_future(_sweep(services))
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.to_thread(services.engine.drain, drain_seconds)
            await services.gate.close()
            await asyncio.to_thread(services.files.shutdown)
            services.jobs.close()

    return lifespan


async def _sweep(services: Services, *, every_seconds: float | int = 60) -> None:
    """Remove videos that have expired, every minute."""
    while True:
        try:
            await asyncio.get_running_loop().run_in_executor(services.files, services.jobs.sweep)
        except OSError:
            _log.exception("videos that have expired could not be removed")
        await asyncio.sleep(every_seconds)


def _add_layers(app: FastAPI, config: ServerConfig, services: Services) -> None:
    """From the inside out: the last one added meets a request first."""
    app.add_middleware(Admission, refusal=services.refusal_at_the_door)
    limits = config.limits
    app.add_middleware(
        BodyLimit, max_bytes=limits.body_bytes, together=limits.bodies_bytes, seconds=limits.body_seconds
    )
    app.add_middleware(KeyCheck, keys=config.keys, page=config.page)
    if not config.keys:
        app.add_middleware(OriginCheck, origins=config.origins)
    app.add_middleware(HostCheck, hosts=config.hosts)
    if config.origins:
        methods, headers = ["GET", "POST", "DELETE"], ["Authorization", "Content-Type"]
        app.add_middleware(CORSMiddleware, allow_origins=config.origins, allow_methods=methods, allow_headers=headers)
    app.add_middleware(Measured, metrics=services.metrics)


def _describe_videos(app: FastAPI) -> None:
    """Put the body of videos into the document: its routes read it themselves, as JSON or as a form."""
    schemas = VideoBody.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = schemas.pop("$defs", {})
    document = app.openapi

    def whole_document() -> dict[str, Any]:
        found = document()
        found["components"]["schemas"] |= {**parts, "VideoBody": schemas}
        return found

    app.openapi = whole_document  # type: ignore[method-assign] - as FastAPI's documentation does it


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def own(_: Request, error: ApiError) -> JSONResponse:
        return _answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(_of_validation(error))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, ApiError):  # raised where the body is read
            return _answer(error.__cause__)
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "invalid_request")
        return _answer(ApiError(str(error.detail), status=error.status_code, code=code), error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return _answer(ApiError("the client is gone", status=499, code="cancelled"))

    @app.exception_handler(Exception)
    async def other(_: Request, error: Exception) -> JSONResponse:
        return _answer(as_api_error(error))


def _answer(error: ApiError, headers: Any = None) -> JSONResponse:
    return JSONResponse(error.body, status_code=error.status, headers={**(headers or {}), **error.headers})


def _of_validation(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a body, in OpenAI's words: 400, and the field's name."""
    first = error.errors()[0]
    place = [part for part in first["loc"] if part not in ("body", "query", "path")]
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")[:200] or None
    if first["type"] == "json_invalid":
        return ApiError("the body is not JSON", code="invalid_json")
    code = "unknown_parameter" if first["type"] == "extra_forbidden" else "invalid_value"
    message = "this server knows no such field" if code == "unknown_parameter" else first["msg"]
    return ApiError(f"{param}: {message}" if param else message, code=code, param=param)
