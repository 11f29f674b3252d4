"""The judge of the world of things on clips that were drawn for it: right ones pass, and each kind of damage fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation.shapes_models import TruthfulModel
from things_images import draw_sources

from videolavit.data.things.captions import captions
from videolavit.data.things.questions import questions as asked_of
from videolavit.data.things.render import render
from videolavit.data.things.sampling import SceneOptions, sample_scene
from videolavit.data.things.scene import Actor, Event, Scene, View
from videolavit.data.things.sources import Sources, load_sources
from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks.things import things_task_names, things_tasks
from videolavit.evaluation.things import templates
from videolavit.evaluation.things.background import camera_motion
from videolavit.evaluation.things.damage import DAMAGES, damaged
from videolavit.evaluation.things.judge import judge_image, judge_video
from videolavit.evaluation.things.motion import Track, is_same_motion, is_same_speed, read_motion
from videolavit.evaluation.things.open_words import said_in
from videolavit.evaluation.things.places import read_place
from videolavit.evaluation.things.samples import ThingsSample
from videolavit.evaluation.things.templates import best_match


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return load_sources(str(draw_sources(tmp_path_factory.mktemp("things") / "sources.npz")))


def scene_of(event: Event, name: str = "elephant", **view: object) -> Scene:
    facing = "left" if event.velocity[0] < 0 else "right"
    actor = Actor(name=name, size="small", events=(event,), start=(52.0, 90.0), facing=facing)
    return Scene(actors=(actor,), view=View(place="desert", yaw=60.0, pitch=-9.0, **view))  # type: ignore[arg-type]


RIGHT = Event(motion="moves", direction="right", speed="slowly")


def test_a_thing_is_found_where_it_is(sources: Sources):
    frame = render(scene_of(RIGHT), sources).frames[0]
    match = best_match(frame, "elephant", sources)
    assert np.hypot(match.centre[0] - 52, match.centre[1] - 90) < 2
    assert 0.9 < match.look.side / 40 < 1.1
    assert match.error < 10


def test_a_rendered_clip_is_right(sources: Sources):
    scene = scene_of(RIGHT)
    verdict = judge_video(render(scene, sources).frames, scene, sources, num_things=24)
    assert verdict.right, verdict


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(DAMAGES))
def test_every_kind_of_damage_is_caught(sources: Sources, kind: str):
    scene = scene_of(RIGHT)
    verdict = judge_video(damaged(kind, scene, sources, seed=1), scene, sources, num_things=24)
    assert not verdict.right, kind


def test_what_was_not_asked_for_is_wrong(sources: Sources):
    frames = render(scene_of(RIGHT), sources).frames
    elsewhere = replace(scene_of(RIGHT), view=View(place="city", yaw=60.0, pitch=-9.0))
    assert not judge_image(frames[0], elsewhere, sources, num_things=24).place
    assert not judge_image(frames[0], scene_of(RIGHT, name="cat"), sources, num_things=24).named


def test_places_are_read_by_day_and_by_night(sources: Sources):
    for place, night in (("desert", False), ("desert", True), ("forest", False)):
        view = View(place=place, yaw=120.0, pitch=-9.0, night=night)
        rendered = render(replace(scene_of(RIGHT), view=view), sources)
        shown = rendered.masks[:, 0].max(0) < 20
        assert read_place(rendered.frames[0], shown, sources)[:2] == (place, night)


@pytest.mark.parametrize("camera", ["still", "left", "right", "nearer"])
def test_cameras_are_read_from_the_place(sources: Sources, camera: str):
    rendered = render(scene_of(Event(motion="rests"), camera=camera), sources)
    hidden = rendered.masks[0] > 0
    assert camera_motion(rendered.frames, hidden) == camera


EVENTS = (
    RIGHT,
    Event(motion="moves", direction="up-left", speed="quickly"),
    Event(motion="rests"),
    Event(motion="jumps"),
    Event(motion="bounces"),
    Event(motion="circles"),
    Event(motion="comes nearer"),
    Event(motion="goes away"),
    Event(motion="turns round"),
    Event(motion="spins"),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.motion} {event.direction}")
def test_every_motion_is_read_from_its_true_track_and_no_other(event: Event):
    scene = scene_of(event)
    actor, path = scene.actors[0], scene.paths()[0]
    track = Track(centre=path.centre, side=path.side, right=path.facing > 0, angle=path.angle)
    read = read_motion(track, actor.thing)
    assert is_same_motion(read, event, actor.thing), read
    assert is_same_speed(read, event)
    assert [other for other in EVENTS if is_same_motion(read, other, actor.thing)] == [event]


def test_only_what_a_caption_says_is_judged():
    scene = sample_scene(5, SceneOptions(num_things=1))
    plain = said_in(f"a {scene.actors[0].name} moves", scene)
    assert not any((plain.place, plain.time, plain.camera, plain.size, plain.speed))
    full = said_in(f"a large dog runs quickly in the {scene.view.place} at night while the camera pans left", scene)
    assert all((full.place, full.time, full.camera, full.size, full.speed))
    said = [said_in(caption, scene) for caption in captions(scene, 5, 40)]
    assert 0.4 < np.mean([one.place for one in said]) < 0.95


def test_names_that_hold_a_word_for_a_size_say_none():
    scene = replace(scene_of(RIGHT, "tiger"), view=View(place="ballroom", yaw=60.0, pitch=-9.0))
    assert not said_in("a big cat moves to the right in a large hall.", scene).size
    assert said_in("a big cat moves to the right in a large hall.", scene).place
    assert said_in("a small big cat moves to the right", scene).size
    assert said_in("a large tiger moves in a large hall", scene).size


@pytest.mark.parametrize("size", [(256, 256), (96, 160), (128, 130)])
def test_frames_of_another_size_than_the_artwork_are_refused(sources: Sources, size: tuple[int, int]):
    scene = scene_of(RIGHT)
    frames = np.zeros((24, *size, 3), np.uint8)
    for judge, shown in ((judge_image, frames[0]), (judge_video, frames)):
        with pytest.raises(ConfigError, match=f"got a frame of {size[0]} x {size[1]} pixels, expected 128 x 128"):
            judge(shown, scene, sources)


@pytest.mark.parametrize("centre", [(150.0, 64.0), (64.0, 150.0), (-30.0, 64.0), (64.0, -30.0), (128.0, 128.0)])
def test_a_look_beside_the_frame_explains_nothing(sources: Sources, centre: tuple[float, float]):
    look, black = templates.Appearance("balloon", 0, 40.0, True), np.zeros((3, 128, 128), np.float32)
    for offset in range(0, 40, 3):
        place = centre[0] + (offset if centre[0] > 64 else 0), centre[1] + (offset if centre[1] > 64 else 0)
        assert templates.error_of(black, look, place, sources) == (255, 255)


class Knowing(TruthfulModel):
    """Knows one sample of the world of things, and answers rightly or not."""

    def __init__(self, sample: ThingsSample, right: bool) -> None:
        self.sample, self.right = sample, right

    def answer(self, questions, *, images, videos, max_new_tokens):
        known = {one.text: one.answer for one in asked_of(self.sample.scene, self.sample.seed, self.sample.num_things)}
        return [known[text].upper() + "." if self.right else "nothing" for text in questions]


def test_answers_are_right_to_the_letter_and_others_wrong(sources: Sources):
    options = BenchmarkOptions(data=sources.path, limit=2)
    (task,) = things_tasks(options, ["things_questions"])
    for right in (True, False):
        sample = task.sample(1)
        (outcome,) = task.measure(Knowing(sample, right), [sample])
        assert outcome is not None
        assert set(outcome.values["all"]) == {right}
        assert task.summary([outcome])["what"].value == float(right)


def test_the_benchmark_needs_images_and_knows_its_worlds(sources: Sources):
    assert len(things_task_names()) == len(set(things_task_names()))
    with pytest.raises(ConfigError, match="things-sources"):
        things_tasks(BenchmarkOptions(limit=1))[0].check()
    with pytest.raises(ConfigError, match="24, 64, 117"):
        things_tasks(BenchmarkOptions(data=sources.path, variant="25"))
    (task,) = things_tasks(BenchmarkOptions(data=sources.path, variant="64"), ["things_two"])
    assert len(task.sample(0).scene.actors) == 2


def test_transforms_are_kept_while_there_is_room_and_matches_are_the_same_without(sources, monkeypatch):
    scene = scene_of(Event(motion="rests"))
    image = render(scene, sources).frames[0]
    found = []
    for most_bytes in (10**9, 0):
        spectra = templates._Spectra(most_bytes)
        monkeypatch.setattr(templates, "_SPECTRA", spectra)
        found.append([best_match(image, name, sources) for name in ("elephant", "rocket", "elephant")])
        assert 0 <= spectra.num_bytes <= most_bytes
        assert len(spectra._kept) == (0 if most_bytes == 0 else 2)
    assert found[0] == found[1]


def test_a_thing_that_is_not_there_is_not_looked_for_in_ever_larger_looks(sources):
    """A black video: each frame's search starts from what the one before has found."""
    match = None
    for _ in range(24):
        match = best_match(np.zeros((128, 128, 3), np.uint8), "crab", sources, near=match)
    assert match is not None
    assert match.look.side <= templates._LARGEST_SIDE
