"""Files of videos as shards to make: which videos go into which shard, and what a shard's videos hold.

The manifest `videos.manifest.jsonl` holds a line for each shard with a digest of each of its videos. A folder can
grow: videos that the manifest does not know go into new shards behind those that are there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from videolavit.data.made_of import SourceNote, claim, digest_of_shards, state_of
from videolavit.data.shards import Record, write_shard
from videolavit.data.user_videos import video_file_records
from videolavit.data.video_lists import NamedVideo
from videolavit.errors import ConfigError, OutputError, VideoLaVITError
from videolavit.jobs.claims import ClaimWatch, claimed
from videolavit.jobs.partial_files import write_text
from videolavit.jobs.pool import survives
from videolavit.video.processor import VideoProcessorConfig

__all__ = ["VideoFiles", "VideoShard", "planned_shards"]

_MANIFEST = "videos.manifest.jsonl"
_DIGITS = 16
"""Of a digest of a video, enough for ten million of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFiles:
    """Files whose samples go into one shard, and how they are read."""

    videos: tuple[NamedVideo, ...]
    video_processor: VideoProcessorConfig
    clips_per_piece: int = 1

    @property
    def paths(self) -> list[Path]:
        return [video.path for video in self.videos]

    def of(self, videos: tuple[NamedVideo, ...]) -> VideoFiles:
        """Other files, read in the same way."""
        return replace(self, videos=videos)

    def records(self, problems: dict[str, str]) -> Iterator[Record]:
        """Samples of all videos that `problems` does not name yet; what cannot be read is left out and noted there."""
        for video in self.videos:
            if str(video.path) not in problems:
                yield from self._of_one(video, problems)

    def _of_one(self, video: NamedVideo, problems: dict[str, str]) -> Iterator[Record]:
        found = 0
        try:
            for record in video_file_records(video, self.video_processor, clips_per_piece=self.clips_per_piece):
                found += 1
                yield record
        except (VideoLaVITError, OSError) as error:
            problems[str(video.path)] = str(error)
        else:
            if not found:
                problems[str(video.path)] = f"{video.path}: is shorter than a sample, or has a cut in each"

    def states(self) -> dict[str, list[int] | None]:
        """All files as they are now."""
        return {str(path): state_of(path) for path in self.paths}

    def note_killers(self, note: SourceNote) -> None:
        """Read each video in a process of its own, and note those that kill it."""
        states, killers = self.states(), dict(note.known_killers(self.paths))
        for video in self.videos:
            if str(video.path) not in killers and not survives(_read_through, self.of((video,))):
                killers[str(video.path)] = f"{video.path}: killed the process that decoded it; it is left out"
                note.write({path: states[path] for path in killers}, killers, killers=killers)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoShard:
    """A shard of samples of one's own videos, as a piece of work."""

    path: Path
    files: VideoFiles

    def is_current(self) -> bool:
        """True if the shard is there and its videos, those that could not be read among them, are as they were."""
        note = SourceNote(self.path)
        return self.path.exists() and note.is_current(self.files.paths, digest_of_shards([self.path]))

    def write(self) -> None:
        """Make the shard; what cannot be read is left out and noted beside it."""
        note, states = SourceNote(self.path), self.files.states()
        problems = note.known_killers(self.files.paths)
        killers = tuple(problems)
        write_shard(self.files.records(problems), self.path)
        note.write(states, problems, killers=killers, digest=digest_of_shards([self.path]))

    def look_into(self) -> None:
        self.files.note_killers(SourceNote(self.path))

    def forget_failures(self) -> None:
        SourceNote(self.path).forget_problems()


def planned_shards(
    folder: Path,
    videos: Sequence[NamedVideo],
    options: object,
    *,
    videos_per_shard: int,
    old_note: tuple[str, str] | None = None,
) -> list[tuple[str, tuple[NamedVideo, ...]]]:
    """Names of shards with their videos: as the folder's manifest says, and new shards for new videos.

    Args:
        folder: of the shards; it is made.
        videos: all that belong into it.
        options: whatever else decides what a shard holds; noted in `videos.made_by.txt`.
        videos_per_shard: of new shards.
        old_note: name and text of the note that folders without a manifest have.

    Raises:
        ConfigError: the folder was made with other options, or of videos that are not among these.
        OutputError: the folder cannot be written.
    """
    if old_note and (folder / old_note[0]).exists():
        claim(folder, *old_note)
    claim(folder, "videos.made_by.txt", repr(options))
    by_digest = {_digest(video): video for video in videos}
    plan = _agreed_plan(folder, by_digest, videos_per_shard)
    return [(f"videos-{number:05d}", tuple(by_digest[digest] for digest in shard)) for number, shard in enumerate(plan)]


def _agreed_plan(folder: Path, by_digest: dict[str, NamedVideo], videos_per_shard: int) -> list[list[str]]:
    """The manifest's plan; launches that come at once agree on what the first wrote."""
    manifest, watch = folder / _MANIFEST, ClaimWatch()
    while True:
        with claimed(manifest) as mine:
            plan = _read(manifest)
            known = {digest for shard in plan for digest in shard}
            if gone := known - by_digest.keys():
                raise ConfigError(
                    f"{folder}: was made of other data or with other options: {len(gone)} of its {len(known)} videos "
                    "are not listed any more, or with other words; a folder can grow, otherwise choose another one"
                )
            new = [digest for digest in by_digest if digest not in known]
            if not new:
                return plan
            if mine:
                plan += [new[start : start + videos_per_shard] for start in range(0, len(new), videos_per_shard)]
                write_text(manifest, "".join(json.dumps(shard) + "\n" for shard in plan))
                return plan
        while not watch.is_free(manifest):
            time.sleep(0.05)


def _read(manifest: Path) -> list[list[str]]:
    try:
        return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise OutputError(f"{manifest}: cannot be read: {error}; choose another folder") from error


def _digest(video: NamedVideo) -> str:
    return sha256(repr(video).encode()).hexdigest()[:_DIGITS]


def _read_through(files: VideoFiles) -> None:
    for _ in files.records({}):
        pass
