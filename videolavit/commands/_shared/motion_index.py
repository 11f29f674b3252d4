"""Motion of many videos, measured once: in this process or several, and kept in a file where one is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videolavit.errors import ConfigError, VideoLaVITError
from videolavit.jobs.pool import for_each
from videolavit.video import Limits
from videolavit.video.io.write import complete_or_absent

if TYPE_CHECKING:
    from videolavit.video.editing.motion_profile import MotionProfile

__all__ = ["MotionIndex", "measured"]

_FORMAT = 1
"""To be raised when what is measured changes."""

_FIELDS = ("file", "identity", "clips")
"""Of a line; another file that has not all of them is none of ours."""

Progress = Callable[[str, int, int], None]


@dataclass(kw_only=True, slots=True)
class MotionIndex:
    """A JSON line for each video: what identifies it, how it was measured, and its clips."""

    path: Path | None
    options: dict[str, Any]
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None, **options: Any) -> MotionIndex:
        """The index of a file; an empty one where there is none.

        Raises:
            ConfigError: the file is no index.
        """
        index = cls(path=path, options={"format": _FORMAT, **options})
        if path is not None and path.exists():
            try:
                lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
                index.lines = {line["file"]: {name: line[name] for name in _FIELDS} for line in lines}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path}: is no index of motion ({error}); name another file") from error
        return index

    def clips(self, file: str) -> list[MotionProfile] | None:
        """Clips that are known of a video; None where it has changed or was measured otherwise."""
        from videolavit.video.editing.motion_profile import MotionProfile

        line = self.lines.get(os.path.abspath(file))
        if line is None or line["identity"] != self._identity(file):
            return None
        return [MotionProfile(**{**clip, "source": file}) for clip in line["clips"]]

    def add(self, file: str, clips: Sequence[MotionProfile]) -> None:
        """Keep what was measured."""
        name = os.path.abspath(file)
        documents = [clip.as_dict() for clip in clips]
        self.lines[name] = {"file": name, "identity": self._identity(file), "clips": documents}

    def write(self) -> None:
        """Write the file, if there is one; raises `OutputError` where that fails."""
        if self.path is not None:
            with complete_or_absent(self.path) as unfinished:
                unfinished.write_text("".join(json.dumps(line) + "\n" for line in self.lines.values()), "utf-8")

    def _identity(self, file: str) -> dict[str, Any]:
        facts = os.stat(file)
        return {"bytes": facts.st_size, "changed": facts.st_mtime_ns, **self.options}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    file: str
    options: dict[str, Any]
    limits: Limits


def measured(
    files: Sequence[str], index: MotionIndex, *, workers: int, limits: Limits, progress: Progress
) -> tuple[list[MotionProfile], dict[str, str]]:
    """Clips of all files in order, and why some failed; what is measured goes into the index as it comes."""
    known = {file: clips for file in files if (clips := index.clips(file)) is not None}
    jobs = [_Job(file=file, options=index.options, limits=limits) for file in files if file not in known]
    failed: dict[str, str] = {}
    with closing(for_each(_measure, jobs, workers=min(workers, max(1, len(jobs))), died=_died)) as outcomes:
        for number, (file, clips, reason) in enumerate(outcomes, start=1):
            if reason is None:
                known[file] = clips
                index.add(file, clips)
                index.write()
            else:
                failed[file] = reason
            progress("measure motion", number, len(jobs))
    return [clip for file in files for clip in known.get(file, [])], failed


Outcome = tuple[str, "list[MotionProfile]", str | None]


def _measure(job: _Job) -> Outcome:
    from videolavit.video.editing.motion_profile import motion_profiles

    seconds, motion = job.options["seconds"], job.options["motion"]
    try:
        return job.file, list(motion_profiles(job.file, seconds=seconds, motion=motion, limits=job.limits)), None
    except (VideoLaVITError, OSError) as error:
        return job.file, [], str(error)


def _died(job: _Job) -> Outcome:
    return job.file, [], "the process that worked on it died; perhaps there was too little memory"
