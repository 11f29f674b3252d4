"""Steps of a fixed number of rows: what is dealt among them, what is left out, and that a resume sees the same."""

import json
from dataclasses import replace
from itertools import chain

import pytest
import torch
from training.small_language import make_shards
from training.spread import spread_stage

from videolavit.errors import ConfigError
from videolavit.language.prompts import Prompt
from videolavit.training.batches import batches
from videolavit.training.loop import train
from videolavit.training.packing import pack_steps
from videolavit.training.sequences import TrainingSequence


def sequence(number, length):
    return TrainingSequence(prompt=Prompt.from_ids(torch.full((length,), number)), targets=torch.ones(length).long())


def numbers_in(step):
    return set(step["ids"][step["segments"] >= 0].tolist())


LENGTHS = [7, 3, 9, 4, 6, 2, 8, 5, 1, 10]


def test_every_sequence_finds_a_place_where_there_is_room():
    sequences = [sequence(number, length) for number, length in enumerate(LENGTHS, start=1)]
    steps = pack_steps(sequences, 2, rows=4, row_length=10)
    assert [tuple(step["ids"].shape) for step in steps] == [(4, 10)] * 2
    assert numbers_in(steps[0]) | numbers_in(steps[1]) == set(range(1, 11))
    assert not numbers_in(steps[0]) & numbers_in(steps[1])
    assert [float(step["left_out"]) for step in steps] == [0, 0]
    assert sum(float(step["filled"]) for step in steps) == pytest.approx(2 * sum(LENGTHS) / 80)
    for step in steps:
        for number in numbers_in(step):
            assert (step["ids"] == number).sum() == LENGTHS[number - 1]


def test_what_finds_no_room_is_the_least_and_is_told():
    sequences = [sequence(number, length) for number, length in enumerate(LENGTHS, start=1)]
    steps = pack_steps(sequences, 1, rows=5, row_length=10)
    kept = sum(LENGTHS[number - 1] for number in numbers_in(steps[0]))
    assert kept == 50, "rows of 10 are full: only the emptiest is left out"
    assert float(steps[0]["left_out"]) == pytest.approx(1 - kept / sum(LENGTHS))


class Numbers:
    def __getitem__(self, draw):
        return draw


def dealt(samples):
    """Three steps of a window, their samples dealt in turn."""
    return [samples[step::3] for step in range(3)]


def drawn(first_step=0, **options):
    settings = {"batch_size": 8, "parts": 2, "num_steps": 8, "together": 3} | options
    return list(batches(Numbers(), dealt, first_step=first_step, **settings))


def test_batches_of_several_steps_are_the_same_wherever_a_run_begins():
    whole = drawn()
    assert len(whole) == 8 * 2
    for first_step in range(8):
        assert drawn(first_step) == whole[2 * first_step :]
    assert drawn(workers=1) == whole
    assert sorted(chain(*whole[:12])) == list(range(48)), "six steps are two whole windows"
    processes = [drawn(parts=1, rank=rank, num_processes=2) for rank in range(2)]
    assert [part for parts in zip(*processes, strict=True) for part in parts] == whole


def test_a_run_with_fixed_rows_resumes_with_the_same_bits(tmp_path):
    make_shards(tmp_path)
    stage = replace(spread_stage(tmp_path, checkpoint_every=5), rows=4, look_ahead=3)

    class Stopping(type(stage)):
        def check(self, metrics, step):
            if step == 5:
                raise KeyboardInterrupt

    values = {name: getattr(stage, name) for name in stage.__dataclass_fields__ if name in stage.__dict__}
    train(stage, tmp_path / "whole", quiet=True)
    stopping = Stopping(**values | {"training": replace(stage.training, checkpoint_every=4)})
    with pytest.raises(KeyboardInterrupt):
        train(stopping, tmp_path / "stopped", quiet=True)
    train(stage, tmp_path / "stopped", quiet=True)
    entries = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "stopped")
    ]
    assert entries[0][-1]["loss"] == entries[1][-1]["loss"]
    assert 0.5 < entries[0][0]["filled"] <= 1
    assert 0 <= entries[0][0]["left_out"] < 0.2


def test_rows_below_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="rows=-1"):
        replace(spread_stage(tmp_path), rows=-1)
