"""`videolavit evaluate` on the official files of a small set: subcommands that need no model, and one run that does."""

from __future__ import annotations

import json

import pytest
from evaluation.answering_models import KnowingModel
from evaluation.official_files import write_official

from videolavit import cli
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks import BENCHMARKS, make_benchmarks
from videolavit.evaluation.record import record_of, write_record
from videolavit.evaluation.runner import Part, run_all


def said(capsys, *arguments):
    code = cli.main(["evaluate", *map(str, arguments)])
    output = capsys.readouterr()
    return code, output.out, output.err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_official("gqa", tmp_path_factory.mktemp("gqa"))


def recorded(data, path, part=None, name="gqa"):
    [benchmark] = make_benchmarks(name, BenchmarkOptions(data=data))
    write_record(path, record_of(run_all(KnowingModel(benchmark), [benchmark], part=part), name, model="a test"))
    return path


def test_the_list_names_every_benchmark_and_its_files(capsys):
    code, output, _ = said(capsys, "list")
    assert code == 0
    assert all(name in output for name in BENCHMARKS)
    assert "testdev_balanced_questions.json: 12 578 questions" in output
    code, output, _ = said(capsys, "list", "--json")
    assert {one["name"] for one in json.loads(output)} >= set(BENCHMARKS)


def test_parts_are_merged_compared_and_shown(capsys, data, tmp_path):
    parts = [recorded(data, tmp_path / f"{index}.jsonl", Part(index=index, total=2)) for index in (1, 2)]
    whole = tmp_path / "whole.jsonl"
    code, output, errors = said(capsys, "merge", *parts, "-o", whole)
    assert code == 0, errors
    assert "gqa: 9 samples of 12578" in output
    code, output, _ = said(capsys, "merge", parts[0], "-o", tmp_path / "half.jsonl")
    assert code == 2
    assert not (tmp_path / "half.jsonl").exists()
    code, output, _ = said(capsys, "compare", whole, whole)
    assert (code, "+0.00 points" in output) == (0, True)
    code, output, _ = said(capsys, "table", whole, "--json")
    assert json.loads(output)[0]["paper"] == 64.4
    code, _, errors = said(capsys, "submission", whole, "-o", tmp_path / "answers.json")
    assert code == 2
    assert "no server grades gqa" in errors
    assert not (tmp_path / "answers.json").exists()


def test_a_comparison_of_one_image_is_json_without_infinite_ends(capsys, data, tmp_path):
    [benchmark] = make_benchmarks("gqa", BenchmarkOptions(data=data, limit=2))
    record = tmp_path / "two.jsonl"
    write_record(record, record_of(run_all(KnowingModel(benchmark), [benchmark]), "gqa", model="a test"))
    code, output, _ = said(capsys, "compare", record, record, "--json")
    found = json.loads(output, parse_constant=pytest.fail)
    assert (code, found[0]["measure"]) == (0, "accuracy")
    assert (found[0]["difference"]["value"], found[0]["difference"]["low"]) == (0, None)


def test_answers_for_a_server_are_written(capsys, tmp_path):
    folder = write_official("vizwiz", tmp_path / "vizwiz")
    record = recorded(folder, tmp_path / "vizwiz.jsonl", name="vizwiz")
    code, output, _ = said(capsys, "submission", record, "-o", tmp_path / "answers.json")
    assert (code, "answers to 3 questions" in output) == (0, True)
    assert {frozenset(one) for one in json.loads((tmp_path / "answers.json").read_text())} == {
        frozenset({"image", "answer"})
    }


def test_answers_for_seed_are_lines_and_a_set_of_tasks_has_no_server(capsys, tmp_path):
    record = recorded(write_official("seed", tmp_path / "seed"), tmp_path / "seed.jsonl", name="seed")
    code, _, errors = said(capsys, "submission", record, "-o", tmp_path / "answers.json")
    assert code == 0, errors
    lines = [json.loads(line) for line in (tmp_path / "answers.json").read_text().splitlines()]
    assert [one["question_id"] for one in lines] == ["0", "v0", "1", "v1", "2", "v2"]
    assert {one["prediction"] for one in lines} <= set("ABCD")
    head, *others = (tmp_path / "seed.jsonl").read_text().splitlines()
    header = json.loads(head)
    header |= {"name": "shapes", "tasks": dict.fromkeys(("order", "borders"), header["tasks"]["seed"])}
    (tmp_path / "seed.jsonl").write_text("\n".join([json.dumps(header), *others]))
    code, _, errors = said(capsys, "submission", record, "-o", tmp_path / "none.json")
    assert (code, "holds 2 tasks; no server grades shapes" in errors) == (2, True)
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gqq"], "did you mean gqa"),
        (["gqa"], "pass --data"),
        (["gqa", "--data", "gone"], "no such folder of data"),
        (["gqa", "--part", "3/2"], "got part 3/2"),
        (["table", "gone.jsonl"], "is no record"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys, shipped_model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, errors = said(capsys, *arguments)
    assert code in (1, 2)
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_shipped_model_is_measured_and_a_finished_record_is_not_measured_again(
    capsys, shipped_model, data, tmp_path
):
    record = tmp_path / "gqa.jsonl"
    code, output, errors = said(capsys, "gqa", "--data", data, "-o", record)
    assert code == 0, errors
    assert "gqa: questions from scene graphs" in output
    assert [path.name for path in tmp_path.iterdir()] == ["gqa.jsonl"]
    before = record.read_text().splitlines()[:-1]
    assert json.loads(before[0])["model"]["settings"]["max_clips"] >= 1
    code, _, errors = said(capsys, "gqa", "--data", data, "-o", record)
    assert code == 0, errors
    assert record.read_text().splitlines()[:-1] == before
    code, _, errors = said(capsys, "gqa", "--data", data, "--limit", 3, "-o", record)
    assert code == 1
    assert "is the record of another model, part or setting" in errors
