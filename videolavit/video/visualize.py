"""Images for people: motion as arrows or colours, videos side by side, a contact sheet of keyframes.

Everything returns RGB arrays of uint8, for `write_video`, notebooks and Pillow; nothing here writes files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from videolavit.clip import Clip, MotionField
from videolavit.errors import ShapeError

__all__ = [
    "arrow_layer",
    "color_wheel",
    "contact_sheet",
    "draw_arrows",
    "draw_clip",
    "draw_colors",
    "film_strips",
    "side_by_side",
]

_LAYER_SIDE = 640

_BACKGROUND = (24, 24, 27)
_TEXT = (235, 235, 235)
_LEAST_TEXT = 8
"""Pixels of a caption's letters."""
_SUPERSAMPLING = 3
"""Pillow draws lines without antialiasing; arrows are drawn so much larger and made small."""


def draw_arrows(
    image: UInt8[np.ndarray, "height width 3"],
    motion: MotionField,
    frame: int | None = None,
    *,
    spacing: int | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Arrows of motion over an image; colour tells the direction as in `color_wheel`.

    Args:
        image: usually the keyframe; its size may differ from that of the motion.
        motion: of the clip.
        frame: whose motion to draw, or `None` for the mean over the clip.
        spacing: pixels between arrows; by default such that they can be told apart.
    """
    height, width = image.shape[:2]
    spacing = spacing or max(16, round(math.sqrt(height * width / 500)))
    sheet = Image.fromarray(_subdued(image)).resize((width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    pen = ImageDraw.Draw(sheet)
    for tail, tip, color in _arrows(motion, frame, height, width, spacing):
        _arrow(pen, tail, tip, color, spacing)
    return np.asarray(sheet.resize((width, height), Image.Resampling.BOX))


def arrow_layer(motion: MotionField, height: int, width: int) -> UInt8[np.ndarray, "height width 4"]:
    """Arrows of the mean motion alone, RGB and opacity, to be laid over an image of that size.

    Drawn smaller and enlarged where the image is large, since a film needs many of them.
    """
    shrink = min(1.0, _LAYER_SIDE / max(height, width))
    rows_high, cols_wide = max(1, round(height * shrink)), max(1, round(width * shrink))
    sheet = Image.new("RGBA", (cols_wide * _SUPERSAMPLING, rows_high * _SUPERSAMPLING))
    pen = ImageDraw.Draw(sheet)
    spacing = max(16, round(math.sqrt(rows_high * cols_wide / 500)))
    for tail, tip, color in _arrows(motion, None, rows_high, cols_wide, spacing):
        _arrow(pen, tail, tip, (*color, 255), spacing)
    return np.asarray(sheet.resize((width, height), Image.Resampling.BOX))


def draw_colors(
    motion: MotionField,
    frame: int | None = None,
    *,
    height: int | None = None,
    width: int | None = None,
    largest: float | int | None = None,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Motion as colours: hue for direction as in `color_wheel`, brightness for the root of speed, black for rest.

    Args:
        motion: of the clip.
        frame: whose motion to draw, or `None` for the mean over the clip.
        height: of the result; by default that of the image the motion belongs to.
        width: likewise.
        largest: speed in pixels per frame that is drawn at full brightness; by default the clip's 99th percentile,
            so that frames of one clip can be compared, and at least 1.
    """
    field = motion.values.mean(1) if frame is None else motion.values[:, frame]
    largest = largest or _usual_largest(motion)
    colors = _hue(field, np.sqrt(np.clip(np.hypot(*field) / largest, 0, 1)))
    size = (width or motion.width, height or motion.height)
    return np.asarray(Image.fromarray(colors).resize(size, Image.Resampling.NEAREST))


def color_wheel(size: int = 96) -> UInt8[np.ndarray, "size size 3"]:
    """The key to the colours: each direction from the middle has the colour of motion that way."""
    offset = (np.arange(size) + 0.5) * 2 / size - 1
    field = np.stack(np.broadcast_arrays(offset[None, :], offset[:, None]))
    radius = np.hypot(*field)
    edge = np.clip((1 - radius) * size / 2, 0, 1)[..., None]
    wheel = _hue(field, np.sqrt(np.clip(radius, 0, 1)))
    return (wheel * edge + np.array(_BACKGROUND) * (1 - edge)).astype(np.uint8)


def draw_clip(clip: Clip, *, width: int = 960) -> UInt8[np.ndarray, "_ _ 3"]:
    """A clip at a glance: its keyframe, the keyframe with arrows of mean motion, and the motion of every frame.

    Args:
        clip: what to draw.
        width: of the result in pixels.
    """
    gap, columns = 8, 8
    half = (width - 3 * gap) // 2
    keyframe = _resized(clip.keyframe, half)
    arrows = draw_arrows(keyframe, clip.motion)
    top = _row([_labelled(keyframe, "keyframe"), _labelled(arrows, "mean motion")], gap)
    small = (width - (columns + 1) * gap) // columns
    small_height = max(1, round(small * clip.size[0] / clip.size[1]))
    largest = _usual_largest(clip.motion)
    tiles = [
        _tagged(draw_colors(clip.motion, i, height=small_height, width=small, largest=largest), str(i))
        for i in range(clip.motion.num_frames)
    ]
    rows = [_row(tiles[i : i + columns], gap) for i in range(0, len(tiles), columns)]
    seconds = f"{_clock(clip.start_seconds)} to {_clock(clip.end_seconds)}"
    text = f"{seconds}    motion per frame, brightest: {largest:.1f} pixels"
    legend = _caption(text, width - 2 * gap, key=color_wheel(48))
    return _column([top, _row([legend], gap), *rows], gap, width)


def side_by_side(
    videos: Sequence[Iterable[UInt8[np.ndarray, "_ _ 3"]]],
    labels: Sequence[str] | None = None,
    *,
    gap: int = 8,
) -> Iterator[UInt8[np.ndarray, "_ _ 3"]]:
    """Frames of several videos next to each other, ready for `write_video`; labels stand above.

    All are made as high as the first. A video that ends early stays on its last frame until the longest ends. Videos
    may be iterators: only one frame of each is held at a time.

    Raises:
        ShapeError: no videos, an empty one, another number of labels than of videos, or no room for a frame.
    """
    labels = [""] * len(videos) if labels is None else list(labels)
    if not videos or len(labels) != len(videos):
        raise ShapeError(f"got {len(videos)} videos and {len(labels)} labels, expected as many of each, at least one")
    return _side_by_side([iter(video) for video in videos], labels, gap)


def contact_sheet(
    clips: Iterable[Clip],
    *,
    columns: int = 4,
    width: int = 960,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Keyframes of clips in reading order, each with its time.

    Args:
        clips: at least one; each is used only while its tile is drawn.
        columns: tiles in a row; fewer where there are fewer clips.
        width: of the result in pixels.

    Raises:
        ShapeError: there are no clips, or no room for a tile.
    """
    gap = 8
    tile = _tile(width, columns, gap)
    tiles = [_labelled(_resized(clip.keyframe, tile), _clock(clip.start_seconds)) for clip in clips]
    if not tiles:
        raise ShapeError("got no clips, expected at least one for a contact sheet")
    width = min(columns, len(tiles)) * (tile + gap) + gap
    return _column([_row(tiles[i : i + columns], gap) for i in range(0, len(tiles), columns)], gap, width)


def film_strips(
    videos: Sequence[UInt8[np.ndarray, "_ _ _ 3"]],
    labels: Sequence[str],
    *,
    shown: int = 5,
    width: int = 960,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """A row for each video: evenly spaced frames from the first to the last, under its label.

    Args:
        videos: frames of each, (frames, height, width, 3).
        labels: one for each video.
        shown: frames in a row; fewer of a shorter video.
        width: of the result in pixels.

    Raises:
        ShapeError: no videos, an empty one, another number of labels than of videos, or no room for a frame.
    """
    if not videos or len(labels) != len(videos) or not all(len(video) for video in videos):
        raise ShapeError(
            f"got {len(videos)} videos of {[len(video) for video in videos]} frames and {len(labels)} labels, "
            "expected as many labels as videos, at least one, and frames in each"
        )
    gap = 8
    tile = _tile(width, shown, gap)
    rows = []
    for video, label in zip(videos, labels, strict=True):
        numbers = np.linspace(0, len(video) - 1, min(shown, len(video))).round().astype(int)
        row = _row([_resized(video[number], tile) for number in numbers], gap)
        rows.append(_labelled(row, label))
    return _column(rows, gap, width)


def _tile(width: int, columns: int, gap: int) -> int:
    """Pixels across each of so many tiles beside each other."""
    tile = (width - (columns + 1) * gap) // columns if columns > 0 else 0
    if tile < 1:
        least = f"{gap + 1} pixels or more"
        raise ShapeError(f"got {columns} tiles across {width} pixels, expected at least one, of {least}")
    return tile


# Motion


def _one_field(motion: MotionField, frame: int | None, height: int, width: int) -> Float[np.ndarray, "2 rows cols"]:
    field = motion.values.mean(1) if frame is None else motion.values[:, frame]
    return field * np.array([width / motion.width, height / motion.height], np.float32).reshape(2, 1, 1)


def _mean_per_cell(field: np.ndarray, rows: int, cols: int) -> Float[np.ndarray, "2 rows cols"]:
    resized = [Image.fromarray(part.astype(np.float32)).resize((cols, rows), Image.Resampling.BOX) for part in field]
    return np.stack([np.asarray(part) for part in resized])


def _usual_largest(motion: MotionField) -> float:
    speed = np.hypot(*motion.values)
    return max(1.0, float(np.quantile(speed, 0.99)))


def _hue(field: np.ndarray, value: np.ndarray) -> UInt8[np.ndarray, "rows cols 3"]:
    """Colour circle: red to the right, then yellow-green downwards, cyan left, violet up."""
    angle = np.mod(np.arctan2(field[1], field[0]) / (2 * math.pi), 1)
    channels = np.stack([angle * 255, np.full_like(angle, 215), value * 255], -1)
    return np.asarray(Image.fromarray(channels.astype(np.uint8), mode="HSV").convert("RGB"))


def _subdued(image: np.ndarray) -> np.ndarray:
    """Half grey and a little darker, so that colours of arrows stand out."""
    gray = image.mean(-1, keepdims=True)
    return ((0.4 * image + 0.6 * gray) * 0.7).astype(np.uint8)


def _arrows(
    motion: MotionField, frame: int | None, height: int, width: int, spacing: int
) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[int, ...]]]:
    """Tail, tip and colour of each arrow, in pixels."""
    rows, cols = max(1, height // spacing), max(1, width // spacing)
    field = _mean_per_cell(_one_field(motion, frame, height, width), rows, cols)
    speed = np.hypot(*field)
    # The fastest arrows are a little longer than the space between two of them, and never exaggerate tiny motion much.
    length = 1.5 * spacing * np.sqrt(speed / max(float(speed.max()), 1.0))
    colors = _hue(field, np.ones_like(speed))
    for row, col in np.argwhere(speed > 0.05 * max(float(speed.max()), 1.0)):
        middle = np.array([(col + 0.5) * width / cols, (row + 0.5) * height / rows])
        step = field[:, row, col] / speed[row, col] * length[row, col]
        yield middle - step / 2, middle + step / 2, tuple(colors[row, col].tolist())


def _arrow(pen: ImageDraw.ImageDraw, tail: np.ndarray, tip: np.ndarray, color: tuple, spacing: int) -> None:
    tail, tip = tail * _SUPERSAMPLING, tip * _SUPERSAMPLING
    step = tip - tail
    length = float(np.hypot(*step))
    along, across = step / length, np.array([-step[1], step[0]]) / length
    head = min(0.45 * length, 0.35 * spacing * _SUPERSAMPLING)
    base = tip - along * head
    thick = max(_SUPERSAMPLING, round(spacing * _SUPERSAMPLING * 0.08))
    outline = (0, 0, 0, 255)[: len(color)]
    for extra, ink in ((2, outline), (0, color)):
        side = across * (0.45 * head + extra)
        pen.line([*tail, *base], fill=ink, width=thick + 2 * extra)
        pen.polygon([tuple(tip + along * 2 * extra), tuple(base + side), tuple(base - side)], fill=ink)


# Layout


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: 0:04.2, 1:02:03.0."""
    tenths = round(seconds * 10)
    hours, minutes = divmod(tenths // 600, 60)
    rest = f"{tenths % 600 / 10:04.1f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def _resized(image: np.ndarray, width: int) -> np.ndarray:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _BACKGROUND, np.uint8)


def _caption(text: str, width: int, *, size: int = 16, key: np.ndarray | None = None) -> np.ndarray:
    """A line of text on the background, with a small image before it if one is given; smaller where it has no room."""
    height = max(round(1.6 * size), 0 if key is None else key.shape[0])
    sheet = Image.fromarray(_blank(height, width))
    left = 2
    if key is not None:
        sheet.paste(Image.fromarray(key), (left, (height - key.shape[0]) // 2))
        left += key.shape[1] + size
    while size > _LEAST_TEXT and _font(size).getlength(text) > width - left:
        size -= 1
    ImageDraw.Draw(sheet).text((left, height / 2), text, fill=_TEXT, font=_font(size), anchor="lm")
    return np.asarray(sheet)


def _labelled(image: np.ndarray, text: str) -> np.ndarray:
    return np.concatenate([_caption(text, image.shape[1]), image])


def _tagged(image: np.ndarray, text: str) -> np.ndarray:
    """Small text in the upper left corner of an image."""
    sheet = Image.fromarray(image)
    ImageDraw.Draw(sheet).text((4, 2), text, fill=_TEXT, font=_font(12), stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(sheet)


def _row(images: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Images next to each other with a gap before, between and after; the lower ones stand on the background."""
    height = max(image.shape[0] for image in images)
    parts = [_blank(height, gap)]
    for image in images:
        below = _blank(height - image.shape[0], image.shape[1])
        parts += [np.concatenate([image, below]), _blank(height, gap)]
    return np.concatenate(parts, axis=1)


def _column(rows: Sequence[np.ndarray], gap: int, width: int) -> np.ndarray:
    parts = [_blank(gap, width)]
    for row in rows:
        row = row[:, :width]
        parts += [np.concatenate([row, _blank(row.shape[0], width - row.shape[1])], axis=1), _blank(gap, width)]
    return np.concatenate(parts)


def _side_by_side(videos: list[Iterator[np.ndarray]], labels: list[str], gap: int) -> Iterator[np.ndarray]:
    shown = [next(video, None) for video in videos]
    if any(frame is None for frame in shown):
        raise ShapeError(f"video {[frame is None for frame in shown].index(True)} has no frames")
    first = [np.asarray(frame) for frame in shown]
    height = first[0].shape[0]
    widths = [max(1, round(frame.shape[1] * height / frame.shape[0])) for frame in first]
    size = min(max(12, height // 24), 32)
    captions = [_caption(label, width, size=size) for label, width in zip(labels, widths, strict=True)]
    while True:
        tiles = [_resized_to(frame, height, width) for frame, width in zip(first, widths, strict=True)]
        if any(labels):
            tiles = [np.concatenate(pair) for pair in zip(captions, tiles, strict=True)]
        row = _row(tiles, gap)
        yield np.concatenate([row, _blank(gap, row.shape[1])])
        following = [next(video, None) for video in videos]
        if all(frame is None for frame in following):
            return
        first = [old if new is None else new for old, new in zip(first, following, strict=True)]


def _resized_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
