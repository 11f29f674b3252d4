import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from training.small_motion import MOTION

from videolavit.checkpoints.artifacts import load_artifact, open_artifact
from videolavit.config import save_config
from videolavit.data.prepare_videos import ShapesData, shapes_record
from videolavit.data.prepared_clips import ClipFrames
from videolavit.data.shards import ShardReader, write_shard
from videolavit.detokenizers.motion_condition import MotionConditionEncoderConfig
from videolavit.detokenizers.video_detokenizer import VideoOptions
from videolavit.errors import CheckpointError, ConfigError
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer
from videolavit.training.loop import train
from videolavit.training.stages.video_detokenizer import VideoDetokenizerStage, VideoUNetConfig, start_from
from videolavit.training.training_options import TrainingOptions


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    data = ShapesData(num_videos=6, clips=(1, 2))
    records = (shapes_record(data, number) for number in range(data.num_videos))
    write_shard((record for record in records if record is not None), folder / "shapes.tar")
    return folder


def small_stage(shards, residual_scale, **training):
    options = {"steps": 16, "batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 2, "log_every": 1}
    return VideoDetokenizerStage(
        data=str(shards),
        motion=MOTION,
        motion_encoder=MotionConditionEncoderConfig(rows=4, cols=4, width=16, heads=2, depth=1, out_width=16),
        unet=VideoUNetConfig(
            block_out_channels=(32, 32),
            attention=(False, True),
            layers_per_block=1,
            heads=(2, 2),
            addition_time_embed_dim=8,
            residual_scale=residual_scale,
        ),
        options=VideoOptions(num_inference_steps=2, max_guidance_scale=1.0),
        sigma_range=(0.02, 20.0),
        height=32,
        width=32,
        training=TrainingOptions(**(options | training)),
    )


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("residual_scale", [pytest.param(0.0, marks=pytest.mark.slow), 0.1])
def test_a_few_steps_lower_the_loss_of_both_forms(shards, residual_scale):
    stage = small_stage(shards, residual_scale)
    torch.manual_seed(0)
    module, samples = stage.build(), stage.samples()
    batch = stage.collate([samples[draw] for draw in range(2)])
    optimiser = torch.optim.AdamW([part for part in module.parameters() if part.requires_grad], 3e-3)
    losses = []
    for _ in range(20):
        torch.manual_seed(1)  # the same noise at every step: what is left changes by learning only
        loss = module(batch, 0)["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("residual_scale", [0.0, 0.1])
def test_a_run_writes_parts_scheduler_and_images(shards, tmp_path, residual_scale):
    stage = small_stage(shards, residual_scale, steps=2, images_every=2, batch_size=2)
    export = train(stage, tmp_path, quiet=True)
    assert np.isfinite([entry["loss"] for entry in log(tmp_path)]).all()
    assert (tmp_path / "images" / "clips-00000002.png").exists()
    assert load_artifact("video_unet", export).config["residual_scale"] == residual_scale
    assert load_artifact("motion_encoder", export).config == stage.motion_encoder
    assert open_artifact(export).scheduler("video_scheduler")["sigma_max"] == 20.0


@pytest.mark.slow
def test_a_resumed_run_has_the_same_weights(shards, tmp_path):
    stage = small_stage(shards, 0.1, steps=4, checkpoint_every=2, ema_decay=0.9, batch_size=2)
    whole = train(stage, tmp_path / "whole", quiet=True)

    class Stopping(VideoDetokenizerStage):
        def check(self, metrics, step):
            if step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            Stopping(**{field.name: getattr(stage, field.name) for field in fields(stage)}),
            tmp_path / "stopped",
            quiet=True,
        )
    resumed = train(stage, tmp_path / "stopped", quiet=True)
    for name in ("video_unet", "motion_encoder"):
        one, other = (load_file(folder / f"{name}.safetensors") for folder in (whole, resumed))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_unet_that_predicts_perfectly_has_no_loss(shards, monkeypatch):
    """The loss reads the UNet's output as the scheduler does when it draws."""
    stage = small_stage(shards, 0.1)
    module = stage.build()
    samples = stage.samples()
    batch = stage.collate([samples[draw] for draw in range(2)])
    clips = module.prepared({name: value[:1] for name, value in batch.items()})
    target = (clips["latents"] - clips["compensated"][:, :, :8]) / 0.1

    def perfect(noisy, sigma, *_):
        scheduler = stage.scheduler()
        scheduler.set_timesteps(4)
        scheduler.sigmas = torch.stack([sigma[0], torch.tensor(0.0)])
        scheduler.timesteps = 0.25 * sigma[:1].log()
        prediction = torch.zeros_like(noisy, requires_grad=True)
        drawn = scheduler.step(prediction, scheduler.timesteps[0], noisy).prev_sample
        # The step to sigma 0 is affine in the prediction: solve for the one that gives the target.
        slope = torch.autograd.grad(drawn[0].sum(), prediction)[0][0].flatten()[0]
        return ((target - drawn) / slope).detach()

    monkeypatch.setattr(module, "_predict", perfect)
    assert module(clips, 0)["loss"] < 1e-6


def test_motion_goes_through_the_tokenizer_as_often_as_asked(shards):
    for share in (0.0, 1.0):
        stage = replace(small_stage(shards, 0.0), tokenized_motion=share)
        module = stage.build()
        samples = stage.samples()
        batch = stage.collate([samples[draw] for draw in range(4)])
        expected = batch["raw_motion"] if share == 0 else module.tokenized(batch["motion"], 4, 4)
        torch.testing.assert_close(module._motion(batch), expected)


def test_only_unet_and_motion_encoder_learn(shards):
    module = small_stage(shards, 0.1).build()
    trained = {name.split(".")[1] for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained == {"unet", "motion_encoder"}


def test_trained_parts_of_other_stages_are_read(shards, tmp_path):
    PatchAutoencoderKL(block_out_channels=(16, 16), layers_per_block=1, latent_channels=4).save_pretrained(
        tmp_path / "vae"
    )
    tokenizer = MotionTokenizer(MOTION)
    (tmp_path / "motion").mkdir()
    save_config(MOTION, tmp_path / "motion" / "config.json")
    save_file(tokenizer.state_dict(), tmp_path / "motion" / "motion_tokenizer.safetensors")
    stage = replace(
        small_stage(shards, 0.0), autoencoder=str(tmp_path / "vae"), motion_tokenizer=str(tmp_path / "motion")
    )
    module = stage.build()
    assert module.detokenizer.unet.config["in_channels"] == 4 + 4 + 2
    assert torch.equal(module.motion_tokenizer.quantizer.codebook, tokenizer.quantizer.codebook)
    with pytest.raises(CheckpointError, match="no motion_tokenizer"):
        replace(stage, motion_tokenizer=str(tmp_path)).build()


def test_a_released_unet_gives_all_but_the_parts_that_see_other_things(shards, tmp_path):
    stage = small_stage(shards, 0.0)
    config = stage.unet
    torch.manual_seed(1)
    released = config.build(8, MOTION.frames, stage.motion_encoder)
    released.save_pretrained(tmp_path / "unet")
    unet = replace(stage, start=str(tmp_path / "unet")).build().detokenizer.unet
    for name, value in released.state_dict().items():
        is_new = name.startswith("conv_in.") or ".attn2." in name
        assert is_new or torch.equal(value, unet.state_dict()[name])
    assert not torch.equal(unet.conv_in.weight, released.conv_in.weight)
    with pytest.raises(CheckpointError, match="is no UNet of these sizes"):
        start_from(replace(config, block_out_channels=(32, 64)).build(8, 24, stage.motion_encoder), tmp_path / "unet")
    with pytest.raises(CheckpointError, match="holds no diffusion_pytorch_model"):
        start_from(unet, tmp_path)


def test_residuals_of_another_size_raise_an_alarm(shards):
    stage = small_stage(shards, 0.1)
    assert "deviation of 0.900" in stage.check({"residual_scale": 0.9}, step=1)
    assert stage.check({"residual_scale": 0.12}, step=1) is None
    assert small_stage(shards, 0.0).check({"residual_scale": 0.9}, step=1) is None


def test_a_wrong_latent_factor_is_refused(shards):
    with pytest.raises(ConfigError, match="factor is 8, latent_factor says 4"):
        replace(small_stage(shards, 0.0), latent_factor=4).build()


def test_a_mirrored_clip_moves_the_other_way(shards):
    clips = ClipFrames(ShardReader(shards))
    record = clips._reader[0]
    seen = [clips[0, draw] for draw in range(12)]
    mirrored = [sample for sample in seen if not np.array_equal(sample.keyframe, record.keyframes[0])]
    assert 0 < len(mirrored) < 12
    values = record.motion_of(0).values
    np.testing.assert_array_equal(mirrored[0].motion.values, np.stack([-values[0], values[1]])[..., ::-1])
    np.testing.assert_array_equal(mirrored[0].frames, record.frames[:24, :, ::-1])
