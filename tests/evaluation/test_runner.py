"""Running an evaluation: results kept as they come, runs that go on, reports."""

import json
from dataclasses import replace

import numpy as np
import pytest
from evaluation.shapes_models import LyingModel, TruthfulModel

from videolavit.errors import ConfigError, MediaError, OutputError
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks.shapes import shapes_tasks, task_names
from videolavit.evaluation.benchmarks.things import VARIANTS, things_tasks
from videolavit.evaluation.evaluation_report import Report, TaskReport, report
from videolavit.evaluation.page import results_page
from videolavit.evaluation.runner import Runner, measure, run_all
from videolavit.evaluation.samples import ShapesWorld

pytestmark = pytest.mark.usefixtures("kept_samples")


def tasks(*names, samples=45, seed=0):
    """Of visual_tokenizer three batches of up to 20 samples, which are quick."""
    return shapes_tasks(BenchmarkOptions(limit=samples, seed=seed), names or ["visual_tokenizer"])


def evaluated(model, benchmarks, path=None, **options):
    return report(run_all(model, benchmarks, path=path, **options), samples=45, seed=0)


def test_a_run_that_was_stopped_goes_on(tmp_path):
    path = tmp_path / "results" / "all.jsonl"
    model = TruthfulModel("visual_tokenizer", 1)
    first = Runner(model, tasks(), path=path)
    assert [len(chunk.numbers) for chunk in first.pending()] == [20, 20, 5]
    first.add(measure(model, tasks(), first.pending()[0]))
    second = Runner(model, tasks(), path=path)
    assert [chunk.numbers[0] for chunk in second.pending()] == [20, 40]
    whole = evaluated(model, tasks(), path)
    assert whole["visual_tokenizer"]["ids"].count == 45
    assert len(path.read_text().splitlines()) == 45
    afresh = evaluated(model, tasks())
    assert afresh["visual_tokenizer"] == whole["visual_tokenizer"]
    fewer = evaluated(model, tasks(samples=7), path)
    assert fewer["visual_tokenizer"]["ids"].count == 7


def test_what_takes_long_is_kept_more_often():
    [task] = tasks()
    for cost, expected in ((0.1, [20, 20, 5]), (6.0, [10, 10, 10, 10, 5]), (200.0, [1] * 45)):
        runner = Runner(TruthfulModel("visual_tokenizer", 1), [replace(task, cost=cost)])
        assert [len(chunk.numbers) for chunk in runner.pending()] == expected


def test_a_line_that_was_cut_off_is_measured_again(tmp_path):
    path = tmp_path / "all.jsonl"
    model = TruthfulModel("visual_tokenizer", 1)
    evaluated(model, tasks(), path)
    path.write_text(path.read_text()[:-30])
    again = Runner(model, tasks(), path=path)
    assert [chunk.numbers for chunk in again.pending()] == [(44,)]
    again.add(measure(model, tasks(), again.pending()[0]))
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == list(range(45))


def test_results_of_another_model_or_seed_do_not_count(tmp_path):
    path = tmp_path / "all.jsonl"
    evaluated(TruthfulModel("visual_tokenizer", 1), tasks(), path)
    assert len(Runner(LyingModel("visual_tokenizer", 1), tasks(), path=path).pending()) == 3
    other_seed = tasks(seed=1)
    assert len(Runner(TruthfulModel("visual_tokenizer", 1), other_seed, path=path).pending()) == 3
    assert len(path.read_text().splitlines()) == 45


def test_results_of_other_videos_or_of_a_smaller_world_do_not_count(tmp_path):
    def settings(folder):
        [task] = shapes_tasks(BenchmarkOptions(data=folder), ["real_videos"])
        return task.settings()

    folders = [tmp_path / name for name in "abc"]
    for folder, content in zip(folders, (b"one", b"another", b"one"), strict=True):
        folder.mkdir()
        (folder / "clip.mp4").write_bytes(content)
    first, other, same = map(settings, folders)
    assert first == same != other
    worlds = [things_tasks(BenchmarkOptions(variant=one), ["things_two"])[0].settings() for one in VARIANTS]
    assert len({json.dumps(one) for one in worlds}) == len(VARIANTS) > 1
    assert tasks()[0].settings() == {"task": "visual_tokenizer", "seed": 0, "revision": 1}


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    for text in ("buy milk\n", "buy milk", '{"task": "of today"}\nbuy milk'):
        path.write_text(text)
        with pytest.raises(OutputError, match="is no result"):
            evaluated(TruthfulModel("visual_tokenizer", 1), tasks(), path)
        assert path.read_text() == text
    with pytest.raises(OutputError, match="cannot be read"):
        evaluated(TruthfulModel("visual_tokenizer", 1), tasks(), tmp_path)


def test_tasks_whose_parts_are_missing_are_left_out_and_named():
    class Unfinished(TruthfulModel):
        def missing(self, parts):
            return [name for name in parts if name == "language_model"]

    found = evaluated(Unfinished("visual_tokenizer", 1), tasks("text_to_video", "visual_tokenizer", samples=2))
    assert found["visual_tokenizer"]["ids"].count == 2
    assert found.skipped == {"text_to_video": "the model has no language_model"}
    assert "text_to_video: not measured" in found.table()


