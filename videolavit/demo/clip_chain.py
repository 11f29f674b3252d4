"""A long video, clip after clip, each with words of its own; any of them can be made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from videolavit.errors import ConfigError, PromptError
from videolavit.pipeline.outputs import GeneratedVideo

__all__ = ["ClipChain", "Link", "python_lines", "write_chain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One clip of a chain as it was asked for."""

    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipChain:
    """A long video: what was asked for, and the video after each clip."""

    links: tuple[Link, ...]
    videos: tuple[GeneratedVideo, ...]
    """The whole video up to and with each clip."""

    def up_to(self, number: int) -> ClipChain:
        """The clips before clip `number`."""
        return replace(self, links=self.links[:number], videos=self.videos[:number])


def write_chain(
    model: Any,
    links: Sequence[Link],
    *,
    start: ClipChain | None = None,
    done: Callable[[int, GeneratedVideo], None] | None = None,
    progress: Any = None,
    **show: Any,
) -> ClipChain:
    """Generate clip after clip; those of `start` stay as they are.

    Args:
        model: a `VideoLaVIT`.
        links: words and seed of every clip, those of `start` included.
        start: clips that are there already.
        done: called with the number of each new clip and the video so far.
        progress: as the pipeline's.
        show: `on_keyframe` and `preview`, as the pipeline's.

    Raises:
        PromptError: the first clip has no words.
        ConfigError: there are fewer links than clips already.
    """
    videos = [] if start is None else list(start.videos)
    if len(videos) > len(links):
        raise ConfigError(f"got {len(links)} clips to write and {len(videos)} that are there already")
    if not links or not links[0].prompt.strip():
        raise PromptError("say what happens in the first clip")
    for number in range(len(videos), len(links)):
        link = links[number]
        if number == 0:
            video = model.generate_video(link.prompt, seed=link.seed, progress=progress, **show)
        else:
            video = model.continue_video(videos[-1], link.prompt, seed=link.seed, progress=progress, **show)
        videos.append(video)
        if done is not None:
            done(number, video)
    return ClipChain(links=tuple(links), videos=tuple(videos))


def python_lines(links: Sequence[Link]) -> str:
    """Python that makes the same video."""
    first, *rest = links
    lines = [
        "from videolavit import VideoLaVIT",
        "",
        "model = VideoLaVIT.from_pretrained()",
        f"video = model.generate_video({first.prompt!r}, seed={first.seed})",
        *(f"video = model.continue_video(video, {link.prompt!r}, seed={link.seed})" for link in rest),
        "video.save('long.mp4')",
        "",
    ]
    return "\n".join(lines)
