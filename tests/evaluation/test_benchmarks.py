"""Every benchmark reads its official files, and scores known answers as they deserve."""

import csv
import json

import pytest
from evaluation.answering_models import GuessingModel, KnowingModel, SilentModel
from evaluation.official_files import WRITERS, write_official

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions
from videolavit.evaluation.benchmarks import BENCHMARKS, make_benchmarks
from videolavit.evaluation.journal import Stored
from videolavit.evaluation.runner import run_all

HEADLINE = {"mme": "perception", "mmvet": "containment"}
HEADLINE |= dict.fromkeys(("msvd_qa", "msrvtt_qa", "activitynet_qa"), "exact match")
BEST = {"mme": 400.0}
"""Of two subtasks of perception."""


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    return lambda name: write_official(name, folder / name) if not (folder / name).exists() else folder / name


def made(official, name, **options):
    [benchmark] = make_benchmarks(name, BenchmarkOptions(data=official(name), **options))
    return benchmark


def scores(benchmark, model, path=None):
    runner = run_all(model, [benchmark], path=path)
    assert not runner.skipped
    return benchmark.summary(list(runner.outcomes(benchmark.name).values()))


def test_every_benchmark_of_questions_has_a_writer_of_its_files():
    assert set(WRITERS) == {name for name in BENCHMARKS if name in WRITERS}


@pytest.mark.parametrize("name", WRITERS)
def test_knowing_everything_scores_everything(official, name):
    benchmark = made(official, name)
    assert isinstance(benchmark, Benchmark)
    found = scores(benchmark, KnowingModel(benchmark))[HEADLINE.get(name, "accuracy")]
    assert found.value == BEST.get(name, 1.0)


@pytest.mark.parametrize("name", WRITERS)
def test_silence_scores_nothing(official, name):
    benchmark = made(official, name)
    found = scores(benchmark, SilentModel(benchmark))
    assert found[HEADLINE.get(name, "accuracy")].value == 0
    for unreadable in ("unreadable", "neither yes nor no"):
        assert unreadable not in found or found[unreadable].value == 1


@pytest.mark.parametrize(("name", "chance"), [("scienceqa", 1 / 4), ("perception_test", 1 / 3), ("egoschema", 1 / 5)])
def test_guessing_scores_chance(official, name, chance):
    benchmark = made(official, name)
    values = [scores(benchmark, GuessingModel(benchmark, seed))["accuracy"].value for seed in range(30)]
    # 90 guesses: four standard deviations
    assert abs(sum(values) / 30 - chance) < 4 * (chance * (1 - chance) / 90) ** 0.5


@pytest.mark.parametrize("name", WRITERS)
def test_guessing_lies_between_silence_and_knowledge(official, name):
    benchmark = made(official, name)
    found = [scores(benchmark, GuessingModel(benchmark, seed))[HEADLINE.get(name, "accuracy")] for seed in range(12)]
    mean = sum(one.value for one in found) / 12
    assert mean < BEST.get(name, 1.0)
    assert mean > 0 or name == "mmbench"  # four rotations in a row are guessed once in 256 times


def test_guessing_fails_the_circle_more_often_than_a_single_pass(official):
    def mean(variant):
        benchmark = made(official, "mmbench", variant=variant)
        return sum(scores(benchmark, GuessingModel(benchmark, seed))["accuracy"].value for seed in range(30)) / 30

    assert mean("single") > 0.07  # a quarter, less four standard deviations of 90 guesses
    assert mean("circular") < 0.03  # (1/4)^4 = 0.004


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_file_is_named_with_its_source(tmp_path, name):
    [benchmark] = make_benchmarks(name, BenchmarkOptions(data=tmp_path))
    with pytest.raises(ConfigError, match=r"holds no|holds none|found none") as refused:
        benchmark.check()
    assert "offer" in str(refused.value)


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"mme", "mmbench"}))
def test_a_truncated_file_is_named(official, tmp_path, name):
    benchmark = made(official, name)
    file = next(file.name for file in benchmark.files if file.name.endswith(".json"))
    copy = tmp_path / "copy"
    WRITERS[name](copy)
    (copy / file).write_text((copy / file).read_text()[:-40])
    [damaged] = make_benchmarks(name, BenchmarkOptions(data=copy))
    with pytest.raises(ConfigError, match="is no complete JSON file"):
        damaged.check()


