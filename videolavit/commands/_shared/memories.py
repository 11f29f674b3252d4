"""Memories of long videos on the command line: how their clips are chosen, and which were looked at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from videolavit.commands._shared.console import is_quiet, printable
from videolavit.commands._shared.folders import made_folder
from videolavit.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from videolavit.language.prompts import Moment
    from videolavit.memory.context import ContextOptions
    from videolavit.pipeline import VideoLaVIT
    from videolavit.pipeline.outputs import Answer

__all__ = ["MemoryOptions", "is_memory_folder", "new_folder", "tell_moments", "write_moments"]

_MOST_TOLD = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryOptions:
    """Choice of the clips of a memory that a question is asked about."""

    context: Literal["whole", "window", "budget", "retrieval"] = "retrieval"
    """Clips of a memory that are looked at: those that fit the question, all or evenly spaced ones, the last ones, or
    the first and last ones whole and of others what there is room for."""
    scorer: Annotated[str, arg(metavar="words|likelihood|FOLDER")] = "words"
    """Comparison of clips with a question: by what the model noted, by the likelihood of the question after
    each clip, or by an image-text encoder such as CLIP in a folder."""
    times: bool = False
    """Tell the model in words when each moment was; only for models that know such words."""

    @property
    def given(self) -> list[str]:
        """Options that are not at their defaults."""
        usual = MemoryOptions()
        return [f"--{one.name}" for one in fields(self) if getattr(self, one.name) != getattr(usual, one.name)]

    def context_options(self, max_clips: int | None) -> ContextOptions:
        """The same for the library.

        Raises:
            ConfigError: the scorer is neither a word nor a folder.
        """
        from videolavit.memory.context import ContextOptions

        scorer: Any = self.scorer
        if self.scorer not in ("words", "likelihood"):
            scorer = Path(self.scorer)
            if not scorer.is_dir():
                raise ConfigError(
                    f"got --scorer {self.scorer}, expected words, likelihood, or the folder of an image-text encoder"
                )
        return ContextOptions(context=self.context, scorer=scorer, max_clips=max_clips, times=self.times)


def is_memory_folder(name: str) -> bool:
    """True if `remember` made this folder."""
    try:
        return Path(name).expanduser().joinpath("memory.json").is_file()
    except (OSError, ValueError, RuntimeError):  # too long for a name, or nobody's home
        return False


def new_folder(path: Path) -> Path:
    """A folder for files that are written later; refused now if something else is there.

    Raises:
        OutputError: it is a file, or holds something.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path}: is there already and not empty; name a new folder")
    return path


def tell_moments(answer: Answer) -> None:
    """Say on stderr which moments were looked at, and what was left out."""
    if answer.moments and not is_quiet():
        print(f"videolavit: {printable(_told(answer.moments))}", file=sys.stderr)


def write_moments(folder: Path, model: VideoLaVIT, answers: Sequence[Answer]) -> None:
    """Keyframes of all moments as PNG files that are named by clip and time."""
    from videolavit.pipeline.remembering import moment_image
    from videolavit.video.io.write import write_video

    moments = {(one.source, one.clip): one for answer in answers for one in answer.moments}
    made_folder(folder)
    for moment in moments.values():
        minutes, seconds = divmod(round(moment.start_seconds), 60)
        name = f"{Path(moment.source).name}-{moment.clip:05}-{minutes:03}m{seconds:02}s"
        path, number = folder / f"{name}.png", 2
        while path.exists():  # memories of several folders may have one name
            path, number = folder / f"{name}-{number}.png", number + 1
        write_video(moment_image(model, moment)[None], path, fps=1, metadata={"task": "moment"})


def _told(moments: Sequence[Moment]) -> str:
    from videolavit.pipeline.moment_times import clock

    def when(one: Moment) -> str:
        return f"{clock(one.start_seconds)} to {clock(one.end_seconds)}{'' if one.with_motion else ' (still)'}"

    shown = ", ".join(map(when, moments[:_MOST_TOLD])) + (", ..." if len(moments) > _MOST_TOLD else "")
    still = sum(not one.with_motion for one in moments)
    dropped = f", {still} of them without their motion" if still else ""
    return f"looked at {len(moments)} of {moments[0].num_clips} clips{dropped}: {shown}"
