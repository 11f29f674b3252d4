from dataclasses import replace

import numpy as np
import pytest

from videolavit.data.shapes import render, sample_scene
from videolavit.evaluation.shapes_checker import check_readings, check_video, object_mask, read_video


def moving_scene():
    """A scene whose object moves far enough to leave a trail."""
    return next(
        scene
        for scene in map(sample_scene, range(500))
        if scene.actors[0].events[0].direction == "left" and scene.actors[0].events[0].speed == "quickly"
    )


@pytest.mark.slow
def test_at_least_99_of_100_rendered_samples_are_read_right():
    verdicts = [check_video(render(scene), scene) for scene in map(sample_scene, range(10_000, 10_400))]
    assert np.mean([all(verdict.values()) for verdict in verdicts]) >= 0.99


def test_longer_videos_are_read_clip_by_clip():
    for scene in (sample_scene(seed, num_clips=3) for seed in range(5)):
        assert all(check_video(render(scene), scene).values())


def test_two_objects_are_told_apart():
    scenes = (sample_scene(seed, extended=True) for seed in range(200))
    pairs = [
        scene
        for scene in scenes
        if len(scene.actors) == 2
        and scene.ground.kind != "photo"
        and not any(event.growth for actor in scene.actors for event in actor.events)
    ]
    assert len(pairs) > 10
    assert all(all(check_video(render(scene), scene).values()) for scene in pairs[:10])


def growing_scene():
    """A small object that grows, alone over a plain or textured ground."""
    return next(
        scene
        for scene in (sample_scene(seed, extended=True) for seed in range(2000))
        if len(scene.actors) == 1 and scene.ground.kind != "photo" and scene.actors[0].events[0].growth > 0
    )


def test_growing_objects_are_told_from_those_that_stay_as_they_are():
    truth = growing_scene()
    (actor,) = truth.actors
    assert all(check_video(render(truth), truth).values())
    for growth in (0.0, -0.3):
        other = replace(truth, actors=(replace(actor, events=(replace(actor.events[0], growth=growth),)),))
        claimed_of_other = check_video(render(other), truth)
        claimed_of_truth = check_video(render(truth), other)
        assert not claimed_of_other["clean"]
        assert not claimed_of_other["direction"]
        assert not claimed_of_truth["clean"]


def test_one_reading_is_held_against_several_scenes():
    scene = moving_scene()
    (actor,) = scene.actors
    reading = read_video(render(scene))
    other = replace(scene, actors=(replace(actor, size="small" if actor.size == "large" else "large"),))
    assert check_readings([reading], scene)["size"]
    assert not check_readings([reading], other)["size"]
    assert not check_readings([reading], other)["clean"]
    assert not any(check_readings([], scene).values())


def test_the_mask_of_an_object_is_its_area():
    scene = moving_scene()
    frame = render(scene)[0]
    assert object_mask(frame).sum() == pytest.approx(read_video(frame[None]).objects[0].areas[0])
    assert not object_mask(np.full((8, 8, 3), 128, dtype=np.uint8)).any()


@pytest.mark.parametrize(
    ("attribute", "value"), [("colour", "green"), ("shape", "star"), ("size", "large"), ("direction", "right")]
)
def test_a_video_that_shows_something_else_is_found_out(attribute, value):
    truth = moving_scene()
    (actor,) = truth.actors
    changes = (
        {"events": (replace(actor.events[0], direction=value),)} if attribute == "direction" else {attribute: value}
    )
    claim = replace(truth, actors=(replace(actor, **changes),))
    assert claim != truth
    assert check_video(render(truth), truth)[attribute]
    assert not check_video(render(truth), claim)[attribute]


def test_a_trail_is_no_clean_object():
    scene = moving_scene()
    frames = render(scene)
    trail = frames.copy()
    for index in range(1, len(trail)):  # what a pure warp leaves behind: the object stays where it has been
        saturated = np.ptp(trail[index - 1].astype(int), axis=-1) > 60
        trail[index][saturated] = trail[index - 1][saturated]
    assert check_video(frames, scene)["clean"]
    verdict = check_video(trail, scene)
    assert not verdict["clean"]


def test_a_second_blob_is_a_ghost():
    scene = moving_scene()
    frames = render(scene)
    y = 8 if scene.actors[0].start[1] > 64 else 110
    frames[20:, y : y + 8, 8:16] = (200, 40, 200)
    reading = read_video(frames)
    assert reading.frames_with_ghosts == 4
    assert not check_video(frames, scene)["clean"]


def test_a_vanished_object_is_no_clean_object():
    scene = moving_scene()
    frames = render(scene)
    frames[15:] = 128
    reading = read_video(frames).objects[0]
    assert reading.areas[-1] == 0
    assert reading.last_shape == ""
    assert not check_video(frames, scene)["clean"]


def test_an_empty_video_shows_nothing():
    scene = moving_scene()
    frames = np.full((24, 128, 128, 3), 128, dtype=np.uint8)
    assert read_video(frames).objects == ()
    assert not any(check_video(frames, scene).values())


def test_noise_shows_no_object():
    frames = np.random.default_rng(0).integers(0, 256, (24, 128, 128, 3)).astype(np.uint8)
    verdict = check_video(frames, moving_scene())
    assert not verdict["clean"]


def test_an_object_that_fades_is_no_clean_object():
    scene = moving_scene()
    frames = render(scene).astype(float)
    share = np.clip((np.arange(len(frames)) - 6) / 8, 0, 1)[:, None, None, None] * 0.3
    faded = (frames * (1 - share) + 128 * share).astype(np.uint8)
    (reading,) = read_video(faded).objects
    assert reading.is_whole
    assert reading.area_is_kept(scene.actors[0].shape, scene.actors[0].path()[1])
    assert not reading.keeps_colour
    assert not check_video(faded, scene)["clean"]


def test_an_object_torn_in_two_halves_is_no_clean_object():
    scene = moving_scene()
    frames = render(scene)
    torn = frames.copy()
    for index in range(12, len(torn)):
        rows, _ = np.nonzero(object_mask(frames[index]))
        middle = (rows.min() + rows.max()) // 2
        torn[index, middle:] = np.roll(frames[index, middle:], 10, axis=1)  # one blob, of the right area
    (reading,) = read_video(torn).objects
    assert reading.keeps_colour
    assert not reading.is_whole
    assert not check_video(torn, scene)["clean"]


def test_an_object_with_a_hole_is_no_clean_object():
    scene = moving_scene()
    frames = render(scene)
    pierced = frames.copy()
    for index in range(12, len(pierced)):
        rows, cols = np.nonzero(object_mask(frames[index]))
        half = int(0.3 * np.sqrt(len(rows)))  # a third of the area: the rule on areas lets it pass
        y, x = int(rows.mean()), int(cols.mean())
        pierced[index, y - half : y + half, x - half : x + half] = 128
    (reading,) = read_video(pierced).objects
    assert reading.area_is_kept(scene.actors[0].shape, scene.actors[0].path()[1])
    assert not reading.is_whole
    assert not check_video(pierced, scene)["clean"]
