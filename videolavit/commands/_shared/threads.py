"""Threads of the CPU, set before torch is imported.

OpenMP threads that wait for one another keep their cores busy by default. On a machine with other work they take these
cores from the very threads that they wait for: a clip of 12 CPU seconds on one thread then takes 30 on two, and twice
the time on the clock. The command line lets them sleep instead; see docs/troubleshooting.md.
"""

from __future__ import annotations

import os

from videolavit.errors import ConfigError

__all__ = ["calm_threads", "take_threads"]

_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""By GNU and LLVM, and by Intel."""


def calm_threads(count: int | None = None) -> None:
    """Let the threads of OpenMP sleep while they wait, unless the environment says otherwise, and set their number."""
    for name, value in _SLEEPING.items():
        os.environ.setdefault(name, value)
    if count is not None:
        for name in _COUNTS:
            os.environ[name] = str(count)


def take_threads(arguments: list[str]) -> tuple[list[str], int | None]:
    """The arguments without `--threads N`, and N.

    Raises:
        ConfigError: N is no number of at least 1.
    """
    rest: list[str] = []
    count: int | None = None
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != "--threads":
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1024):
            raise ConfigError(f"--threads: expected a number from 1 to 1024, got {value!r}")
        count = int(value)
    return rest, count
