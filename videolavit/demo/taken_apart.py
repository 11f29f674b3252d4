"""A video taken apart for the page: its clips, its cuts, and numbers about them (paper, section 3.1); no model."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from videolavit.clip import Clip
from videolavit.errors import LimitError
from videolavit.video import (
    DecomposeOptions,
    Limits,
    VideoInfo,
    contact_sheet,
    draw_arrows,
    draw_clip,
    probe,
    side_by_side,
    warp,
)
from videolavit.video.clips.assemble import assemble, timeline
from videolavit.video.clips.decompose import coded_frames
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.pixels import resize_image
from videolavit.video.motion.coded_frame import CodedFrame

__all__ = [
    "TakenApart",
    "arrow_frames",
    "camera_motion",
    "facts",
    "motion_error",
    "narrowed",
    "shown_at",
    "take_apart",
    "zipped",
]

RGB = UInt8[np.ndarray, "_ _ 3"]
OPTIONS = DecomposeOptions(select="all", shots="difference")
"""Clips start at every keyframe, so that they can follow one another, and end at cuts."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TakenApart:
    """A video as clips that follow one another."""

    source: str
    info: VideoInfo
    clips: tuple[Clip, ...]
    shown_ticks: tuple[int, ...]
    """For how many ticks each clip is shown; they add up to the video."""
    cuts: tuple[float, ...]
    """Seconds at which the detector found a cut."""

    @property
    def seconds(self) -> float:
        """Length, in ticks of the time grid."""
        return float(sum(self.shown_ticks) / self.clips[0].fps)


def take_apart(
    path: str | Path, *, limits: Limits, max_clips: int = 64, progress: Callable[[int], None] | None = None
) -> TakenApart:
    """Read a video once and find its clips and cuts.

    Args:
        path: of a video file.
        limits: what to refuse, checked before and while it is decoded.
        max_clips: a video that has more of them is refused.
        progress: called with the number of ticks read so far; may raise to stop the work.

    Raises:
        MediaError: it cannot be read as a video.
        LimitError: it is larger or longer than the limits allow.
    """
    info = probe(str(path), limits=limits)
    cuts: list[int] = []
    with closing(coded_frames(str(path), OPTIONS, limits)) as frames:
        watched = _watched(frames, cuts, progress)
        clips = timeline(assemble(watched, lambda position, tick: True, OPTIONS, Path(path).name))
        found = list(itertools.islice(clips, max_clips + 1))
    if len(found) > max_clips:
        raise LimitError(f"has more than {max_clips} clips; cut it to a shorter part")
    return TakenApart(
        source=str(path),
        info=info,
        clips=tuple(clip for clip, _ in found),
        shown_ticks=tuple(ticks for _, ticks in found),
        cuts=tuple(float(tick / OPTIONS.rate) for tick in cuts),
    )


def _watched(
    frames: Iterator[CodedFrame], cuts: list[int], progress: Callable[[int], None] | None
) -> Generator[CodedFrame, None, None]:
    for frame in frames:
        if frame.starts_shot and frame.tick:
            cuts.append(frame.tick)
        if progress is not None:
            progress(frame.tick + 1)
        yield frame


def narrowed(taken: TakenApart, *, width: int = 640) -> TakenApart:
    """The same with keyframes at most `width` wide, as they are shown: what may wait in memory for further looks."""
    return replace(taken, clips=tuple(replace(one, keyframe=_narrowed(one.keyframe, width)) for one in taken.clips))


def camera_motion(clip: Clip, frame: int | None = None) -> tuple[float, float]:
    """Median vector of a frame, or of all moving frames together: (x, y) in pixels per frame of the video's size."""
    field = _real_motion(clip) if frame is None else clip.motion.values[:, frame]
    x, y = np.median(field.reshape(2, -1), axis=1)
    return float(x), float(y)


def _real_motion(clip: Clip) -> Float32[np.ndarray, "2 _ rows cols"]:
    """Motion of the frames that the video has, without the keyframe's."""
    return clip.motion.values[:, 1 : max(2, clip.num_real_frames)]


def motion_error(
    original: Float32[np.ndarray, "2 frames rows cols"], coded: Float32[np.ndarray, "2 frames rows cols"]
) -> float:
    """Mean length of the difference of two fields on one grid, in their unit: the endpoint error."""
    return float(np.hypot(*(original - coded)).mean())


