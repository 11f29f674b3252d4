"""Videos for suites that need an environment of their own: VBench and EvalCrafter, under the names that these look for.

VBench finds `{prompt}-{i}.mp4`, i from 0 to 4, in one folder, takes the extension from the first file there, and wants
the prompt letter by letter; EvalCrafter finds `0000.mp4` to `0699.mp4` in the order of its prompts. Seeds lie beside
the folder of videos, never in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.files import read_json
from videolavit.evaluation.needs import VIDEO
from videolavit.jobs.partial_files import write_text

__all__ = ["SUITES", "ExportedVideo", "evalcrafter_videos", "export_videos", "vbench_videos"]

_VIDEOS_OF_A_PROMPT = 5
_VIDEOS_OF_FLICKERING = 25
"""Videos of a prompt of temporal_flickering, from which VBench's `static_filter.py` chooses."""
_LONGEST_NAME = 255
"""Bytes of a file name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedVideo:
    """One video to be made."""

    name: str
    """Of its file."""
    prompt: str
    seed: int


def vbench_videos(path: Path, *, dimensions: Sequence[str] = (), seed: int = 0) -> list[ExportedVideo]:
    """Videos of `VBench_full_info.json`.

    Args:
        path: of that file.
        dimensions: only those of these dimensions; all if none is named.
        seed: of the first video; each further one has the next.

    Raises:
        ConfigError: the file is another, there is no such dimension, or a prompt cannot be a file name.
    """
    try:
        entries = [(one["prompt_en"], tuple(one["dimension"])) for one in read_json(path)]
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is not VBench_full_info.json: {error}") from error
    known = sorted({dimension for _, found in entries for dimension in found})
    if unknown := sorted(set(dimensions) - set(known)):
        raise ConfigError(f"got the dimensions {', '.join(unknown)}; known are {', '.join(known)}")
    counts: dict[str, int] = {}
    for prompt, found in entries:
        wanted = [one for one in found if not dimensions or one in dimensions]
        if wanted:
            count = _VIDEOS_OF_FLICKERING if "temporal_flickering" in wanted else _VIDEOS_OF_A_PROMPT
            counts[prompt] = max(count, counts.get(prompt, 0))
    names = [(prompt, number) for prompt, count in counts.items() for number in range(count)]
    return [
        ExportedVideo(name=_checked(f"{prompt}-{number}.mp4"), prompt=prompt, seed=seed + place)
        for place, (prompt, number) in enumerate(names)
    ]


def evalcrafter_videos(path: Path, *, dimensions: Sequence[str] = (), seed: int = 0) -> list[ExportedVideo]:
    """Videos of `prompt700.txt`, one of each line.

    Raises:
        ConfigError: a line is empty, or dimensions are named: EvalCrafter has none.
    """
    if dimensions:
        raise ConfigError("got dimensions, but EvalCrafter takes all its prompts at once")
    lines = path.read_text(encoding="utf-8").splitlines()
    if empty := [number for number, line in enumerate(lines, start=1) if not line.strip()]:
        raise ConfigError(f"{path}, line {empty[0]}: is empty; videos are named by the number of their line")
    return [
        ExportedVideo(name=f"{number:04d}.mp4", prompt=line.strip(), seed=seed + number)
        for number, line in enumerate(lines)
    ]


SUITES: dict[str, Callable[..., list[ExportedVideo]]] = {"vbench": vbench_videos, "evalcrafter": evalcrafter_videos}
"""Lists of videos by name of the suite."""


def export_videos(
    model: Any, videos: Sequence[ExportedVideo], folder: Path, *, fps: float, batch_size: int = 4
) -> Iterator[ExportedVideo]:
    """Generate and write what is not there yet; yields each video when its file is complete.

    Args:
        model: a `ModelAdapter`.
        videos: all of the suite.
        folder: gets `videos/` and `seeds.json`; files that are complete are kept.
        fps: frames per second of the files.
        batch_size: videos that are generated together.

    Raises:
        ConfigError: a video that is there was made by another model, or from another seed.
    """
    from videolavit.video.io.write import write_video

    target = folder / "videos"
    identity = model.identity(VIDEO)
    now = {one.name: {"prompt": one.prompt, "seed": one.seed, "model": identity} for one in videos}
    seeds = _kept_seeds(folder, videos, identity) | now
    target.mkdir(parents=True, exist_ok=True)
    write_text(folder / "seeds.json", json.dumps(seeds, indent=1) + "\n")
    waiting = [one for one in videos if not (target / one.name).is_file()]
    for start in range(0, len(waiting), batch_size):
        batch = waiting[start : start + batch_size]
        made = model.generate_videos([one.prompt for one in batch], [one.seed for one in batch])
        for one, frames in zip(batch, made, strict=True):
            write_video(frames, target / one.name, fps=fps)
            yield one


def _kept_seeds(folder: Path, videos: Sequence[ExportedVideo], identity: str) -> dict[str, Any]:
    """Content of a folder's `seeds.json`, if there is one; what it says of videos that are there must stay true."""
    path = folder / "seeds.json"
    known = read_json(path) if path.is_file() else {}
    for one in videos:
        path = folder / "videos" / one.name
        told = known.get(one.name, {}) if path.is_file() else {}
        if (seed := told.get("seed", one.seed)) != one.seed:
            raise ConfigError(
                f"{path}: was made from seed {seed}, not {one.seed}; "
                "give --seed and --dimensions as before, or choose another folder"
            )
        if told.get("model", identity) != identity:
            raise ConfigError(f"{path}: was made by another model; name that one, or choose another folder")
    return known


def _checked(name: str) -> str:
    if "/" in name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise ConfigError(f"the prompt of {name[:60]!r} cannot be a file name; VBench finds videos by their prompts")
    return name
