"""The model of the package that knows things: they are painted, move their limbs, and tell drafts from one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videolavit import VideoLaVIT

PROMPT = "a large panda rests in a field"


@pytest.fixture(scope="module")
def things() -> VideoLaVIT:
    return VideoLaVIT.from_pretrained("things")


def test_it_names_the_things_that_it_knows(things):
    assert len(things.known_things) == 24
    assert "panda, panda bear" in things.known_things
    assert VideoLaVIT.from_pretrained("tiny").known_things == ()


def test_an_image_is_drawn_and_its_thing_is_painted(things):
    image = things.generate_image(PROMPT, seed=1, candidates=1)
    panda = 1 + things.known_things.index("panda, panda bear")
    pixels = torch.from_numpy(image.pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    assert things.named(pixels).argmax(2)[0].tolist().count(panda) == 1


def test_a_thing_at_rest_moves_its_limbs(things):
    video = things.generate_video("a T-Rex rests in a field", seed=1)
    changes = np.abs(np.diff(video.frames.astype(int), axis=0)).max((1, 2, 3))
    assert np.median(changes) > 60, "most poses differ clearly from the one before"


@pytest.mark.parametrize(("height", "width"), [(72, 72), (64, 136)])
def test_drafts_of_sizes_in_which_nothing_is_recognised_are_as_good_as_each_other(things, height, width):
    sized = things.generate_image(PROMPT, seed=1, height=height, width=width)
    assert sized.pixels.shape == (height, width, 3)
    assert torch.equal(sized.ids, things.generate_image(PROMPT, seed=1, height=height, width=width, candidates=1).ids)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_videos_come_in_every_type(dtype):
    model = VideoLaVIT.from_pretrained("things", dtype=dtype)
    assert model.generate_video("a panda moves to the left", seed=1, candidates=1).frames.shape == (24, 128, 128, 3)
