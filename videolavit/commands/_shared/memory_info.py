"""Facts of a memory that `videolavit remember` made: clips, ids, what was read, and the model that read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from videolavit.commands._shared.console import readable_size

__all__ = ["MemoryInfo", "look_at_memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryInfo:
    """A memory of a long video."""

    num_clips: int
    video_seconds: float
    num_ids: int
    """Positions that all clips take in a prompt."""
    num_bytes: int
    num_keyframes: int
    """Fewer than clips where some go on from the one before."""
    reads: str
    """"ids" or "features": what stands for images when the model reads them."""
    num_text: int
    num_visual_codes: int
    num_motion_codes: int
    videos: tuple[str | None, ...]
    """Names of the files that were read, in order; None for a pipe, a camera or images."""
    metadata: dict[str, Any]
    """The model, by the names that results have in their metadata."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Names and values to print."""
        yield "file", f"memory of a video, {readable_size(self.num_bytes)}"
        still = self.num_clips - self.num_keyframes
        yield "clips", f"{self.num_clips}{f', {still} of them with motion alone' if still else ''}"
        yield "time", f"{self.video_seconds:.2f} s"
        features = ", and features in place of those of images" if self.reads == "features" else ""
        yield "ids", f"{self.num_ids:,}{features}"
        codes = f"{self.num_visual_codes:,} of images, {self.num_motion_codes:,} of motion"
        yield "vocabulary", f"{self.num_text:,} of text, {codes}"
        if self.videos:
            yield "videos", ", ".join(name or "a pipe, a camera or images" for name in self.videos)


def look_at_memory(folder: str) -> MemoryInfo:
    """Facts of a memory, of which no clip is read.

    Raises:
        MediaError: it is damaged, or of another version.
    """
    from videolavit.memory.readings import noted_readings
    from videolavit.memory.token_memory import TokenMemory

    memory = TokenMemory(folder)
    keyframes, motion = memory.lengths()
    vocabulary = memory.vocabulary
    return MemoryInfo(
        num_clips=len(memory),
        video_seconds=memory.seconds,
        num_ids=int((keyframes + motion).sum()),
        num_bytes=sum(path.stat().st_size for path in memory.folder.iterdir() if path.is_file()),
        num_keyframes=int((keyframes > 0).sum()),
        reads="features" if memory.feature_width else "ids",
        num_text=vocabulary.num_text,
        num_visual_codes=vocabulary.num_visual_codes,
        num_motion_codes=vocabulary.num_motion_codes,
        videos=tuple(one.name for one in noted_readings(memory.folder) if one.first_clip < len(memory)),
        metadata=memory.made_by,
    )