def test_a_world_that_cannot_be_rendered_here_is_named(monkeypatch):
    def missing():
        raise ConfigError("photographs are missing")

    monkeypatch.setattr("videolavit.evaluation.samples.photographs", missing)
    found = evaluated(TruthfulModel("visual_tokenizer", 1), tasks("extended_visual_tokenizer", samples=2))
    assert found.skipped == {"extended_visual_tokenizer": "photographs are missing"}
    with pytest.raises(ConfigError):
        ShapesWorld(extended=True).check()


def test_progress_is_told_batch_by_batch():
    told = []
    model = TruthfulModel("visual_tokenizer", 1)
    evaluated(model, tasks(), progress=lambda *state: told.append(state))
    assert told == [("visual_tokenizer", done, 3) for done in range(3)]


def test_a_report_says_the_same_in_every_form():
    chosen = tasks("ids_per_second", "extended_visual_tokenizer", samples=3)
    found = evaluated(TruthfulModel("ids_per_second", 3), chosen)
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    fewer = document["tasks"]["ids_per_second"]["measures"]["times fewer"]
    assert fewer["value"] == pytest.approx(24 * 22 / 72)
    assert (fewer["met"], fewer["target"]["wanted"]) == ("yes", 5.0)
    assert "times fewer" in found.table()
    page = results_page(found, {"command": "`videolavit evaluate shapes`"}, "shapes")
    assert "those of [the shapes world](shapes.md)" in page
    alone = results_page(
        evaluated(TruthfulModel("ids_per_second", 3), tasks("ids_per_second", samples=3)), {}, "msvd_qa"
    )
    assert "world" not in alone
    assert "## Tasks" in alone
    assert page.startswith("# Results\n")
    assert page.endswith("|\n")
    assert "| ids_per_second | times fewer | 7.33 | 7.33 to 7.33 | 3 | >= 5 | yes |" in page
    assert page.index("## The core world") < page.index("## Beyond the core world")
    assert "- command: `videolavit evaluate shapes`" in page
    assert max(map(len, page.split("\n## The core world")[0].splitlines()[:8])) <= 130


def test_a_single_sample_has_no_interval_of_its_mean():
    found = evaluated(TruthfulModel("visual_tokenizer", 1), tasks(samples=1))
    assert found.as_json()["tasks"]["visual_tokenizer"]["measures"]["ids"]["high"] is None
    assert "too few samples" in found.table()


def test_what_has_no_scores_is_told_all_the_same():
    failed = TaskReport(
        name="vqav2",
        about="questions",
        is_core=True,
        num_samples=3,
        seconds_per_sample=0.5,
        rows=(),
        failures=("a: no such file",),
    )
    text = Report(tasks=(failed,), skipped={}, samples=3, seed=0, machine="one").table()
    assert text.splitlines()[0] == "vqav2: questions (3 samples, 0.50 s each)"
    assert "  no scores: too few samples, or a server has the answers" in text
    assert text.endswith("  failed: a: no such file")


def test_a_sample_that_a_task_cannot_read_is_named():
    class Blind(TruthfulModel):
        def visual_counts(self, images):
            if np.array_equal(images[0], self.samples[1].first_frame):
                raise MediaError("this one is not to be read")
            return super().visual_counts(images)

    model = Blind("visual_tokenizer", 3)
    runner = run_all(model, tasks(samples=3))
    found = report(runner, samples=3, seed=0)
    [task] = found.tasks
    assert task.failures == (f"{model.samples[1].id}: this one is not to be read",)
    assert found["visual_tokenizer"]["ids"].count == 2


def test_plans_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="samples=0"):
        tasks(samples=0)
    with pytest.raises(ConfigError, match=r"got the tasks text_to_vido; known are motion_tokenizer"):
        tasks("text_to_vido")
    with pytest.raises(ConfigError, match="needs a folder of videos"):
        tasks("real_videos")
    with pytest.raises(ConfigError, match="holds no video"):
        shapes_tasks(BenchmarkOptions(data=tmp_path))
    with pytest.raises(ConfigError, match="no such folder"):
        shapes_tasks(BenchmarkOptions(data=tmp_path / "gone"))


def test_a_limit_holds_for_real_videos_too_and_without_one_all_are_taken(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.mp4").touch()
    for limit, count in ((None, 3), (2, 2), (900, 3)):
        [task] = shapes_tasks(BenchmarkOptions(data=tmp_path, limit=limit), ["real_videos"])
        assert task.count() == count


def test_tasks_come_in_one_order_whatever_is_asked_for():
    assert [task.name for task in shapes_tasks(names=["text_to_video", "autoencoder"])] == [
        "autoencoder",
        "text_to_video",
    ]
    assert [task.name for task in shapes_tasks()] == task_names()
    assert len(set(task_names())) == len(task_names())
