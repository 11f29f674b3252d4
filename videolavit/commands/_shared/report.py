"""Results into files, and what commands say about them: a line for people, or one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videolavit.commands._shared.console import print_json, printable

if TYPE_CHECKING:
    from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo

__all__ = ["named", "report", "write"]

Source = str | Sequence[str] | None


def write(result: GeneratedImage | GeneratedVideo, output: Path, *, json: bool, **sources: Source) -> None:
    """Write a result into a file, and say so; `sources` are the files that it was made from.

    Raises:
        OutputError: there is no space, for instance.
    """
    result = replace(result, metadata={**result.metadata, **named(**sources)})
    result.save(output)
    report(result, output, json=json)


def named(**sources: Source) -> dict[str, Any]:
    """What metadata tell of the files that something was made from: their names, and not where they were."""
    given = {kind: source for kind, source in sources.items() if source}
    return {
        kind: Path(source).name if isinstance(source, str) else [Path(file).name for file in source]
        for kind, source in given.items()
    }


def report(result: GeneratedImage | GeneratedVideo, output: Path, *, json: bool, **further: Any) -> None:
    """Tell what was written; `further` facts go into the JSON document."""
    num_frames, height, width, _ = result.frames.shape
    if json:
        size = {"num_frames": num_frames, "height": height, "width": width, "num_ids": len(result.ids)}
        facts = {"timings": dict(result.timings), "seconds": result.seconds, "metadata": dict(result.metadata)}
        print_json({"output": str(output), **size, **further, **facts})
        return
    frames = "1 image" if num_frames == 1 else f"{num_frames} frames"
    print(printable(f"{output}: {frames} of {width} x {height} in {_took(result.timings)}"))


def _took(timings: Mapping[str, float]) -> str:
    """`2.0 s (write 1.2 s, frames 0.8 s)`."""
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings.items())
    return f"{sum(timings.values()):.1f} s" + (f" ({parts})" if parts else "")
