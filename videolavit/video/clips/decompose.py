"""Take a video apart into clips: keyframe and motion (paper, section 3.1; reference section 2). Read this first.

    frames of the source -> one per tick -> re-encoded -> a CodedFrame per tick -> clips at the chosen keyframes

Each arrow is an iterator, so memory does not grow with the length of the video.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from videolavit.clip import Clip
from videolavit.errors import MediaError
from videolavit.plugins import MOTION_SOURCES, load_plugin, plugins
from videolavit.video.clips.assemble import assemble, timeline
from videolavit.video.clips.decompose_options import DecomposeOptions
from videolavit.video.clips.selection import Selection, select_clips
from videolavit.video.io.frames import Frames, libav_frames
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import open_video
from videolavit.video.io.resample import frames_on_ticks, video_on_ticks
from videolavit.video.io.sources import Source, can_read_again, describe, is_file
from videolavit.video.motion.coded_frame import CodedFrame
from videolavit.video.motion.reencode import reencode
from videolavit.video.motion.shots import CutDetector, shot_ends
from videolavit.video.motion.source_vectors import SOURCE_DECODER_OPTIONS, source_motion

__all__ = ["VideoSource", "coded_frames", "decompose", "file_or_frames", "iter_clips"]

logger = logging.getLogger(__name__)

VideoSource = Source | Frames | Iterable[np.ndarray]
"""Sources that can be taken apart; images that come without a rate are one per tick."""


def decompose(
    source: VideoSource,
    options: DecomposeOptions | None = None,
    *,
    limits: Limits | None = None,
    progress: Callable[[int], None] | None = None,
    **changes: Any,
) -> list[Clip]:
    """Take a video apart into clips.

    Args:
        source: a path, the bytes of a file, a binary file object, `Frames`, or any iterable of uint8 RGB images
            (height, width, 3), which then are one per tick.
        options: by default those of the release.
        limits: what to refuse; by default `Limits()`.
        progress: called with the number of ticks read so far.
        changes: single options by name, those of `Reencoding` included: `slices=1, max_clips=8, select="every 2"`.

    Returns:
        The clips in order of time, at least one.

    Raises:
        MediaError: there is no such file, it is not a video, or it is damaged beyond reading.
        LimitError: it is larger or longer than `limits` allow.
        ConfigError: there is no such option, or its value is out of range.
    """
    return list(iter_clips(source, options, limits=limits, progress=progress, **changes))


def iter_clips(
    source: VideoSource,
    options: DecomposeOptions | None = None,
    *,
    limits: Limits | None = None,
    progress: Callable[[int], None] | None = None,
    **changes: Any,
) -> Iterator[Clip]:
    """`decompose`, clip by clip, in memory that does not grow with the video.

    With the selections `timeline`, `all` and `every k` a clip comes as soon as it is complete. The others depend on all
    keyframes, so their clips come when the video has been read. Options are checked at once, the video when the first
    clip is asked for. Closing the iterator closes the file.
    """
    options = (options or DecomposeOptions()).changed(**changes)
    return _clips(file_or_frames(source, options.fps), options, limits or Limits(), progress)


def file_or_frames(source: VideoSource, fps: float | int) -> Source | Frames:
    """Images that come without a rate are one per tick."""
    if isinstance(source, Frames) or is_file(source):
        return source  # type: ignore[return-value] - `is_file` has looked
    if not isinstance(source, Iterable):
        raise MediaError(f"got {type(source).__name__}, expected a path, bytes, a binary file object, or images")
    return Frames(images=source, fps=fps)  # type: ignore[arg-type] - each image is checked when it is read


def _clips(
    source: Source | Frames, options: DecomposeOptions, limits: Limits, progress: Callable[[int], None] | None
) -> Iterator[Clip]:
    name, selection = describe(source), Selection.parse(options.select)
    with closing(_reported(source, options, limits, progress)) as frames:
        if selection.rule == "timeline":
            every = assemble(frames, lambda position, tick: True, options, name)
            yield from (clip for clip, _ in timeline(every))
            return
        if not selection.needs_whole_list:
            yield from assemble(frames, lambda position, tick: selection.takes(position), options, name)
            return
        kept, starts = _choose(frames, options)

    def chosen(position: int, tick: int) -> bool:
        return tick in starts

    if kept is not None:
        yield from assemble(kept, chosen, options, name)
        return
    logger.info("%s: is read again, because it is too long to be kept until its clips are chosen", name)
    if not can_read_again(source):
        raise MediaError(
            f"{name}: can be read once only and is too long to be kept until select={options.select!r} knows all its "
            "keyframes; save it to a file, take select='all' or 'every k', or raise memory_bytes"
        )
    with closing(_reported(source, options, limits, progress)) as frames:
        yield from assemble(frames, chosen, options, name)


def _choose(frames: Iterator[CodedFrame], options: DecomposeOptions) -> tuple[list[CodedFrame] | None, set[int]]:
    """All frames, unless they need too much memory, and the ticks at which clips start."""
    kept: list[CodedFrame] | None = []
    num_bytes, num_ticks = 0, 0
    keyframes: list[int] = []
    cuts: list[int] = []
    for frame in frames:
        num_ticks += 1
        if frame.is_keyframe:
            keyframes.append(frame.tick)
            if frame.starts_shot and options.shots != "ignore":
                cuts.append(frame.tick)
        if kept is not None:
            kept.append(frame)
            num_bytes += frame.num_bytes
            kept = kept if num_bytes <= options.memory_bytes else None
    starts = select_clips(
        keyframes,
        num_ticks,
        select=options.select,
        max_clips=options.max_clips,
        frames_per_clip=options.frames_per_clip,
        gop=options.reencoding.gop,
        shot_ends=shot_ends(keyframes, cuts, num_ticks),
    )
    return kept, set(starts)


def _reported(
    source: Source | Frames, options: DecomposeOptions, limits: Limits, progress: Callable[[int], None] | None
) -> Generator[CodedFrame, None, None]:
    with closing(coded_frames(source, options, limits)) as frames:
        for frame in frames:
            if progress is not None:
                progress(frame.tick + 1)
            yield frame


def coded_frames(
    source: Source | Frames, options: DecomposeOptions, limits: Limits
) -> Generator[CodedFrame, None, None]:
    """Every tick of a video with its motion, as `options` say it is measured; what clips are made of."""
    if options.motion == "source":
        yield from _with_own_motion(source, options, limits)
        return
    if options.motion != "reencode":
        measure = load_plugin(plugins(MOTION_SOURCES)[options.motion], "source of motion")
        yield from measure(source, options, limits)
        return
    cuts = CutDetector(options.cut_detector) if options.shots == "difference" else None
    with closing(_ticks(source, options, limits)) as ticks:
        yield from reencode(
            ticks, options.reencoding, fps=options.rate, name=describe(source), cell=options.cell, cuts=cuts
        )


def _with_own_motion(
    source: Source | Frames, options: DecomposeOptions, limits: Limits
) -> Generator[CodedFrame, None, None]:
    if isinstance(source, Frames):
        raise MediaError(f"{describe(source)}: images carry no motion vectors; take motion='reencode'")
    with open_video(source, limits=limits, threads=options.threads, decoder_options=SOURCE_DECODER_OPTIONS) as video:
        yield from source_motion(
            video,
            fps=options.rate,
            cell=options.cell,
            keyframe_every=options.reencoding.gop,
            cut_detector=options.cut_detector if options.shots == "difference" else None,
            selective=options.selective,
        )


def _ticks(source: Source | Frames, options: DecomposeOptions, limits: Limits) -> Generator[VideoFrame, None, None]:
    if isinstance(source, Frames):
        frames = libav_frames(source, limits, describe(source))
        yield from frames_on_ticks(frames, source.rate, options.rate, limits, describe(source))
        return
    with open_video(source, limits=limits, threads=options.threads) as video:
        yield from video_on_ticks(video, options.rate, selective=options.selective)
