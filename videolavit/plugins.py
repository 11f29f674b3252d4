"""Parts that other installed packages add, each named by an entry point (docs/extending.md).

A package names what it adds in its `pyproject.toml`, and installing it is all there is to do:

    [project.entry-points."videolavit.commands"]
    brightness = "my_package.brightness"

Nothing of a plug-in is imported before it is asked for by its name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from videolavit.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BENCHMARKS", "COMMANDS", "MOTION_SOURCES", "STAGES", "load_plugin", "plugins", "unknown_name"]

BENCHMARKS = "videolavit.benchmarks"
"""A function from `BenchmarkOptions` to one or several benchmarks."""
COMMANDS = "videolavit.commands"
"""A module like those of `videolavit.commands`."""
MOTION_SOURCES = "videolavit.motion_sources"
"""A function from a video, options and limits to one `CodedFrame` for each tick."""
STAGES = "videolavit.stages"
"""A class derived from `Stage`."""


def plugins(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name, of all packages that are installed."""
    from importlib.metadata import entry_points  # 30 ms, which most commands need not spend

    return {point.name: point for point in entry_points(group=group)}


def load_plugin(point: EntryPoint, kind: str) -> Any:
    """Object that an entry point names.

    Raises:
        ConfigError: it cannot be imported; the message names the plug-in, and `kind` says what it adds.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the {kind} {point.name}: {point.value} cannot be imported: {error}") from error


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Error for a name that nothing has, with the nearest one that something has."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return ConfigError(f"got the {kind} {name!r}; {hint}")
