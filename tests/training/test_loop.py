import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training.toy import Points, ToyStage

from videolavit.errors import CheckpointError, ConfigError, MediaError, TrainingError
from videolavit.training import loop
from videolavit.training.batches import Mixture, Shuffled, batches
from videolavit.training.checkpoint import latest_checkpoint
from videolavit.training.held_out import HeldOutData
from videolavit.training.loop import train
from videolavit.training.processes import Processes
from videolavit.training.training_options import TrainingOptions, learning_rate

TOY = Path(__file__).parent / "toy.py"
PYTHONPATH = os.pathsep.join([str(TOY.parent.parent), os.environ.get("PYTHONPATH", "")])


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(folder):
    return load_file(folder / "export" / "weights.safetensors")


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_loss_falls(tmp_path):
    train(ToyStage(), tmp_path, quiet=True)
    losses = [entry["loss"] for entry in log(tmp_path) if "loss" in entry]
    assert len(losses) == 40
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_what_happens_is_written_down(tmp_path):
    stage = ToyStage()
    stage = replace(stage, training=replace(stage.training, images_every=20))
    train(stage, tmp_path, quiet=True)
    entries = log(tmp_path)
    assert {"step", "loss", "gradient_norm", "learning_rate", "samples_per_second"} <= entries[0].keys()
    assert any(entry.get("warning") == "the loss is low" for entry in entries)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        "weights-00000020.png",
        "weights-00000040.png",
    ]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000035", "step-00000040"]


@dataclass(frozen=True, kw_only=True)
class StageWithData(ToyStage):
    """Its points are those of a folder by name, each with a number of its own."""

    data: str | tuple[str, ...] = "seen"

    def samples(self):
        assert isinstance(self.data, str)
        return Shuffled(PointsOf(self.data), self.training.seed)


class PointsOf(Points):
    def __init__(self, name):
        self.first = {"seen": 0, "fresh": 1000}[name]

    def __getitem__(self, key):
        return super().__getitem__((self.first + key[0], key[1]))


def test_data_that_are_not_trained_on_are_measured_and_change_nothing(tmp_path):
    stage = StageWithData()
    train(stage, tmp_path / "plain", quiet=True)
    options = {"held_out_every": 15, "held_out_batches": 3}
    for name in ("seen", "fresh"):
        training = replace(stage.training, held_out_data=(name,), **options)
        train(replace(stage, training=training), tmp_path / name, quiet=True)
        assert_same_bits(weights(tmp_path / name), weights(tmp_path / "plain"))
    told = {name: [x for x in log(tmp_path / name) if "held_out/loss" in x] for name in ("seen", "fresh", "plain")}
    assert [entry["step"] for entry in told["fresh"]] == [15, 30, 40]
    assert told["fresh"] != told["seen"]
    assert told["plain"] == []
    # What is measured is the mean error of the first batches of the other data, without dropout.
    weights_as_they_are = replace(stage, training=replace(stage.training, ema_decay=0.0))
    train(weights_as_they_are, tmp_path / "last", quiet=True)
    module = stage.build()
    module.load_state_dict(weights(tmp_path / "last"))
    fresh = Shuffled(PointsOf("fresh"), stage.training.seed)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        batch = stage.collate([fresh[draw] for draw in range(24)])
        assert told["fresh"][-1]["held_out/loss"] == pytest.approx(module.eval()(batch, 0)["loss"].item(), rel=1e-5)


def test_parts_are_in_the_mode_afterwards_that_they_were_in_before():
    stage = StageWithData()
    stage = replace(stage, training=replace(stage.training, held_out_data=("fresh",)))
    held_out = HeldOutData(stage, Processes(rank=0, count=1, device=torch.device("cpu")))
    module = stage.build()
    module.dropout.eval()
    held_out.measure(module)
    assert module.training
    assert module.layers.training
    assert not module.dropout.training


def test_a_wrong_folder_of_held_out_data_stops_a_run_before_its_first_step(tmp_path):
    stage = StageWithData()
    with pytest.raises(KeyError, match="nowhere"):
        train(replace(stage, training=replace(stage.training, held_out_data=("nowhere",))), tmp_path, quiet=True)
    assert not log(tmp_path)


def test_a_stage_without_data_cannot_be_measured_on_others(tmp_path):
    stage = ToyStage()
    with pytest.raises(ConfigError, match="the stage toy, which has no option `data`"):
        train(replace(stage, training=replace(stage.training, held_out_data=("x",))), tmp_path, quiet=True)