def test_answers_of_another_split_are_refused(tmp_path):
    for name in ("vqav2", "msvd_qa"):
        folder = write_official(name, tmp_path / name)
        file = folder / ("v2_mscoco_val2014_annotations.json" if name == "vqav2" else "test_a.json")
        file.write_text(file.read_text().replace('"question_id": 1000', '"question_id": 5').replace("clip0_0", "clip9"))
        [benchmark] = make_benchmarks(name, BenchmarkOptions(data=folder))
        with pytest.raises(ConfigError, match="of one split"):
            benchmark.check()


def test_ids_that_come_twice_are_refused(tmp_path):
    folder = write_official("msvd_qa", tmp_path)
    asked = json.loads((folder / "test_q.json").read_text())
    (folder / "test_q.json").write_text(json.dumps([*asked, asked[0]]))
    [benchmark] = make_benchmarks("msvd_qa", BenchmarkOptions(data=folder))
    with pytest.raises(ConfigError, match="1 ids stand for several questions"):
        benchmark.check()


def test_prompts_are_those_of_llava(official):
    assert (
        made(official, "gqa").questions[0].prompts[0].endswith("\nAnswer the question using a single word or phrase.")
    )
    vizwiz = made(official, "vizwiz").questions[0].prompts[0].splitlines()
    assert "Unanswerable" in vizwiz[1]
    science = made(official, "scienceqa").questions[0].prompts[0].splitlines()
    assert science[0] == "Context: Look at the image."
    assert science[2].startswith("A. ")
    assert science[-1] == "Answer with the option's letter from the given choices directly."
    mme = made(official, "mme").questions[0].prompts[0]
    assert "Please answer" not in mme
    assert (
        made(official, "activitynet_qa").questions[0].prompts[0]
        == made(official, "activitynet_qa").questions[0].facts["question"]
    )


def test_circular_evaluation_asks_every_rotation(official):
    benchmark = made(official, "mmbench")
    question = benchmark.questions[0]
    assert len(benchmark.questions) == 3  # rows of later passes in the file are not questions of their own
    assert [prompt.splitlines()[1] for prompt in question.prompts] == [f"A. {text}" for text in question.options]
    model = KnowingModel(benchmark)
    model.answer_one = lambda prompt, image, video: "A"
    found = scores(benchmark, model)
    assert found["accuracy"].value == 0
    assert found["unreadable"].value == 0


def rows_of(folder):
    with (folder / "mmbench_dev_20230712.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_a_submission_of_mmbench_answers_each_row_of_its_file(official):
    benchmark = made(official, "mmbench")
    runner = run_all(KnowingModel(benchmark), [benchmark])
    lines = benchmark.submission(list(runner.outcomes("mmbench").values()))
    expected = {int(row["index"]): row["answer"] for row in rows_of(official("mmbench"))}
    assert {one["index"]: one["prediction"] for one in lines} == expected
    assert len(lines) == len(expected) == 12


def test_a_file_of_mmbench_without_rows_of_rotations_is_rotated_all_the_same(tmp_path):
    folder = write_official("mmbench", tmp_path)
    head, *rows = (folder / "mmbench_dev_20230712.tsv").read_text().splitlines()
    rows = [row for row in rows if int(row.partition("\t")[0]) < 1_000_000]
    (folder / "mmbench_dev_20230712.tsv").write_text("\n".join([head, *rows]) + "\n")
    [benchmark] = make_benchmarks("mmbench", BenchmarkOptions(data=folder))
    assert [len(one.prompts) for one in benchmark.questions] == [4, 4, 4]
    runner = run_all(KnowingModel(benchmark), [benchmark])
    outcomes = list(runner.outcomes("mmbench").values())
    assert benchmark.summary(outcomes)["accuracy"].value == 1
    assert [one["index"] for one in benchmark.submission(outcomes)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("index", "1.0", "got the index '1.0', expected whole numbers"),
        ("answer", "E", "question 0 has the answer 'E', expected the letter of one of its 4 options"),
        ("answer", "AB", "has the answer 'AB'"),
        ("image", "<>", "the image of question 0 is no base64"),
    ],
)
def test_a_damaged_row_of_mmbench_is_named(tmp_path, column, value, message):
    folder = write_official("mmbench", tmp_path)
    head, row, *rows = [line.split("\t") for line in (folder / "mmbench_dev_20230712.tsv").read_text().splitlines()]
    row[head.index(column)] = value
    (folder / "mmbench_dev_20230712.tsv").write_text("\n".join("\t".join(one) for one in (head, row, *rows)) + "\n")
    [benchmark] = make_benchmarks("mmbench", BenchmarkOptions(data=folder))
    with pytest.raises(ConfigError, match=message):
        benchmark.check()


