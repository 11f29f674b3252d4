"""Records: whole or absent, merged from parts, compared sample by sample, shown beside published values."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation import killed_run
from evaluation.answering_models import GuessingModel, KnowingModel
from evaluation.official_files import write_official

from videolavit.errors import ConfigError, OutputError
from videolavit.evaluation.benchmark import BenchmarkOptions, Outcome
from videolavit.evaluation.benchmarks import make_benchmarks
from videolavit.evaluation.compare import compare, comparison_table
from videolavit.evaluation.record import (
    merge_records,
    read_record,
    record_of,
    summarising_benchmarks,
    write_record,
)
from videolavit.evaluation.runner import Part, run_all
from videolavit.evaluation.table import scores_text, table_json, table_markdown


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("gqa", "mme"):
        write_official(name, folder / name)
    return folder


def made(data, name="gqa", **options):
    [benchmark] = make_benchmarks(name, BenchmarkOptions(data=data / name, **options))
    return benchmark


def recorded(data, path, name="gqa", part=None, guesses=None, **options):
    benchmark = made(data, name, **options)
    model = KnowingModel(benchmark) if guesses is None else GuessingModel(benchmark, guesses)
    record = record_of(run_all(model, [benchmark], part=part), name, model="a test")
    write_record(path, record)
    return read_record(path)


def all_but_the_run(path):
    return [line for line in path.read_text().splitlines() if json.loads(line)["kind"] != "run"]


def test_a_record_holds_what_an_argument_needs(data, tmp_path):
    record = recorded(data, tmp_path / "gqa.jsonl")
    settings = record.header["tasks"]["gqa"]["settings"]
    assert len(settings["data"]["testdev_balanced_questions.json"]) == 64
    assert "{question}" in settings["prompt"]
    assert settings["scorer"] == "exact equality as LLaVA-1.5 does it"
    assert settings["decoding"] == {"max_new_tokens": 128, "greedy": True}
    assert record.header["model"]["digests"] == {"gqa": "KnowingModel"}
    first = record.outcomes["gqa"][0]
    assert first.said["prompt"].startswith(made(data).questions[0].prompts[0][:10])
    assert first.said["answer"] == first.said["truth"]
    line = record.scores["gqa"]
    assert (line["n"], line["failed"], line["failures"]) == (9, 0, [])
    assert record.value("gqa", "accuracy").value == 1
    assert {"machine", "version", "seconds"} <= set(record.run)


def test_a_record_holds_how_the_model_decodes(data, tmp_path):
    benchmark = made(data)
    runner = run_all(KnowingModel(benchmark), [benchmark])
    path = tmp_path / "gqa.jsonl"
    write_record(path, record_of(runner, "gqa", model="a test", settings={"keyframe_guidance_scale": 3.0}))
    assert read_record(path).header["model"] == {
        "name": "a test",
        "digests": {"gqa": "KnowingModel"},
        "settings": {"keyframe_guidance_scale": 3.0},
    }


def test_parts_merge_to_the_record_of_one_run(data, tmp_path):
    whole = tmp_path / "whole.jsonl"
    recorded(data, whole)
    parts = [tmp_path / f"part{index}.jsonl" for index in (1, 2)]
    records = {path: recorded(data, path, part=Part(index=i, total=2)) for i, path in enumerate(parts, start=1)}
    assert [len(record.outcomes["gqa"]) for record in records.values()] == [4, 5]
    merged = tmp_path / "merged.jsonl"
    write_record(merged, merge_records(dict(reversed(records.items())), summarising_benchmarks))
    assert all_but_the_run(merged) == all_but_the_run(whole)


def test_a_task_that_needs_data_is_summarised_without_it():
    names = ["visual_tokenizer", "real_videos"]
    header = {"name": "shapes", "tasks": {name: {"settings": {"task": name}} for name in names}}
    found = {one.name: one for one in summarising_benchmarks(header)}
    assert list(found) == names
    outcomes = [
        Outcome(id="a.mp4", values={"PSNR, dB": [30.0, 20.0]}),
        Outcome(id="b.mp4", values={"PSNR, dB": [31.0]}),
    ]
    assert found["real_videos"].summary(outcomes)["PSNR, dB"].value == 27


def test_mixed_settings_are_refused(data, tmp_path):
    one = recorded(data, tmp_path / "1.jsonl", part=Part(index=1, total=2))
    other = recorded(data, tmp_path / "2.jsonl", part=Part(index=2, total=2), seed=1)
    with pytest.raises(ConfigError, match=r"differ in tasks\.gqa"):
        merge_records({tmp_path / "1": one, tmp_path / "2": other}, summarising_benchmarks)
    with pytest.raises(ConfigError, match=r"got the parts \[1\] of 2"):
        merge_records({tmp_path / "1": one}, summarising_benchmarks)
    with pytest.raises(ConfigError, match=r"got the parts \[1, 1\] of 2"):
        merge_records({tmp_path / "1": one, tmp_path / "3": one}, summarising_benchmarks)


def test_records_that_were_cut_off_are_refused(data, tmp_path):
    path = tmp_path / "gqa.jsonl"
    recorded(data, path)
    text = path.read_text()
    for damaged in (text[: len(text) // 2], "\n".join(text.splitlines()[:-1]), "", "[]", "buy milk"):
        path.write_text(damaged)
        with pytest.raises(OutputError, match="is no record"):
            read_record(path)
    assert not list(tmp_path.glob(".*"))


def test_two_models_are_compared_sample_by_sample(data, tmp_path):
    good, poor = recorded(data, tmp_path / "a.jsonl"), recorded(data, tmp_path / "b.jsonl", guesses=3)
    accuracy = next(one for one in compare(poor, good) if one.measure == "accuracy")
    assert accuracy.second == 1
    assert accuracy.first == poor.value("gqa", "accuracy").value
    assert accuracy.difference.value == pytest.approx(accuracy.second - accuracy.first)
    assert accuracy.difference.low <= accuracy.difference.value <= accuracy.difference.high
    assert (accuracy.only_first, accuracy.only_second) == (0, round(9 * (1 - accuracy.first)))
    assert "| gqa | accuracy |" in comparison_table([accuracy])
    same = next(one for one in compare(good, good) if one.measure == "accuracy")
    assert (same.difference.low, same.difference.value, same.difference.high) == (0, 0, 0)
    other_seed = recorded(data, tmp_path / "c.jsonl", seed=1)
    with pytest.raises(ConfigError, match="differ in seed"):
        compare(good, other_seed)


def test_records_that_two_judges_graded_are_not_compared(data, tmp_path):
    plain = recorded(data, tmp_path / "a.jsonl")

    def graded(model, prompts):
        return replace(plain, header={**plain.header, "judge": {"model": model, "prompts": prompts}})

    used = {"video-qa": "a digest"}
    assert compare(graded("one", used), graded("one", used))
    assert compare(graded("one", used), plain)
    assert compare(graded("one", used), graded("another", {}))  # whose benchmark no judge grades
    with pytest.raises(ConfigError, match="graded by different judges"):
        compare(graded("one", used), graded("another", used))


def test_the_table_shows_published_values_beside_ours(data, tmp_path):
    records = {"ours": recorded(data, tmp_path / "a.jsonl"), "mme": recorded(data, tmp_path / "m.jsonl", "mme")}
    rows = {row["benchmark"]: row for row in table_json(records)}
    assert (rows["gqa"]["value"], rows["gqa"]["paper"], rows["gqa"]["llava"]) == (100, 64.4, 62.0)
    assert (rows["mme"]["measure"], rows["mme"]["value"], rows["mme"]["paper"]) == ("perception", 400, 1551.8)
    assert (rows["gqa"]["n"], rows["gqa"]["official_count"]) == (9, 12_578)
    table = table_markdown(records)
    assert "| ours | gqa | accuracy | 100.00 | 100.00 to 100.00 | 9 | 12578 | 0 | 64.40 | 62.00 |" in table
    assert "accuracy" in scores_text(records["ours"])


def test_part_of_a_run_is_written_as_i_of_n():
    assert [list(Part.parse(f"{i}/3").numbers(8)) for i in (1, 2, 3)] == [[0, 1], [2, 3, 4], [5, 6, 7]]
    for wrong in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(ConfigError, match=r"I/N"):
            Part.parse(wrong)


def run_and_die(data, output, moment):
    script = Path(killed_run.__file__ or "")
    command = [sys.executable, str(script), str(data / "gqa"), str(output), moment]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_ends_in_the_same_record(data, tmp_path):
    whole = tmp_path / "whole.jsonl"
    assert run_and_die(data, whole, "never").stdout == "9\n"
    output = tmp_path / "killed.jsonl"
    for moment in killed_run.MOMENTS:
        killed = run_and_die(data, output, moment)
        assert killed.returncode == -signal.SIGKILL, (moment, killed.stderr)
        assert not output.exists()
    last = run_and_die(data, output, "never")
    # The last two were killed when all samples had been measured.
    assert last.stdout == "0\n", last.stderr
    assert all_but_the_run(output) == all_but_the_run(whole)
