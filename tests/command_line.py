"""Run `python -m videolavit` as a user does, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def videolavit(*arguments: str | Path, seconds: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command line; output is captured, and nothing is a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "videolavit", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )


def one_message(answer: subprocess.CompletedProcess[str]) -> str:
    """The single line on stderr that tells a user what went wrong."""
    [line] = answer.stderr.strip().splitlines()
    assert line.startswith("videolavit: ")
    return line
