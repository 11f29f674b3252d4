"""Processes that read media, started when first needed, kept for the next, ended when they take too long."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import numpy as np

from videolavit.errors import LimitError, MediaError
from videolavit.server.media_worker import HEADER, pack

__all__ = ["MediaWorkers"]

_START_SECONDS = 120.0


class MediaWorkers:
    """A pool of reading processes; its methods run on one event loop."""

    def __init__(self, *, count: int, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._turns = asyncio.Semaphore(count)
        self._idle: list[asyncio.subprocess.Process] = []

    async def read(self, order: dict[str, Any], data: bytes, seconds: float | int) -> np.ndarray:
        """Pixels of an image or a video, as `videolavit.server.media_worker` gives them.

        Raises:
            MediaError: it cannot be read.
            LimitError: it is too large, or reading takes too much time or memory.
        """
        async with self._turns:
            process = await self._process()
            try:
                message = pack({**order, "seconds": seconds}, data)
                header, pixels = await asyncio.wait_for(_exchange(process, message), seconds)
            except TimeoutError:
                await _end(process)
                raise LimitError(f"takes longer than {seconds:g} s to be read; send a shorter or smaller one") from None
            except (asyncio.IncompleteReadError, ConnectionError):
                await _end(process)
                raise LimitError("takes more time or memory to be read than is allowed") from None
            except BaseException:  # cancelled: what the process would answer is for nobody
                await _end(process)
                raise
            self._idle.append(process)
        if "error" in header:
            raise (LimitError if header["kind"] == "limit" else MediaError)(header["error"])
        return np.frombuffer(bytearray(pixels), np.uint8).reshape(header["shape"])  # one that may be written to

    async def close(self) -> None:
        """End all processes."""
        idle, self._idle = self._idle, []
        for process in idle:
            await _end(process)

    async def _process(self) -> asyncio.subprocess.Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        command = [sys.executable, "-m", "videolavit.server.media_worker", str(self._memory_bytes)]
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**environment, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the server, which ends its readers itself
        )
        try:
            await asyncio.wait_for(_answer(process), _START_SECONDS)  # to start is not a part of reading
        except BaseException:
            await _end(process)
            raise
        return process


async def _exchange(process: asyncio.subprocess.Process, message: bytes) -> tuple[dict[str, Any], bytes]:
    assert process.stdin is not None
    process.stdin.write(message)
    await process.stdin.drain()
    return await _answer(process)


async def _answer(process: asyncio.subprocess.Process) -> tuple[dict[str, Any], bytes]:
    assert process.stdout is not None
    text, data = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
    return json.loads(await process.stdout.readexactly(text)), await process.stdout.readexactly(data)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            return
    await process.wait()
