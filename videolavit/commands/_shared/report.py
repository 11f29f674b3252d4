"""Results into files, and what commands say about them: a line for people, or one JSON document."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videolavit.commands._shared.console import is_quiet, print_json, printable
from videolavit.commands._shared.result_files import STDOUT

if TYPE_CHECKING:
    from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo

__all__ = ["named", "report", "tell", "write"]

Source = str | Sequence[str] | None


def write(
    result: GeneratedImage | GeneratedVideo,
    output: Path,
    *,
    json: bool,
    fps: float | None = None,
    **sources: Source,
) -> None:
    """Write a result into a file, and say so; `sources` are the files that it was made from.

    Raises:
        OutputError: there is no space, for instance.
    """
    document = tell(result, output, json=json, fps=fps, made_from=named(**sources))
    if json:
        print_json(document)


def tell(
    result: GeneratedImage | GeneratedVideo,
    output: Path,
    *,
    json: bool,
    fps: float | None = None,
    made_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a result into a file, say so on a line unless `json`, and return what a JSON document says of it.

    Raises:
        OutputError: there is no space, for instance.
    """
    result = replace(result, metadata={**result.metadata, **(made_from or {})})
    options: dict[str, Any] = {} if fps is None else {"fps": fps}
    if output == STDOUT:
        result.save(sys.stdout.buffer, **options)
        sys.stdout.buffer.flush()
    else:
        result.save(output, **options)
    if not json:
        _line(result, output, len(result.frames))
    return _document(result, output)


def named(**sources: Source) -> dict[str, Any]:
    """Names in metadata of the files that something was made from: their names, and not where they were."""
    given = {kind: source for kind, source in sources.items() if source}
    return {
        kind: Path(source).name if isinstance(source, str) else [Path(file).name for file in source]
        for kind, source in given.items()
    }


def report(
    result: GeneratedImage | GeneratedVideo, output: Path, *, json: bool, num_frames: int | None = None, **further: Any
) -> None:
    """Tell what was written; `num_frames` if it is not the result's, and `further` facts for the JSON document."""
    num_frames = len(result.frames) if num_frames is None else num_frames
    if json:
        print_json(_document(result, output, num_frames=num_frames, **further))
    else:
        _line(result, output, num_frames)


def _document(result: GeneratedImage | GeneratedVideo, output: Path, **further: Any) -> dict[str, Any]:
    num_frames, height, width, _ = result.frames.shape
    size = {"num_frames": num_frames, "height": height, "width": width, "num_ids": len(result.ids)}
    facts = {"timings": dict(result.timings), "seconds": result.seconds, "metadata": dict(result.metadata)}
    return {"output": str(output), **size, **further, **facts}


def _line(result: GeneratedImage | GeneratedVideo, output: Path, num_frames: int) -> None:
    if is_quiet():
        return
    _, height, width, _ = result.frames.shape
    frames = "1 image" if num_frames == 1 else f"{num_frames} frames"
    seed = _seed(result.metadata)
    told = f"{output}: {frames} of {width} x {height} in {_took(result.timings)}"
    stream = sys.stderr if output == STDOUT else sys.stdout  # bytes are on stdout then
    print(printable(told if seed is None else f"{told}, seed {seed}"), file=stream)


def _seed(metadata: Mapping[str, Any]) -> Any:
    """The seed of what was generated last; None where nothing is left to chance."""
    if redrawn := metadata.get("redrawn"):
        return redrawn[-1]["seed"]
    options = metadata.get("options")
    return options.get("seed") if isinstance(options, Mapping) else None


def _took(timings: Mapping[str, float]) -> str:
    """`2.0 s (write 1.2 s, frames 0.8 s)`."""
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings.items())
    return f"{sum(timings.values()):.1f} s" + (f" ({parts})" if parts else "")