def test_a_cell_of_mmbench_that_never_ends_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("videolavit.evaluation.benchmarks.mmbench._LARGEST_CELL", 100)
    usual = csv.field_size_limit()
    [benchmark] = make_benchmarks("mmbench", BenchmarkOptions(data=write_official("mmbench", tmp_path)))
    try:
        with pytest.raises(ConfigError, match=r"is no table with tabs .*field larger than field limit"):
            benchmark.check()
    finally:
        csv.field_size_limit(usual)


def test_seed_shows_the_middle_of_a_video_as_an_image(official):
    benchmark = made(official, "seed")
    seen = []
    model = KnowingModel(benchmark)
    model.answer_one = lambda prompt, image, video: seen.append(image) or "A"
    benchmark.measure(model, [one for one in benchmark.questions if one.video])
    assert [image.shape for image in seen] == [(128, 128, 3)] * 3
    by_loss = made(official, "seed", variant="loss")
    assert scores(by_loss, KnowingModel(by_loss))["accuracy"].value == 1


def test_submissions_have_the_servers_form(official):
    forms = {"vqav2": {"question_id", "answer"}, "vizwiz": {"image", "answer"}, "mmbench": {"index", "prediction"}}
    for name, keys in forms.items():
        benchmark = made(official, name)
        runner = run_all(KnowingModel(benchmark), [benchmark])
        lines = benchmark.submission(list(runner.outcomes(name).values()))
        assert {frozenset(line) for line in lines} == {frozenset(keys)}
    benchmark = made(official, "egoschema")
    runner = run_all(KnowingModel(benchmark), [benchmark])
    found = benchmark.submission(list(runner.outcomes("egoschema").values()))
    assert found == json.loads((official("egoschema") / "subset_answers.json").read_text())
    benchmark = made(official, "perception_test")
    runner = run_all(SilentModel(benchmark), [benchmark])
    assert benchmark.submission(list(runner.outcomes("perception_test").values()))["video_0"][0]["answer_id"] == 0


def test_a_missing_video_is_counted_as_wrong_and_named(tmp_path):
    from videolavit.errors import MediaError

    folder = write_official("msvd_qa", tmp_path)
    (folder / "videos/clip1.mp4").unlink()
    [benchmark] = make_benchmarks("msvd_qa", BenchmarkOptions(data=folder))
    model = KnowingModel(benchmark)
    knowing = model.answer_one

    def answer_one(prompt, image, video):
        if not video.exists():
            raise MediaError(f"{video}: no such file")
        return knowing(prompt, image, video)

    model.answer_one = answer_one
    runner = run_all(model, [benchmark])
    failed = [one for one in runner.outcomes("msvd_qa").values() if one.failure]
    assert [one.group for one in failed] == ["clip1"] * 3
    assert "clip1.mp4: no such file" in failed[0].failure
    assert benchmark.summary(list(runner.outcomes("msvd_qa").values()))["exact match"].value == pytest.approx(6 / 9)
    assert all(isinstance(one, Stored) for one in runner.stored("msvd_qa").values())


def test_consistency_of_gqa_is_that_of_entailed_questions(official):
    benchmark = made(official, "gqa")
    model = KnowingModel(benchmark)
    knowing = model.answer_one
    wrong = benchmark.questions[0]
    model.answer_one = lambda prompt, image, video: (
        "purple" if (prompt, image) == (wrong.prompts[0], wrong.image) else knowing(prompt, image, video)
    )
    found = scores(benchmark, model)
    assert found["accuracy"].value == pytest.approx(8 / 9)
    assert found["accuracy, binary"].value == pytest.approx(2 / 3)
    # of the eight right ones, two entail the wrong one and one right one each
    assert found["consistency"].value == pytest.approx((2 * 0.5 + 6) / 8)


def test_mme_of_two_images(official):
    benchmark = made(official, "mme")
    model = KnowingModel(benchmark)
    found = scores(benchmark, model)
    assert (found["perception"].value, found["cognition"].value, found["count"].value) == (400, 200, 200)
    model.answer_one = lambda prompt, image, video: "yes"
    found = scores(benchmark, model)
    assert found["existence"].value == 50
    assert found["accuracy"].value == 0.5


def test_unknown_names_and_variants_are_refused():
    with pytest.raises(ConfigError, match="did you mean mmbench"):
        make_benchmarks("mmbnch", BenchmarkOptions())
    with pytest.raises(ConfigError, match="known are circular, single"):
        make_benchmarks("mmbench", BenchmarkOptions(variant="round"))
    [benchmark] = make_benchmarks("gqa", BenchmarkOptions())
    with pytest.raises(ConfigError, match="pass --data"):
        benchmark.check()
