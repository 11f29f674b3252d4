"""Steps that need one another, each a process, as many side by side as there are cores for.

What is finished is skipped, so the same call goes on where the last one stopped. `done/NAME.json` marks a finished
step, `logs/NAME.log` has what it printed, and a lock keeps two runs out of one folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Runner", "Step", "wanted"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One process."""

    name: str
    needs: tuple[str, ...] = ()
    """Names of the steps that must be finished before."""
    command: Sequence[str] = ()
    """Arguments of `videolavit`; none for a function of the recipe."""


def wanted(steps: list[Step], until: str) -> list[Step]:
    """A step and what it needs, in order; all steps if none is named."""
    names, found = {step.name: step for step in steps}, {until}
    if not until:
        return steps
    if until not in names:
        sys.exit(f"no step {until!r}; there are {', '.join(names)}")
    for step in reversed(steps):
        if step.name in found:
            found |= set(step.needs)
    return [step for step in steps if step.name in found]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs steps in one folder."""

    folder: Path
    jobs: int
    """Processes side by side, each on its share of the cores."""
    own_command: Sequence[str]
    """Command that does a step without a command of its own; its name follows."""

    def run(self, todo: Callable[[], list[Step]]) -> int:
        """Do the steps that are not done yet; `todo` is asked for them when no other run can come in between."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{self.folder}: another run of the recipe, or a step that it left behind, is still at work")
                return 1
            return self._run(todo(), lock)

    def seconds(self, name: str) -> float:
        """Seconds that a finished step took: those of its last process."""
        return json.loads(self._marker(name).read_text())["seconds"]

    def _run(self, todo: list[Step], lock: IO[str]) -> int:
        """Start steps whenever they can start; stop everything when one fails."""
        waiting = [step for step in todo if not self._marker(step.name).exists()]
        print(f"{len(todo) - len(waiting)} of {len(todo)} steps are done", flush=True)
        working: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        try:
            while waiting or working:
                for step in [step for step in waiting if self._ready(step)][: self.jobs - len(working)]:
                    working[step.name] = self._start(step, lock), time.monotonic()
                    waiting.remove(step)
                    print(f"{step.name}: started; see {self._log(step.name)}", flush=True)
                time.sleep(0.2)
                if self._failed(working):
                    return 1
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here")
            return 130
        finally:
            for process, _ in working.values():
                process.terminate()
            for process, _ in working.values():
                process.wait()
        return 0

    def _failed(self, working: dict[str, tuple[subprocess.Popen[bytes], float]]) -> bool:
        """Take finished steps from `working`, and tell of the first that failed."""
        for name in [name for name, (process, _) in working.items() if process.poll() is not None]:
            process, started = working.pop(name)
            if process.returncode:
                print(f"{name}: failed with code {process.returncode}; its log ends in\n{self._tail(name)}")
                return True
            self._note(name, time.monotonic() - started)
        return False

    def _ready(self, step: Step) -> bool:
        return all(self._marker(name).exists() for name in step.needs)

    def _start(self, step: Step, lock: IO[str]) -> subprocess.Popen[bytes]:
        """A process that holds the lock as long as it lives, so that nobody starts a second one of its kind."""
        command = ["-m", "videolavit", *step.command] if step.command else [*self.own_command, step.name]
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        with self._log(step.name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env=environment, pass_fds=[lock.fileno()]
            )

    def _note(self, name: str, seconds: float) -> None:
        marker = self._marker(name)
        marker.parent.mkdir(exist_ok=True)
        partial = marker.with_suffix(".partial")
        partial.write_text(json.dumps({"seconds": round(seconds, 1)}) + "\n")
        partial.replace(marker)
        print(f"{name}: done in {seconds / 60:.1f} min", flush=True)

    def _marker(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.json"

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _tail(self, name: str, lines: int = 15) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-lines:])
