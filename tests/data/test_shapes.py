import importlib.util
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videolavit.data.shapes import (
    captions,
    image_captions,
    is_held_out,
    motion_captions,
    questions,
    render,
    sample_scene,
)
from videolavit.data.shapes.scene import COLOURS, DIRECTIONS, FRAMES_PER_CLIP, SHAPES, SIZE, Event
from videolavit.data.shapes.words import image_questions
from videolavit.language import unknown_words

seeds = st.integers(min_value=0, max_value=2**31)


def words_of(seed, **options):
    scene = sample_scene(seed, **options)
    return captions(scene, seed), questions(scene)


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(min_value=1, max_value=3), st.booleans())
def test_a_seed_gives_one_video_and_one_set_of_words(seed, num_clips, extended):
    one, other = (sample_scene(seed, num_clips=num_clips, extended=extended) for _ in range(2))
    assert one == other
    assert np.array_equal(render(one), render(other))
    assert captions(one, seed) == captions(other, seed)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(min_value=1, max_value=3), st.booleans())
def test_objects_stay_inside_the_image(seed, num_clips, extended):
    for actor in sample_scene(seed, num_clips=num_clips, extended=extended).actors:
        centres, radii = actor.path()
        assert (centres - radii[:, None] >= 0).all()
        assert (centres + radii[:, None] <= SIZE).all()


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_objects_are_the_only_saturated_things(seed):
    scene = sample_scene(seed)
    frames = render(scene).astype(int)
    chroma = frames.max(axis=-1) - frames.min(axis=-1)
    centres, radii = scene.actors[0].path()
    rows, cols = np.mgrid[:SIZE, :SIZE]
    far = np.hypot(cols - centres[:, 0, None, None], rows - centres[:, 1, None, None]) > 1.4 * radii[:, None, None]
    assert chroma[far].max() < 25
    for frame, (x, y) in zip(chroma, centres, strict=True):
        assert frame[round(y), round(x)] > 80


def test_held_out_combinations_are_about_a_tenth_and_leave_every_pair_in_training():
    combinations = list(itertools.product(SHAPES, COLOURS, DIRECTIONS))
    held_out = {combination for combination in combinations if is_held_out(*combination)}
    assert 0.08 < len(held_out) / len(combinations) < 0.12
    trained = set(combinations) - held_out
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert {(c[first], c[second]) for c in trained} == {(c[first], c[second]) for c in combinations}


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_a_split_shows_its_combinations_only(split):
    for seed in range(60):
        for scene in (sample_scene(seed, split=split), sample_scene(seed, split=split, num_clips=2)):
            (actor,) = scene.actors
            held_out = [is_held_out(actor.shape, actor.colour, event.direction) for event in actor.events]
            assert any(held_out) == (split == "held-out")


def test_every_value_occurs():
    scenes = [sample_scene(seed) for seed in range(300)]
    actors = [scene.actors[0] for scene in scenes]
    assert {actor.shape for actor in actors} == set(SHAPES)
    assert {actor.colour for actor in actors} == set(COLOURS)
    assert {actor.events[0].direction for actor in actors} == set(DIRECTIONS)
    assert {scene.camera for scene in scenes} == {"still", "left", "right", "up", "down"}
    assert all(scene.camera == "still" for scene in scenes if scene.ground.kind == "plain")


def test_a_pan_moves_the_ground_against_the_camera():
    scene = next(s for s in map(sample_scene, range(500)) if s.camera == "right")
    frames = render(scene)[..., 1].astype(float)
    corner = frames[:, :20, 30:60], frames[:, 100:, 30:60]
    still = min(corner, key=lambda part: part.std(axis=0).mean())  # the corner that the object does not cross
    later, before = still[8], still[6]  # two frames of 1.5 pixels
    shifted = {shift: np.abs(before[:, 6 + shift : 24 + shift] - later[:, 6:24]).mean() for shift in (-3, 0, 3)}
    assert min(shifted, key=lambda shift: shifted[shift]) == 3


def test_extended_scenes_have_two_objects_growth_and_photographs():
    if importlib.util.find_spec("gradio") is None:  # importing it would take seconds, and nothing here does
        pytest.skip("photographic grounds are gradio's example images")
    scenes = [sample_scene(seed, extended=True) for seed in range(60)]
    assert {len(scene.actors) for scene in scenes} == {1, 2}
    assert any(event.growth for scene in scenes for actor in scene.actors for event in actor.events)
    photo = next(scene for scene in scenes if scene.ground.kind == "photo")
    assert render(photo).shape == (FRAMES_PER_CLIP, SIZE, SIZE, 3)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(min_value=1, max_value=3), st.booleans())
