import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from videolavit.checkpoints.artifacts import load_artifact
from videolavit.clip import MotionField
from videolavit.data.prepare_videos import ShapesData, shapes_record
from videolavit.data.shards import ShardReader, write_shard
from videolavit.errors import ConfigError
from videolavit.tokenizers.codebook import CodebookConfig
from videolavit.tokenizers.motion_tokenizer import MotionTokenizerConfig
from videolavit.training.loop import train
from videolavit.training.stages.motion_tokenizer import MotionFields, MotionTokenizerStage, endpoint_errors
from videolavit.training.training_options import TrainingOptions


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    data = ShapesData(num_videos=12, clips=(1, 2))
    records = (shapes_record(data, number) for number in range(data.num_videos))
    write_shard((record for record in records if record is not None), folder / "shapes.tar")
    return folder


def small_stage(shards, **training):
    options = {"steps": 40, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 4, "log_every": 1}
    return MotionTokenizerStage(
        data=str(shards),
        model=MotionTokenizerConfig(
            rows=16,
            cols=16,
            patch=(2, 4, 4),
            strides=((2, 1, 1), (2, 1, 1)),
            blocks=(1, 1),
            width=32,
            heads=2,
            num_codes=32,
            code_dim=8,
        ),
        codebook=CodebookConfig(warm_up_steps=10, revive_every=10),
        training=TrainingOptions(**(options | training)),
    )


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_few_steps_lower_the_error_and_use_the_codebook(shards, tmp_path):
    stage = small_stage(shards, images_every=40)
    export = train(stage, tmp_path, quiet=True)
    entries = log(tmp_path)
    assert np.mean([entry["error"] for entry in entries[-5:]]) < 0.8 * entries[0]["error"]
    assert entries[5]["perplexity"] == 0  # not quantised yet
    assert entries[-1]["perplexity"] > 2
    assert (tmp_path / "images" / "motion-00000040.png").exists()
    assert load_artifact("motion_tokenizer", export).config == stage.model


@pytest.mark.slow
def test_a_decoder_is_trained_on_while_ids_stay(shards, tmp_path):
    first = train(small_stage(shards, steps=20), tmp_path / "first", quiet=True)
    stage = replace(small_stage(shards, steps=40, learning_rate=2e-3), keep_ids_of=str(first))
    further = train(stage, tmp_path / "further", quiet=True)
    before, after = (load_artifact("motion_tokenizer", folder) for folder in (first, further))
    motion = stage.collate([stage.samples()[draw] for draw in range(16)])["motion"]
    codes = before.encode(motion)
    assert torch.equal(codes, after.encode(motion))
    entries = log(tmp_path / "further")
    losses = [entry["endpoint_error"] for entry in entries]
    assert np.mean(losses[-10:]) < 0.97 * np.mean(losses[:5])
    trained = {name for name, value in before.state_dict().items() if not torch.equal(value, after.state_dict()[name])}
    assert {name.split(".")[0] for name in trained} == {"decoder", "motion_head"}


@pytest.mark.slow
def test_further_layers_are_learnt_and_lower_the_error_while_ids_stay(shards, tmp_path):
    coarse = small_stage(shards, steps=60)
    coarse = replace(coarse, model=replace(coarse.model, num_codes=4))  # so that they leave much for further layers
    first = train(coarse, tmp_path / "first", quiet=True)
    stage = replace(small_stage(shards, steps=60, learning_rate=2e-3), keep_ids_of=str(first), layers=3)
    layered = load_artifact("motion_tokenizer", train(stage, tmp_path / "layers", quiet=True))
    before = load_artifact("motion_tokenizer", first)
    batch = stage.collate([stage.samples()[draw] for draw in range(16)])
    codes = layered.encode_layers(batch["motion"])
    assert torch.equal(codes[:, 0], before.encode(batch["motion"]))
    errors = [
        endpoint_errors(layered.decode(codes[:, :count]), batch["motion"], batch["pixels_per_unit"])[0].item()
        for count in (1, 2, 3)
    ]
    assert errors[2] < errors[0]
    again = replace(stage, keep_ids_of=str(tmp_path / "layers" / "export"), layers=3)
    assert again.build().tokenizer.config.layers == 3
    with pytest.raises(ConfigError, match="layers=2 and keep_ids_of=''"):
        replace(small_stage(shards), layers=2)


def test_a_resumed_run_has_the_same_codebook(shards, tmp_path):
    stage = small_stage(shards, steps=24, checkpoint_every=8, batch_size=4)
    whole = load_file(train(stage, tmp_path / "whole", quiet=True) / "motion_tokenizer.safetensors")

    class Stopping(MotionTokenizerStage):
        def check(self, metrics, step):
            if step == 19:
                raise KeyboardInterrupt

    fields = {name: getattr(stage, name) for name in ("data", "model", "codebook", "training")}
    with pytest.raises(KeyboardInterrupt):
        train(Stopping(**fields), tmp_path / "stopped", quiet=True)
    resumed = load_file(train(stage, tmp_path / "stopped", quiet=True) / "motion_tokenizer.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_collapsed_codebook_raises_an_alarm(shards):
    stage = small_stage(shards)
    assert "collapsed: perplexity 1.20 of 32" in stage.check({"perplexity": 1.2}, step=30)
    assert stage.check({"perplexity": 9.0}, step=30) is None
    assert stage.check({"perplexity": 0.0}, step=15) is None  # quantisation has hardly begun


def test_mirrored_motion_is_the_motion_of_the_mirrored_video(shards):
    fields = MotionFields(ShardReader(shards), 16, 16)
    first = fields._reader.motion(0)[0].for_tokenizer(16, 16)
    seen = [fields[0, draw][0] for draw in range(40)]
    mirrors = [
        np.stack([sx * np.flip(first[0], axes), sy * np.flip(first[1], axes)])
        for axes, sx, sy in (((), 1, 1), ((-1,), -1, 1), ((-2,), 1, -1), ((-2, -1), -1, -1))
    ]
    assert all(any(np.array_equal(motion, mirror) for mirror in mirrors) for motion in seen)
    assert len({motion.tobytes() for motion in seen}) == 4


def test_errors_are_pixels_of_the_frames():
    truth = torch.zeros(1, 2, 3, 4, 4)
    truth[:, 0, 1] = 2.0
    unit = MotionField.from_tokenizer_units(np.ones((2, 1, 1, 1), np.float32), height=100, width=200).values
    everywhere, moving = endpoint_errors(torch.zeros_like(truth), truth, torch.from_numpy(unit.reshape(1, 2)))
    pixels = 2.0 * 200 * 0.0993703 / 10
    assert moving.item() == pytest.approx(pixels, rel=1e-5)
    assert everywhere.item() == pytest.approx(pixels / 3, rel=1e-5)


def test_the_defaults_are_those_of_the_paper():
    stage = MotionTokenizerStage()
    assert (stage.training.steps, stage.training.batch_size, stage.training.learning_rate) == (100_000, 512, 1e-4)
    assert replace(stage, data="elsewhere").model.num_tokens == 135
