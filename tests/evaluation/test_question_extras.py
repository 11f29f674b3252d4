"""Measures of GQA and VizWiz besides accuracy, by numbers that were counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.answering_models import KnowingModel
from evaluation.official_files import (
    write_clip,
    write_gqa,
    write_mmbench,
    write_mme,
    write_mmvet,
    write_video_qa,
    write_vizwiz,
    write_vqav2,
)

from videolavit.errors import ConfigError, MediaError
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks import make_benchmarks
from videolavit.evaluation.benchmarks.gqa import Gqa, distribution
from videolavit.evaluation.benchmarks.mmvet import contains_truth, matches_truth
from videolavit.evaluation.judges.grading import SCORE
from videolavit.evaluation.media import frames_at, middle_frame
from videolavit.evaluation.question_benchmark import Question


def test_distribution_is_the_chi_square_distance_of_answers():
    true = [("colour", "red"), ("colour", "red"), ("colour", "blue"), ("shape", "square")]
    right = [(*pair, pair[1].capitalize() + ".") for pair in true]
    assert distribution(right) == 0
    # colour: red 0 of 2 -> 2, blue 3 of 1 -> 4, together 6 for three questions; shape is right
    all_blue = [(family, truth, "blue" if family == "colour" else truth) for family, truth in true]
    assert distribution(all_blue) == pytest.approx((3 * (2 + 4) + 1 * 0) / 4)
    # an answer that is true nowhere in its family does not count by itself
    elsewhere = [(family, truth, "green") for family, truth in true]
    assert distribution(elsewhere) == pytest.approx((3 * (2 + 1) + 1 * 1) / 4)


def test_full_stops_at_the_end_of_an_answer_do_not_count():
    benchmark = Gqa(BenchmarkOptions())
    question = Question(id="1", prompts=("?",), truth="red", facts={"structure": "query", "choices": {}})
    said = {
        answer: benchmark.score(question, [answer])["accuracy"] for answer in ("red", "Red.", "red...", "red, I think")
    }
    assert list(said.values()) == [True, True, True, False]


def test_gqa_with_families_and_choices(tmp_path: Path):
    write_gqa(tmp_path)
    path = tmp_path / "testdev_balanced_questions.json"
    questions = json.loads(path.read_text())
    for number, entry in questions.items():
        questions[number] = {**entry, "groups": {"global": entry["types"]["structural"], "local": None}}
    path.write_text(json.dumps(questions))
    choices = {
        number: {"valid": [entry["answer"], "PURPLE"], "plausible": [entry["answer"]]}
        for number, entry in questions.items()
    }
    (tmp_path / "testdev_choices.json").write_text(json.dumps(choices))
    [benchmark] = make_benchmarks("gqa", BenchmarkOptions(data=tmp_path))
    samples = [benchmark.sample(number) for number in range(benchmark.count())]

    def found(model: KnowingModel):
        outcomes = [one for one in benchmark.measure(model, samples) if one is not None]
        return {name: one.value for name, one in benchmark.summary(outcomes).items()}

    model = KnowingModel(benchmark)
    right = found(model)
    assert (right["validity"], right["plausibility"], right["distribution (less is better)"]) == (1, 1, 0)
    model.answer_one = lambda prompt, image, video: "purple"
    wrong = found(model)
    assert (wrong["validity"], wrong["plausibility"], wrong["accuracy"]) == (1, 0, 0)
    assert wrong["distribution (less is better)"] > 0


def test_unanswerable_questions_of_vizwiz_as_a_detector(tmp_path: Path):
    write_vizwiz(tmp_path)
    entries = json.loads((tmp_path / "val.json").read_text())
    nothing = [{"answer": "unanswerable", "answer_confidence": "yes"}] * 10
    more = [{**entries[0], "answerable": 0, "answers": nothing}, *entries[1:]]
    (tmp_path / "val.json").write_text(json.dumps(more))
    [benchmark] = make_benchmarks("vizwiz", BenchmarkOptions(data=tmp_path))
    samples = [benchmark.sample(number) for number in range(benchmark.count())]
    model = KnowingModel(benchmark)
    outcomes = [one for one in benchmark.measure(model, samples) if one is not None]
    assert benchmark.summary(outcomes)["unanswerable, F1"].value == 1
    model.answer_one = lambda prompt, image, video: "Unanswerable."
    outcomes = [one for one in benchmark.measure(model, samples) if one is not None]
    # one of three is unanswerable: precision 1/3, recall 1
    assert benchmark.summary(outcomes)["unanswerable, F1"].value == pytest.approx(2 / (len(samples) + 1))
    assert len(samples) == 3
    answerable = [replace(one, said={**one.said, "answerable": 1, "answer": "red"}) for one in outcomes]
    assert "unanswerable, F1" not in benchmark.summary(answerable)


@pytest.mark.parametrize(
    ("answer", "truth", "contained", "equal"),
    [
        ("A cat and a dog.", "cat<AND>dog", True, False),
        ("cat dog", "cat<AND>dog", True, True),
        ("a category", "cat", False, False),
        ("13", "3<OR>three", False, False),
        ("Stop sign", "stop<OR>stop sign", True, True),
        ("", "the", False, False),
        ("anything", "cat<AND>the", False, False),
    ],
)
def test_a_truth_of_mmvet_is_contained_in_whole_words(answer, truth, contained, equal):
    assert (contains_truth(answer, truth), matches_truth(answer, truth)) == (contained, equal)


def test_grades_of_mmvet_are_told_for_each_ability(tmp_path: Path):
    write_mmvet(tmp_path)
    [benchmark] = make_benchmarks("mmvet", BenchmarkOptions(data=tmp_path))
    samples = [benchmark.sample(number) for number in range(benchmark.count())]
    outcomes = [one for one in benchmark.measure(KnowingModel(benchmark), samples) if one is not None]
    graded = [
        replace(one, values={**one.values, SCORE: score}, said={**one.said, "capabilities": abilities})
        for one, score, abilities in zip(outcomes, (1.0, 0.5, 0.0), (["rec", "ocr"], ["rec"], ["math"]), strict=True)
    ]
    found = {name: (one.value, one.count) for name, one in benchmark.summary(graded).items()}
    assert found[SCORE] == (0.5, 3)
    assert (found[f"{SCORE}, rec"], found[f"{SCORE}, ocr"], found[f"{SCORE}, math"]) == ((0.75, 2), (1, 1), (0, 1))
    assert found["containment, math"] == (1, 1)
    assert f"{SCORE}, rec" not in benchmark.summary(outcomes)


def test_videos_of_msvd_are_found_by_number(tmp_path: Path):
    write_video_qa(tmp_path)
    (tmp_path / "videos/clip0.mp4").rename(tmp_path / "videos/abc_0_10.mp4")
    asked = (tmp_path / "test_q.json").read_text()
    for number in ("vid7", "video7"):
        (tmp_path / "test_q.json").write_text(asked.replace('"video_name": "clip0"', f'"video_name": "{number}"'))
        (tmp_path / "youtube_mapping.txt").write_text("abc_0_10 vid7\nelsewhere_1_2 vid8\n\n")
        [benchmark] = make_benchmarks("msvd_qa", BenchmarkOptions(data=tmp_path))
        assert [one.video for one in benchmark.questions[:4]] == [
            *[tmp_path / "videos/abc_0_10.mp4"] * 3,
            tmp_path / "videos/clip1.mp4",
        ]
    (tmp_path / "youtube_mapping.txt").write_text("abc_0_10\n")
    [benchmark] = make_benchmarks("msvd_qa", BenchmarkOptions(data=tmp_path))
    with pytest.raises(ConfigError, match=r"expected the name of a video and vidN on each line, found 'abc_0_10'"):
        benchmark.check()


def test_files_of_another_form_are_refused_in_a_line(tmp_path: Path):
    write_gqa(tmp_path / "gqa")
    write_vqav2(tmp_path / "vqav2")
    (tmp_path / "gqa/testdev_balanced_questions.json").write_text("[]")
    answers = tmp_path / "vqav2/v2_mscoco_val2014_annotations.json"
    answers.write_text(answers.read_text().replace('"answer_type"', '"kind"'))
    for name in ("gqa", "vqav2"):
        [benchmark] = make_benchmarks(name, BenchmarkOptions(data=tmp_path / name))
        with pytest.raises(ConfigError, match="is not of the official form"):
            benchmark.check()


def test_records_of_mme_tell_other_questions_apart(tmp_path: Path):
    write_mme(tmp_path)
    [before] = make_benchmarks("mme", BenchmarkOptions(data=tmp_path))
    hashes = before.settings()["data"]
    assert set(hashes) == {"existence", "count", "commonsense_reasoning"}
    text = tmp_path / "count/0001.txt"
    text.write_text(text.read_text().replace("object", "thing"))
    [after] = make_benchmarks("mme", BenchmarkOptions(data=tmp_path))
    changed = after.settings()["data"]
    assert [name for name in hashes if hashes[name] != changed[name]] == ["count"]


def test_the_middle_of_a_video_is_that_of_all_its_frames(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 0)
    whole = frames_at(path, 6.0)
    assert np.array_equal(middle_frame(path), whole[len(whole) // 2])
    assert np.array_equal(middle_frame(path, [0.0, 1.0]), whole[3])
    assert np.array_equal(middle_frame(path, [90.0, 99.0]), whole[-1])
    with pytest.raises(MediaError, match="no such file"):
        middle_frame(tmp_path / "gone.mp4")


def test_a_file_of_mmbench_without_answers_is_its_test_split(tmp_path: Path):
    write_mmbench(tmp_path)
    [benchmark] = make_benchmarks("mmbench", BenchmarkOptions(data=tmp_path))
    assert benchmark.settings()["official_count"] == 1_164
    path = tmp_path / "mmbench_dev_20230712.tsv"
    head, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    place = head.index("answer")
    without = [head, *([*row[:place], "", *row[place + 1 :]] for row in rows)]
    path.write_text("\n".join("\t".join(row) for row in without) + "\n")
    [benchmark] = make_benchmarks("mmbench", BenchmarkOptions(data=tmp_path))
    assert benchmark.settings()["official_count"] == 1_784