def facts(taken: TakenApart) -> list[tuple[str, str]]:
    """Facts that the page tells of a video, as (name, value)."""
    info, clips = taken.info, taken.clips
    speeds = np.concatenate([np.hypot(*_real_motion(clip)).ravel() for clip in clips])
    rate = "unknown rate" if info.frame_rate is None else f"{float(info.frame_rate):.4g} frames/s"
    x, y = np.median([camera_motion(clip) for clip in clips], axis=0)
    cuts = ", ".join(f"{second:.1f} s" for second in taken.cuts) or "none found"
    return [
        ("video", f"{info.width} x {info.height}, {taken.seconds:.1f} s, {rate}, {info.codec}"),
        ("clips", f"{len(clips)}, each a keyframe and up to {OPTIONS.frames_per_clip} frames of motion"),
        ("cuts", cuts),
        (
            "motion",
            f"mean {speeds.mean():.2f}, largest {speeds.max():.1f} pixels per frame at {OPTIONS.fps:g} frames/s",
        ),
        ("camera", f"median vector {x:+.2f} to the right, {y:+.2f} down"),
    ]


def shown_at(taken: TakenApart, index: int, frame: int | None, *, width: int = 640) -> RGB:
    """Keyframe of a clip with arrows of one frame's motion, or of the mean; at most `width` wide."""
    clip = taken.clips[index]
    return draw_arrows(_narrowed(clip.keyframe, width), clip.motion, frame)


def arrow_frames(taken: TakenApart, index: int, limits: Limits, *, width: int = 400) -> UInt8[np.ndarray, "_ _ _ 3"]:
    """A clip as a video: left the original with its motion, right the keyframe moved by that motion alone."""
    clip, count = taken.clips[index], taken.shown_ticks[index]
    with closing(images_on_ticks(taken.source, fps=clip.fps, limits=limits)) as images:
        seen = [_narrowed(image, width) for image in itertools.islice(images, clip.start, clip.start + count)]
    last = clip.motion.num_frames - 1
    arrows = [draw_arrows(image, clip.motion, min(frame, last)) for frame, image in enumerate(seen)]
    moved = warp(_narrowed(clip.keyframe, width), clip)[: len(arrows)]
    return np.stack(list(side_by_side([arrows, moved], ["motion of each frame", "keyframe, moved by it alone"])))


def zipped(taken: TakenApart) -> bytes:
    """A zip archive: keyframes and motion as images, all fields as arrays, and metadata."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("contact-sheet.png", _png(contact_sheet(taken.clips)))
        for number, clip in enumerate(taken.clips):
            archive.writestr(_entry(f"keyframes/{number:03}.png"), _png(clip.keyframe))
            archive.writestr(_entry(f"motion/{number:03}.png"), _png(draw_clip(clip)))
        arrays = io.BytesIO()
        np.savez(
            arrays,
            motion_pixels=np.stack([clip.motion.values for clip in taken.clips]),
            clip_starts=np.array([clip.start for clip in taken.clips]),
            shown_ticks=np.array(taken.shown_ticks),
        )
        archive.writestr("motion.npz", arrays.getvalue())
        archive.writestr("metadata.json", json.dumps(_metadata(taken), indent=2) + "\n")
    return file.getvalue()


def _metadata(taken: TakenApart) -> dict[str, object]:
    starts = [{"start_seconds": clip.start_seconds, "end_seconds": clip.end_seconds} for clip in taken.clips]
    info = {**taken.info.as_dict(), "source": Path(taken.source).name}
    units = {"motion_pixels": "pixels in 1 / fps s, x to the right, y down; (clips, 2, frames, rows, cols)"}
    return {"video": info, "fps": OPTIONS.fps, "clips": starts, "cuts_seconds": taken.cuts, "units": units}


def _entry(name: str) -> zipfile.ZipInfo:
    """An image in the archive: it is compressed already, and the archive does not depend on the time of day."""
    return zipfile.ZipInfo(name)


def _png(image: RGB) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=3)
    return file.getvalue()


def _narrowed(image: RGB, width: int) -> RGB:
    height, present = image.shape[:2]
    return image if present <= width else resize_image(image, max(2, round(height * width / present)), width)