def test_captions_name_what_is_there(seed, num_clips, extended):
    scene = sample_scene(seed, num_clips=num_clips, extended=extended)
    for sentence in captions(scene, seed) + image_captions(scene, seed):
        assert all(actor.colour in sentence for actor in scene.actors)
        assert sentence == sentence.strip()
        assert "  " not in sentence
    for sentence in captions(scene, seed):
        assert ("camera" in sentence) == (scene.camera != "still")
    assert not any("camera" in sentence for sentence in image_captions(scene, seed))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(min_value=1, max_value=3))
def test_motion_captions_say_how_one_object_moves(seed, num_clips):
    scene = sample_scene(seed, num_clips=num_clips)
    (actor,) = scene.actors
    for sentence in motion_captions(scene, seed, 8):
        assert sentence == sentence.strip()
        assert not any(size in sentence for size in ("small", "large", "big"))
        for word in {part for event in actor.events for part in event.direction.split("-")} - {"still"}:
            assert word in sentence or {"up": "top", "down": "bottom"}.get(word, "?") in sentence


def test_two_objects_have_no_motion_captions():
    scene = next(s for s in (sample_scene(seed, extended=True) for seed in range(50)) if len(s.actors) == 2)
    assert motion_captions(scene, 0) == []


def test_questions_have_several_wordings_and_one_answer():
    scene = sample_scene(4)
    wordings = {question.text for seed in range(40) for question in questions(scene, seed) if question.topic == "shape"}
    answers = {
        question.answer for seed in range(40) for question in questions(scene, seed) if question.topic == "shape"
    }
    assert len(wordings) > 4
    assert answers == {scene.actors[0].shape}


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(min_value=1, max_value=3), st.booleans())
def test_no_question_is_asked_twice_and_answers_come_from_the_scene(seed, num_clips, extended):
    scene = sample_scene(seed, num_clips=num_clips, extended=extended)
    asked = questions(scene)
    texts = [question.text for question in asked]
    assert len(set(texts)) == len(texts)
    assert all(question in asked for question in image_questions(scene))
    answers = {question.topic: question.answer for question in asked}
    assert answers["count"] == str(len(scene.actors))
    assert answers["background"] == scene.ground.kind
    if len(scene.actors) == 1:
        assert answers["shape"] == scene.actors[0].shape
        assert answers["colour"] == scene.actors[0].colour


def test_the_order_of_events_is_asked_about_in_longer_videos():
    _, asked = words_of(3, num_clips=3)
    assert sum(question.topic == "order" for question in asked) >= 3
    assert not any(question.topic == "speed" for question in asked)


def test_an_impossible_request_is_an_error():
    with pytest.raises(ValueError, match="at most 6 clips"):
        sample_scene(0, num_clips=400, max_tries=5)


def test_the_table_of_words_is_that_of_captions():
    page = (Path(__file__).parents[2] / "docs" / "shapes.md").read_text(encoding="utf-8")
    table = page.partition("### Words")[2].partition("\n\nObjects carry")[0].partition("| --- | --- |")[2]
    told = set(unknown_words.words_of(" ".join(line.split("|")[2] for line in table.strip().splitlines())))
    scenes = [sample_scene(seed, num_clips=1 + seed % 2) for seed in range(800)]
    said = {
        word
        for seed, scene in enumerate(scenes)
        for text in captions(scene, seed)
        for word in unknown_words.words_of(text)
    }
    forms = {"drifting", "going", "travelling", "staying", "resting", "standing"}  # "..." of the table
    joints = {"in", "is", "over", "there", "of", "video", "front"}
    assert said - told - forms - joints == set()
    assert told - said - {"or"} == set()


@pytest.mark.parametrize("start", [(190.0, 64.0), (64.0, 190.0), (-60.0, 64.0), (64.0, -60.0)])
def test_an_object_beside_the_frame_is_not_drawn(start):
    scene = next(scene for scene in map(sample_scene, range(9)) if len(scene.actors) == 1)
    away = replace(scene.actors[0], start=start, events=(Event(direction="still"),))
    frames = render(replace(scene, actors=(away,)))
    assert np.array_equal(frames, render(replace(scene, actors=(replace(away, start=(900.0, 64.0)),))))


def test_parts_of_long_videos_are_asked_about():
    asked = " ".join(question.text for question in questions(sample_scene(3, num_clips=8), 3))
    assert "eighth part" in asked
