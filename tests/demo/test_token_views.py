"""Tokens on the page are those of the library, at the places where the tokenizer found them."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from videolavit.clip_tokens import ClipTokens
from videolavit.demo.code_places import CodePlace, nearest_codes, places_of, replaced
from videolavit.demo.expected_view import expected_view
from videolavit.demo.kept_patches import KeptPatches, draw_patches, kept_at, look_at_patches
from videolavit.demo.shape_images import shape_image
from videolavit.demo.token_sight import code_facts, expectations, look_at_tokens, patch_at
from videolavit.demo.token_timeline import code_colour, surprise_colour, token_timeline
from videolavit.errors import LimitError, PromptError, VocabularyError
from videolavit.video import Limits


def clip(keyframe, motion=None):
    return ClipTokens(keyframe=torch.tensor(keyframe), motion=None if motion is None else torch.tensor(motion))


@pytest.fixture(scope="module")
def shape():
    return np.asarray(Image.open(io.BytesIO(shape_image("circle"))).convert("RGB"))


@pytest.fixture(scope="module")
def patches(shipped, shape):
    return look_at_patches(shipped, shape)


def test_kept_patches_are_those_of_tokenize(shipped, shape, patches):
    assert list(patches.codes) == shipped.tokenize(image=shape)[0].keyframe.tolist()
    assert patches.keep.sum() == len(patches.codes)
    assert np.array_equal(kept_at(patches, 0.5), patches.keep)
    assert kept_at(patches, 0.0).all()


def test_every_code_is_found_at_its_place(patches):
    for number in range(len(patches.codes)):
        assert patches.number(*patches.place(number)) == number
    row, col = np.argwhere(~patches.keep)[0]
    assert patches.number(int(row), int(col)) is None
    rows, cols = patches.grid
    row, col = patches.place(0)
    assert patch_at(patches, (col + 0.5) / cols, (row + 0.5) / rows) == 0


def test_the_picture_marks_a_chosen_code_and_is_brighter_where_patches_are_likelier(shape, patches):
    plain, marked = draw_patches(shape, patches), draw_patches(shape, patches, chosen=0)
    assert plain.shape == marked.shape
    assert min(plain.shape[:2]) >= 500
    assert (plain != marked).any()


def test_a_large_image_is_drawn_no_larger_than_it_is_shown():
    keep = np.eye(4, dtype=bool)
    patches = KeptPatches(probabilities=np.full((4, 4), 0.5, np.float32), keep=keep, codes=(1, 2, 3, 4))
    assert draw_patches(np.zeros((1500, 2000, 3), np.uint8), patches).shape == (1024, 1024, 3)
    assert draw_patches(np.zeros((40, 50, 3), np.uint8), patches).shape == (512, 512, 3)


def test_places_neighbours_and_replacement():
    clips = [clip([5, 6, 5]), clip([7, 5])]
    assert [(one.clip, one.number) for one in places_of(5, clips)] == [(0, 0), (0, 2), (1, 1)]
    book = torch.tensor([[0.0, 0], [3, 4], [0, 1], [9, 9]])
    assert nearest_codes(book, 0, 2) == [(2, 1.0), (1, 5.0)]
    changed = replaced(clips, CodePlace(clip=1, number=0), 2, 10)
    assert changed[1].keyframe.tolist() == [2, 5]
    assert clips[1].keyframe.tolist() == [7, 5]
    with pytest.raises(VocabularyError, match="0 to 9"):
        replaced(clips, CodePlace(clip=0, number=0), 10, 10)
    with pytest.raises(VocabularyError, match="number 9"):
        replaced(clips, CodePlace(clip=0, number=9), 1, 10)


def test_the_strip_has_a_cell_for_each_code():
    clips = [clip([5, 6, 5], list(range(135))), clip([1])]
    strip = token_timeline(clips, player="x-video")
    assert strip.count("<rect") == 3 + 135 + 1
    assert strip.count('class="cursor"') == 2
    assert 'data-player="x-video"' in strip
    bits = token_timeline(clips, player="x-video", surprises=[1.0] * 139)
    assert bits.count("1.0 bits") == 139


def test_colours_tell_codes_and_surprises_apart():
    assert len({code_colour(code) for code in range(64)}) == 64
    assert surprise_colour(0) != surprise_colour(3) != surprise_colour(9)
    assert surprise_colour(50) == surprise_colour(11)


def test_a_video_is_seen_as_the_library_tokenizes_it(shipped, square):
    sight, timings = look_at_tokens(shipped, str(square), limits=Limits(), max_clips=4)
    assert sight.text == shipped.tokenize(video=str(square)).text
    assert [list(one.codes) for one in sight.patches] == [one.keyframe.tolist() for one in sight.clips]
    assert sight.seconds == pytest.approx(4.0)
    assert timings["encode"] > 0
    facts = code_facts(shipped, sight, 0, 0)
    assert (0, *sight.patches[0].place(0)) in facts.places
    assert len(facts.neighbours) == 6
    with pytest.raises(LimitError):
        look_at_tokens(shipped, str(square), limits=Limits(), max_clips=0)


def test_expectations_are_probabilities_of_what_was_written(shipped):
    from videolavit.language.engine import DecodingEngine, GenerationRequest
    from videolavit.language.generation_prompt import generation_prompt
    from videolavit.language.grammar import Block
    from videolavit.language.prompts import Prompt
    from videolavit.language.sampling_options import Sampling, SamplingOptions

    words, model = "a red circle moves to the right", shipped.language_model
    one = SamplingOptions(greedy=True)
    engine = DecodingEngine(model, slots=1)
    most = shipped.components.config("condition_decoder").num_positions
    running = engine.submit(
        GenerationRequest(
            prompt=Prompt.from_ids(generation_prompt(model, words)),
            blocks=(Block.keyframe(1, most),),
            sampling=Sampling(keyframe=one, motion=one, text=one),
            logprobs=1,
        )
    )
    while engine.busy:
        engine.step()
    ids = running.ids
    codes = [new - model.vocabulary.visual_range.start for new in ids[1:-1]]
    found = expectations(shipped, words, [clip(codes)])
    assert [one.id for one in found] == ids
    for seen, written in zip(found, running.new_ids, strict=True):
        assert math.log(seen.probability) == pytest.approx(written.logprob, abs=2e-3)
    assert found[0].probability == 1  # [IMG] is forced
    assert found[0].entropy_bits == 0
    greedy = found[3]
    assert greedy.top[0][0] == greedy.name
    allowed = sum(share for _, share in greedy.forbidden)
    assert 0 <= allowed <= 1
    assert dict(found[1].forbidden)["motion codes"] >= 0


def test_expectations_refuse_what_does_not_fit(shipped):
    with pytest.raises(PromptError, match="context"):
        expectations(shipped, "a red circle", [clip([1] * 60, [1] * 135)] * 9)


def test_the_view_shows_the_likeliest_and_the_forbidden(shipped):
    found = expectations(shipped, "a red circle", [clip([1, 2, 3])])
    view = expected_view(found[1])
    assert view.count('class="row') >= 5
    assert re.search(r"K 1</b> was chosen", view)
