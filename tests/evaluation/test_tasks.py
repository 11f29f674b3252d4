"""The arithmetic of every task, with a model that renders the truth and one that renders something else."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation.shapes_models import GuessingModel, LyingModel, SilentModel, TruthfulModel

from videolavit.data.shapes import captions, image_captions, names_size, render, sample_scene
from videolavit.data.shapes.scene import is_held_out
from videolavit.evaluation.benchmark import BenchmarkOptions, Target
from videolavit.evaluation.benchmarks.shapes import shapes_tasks, task_names
from videolavit.evaluation.evaluation_report import report
from videolavit.evaluation.generation_tasks import judge_prompted
from videolavit.evaluation.runner import run_all
from videolavit.evaluation.samples import FIRST_SEED, ShapesWorld

pytestmark = pytest.mark.usefixtures("kept_samples")
sample_anew = ShapesWorld.sample
"""Taken before samples are kept."""

HEADLINES = {
    "motion_tokenizer": "direction",
    "autoencoder": "shape",
    "reconstructed_keyframes": "colour and shape",
    "video_detokenizer": "clean",
    "image_questions": "all",
    "video_questions": "all",
    "order": "all",
    "motion_ids": "with motion ids",
    "text_to_image": "colour, shape and size",
    "text_to_video": "colour, shape and direction",
    "text_to_video_unseen": "colour, shape and direction",
    "image_to_video": "direction",
    "extended_reconstructed_keyframes": "colour and shape",
    "extended_video_questions": "all",
    "extended_text_to_video": "colour, shape and direction",
}


def estimates(kind, task, count=3):
    return measured(kind(task, count), task, count)


def measured(model, task, count):
    benchmarks = shapes_tasks(BenchmarkOptions(limit=count), [task])
    return report(run_all(model, benchmarks), samples=count, seed=0)[task]


@pytest.mark.parametrize("task", sorted(HEADLINES))
def test_the_truth_is_all_right(task):
    found = estimates(TruthfulModel, task)
    shares = {name: estimate.value for name, estimate in found.items() if estimate.is_share}
    shares.pop("without motion ids", None)
    assert shares[HEADLINES[task]] == 1
    assert set(shares.values()) == {1.0}


@pytest.mark.parametrize("task", sorted(HEADLINES))
def test_something_else_is_all_wrong(task):
    found = estimates(LyingModel, task)
    assert found[HEADLINES[task]].value == 0


@pytest.mark.parametrize("task", sorted(HEADLINES))
def test_silence_and_black_images_are_all_wrong(task):
    assert estimates(SilentModel, task)[HEADLINES[task]].value == 0


ANSWERED = [task for task in sorted(HEADLINES) if "questions" in task or task in ("order", "motion_ids")]


@pytest.mark.parametrize("task", sorted(set(HEADLINES) - set(ANSWERED)))
def test_noise_is_wrong_but_by_chance(task):
    found = estimates(GuessingModel, task)[HEADLINES[task]].value
    assert found == 0 or (task == "autoencoder" and found < 0.5)  # it asks for a shape alone, and noise has some


@pytest.mark.parametrize("task", ANSWERED)
def test_guesses_are_seldom_right(task):
    found = [measured(GuessingModel(task, 4, luck=luck), task, 4)[HEADLINES[task]].value for luck in range(8)]
    assert 0 < np.mean(found) < 0.5  # several colours, shapes and ways: far from all, and not never


def test_every_task_is_tested():
    assert set(task_names()) - set(HEADLINES) == {
        "visual_tokenizer",
        "ids_per_second",
        "borders",
        "extended_visual_tokenizer",
    }


def test_motion_is_compared_where_it_moves():
    right, wrong = (estimates(kind, "motion_tokenizer") for kind in (TruthfulModel, LyingModel))
    assert right["endpoint error where it moves, px"].value == 0
    zero = right["the same for zero motion, px"].value
    assert 0.5 < zero < 4.3
    assert wrong["endpoint error where it moves, px"].value == pytest.approx(2 * zero)
    assert wrong["endpoint error, px"].value < wrong["endpoint error where it moves, px"].value


def test_frames_are_compared_with_warping():
    found = estimates(TruthfulModel, "video_detokenizer")
    assert found["PSNR, dB"].value == 100
    assert found["overlap at the end"].value == found["area at the end"].value == 1
    for gain in ("PSNR above warp, dB", "overlap above warp", "area nearer to 1 than warp"):
        assert found[gain].value > 0


def test_without_motion_ids_only_what_an_image_shows_is_known():
    found = estimates(TruthfulModel, "motion_ids")
    assert found["with motion ids"].value == 1
    assert found["without motion ids"].value == 0
    assert found["fall in points"].value == 100


def test_ids_are_counted_with_their_marks():
    found = estimates(TruthfulModel, "ids_per_second")
    assert found["ids per second"].value == (20 + 2 + 48 + 2) / 4
    assert found["ids per second, every frame"].value == 24 * (20 + 2) / 4
    assert found["times fewer"].value == pytest.approx(24 * 22 / 72)


def test_lengths_of_images_are_told_apart_by_ground():
    found = estimates(TruthfulModel, "visual_tokenizer", count=8)
    assert found["keep rate"].value == 20 / 64
    assert found["ids, plain ground"].count + found["ids, textured ground"].count == 8


def test_a_jump_at_a_border_is_found():
    found = estimates(TruthfulModel, "borders", count=2)
    assert found["border / inside, none"].value > 2 * found["border / inside, restart"].value
    assert found["restart jumps less than none"].value == 1
    assert found["restart minus none"].value < 0
    # A border skips the frame that both clips share, so even a smooth video changes twice as much there.
    assert 1 < found["border / inside, restart"].value < 3


def test_an_open_size_may_be_either_and_a_named_one_may_not():
    scene = next(scene for scene in map(sample_scene, range(100)) if scene.actors[0].size == "small")
    (actor,) = scene.actors
    texts = [text for seed in range(20) for text in captions(scene, seed)]
    named = next(text for text in texts if names_size(text, actor))
    left_open = next(text for text in texts if not names_size(text, actor))
    large = replace(scene, actors=(replace(actor, size="large", start=(64.0, 64.0)),))
    small = replace(scene, actors=(replace(actor, start=(64.0, 64.0)),))
    assert judge_prompted(render(large)[:1], scene, left_open)["size"]
    assert not judge_prompted(render(large)[:1], scene, named)["size"]
    assert judge_prompted(render(small)[:1], scene, named)["size"]


def test_images_are_prompted_with_their_size():
    model = TruthfulModel("text_to_image", 12)
    told = []
    model.generate_images = lambda prompts, seeds: (
        told.extend(prompts) or TruthfulModel.generate_images(model, prompts, seeds)
    )
    measured(model, "text_to_image", 12)
    assert [names_size(text, s.scene.actors[0]) for text, s in zip(told, model.samples, strict=True)] == [True] * 12
    assert any(image_captions(s.scene, s.seed, 1)[0] != text for text, s in zip(told, model.samples, strict=True))


def test_samples_are_those_that_training_never_draws():
    tasks = {task.name: task for task in shapes_tasks()}
    unseen = [tasks["text_to_video_unseen"].samples.sample(number, 0) for number in range(20)]
    seen = [tasks["text_to_video"].samples.sample(number, 0) for number in range(20)]
    for samples, expected in ((unseen, True), (seen, False)):
        for sample in samples:
            (actor,) = sample.scene.actors
            assert is_held_out(actor.shape, actor.colour, actor.events[0].direction) is expected
            assert sample.seed >= FIRST_SEED
    another = tasks["text_to_video"].samples.sample(0, 1)
    assert another.scene != seen[0].scene
    assert sample_anew(tasks["text_to_video"].samples, 3, 0).scene == seen[3].scene
    always = [tasks["borders"].samples.sample(number, 0).scene.actors[0] for number in range(20)]
    assert all(event.direction != "still" for actor in always for event in actor.events)


def test_a_target_is_met_or_not():
    higher, lower = Target(0.85, 0.7), Target(0.3, lower=True)
    assert [higher.met(value) for value in (0.9, 0.85, 0.75, 0.69)] == ["yes", "yes", "least", "no"]
    assert [lower.met(value) for value in (0.2, 0.3, 0.31)] == ["yes", "yes", "no"]


def test_a_vanishing_object_has_no_colour_and_shape_at_the_end():
    model = TruthfulModel("image_to_video", 3)

    def vanishing(prompts, seeds, first_frames):
        videos = [video.copy() for video in TruthfulModel.generate_videos(model, prompts, seeds)]
        for video in videos:
            video[-1] = 128
        return videos

    model.generate_videos = vanishing
    found = measured(model, "image_to_video", 3)
    assert found["colour and shape at the end"].value == 0
    assert found["direction"].value == 1
    assert found["direction, clean"].value == 0
    assert np.isfinite(found["direction"].low)