@pytest.mark.slow
def test_a_run_killed_at_any_step_ends_with_the_same_bits(tmp_path):
    train(ToyStage(), tmp_path / "whole", quiet=True)
    killed = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    for enough in (3, 12, 26):  # log lines after which the process is killed
        process = subprocess.Popen([sys.executable, TOY, killed], env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if (killed / "log.jsonl").exists() and len(log_lines(killed)) >= enough:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, TOY, killed], env=environment, check=True, stderr=subprocess.DEVNULL)
    assert_same_bits(weights(tmp_path / "whole"), weights(killed))


def log_lines(folder):
    return (folder / "log.jsonl").read_text().splitlines()


def test_a_run_stopped_after_any_checkpoint_ends_with_the_same_bits(tmp_path):
    stage = ToyStage()
    train(stage, tmp_path / "whole", quiet=True)
    stop_after = [9, 15, 30]

    class Stopping(ToyStage):
        def check(self, metrics, step):
            if step in stop_after:
                stop_after.remove(step)
                raise KeyboardInterrupt
            return

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(Stopping(), tmp_path / "stopped", quiet=True)
    train(Stopping(), tmp_path / "stopped", quiet=True)
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_accumulation_and_loading_processes_do_not_change_what_is_seen(tmp_path):
    stage = ToyStage()
    train(stage, tmp_path / "plain", quiet=True)
    loaded = replace(stage, training=replace(stage.training, workers=1))
    train(loaded, tmp_path / "loaded", quiet=True)
    assert_same_bits(weights(tmp_path / "plain"), weights(tmp_path / "loaded"))


@pytest.mark.slow
def test_two_processes_train_and_resume_one_model(tmp_path):
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(TOY)]
    subprocess.run([*command, tmp_path / "whole"], env=environment, check=True, capture_output=True)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step-00000040")  # as if killed after step 35
    shutil.rmtree(tmp_path / "resumed" / "export")
    subprocess.run([*command, tmp_path / "resumed"], env=environment, check=True, capture_output=True)
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    alone = tmp_path / "alone"
    train(ToyStage(), alone, quiet=True)
    losses = [
        [entry["loss"] for entry in log(folder) if "loss" in entry][-5:] for folder in (tmp_path / "whole", alone)
    ]
    assert sum(losses[0]) < 2 * sum(losses[1])


def test_a_loss_that_is_not_a_number_stops_the_run_and_spares_the_checkpoint(tmp_path):
    stage = ToyStage(nan_at=16)
    with pytest.raises(TrainingError, match=r"step 16: loss nan.*is intact.*lower --training\.learning-rate"):
        train(stage, tmp_path, quiet=True)
    checkpoint = latest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == "step-00000014"
    assert "error" in log(tmp_path)[-1]
    with pytest.raises(TrainingError, match="step 16"):  # it resumes from there, and meets the same batch again
        train(stage, tmp_path, quiet=True)


def test_images_and_exports_are_made_where_the_module_and_the_machine_are():
    """On a GPU, for which a device without values stands here: batches follow the module, exports leave it."""
    stage = ToyStage()
    module = stage.build().to("meta")
    batch = stage.first_batch(module, 3)
    assert {name: (value.device.type, len(value)) for name, value in batch.items()} == {
        "x": ("meta", 3),
        "y": ("meta", 3),
    }
    with pytest.raises(NotImplementedError, match="copy out of meta"):
        loop._whole(stage, module, Processes(rank=0, count=1, device=torch.device("meta")))


def test_a_folder_of_another_run_is_refused(tmp_path):
    stage = ToyStage()
    short = replace(stage, training=replace(stage.training, steps=7))
    train(short, tmp_path, quiet=True)
    with pytest.raises(CheckpointError, match=r"another run.*width"):
        train(replace(short, width=64), tmp_path, quiet=True)


def test_a_half_written_checkpoint_is_not_used(tmp_path):
    stage = ToyStage()
    train(stage, tmp_path, quiet=True)
    (tmp_path / "checkpoints" / ".step-00000099.partial").mkdir()
    assert latest_checkpoint(tmp_path / "checkpoints").name == "step-00000040"


