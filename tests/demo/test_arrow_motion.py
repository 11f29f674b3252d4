"""An arrow moves what is under its tail to where its tip is."""

from __future__ import annotations

import numpy as np
import pytest

from videolavit.demo.arrow_motion import arrow_motion, region_at
from videolavit.errors import ConfigError
from videolavit.video import warp

TAIL = (40.0, 60.0)


def image() -> np.ndarray:
    pixels = np.full((128, 160, 3), 230, np.uint8)
    pixels[48:72, 28:52] = (200, 30, 30)
    return pixels


def middle_of_red(frame: np.ndarray) -> tuple[float, float]:
    rows, cols = np.nonzero((frame[..., 0] > 150) & (frame[..., 1] < 120))
    return float(cols.mean() + 0.5), float(rows.mean() + 0.5)


@pytest.mark.parametrize("tip", [(86.0, 60.0), (40.0, 30.0), (80.0, 90.0)])
def test_a_thing_arrives_at_the_tip(tip):
    frames = warp(image(), arrow_motion(image(), TAIL, tip))
    before, after = middle_of_red(frames[0]), middle_of_red(frames[-1])
    assert np.allclose(np.subtract(after, before), np.subtract(tip, TAIL), atol=2)


def test_half_way_it_is_half_way():
    frames = warp(image(), arrow_motion(image(), TAIL, (86.0, 60.0)))
    assert middle_of_red(frames[12])[0] - middle_of_red(frames[0])[0] == pytest.approx(24, abs=2)


def test_the_ground_stands_still():
    motion = arrow_motion(image(), TAIL, (86.0, 60.0))
    assert np.count_nonzero(motion.values[:, 1:, 0]) == 0  # the first row of cells lies far above the thing
    assert np.count_nonzero(motion.values[:, 0]) == 0


def test_what_an_arrow_takes_along():
    thing, disc = region_at(image(), TAIL, "thing"), region_at(image(), TAIL, "disc")
    assert thing[48:72, 28:52].all()
    assert thing.sum() == 24 * 24
    assert disc[60, 40]
    assert not disc[60, 70]
    everything = arrow_motion(image(), TAIL, (63.0, 60.0), moved="everything")
    assert np.allclose(everything.values[0, 1:], 1)


def test_a_tail_outside_is_refused():
    with pytest.raises(ConfigError, match="outside"):
        arrow_motion(image(), (200.0, 5.0), (1.0, 1.0))


def test_an_arrow_out_of_the_image_leaves_it():
    motion = arrow_motion(image(), TAIL, (900.0, 60.0))
    assert np.count_nonzero(motion.values[:, -1]) == 0
