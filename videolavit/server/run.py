"""The app under uvicorn, in this process: a socket, signals, and an end in good order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from videolavit.errors import ConfigError

__all__ = ["listen", "serve"]

_log = logging.getLogger(__name__)

_SWITCH_SECONDS = 0.0005
"""Python lets a thread compute for 5 ms before another one gets its turn, and the event loop needs many short turns:
under load, requests would wait longer for the engine's thread than for the engine."""


_BACKLOG = 2048
"""Connections that wait to be taken, as many as uvicorn lets wait."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on: those who connect before the app runs wait for it.

    Raises:
        ConfigError: the address is not this machine's, or the port is taken.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise ConfigError(f"cannot listen on {host} port {port}: {error}") from None
    return listening


def serve(app: FastAPI, listening: socket.socket, *, access_log: bool = False) -> int:
    """Serve until SIGTERM or Ctrl-C: work under way is finished, new work refused. The exit code of the process.

    0 after an end in good order, 1 if the model could not be loaded.
    """
    engine = app.state.services.engine
    sys.setswitchinterval(_SWITCH_SECONDS)
    config = uvicorn.Config(
        app,
        log_level="info" if access_log else "warning",
        access_log=access_log,
        server_header=False,
        timeout_keep_alive=75,  # longer than clients keep a connection, so that none is closed under a request
        timeout_graceful_shutdown=max(1, round(app.state.drain_seconds)),
    )
    _Server(config, engine).run(sockets=[listening])
    return 0 if engine.failure is None else 1


class _Server(uvicorn.Server):
    """A server that refuses work as soon as it is told to stop, and does not outlive an engine that cannot begin."""

    def __init__(self, config: uvicorn.Config, engine: Any) -> None:
        super().__init__(config)
        self._engine = engine
        self._watch: asyncio.Future[None] | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal; `/ready` says 503 from here on."""
        self._engine.close_door()
        self.force_exit = self.should_exit and sig == signal.SIGINT  # Ctrl-C a second time
        self.should_exit = True  # uvicorn's own would also end the process by the signal, and not with 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and watch the engine."""
        await super().startup(sockets)
        self._watch = asyncio.ensure_future(self._stop_on_failure())

    async def _stop_on_failure(self) -> None:
        while self._engine.state != "failed":
            await asyncio.sleep(0.2)
        self.should_exit = True