def test_the_learning_rate_warms_up_and_falls_as_half_a_cosine():
    options = TrainingOptions(steps=110, warmup_steps=10, learning_rate=2.0, final_learning_rate=0.5)
    rates = [learning_rate(options, step) for step in range(111)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == 2.0
    assert rates[60] == pytest.approx(1.25)
    assert rates[110] == pytest.approx(0.5)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_options_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="warm-up"):
        TrainingOptions(steps=5, warmup_steps=6)
    with pytest.raises(ConfigError, match="steps=0"):
        TrainingOptions(steps=0, warmup_steps=0)
    with pytest.raises(ConfigError, match="ema_decay"):
        TrainingOptions(ema_decay=1.0)
    nan = float("nan")
    for name, values in {
        "warmup_steps": [-5],
        "seed": [-1],
        "workers": [-1],
        "weight_decay": [-1.0, nan],
        "final_learning_rate": [-1.0, nan],
        "learning_rate": [0.0, -1.0, nan],
        "clip_norm": [0.0, nan],
        "betas": [(0.9, 1.5), (-0.1, 0.9), (0.9, 1.0)],
    }.items():
        for value in values:
            with pytest.raises(ConfigError, match=name):
                TrainingOptions(**{name: value})


def test_a_full_disk_costs_the_reports_and_not_the_run(tmp_path, caplog):
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").symlink_to("/dev/full")
    (run / "images").write_text("no folder")
    exported = train(ToyStage(), run, quiet=True)
    assert exported.is_dir()
    assert caplog.text.count("reports cannot be written") == 1


def test_a_run_says_where_it_goes_on_and_when_it_is_finished(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="videolavit.training.loop")
    stage = ToyStage()
    train(replace(stage, training=replace(stage.training, steps=40)), tmp_path, quiet=True)
    assert "after step" not in caplog.text
    train(stage, tmp_path, quiet=True)
    assert "is finished after step 40 of 40" in caplog.text


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_told_in_its_own_words(workers):
    shared = {"parts": 1, "rank": 0, "num_processes": 1}
    parts = batches(Broken(), list, batch_size=2, first_step=0, num_steps=3, workers=workers, **shared)
    with pytest.raises(MediaError) as told:
        list(parts)
    assert str(told.value) == "clip 3: is damaged"


class Broken:
    def __len__(self):
        return 10

    def __getitem__(self, draw):
        if draw == 3:
            raise MediaError("clip 3: is damaged")
        return draw


class Numbers:
    def __len__(self):
        return 10

    def __getitem__(self, key):
        return key


def draws(**options):
    settings = {"batch_size": 4, "parts": 1, "first_step": 0, "num_steps": 6} | options
    return list(batches(Shuffled(Numbers(), 3), list, **settings))


def test_an_epoch_shows_every_item_once():
    seen = [index for batch in draws(num_steps=5) for index, _ in batch]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_processes_and_parts_share_the_batch_of_one():
    whole = draws()
    shared = [
        [batch for rank in (0, 1) for batch in draws(parts=2, rank=rank, num_processes=2)[2 * step : 2 * step + 2]]
        for step in range(6)
    ]
    assert [list(itertools.chain(*parts)) for parts in shared] == whole


def test_batches_from_a_later_step_are_those_of_the_whole_run():
    assert draws(first_step=4) == draws()[4:]


def test_any_number_of_processes_shares_a_batch():
    whole = draws(batch_size=7)
    shared = [draws(batch_size=7, parts=2, rank=rank, num_processes=3) for rank in range(3)]
    for step in range(6):
        cut = [part for rank in shared for part in rank[2 * step : 2 * step + 2]]
        assert list(itertools.chain(*cut)) == whole[step]
        assert {len(part) for part in cut} == {1, 2}


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match="at least 5"):
        draws(num_processes=5)


def test_the_last_step_of_a_long_run_needs_no_list_of_the_others():
    started = time.process_time()
    last = batches(Shuffled(Numbers(), 3), list, batch_size=2048, parts=1, first_step=10**9, num_steps=2 * 10**9)
    assert len(next(last)) == 2048
    assert time.process_time() - started < 5


def test_a_mixture_keeps_its_shares_and_skips_nothing():
    one, other = Shuffled(Numbers(), 1), Shuffled(Numbers(), 2)
    mixture = Mixture([(2, one), (1, other)])
    drawn = [mixture[draw] for draw in range(30)]
    firsts = [one[i] for i in range(20)]
    seconds = [other[i] for i in range(10)]
    assert sorted(drawn) == sorted(firsts + seconds)


def test_an_empty_data_set_is_refused():
    class Empty:
        def __len__(self):
            return 0

    with pytest.raises(ConfigError, match="no items"):
        Shuffled(Empty(), 0)
