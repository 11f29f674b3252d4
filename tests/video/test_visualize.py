"""Images of motion: that they show what is there. How they look is for eyes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from videolavit.clip import Clip, MotionField
from videolavit.errors import ShapeError
from videolavit.video.visualize import (
    color_wheel,
    contact_sheet,
    draw_arrows,
    draw_clip,
    draw_colors,
    film_strips,
    side_by_side,
)


def motion_field(x: float, y: float, *, height: int = 96, width: int = 128, frames: int = 24) -> MotionField:
    values = np.zeros((2, frames, 6, 8), np.float32)
    values[0, 1:], values[1, 1:] = x, y
    return MotionField(values=values, height=height, width=width)


def clip(x: float = 0, y: float = 0, start: int = 0, shade: int = 128) -> Clip:
    keyframe = np.full((96, 128, 3), shade, np.uint8)
    return Clip(keyframe=keyframe, motion=motion_field(x, y), start=start, fps=Fraction(6), num_real_frames=24)


def test_rest_is_black_and_directions_have_the_colours_of_the_wheel():
    assert not draw_colors(motion_field(0, 0), 5).any()
    wheel = color_wheel(101).astype(int)
    for x, y in [(1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7)]:
        drawn = draw_colors(motion_field(4 * x, 4 * y), 5, largest=4)
        assert drawn.shape == (96, 128, 3)
        at_edge = wheel[round(50 + 44 * y), round(50 + 44 * x)]
        assert np.abs(drawn[40, 40] - at_edge).max() < 25


def test_faster_is_brighter():
    slow, fast = (draw_colors(motion_field(x, 0), 5, largest=8).max() for x in (1, 6))
    assert 0 < slow < fast


def test_arrows_point_where_motion_goes():
    gray = np.full((96, 128, 3), 100, np.uint8)
    still = draw_arrows(gray, motion_field(0, 0), 3)
    assert len(np.unique(still.reshape(-1, 3), axis=0)) == 1
    right, left = (draw_arrows(gray, motion_field(x, 0), 3).astype(int) for x in (6, -6))
    red, cyan = right[..., 0] - right[..., 2], left[..., 2] - left[..., 0]
    assert (red > 80).mean() > 0.02
    assert (cyan > 80).mean() > 0.02
    # An arrow is thicker at its head: mirrored motion gives the mirrored image.
    assert np.abs(red - cyan[:, ::-1]).mean() < 12


def test_a_clip_is_drawn_at_the_width_asked_for():
    drawn = draw_clip(clip(3, 1), width=640)
    assert drawn.dtype == np.uint8
    assert drawn.shape[1:] == (640, 3)
    assert drawn.std() > 20


def test_videos_side_by_side_last_as_long_as_the_longest():
    short = np.full((2, 40, 60, 3), 50, np.uint8)
    long = np.full((5, 80, 60, 3), 200, np.uint8)
    frames = list(side_by_side([short, iter(long)], ["short", "long"], gap=4))
    assert len(frames) == 5
    assert len({frame.shape for frame in frames}) == 1
    assert (frames[-1] == 50).all(-1).sum() >= 40 * 60
    assert (frames[-1] == 200).all(-1).sum() >= 40 * 30
    unlabelled = list(side_by_side([short, long], gap=4))
    assert unlabelled[0].shape[0] < frames[0].shape[0]


def test_labels_are_written():
    video = np.full((1, 80, 120, 3), 50, np.uint8)
    with_label, other = (next(side_by_side([video], [label])) for label in ("warp", "original"))
    assert (with_label != other).any()


def test_a_contact_sheet_has_every_keyframe():
    sheet = contact_sheet([clip(start=12 * i, shade=40 * i + 10) for i in range(5)], columns=3, width=640)
    tiles = [(sheet == 40 * i + 10).all(-1).sum() for i in range(5)]
    assert min(tiles) > 0.9 * max(tiles) > 1000


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ShapeError, match="no clips"):
        contact_sheet([])
    with pytest.raises(ShapeError, match="got 0 videos"):
        side_by_side([])
    with pytest.raises(ShapeError, match="video 1 has no frames"):
        next(side_by_side([np.zeros((1, 4, 4, 3), np.uint8), []]))


@pytest.mark.parametrize(("columns", "width"), [(0, 640), (-1, 640), (4, 40)])
def test_tiles_need_room(columns, width):
    with pytest.raises(ShapeError, match=f"got {columns} tiles across {width} pixels"):
        contact_sheet([clip()], columns=columns, width=width)
    with pytest.raises(ShapeError, match=f"got {columns} tiles across {width} pixels"):
        film_strips([np.zeros((2, 8, 8, 3), np.uint8)], ["one"], shown=columns, width=width)


def test_a_long_label_is_smaller_and_not_cut_off():
    video = [np.zeros((128, 128, 3), np.uint8)]
    label = next(side_by_side([video], ["reconstruction, diffusion"], gap=0))[:-128]
    assert label.shape[1] == 128
    written = np.flatnonzero((label != label[0, 0]).any(axis=(0, 2)))
    assert written.size
    assert written.max() < 127


def test_film_strips_show_the_first_frame_and_the_last_of_every_video():
    long = np.stack([np.full((32, 32, 3), 10 * number, np.uint8) for number in range(24)])
    short = np.full((1, 32, 48, 3), 99, np.uint8)
    sheet = film_strips([long, short], ["a long one", "a short one"], shown=5, width=640)
    assert sheet.shape[1] == 640
    row = sheet[80]  # through the frames of the first video
    shades = [int(row[x, 0]) for x in range(70, 640, 126)]
    assert shades == [0, 60, 120, 170, 230]
    assert (sheet == 99).all(-1).any(), "the only frame of the second"
    with pytest.raises(ShapeError, match="expected as many labels as videos"):
        film_strips([long], [])
    with pytest.raises(ShapeError, match=r"of \[24, 0\] frames"):
        film_strips([long, long[:0]], ["one", "none"])
