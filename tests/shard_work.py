"""Pieces of work for tests, which other processes can import."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from videolavit.data.video_files import VideoFiles
from videolavit.jobs.partial_files import write_text
from videolavit.jobs.shard_jobs import write_alone


@dataclass(frozen=True, kw_only=True)
class Letters:
    """A shard that holds its own name; counts in a file how often it is begun, and may die at that."""

    path: Path
    deadly: bool = False
    seconds: float = 0.0

    def is_current(self):
        return self.path.exists()

    def write(self):
        with self.begun.open("a") as file:
            file.write("x")
        time.sleep(self.seconds)
        if self.deadly:
            os._exit(9)
        write_text(self.path, self.path.stem)

    def look_into(self):
        write_alone(self)

    def forget_failures(self):
        pass

    @property
    def begun(self):
        return self.path.with_suffix(".begun")

    @property
    def times_begun(self):
        return len(self.begun.read_text()) if self.begun.exists() else 0


class Poisoned(VideoFiles):
    """Files of which those called poison abort the process that decodes them."""

    def _of_one(self, video, problems):
        if video.path.stem.startswith("poison"):
            os.abort()
        yield from super()._of_one(video, problems)
