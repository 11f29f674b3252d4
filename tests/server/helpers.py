"""A server in this process or as a program, and small media to send to it."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from videolavit.server.request_limits import RequestLimits

KEY = "a-key-for-tests-0123456789"
LIMITS = RequestLimits(image_pixels=2_000_000, read_seconds=60.0, body_bytes=8_000_000, body_seconds=12.0)


def data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int = 64, height: int = 48, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def moving_square(folder: Path, num_frames: int = 24) -> bytes:
    from videolavit.video.io.write import write_video

    frames = np.full((num_frames, 128, 128, 3), 220, np.uint8)
    for t in range(num_frames):
        frames[t, 40:72, 10 + 3 * t : 42 + 3 * t] = (200, 20, 20)
    return write_video(frames, folder / "square.mp4", fps=6).read_bytes()


@contextlib.contextmanager
def running(app):
    """The address of an app that is served, for as long as the block lasts."""
    import uvicorn

    from videolavit.server.run import listen

    socket = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(1)
        server.force_exit = True  # streams of a page stay open: they do not hold up the tests
        thread.join(10)


def wait_until_ready(address: str, key: str = KEY, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/ready", headers={"Authorization": f"Bearer {key}"}).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not become ready")


def wait_for(condition, seconds: float = 60):
    """The first true value of a condition."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return value


class Program:
    """`videolavit serve` as a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        command = [
            sys.executable,
            "-m",
            "videolavit",
            "serve",
            "--port",
            "0",
            "--store",
            str(folder / "store"),
            *options,
        ]
        self.errors = open(folder / "errors.txt", "a+")  # noqa: SIM115 - closed by `stop`
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.search(r"http://\S+?:\d+", line)
        assert match, f"no address in {line!r}; {self.said}"
        self.url = match[0]
        wait_until_ready(self.url)

    @property
    def said(self) -> str:
        return (self.folder / "errors.txt").read_text()

    def stop(self, how: int = signal.SIGTERM, seconds: float = 60) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(seconds)
        self.process.stdout.close()
        self.errors.close()
        return code
