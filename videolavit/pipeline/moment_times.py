"""The times of the moments of a long video, as words of the question that is asked about them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from videolavit.language.conversation import Turn
from videolavit.language.prompts import ClipInput, ImageInput, VideoInput

__all__ = ["clock", "with_times"]

_PLACE = re.compile("(<image>|<video>)")


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` within the first hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def with_times(question: str, media: Sequence[ImageInput | VideoInput]) -> Turn:
    """A question in which each moment of a long video is a video of its own behind the words `0:12 to 0:16:`."""
    if not _PLACE.search(question):
        names = ["<image>" if isinstance(one, ImageInput) else "<video>" for one in media]
        question = "".join(f"{name}\n" for name in names) + question
    waiting, words, shown = iter(media), "", []
    for part in _PLACE.split(question):
        one = next(waiting) if _PLACE.fullmatch(part) else None
        if isinstance(one, VideoInput) and all(clip.moment for clip in one.clips):
            runs = list(_runs(one))
            words += "\n".join(f"{_span(run)}: <video>" for run in runs)
            shown += runs
        else:
            words += part
            shown += [] if one is None else [one]
    return Turn(question=words, media=tuple(shown))


def _runs(video: VideoInput) -> Iterator[VideoInput]:
    """Parts of a video whose clips follow one another."""

    def offset(place: tuple[int, ClipInput]) -> int:
        return 0 if place[1].moment is None else place[1].moment.clip - place[0]

    for _, group in itertools.groupby(enumerate(video.clips), key=offset):
        yield VideoInput(clips=tuple(clip for _, clip in group))


def _span(video: VideoInput) -> str:
    first, last = video.clips[0].moment, video.clips[-1].moment
    assert first is not None
    assert last is not None
    return f"{clock(first.start_seconds)} to {clock(last.end_seconds)}"
