"""Questions on whether a caption is true: half are, and the others differ in what the caption says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from videolavit.data.things import matching
from videolavit.data.things.captions import captions, image_captions, motion_captions
from videolavit.data.things.catalogue import THINGS
from videolavit.data.things.matching import MATCHING_QUESTION, caption_questions
from videolavit.data.things.sampling import SceneOptions, sample_scene
from videolavit.data.things.scene import DIRECTIONS, Actor, Event, Scene, View

SCENES = [(seed, sample_scene(seed, SceneOptions(things=24, num_clips=1 + seed % 2))) for seed in range(60)]


def test_yes_is_said_of_captions_of_the_scene_and_no_of_none_of_them():
    for seed, scene in SCENES:
        own = {
            MATCHING_QUESTION.format(prompt=text.removesuffix("."))
            for wording in range(seed, seed + 4 * matching._TRIES)
            for tell in (captions, image_captions, motion_captions)
            for text in tell(scene, wording, 1)
        }
        for question in caption_questions(scene, seed, 24, count=4):
            assert (question.text in own) == (question.answer == "yes"), question


def test_a_caption_that_leaves_time_or_camera_open_is_not_called_false():
    [actor] = next(scene for _, scene in SCENES if len(scene.actors) == 1).actors
    night = View(place="forest", yaw=40.0, pitch=-8.0, night=True, camera="left")
    scene = Scene(actors=(actor,), view=night)
    changes = (matching._other_time, matching._other_camera)
    for seed in range(60):
        text = matching._untrue(scene, first_caption, seed, np.random.default_rng(seed), THINGS[:24], changes)
        assert not text or "by day" in text or "camera" in text, text


def two_things(events: tuple[Event, Event], relation: str) -> Scene:
    actors = (Actor(name="dog", size="small", events=events[:1]), Actor(name="bus", size="small", events=events[1:]))
    return Scene(actors=actors, view=View(place="forest", yaw=40.0, pitch=-8.0), relation=relation)


def untrue_roles(scene: Scene) -> set[str]:
    told = {
        matching._untrue(scene, first_caption, seed, np.random.default_rng(seed), THINGS, (matching._other_roles,))
        for seed in range(120)
    }
    return told - {""}


def test_of_a_chase_only_words_that_tell_who_chases_are_called_false():
    slow = Event(motion="moves", direction="right")
    texts = untrue_roles(two_things((slow, slow), "chases"))
    assert len(texts) > 60
    for text in texts:
        assert any(word in text for word in ("chas", "follow", "goes after", "going after")), text


def test_of_two_things_that_differ_in_speed_only_words_that_tell_the_speed_are_called_false():
    slow, quick = (Event(motion="moves", direction="right", speed=speed) for speed in ("slowly", "quickly"))
    texts = untrue_roles(two_things((slow, quick), "apart"))
    assert len(texts) > 60
    for text in texts:
        assert any(word in text for word in ("slow", "quick", "fast")), text


def first_caption(scene: Scene, seed: int) -> str:
    return captions(scene, seed, 1)[0]


def test_answers_are_balanced_and_questions_different():
    asked = [question for seed, scene in SCENES for question in caption_questions(scene, seed, 24)]
    for about_image in (True, False):
        answers = Counter(question.answer for question in asked if question.about_image == about_image)
        assert set(answers) == {"yes", "no"}
        assert 0.45 < answers["yes"] / answers.total() < 0.55
    for seed, scene in SCENES[:5]:
        texts = [question.text for question in caption_questions(scene, seed, 24)]
        assert len(set(texts)) == len(texts)
        assert texts == [question.text for question in caption_questions(scene, seed, 24)]


def test_what_a_first_frame_does_not_show_is_not_asked_about_it():
    """Nobody can say no of a direction or a camera from one image."""
    moving = {change.__name__ for change in (matching._other_event, matching._other_camera, matching._other_order)}
    assert not moving & {change.__name__ for change in matching._SEEN_AT_ONCE}
    assert moving <= {change.__name__ for change in matching._SEEN_IN_TIME}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_another_direction_is_at_a_right_angle_at_least(direction: str):
    random = np.random.default_rng(0)
    event = Event(motion="moves", direction=direction)
    for _ in range(40):
        other = matching._other_way(event, random)
        assert other != event
        if other.direction != direction:
            product = np.dot(DIRECTIONS[other.direction], DIRECTIONS[direction])
            assert product < 0.1


def test_changes_change_what_they_name():
    random = np.random.default_rng(1)
    for _, scene in SCENES:
        for change in {*matching._SEEN_AT_ONCE, *matching._SEEN_IN_TIME}:
            other = change(scene, random, THINGS[:24])
            assert other != scene, change.__name__
            if other is not None:
                assert {actor.name for actor in other.actors} <= {thing.name for thing in THINGS[:24]}
        swapped = matching._other_roles(scene, random, THINGS[:24])
        if swapped is not None:
            assert [actor.name for actor in swapped.actors] == [actor.name for actor in scene.actors][::-1]
        assert matching._other_order(replace(scene, actors=scene.actors[:1]), random, ()) is None or scene.num_clips > 1
