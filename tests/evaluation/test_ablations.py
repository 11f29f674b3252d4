"""Ablations of the shapes world, with a model that does all of it right and one that does nothing right."""

import pytest
from evaluation.shapes_models import LyingModel, TruthfulModel

from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks.ablations import ablation_tasks
from videolavit.evaluation.evaluation_report import report
from videolavit.evaluation.runner import run_all

pytestmark = pytest.mark.usefixtures("kept_samples")


def measured(model, task):
    return report(run_all(model, ablation_tasks(BenchmarkOptions(limit=2), [task])), samples=2, seed=0)[task]


def test_the_truth_gains_nothing_where_tokens_lose_nothing():
    found = measured(TruthfulModel("video_detokenizer", 2), "replaced_by_truth")
    assert found["PSNR, dB, all from tokens"].value == found["PSNR, dB, both true"].value == 100
    assert found["gain of the true keyframe, dB"].value == found["gain of the true motion, dB"].value == 0
    lying = measured(LyingModel("video_detokenizer", 2), "replaced_by_truth")
    assert lying["PSNR, dB, all from tokens"].value < 40


def test_the_first_clip_alone_is_not_enough_for_the_order_of_two():
    class Forgetful(TruthfulModel):
        def answer_one(self, text, image, video):
            return "nobody knows" if len(video) == 24 else super().answer_one(text, image, video)

    found = measured(Forgetful("order", 2), "context")
    assert (found["both clips"].value, found["first clip alone"].value) == (1, 0)
    assert found["fall in points"].value == 100
    whole = measured(TruthfulModel("order", 2), "context")
    assert whole["fall in points"].value == pytest.approx(0)


def test_the_ablations_of_the_paper_are_there():
    names = [task.name for task in ablation_tasks()]
    assert names == ["ids_per_second", "motion_ids", "borders", "replaced_by_truth", "context"]
    assert all(task.count() == 100 for task in ablation_tasks())
