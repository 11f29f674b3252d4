"""Latent shards of the video detokenizer: the same training without the frozen work."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training.small_motion import MOTION

from videolavit.commands import prepare
from videolavit.config import save_config
from videolavit.data.prepare_videos import ShapesData, shapes_record
from videolavit.data.shards import write_shard
from videolavit.detokenizers.motion_condition import MotionConditionEncoderConfig
from videolavit.detokenizers.video_detokenizer import VideoOptions
from videolavit.errors import CheckpointError, ConfigError, MediaError
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer
from videolavit.training import latents
from videolavit.training.latents import LatentClips, has_latents, prepare_latents
from videolavit.training.loop import train
from videolavit.training.stages.video_detokenizer import VideoDetokenizerStage, VideoUNetConfig
from videolavit.training.training_options import TrainingOptions


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A stage on five clips, with frozen parts that are stored."""
    folder = tmp_path_factory.mktemp("parts")
    data = ShapesData(num_videos=5, clips=(1,))
    write_shard((shapes_record(data, number) for number in range(5)), folder / "shapes.tar")
    write_parts(folder / "vae", folder / "motion", seed=0)
    return VideoDetokenizerStage(
        data=str(folder),
        autoencoder=str(folder / "vae"),
        motion_tokenizer=str(folder / "motion"),
        motion=MOTION,
        motion_encoder=MotionConditionEncoderConfig(rows=4, cols=4, width=16, heads=2, depth=1, out_width=16),
        unet=VideoUNetConfig(
            block_out_channels=(32, 32),
            attention=(False, True),
            layers_per_block=1,
            heads=(2, 2),
            addition_time_embed_dim=8,
            residual_scale=0.1,
        ),
        options=VideoOptions(num_inference_steps=2, max_guidance_scale=1.0),
        sigma_range=(0.02, 20.0),
        height=32,
        width=32,
        training=TrainingOptions(steps=6, batch_size=2, warmup_steps=2, log_every=1, ema_decay=0.9),
    )


@pytest.fixture(scope="module")
def prepared(stage, tmp_path_factory):
    """That stage on latent shards of its first six samples, and their folder."""
    folder = tmp_path_factory.mktemp("prepared") / "latents"
    assert len(prepare_latents(stage, folder, 6)) == 6
    return replace(stage, data=str(folder))


def write_parts(vae, motion, seed):
    torch.manual_seed(seed)
    PatchAutoencoderKL(block_out_channels=(16, 16), layers_per_block=1, latent_channels=4).save_pretrained(vae)
    motion.mkdir(exist_ok=True)
    save_config(MOTION, motion / "config.json")
    save_file(MotionTokenizer(MOTION).state_dict(), motion / "motion_tokenizer.safetensors")


@pytest.mark.parametrize("form", ["residual", "plain"])
def test_latents_are_what_the_frozen_parts_make_of_the_same_samples(stage, tmp_path, form):
    unet = stage.unet if form == "residual" else replace(stage.unet, residual_scale=0.0)
    stage = replace(stage, tokenized_motion=1.0, unet=unet)
    clips = prepare_latents(stage, tmp_path / "latents", 3)
    samples, module = stage.samples(), stage.build().eval()
    with torch.autocast("cpu", torch.bfloat16):
        expected = module.prepared(stage.collate([samples[draw] for draw in range(3)]))
    assert ("compensated" in expected) == (form == "residual")
    made = stage.collate([clips[index, 0] for index in range(3)])
    assert made.keys() == expected.keys()
    assert torch.equal(made.pop("keyframes"), expected.pop("keyframes"))
    for name, value in made.items():
        assert value.dtype == torch.float16
        torch.testing.assert_close(value.float(), expected[name], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_latents_are_trained_on_and_resume_exactly(prepared, tmp_path):
    whole = train(replace(prepared, training=replace(prepared.training, images_every=6)), tmp_path / "whole")
    assert (tmp_path / "whole" / "images" / "clips-00000006.png").exists()

    class Stopping(VideoDetokenizerStage):
        def check(self, metrics, step):
            if step == 4:
                raise KeyboardInterrupt

    often = replace(prepared.training, checkpoint_every=3)
    fields = {name: getattr(prepared, name) for name in prepared.__dataclass_fields__}
    with pytest.raises(KeyboardInterrupt):
        train(Stopping(**fields | {"training": often}), tmp_path / "stopped", quiet=True)
    resumed = train(replace(prepared, training=often), tmp_path / "stopped", quiet=True)
    for name in ("video_unet", "motion_encoder"):
        one, other = (load_file(folder / f"{name}.safetensors") for folder in (whole, resumed))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_every_epoch_shows_every_clip(prepared):
    samples = prepared.samples()
    seen = {samples[draw]["latents"].numpy().tobytes() for draw in range(6)}
    assert len(seen) == 6
    assert {samples[draw]["latents"].numpy().tobytes() for draw in range(6, 12)} == seen


def test_an_interrupted_preparation_goes_on_and_ends_the_same(stage, tmp_path, monkeypatch):
    monkeypatch.setattr(latents, "CLIPS_PER_SHARD", 2)
    whole = prepare_latents(stage, tmp_path / "whole", 5)
    files = sorted((tmp_path / "whole").glob("*.safetensors"))
    assert len(files) == 3
    save = latents.save_file

    def fails_at_the_third(tensors, path):
        if "00000004" in path.name:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(latents, "save_file", fails_at_the_third)
    with pytest.raises(Exception, match=r"latents-00000004-1.*No space left.*is there space"):
        prepare_latents(stage, tmp_path / "stopped", 5)
    assert len(list((tmp_path / "stopped").iterdir())) == 4  # two shards and two notes: nothing half-written
    monkeypatch.setattr(latents, "save_file", save)
    kept = next((tmp_path / "stopped").glob("*-2.safetensors")).stat().st_mtime_ns
    resumed = prepare_latents(stage, tmp_path / "stopped", 5)
    assert next((tmp_path / "stopped").glob("*-2.safetensors")).stat().st_mtime_ns == kept
    for index in range(5):
        one, other = whole[index, 0], resumed[index, 0]
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(prepare_latents(stage, tmp_path / "whole", 6)) == 6  # the short last shard is replaced


def test_latents_of_other_frozen_parts_are_refused(stage, prepared, tmp_path):
    write_parts(tmp_path / "vae", tmp_path / "motion", seed=1)
    for changed in (
        {"autoencoder": str(tmp_path / "vae")},
        {"motion_tokenizer": str(tmp_path / "motion")},
        {"unet": replace(stage.unet, residual_scale=0.0)},
        {"tokenized_motion": 0.2},
        {"height": 64},
    ):
        with pytest.raises(ConfigError, match="not those of this autoencoder"):
            replace(prepared, **changed).samples()
    # The scale of residuals is no part of what is stored.
    assert replace(prepared, unet=replace(stage.unet, residual_scale=0.3)).samples()[0]
    with pytest.raises(ConfigError, match="not those of this autoencoder"):
        prepare_latents(replace(stage, height=64), prepared_folder(prepared), 1)
    with pytest.raises(CheckpointError, match="no folder is given for the keyframe_vae"):
        prepare_latents(replace(stage, autoencoder=""), tmp_path / "new", 1)


def test_damaged_or_missing_shards_are_named(stage, tmp_path):
    assert not has_latents(tmp_path)
    prepare_latents(stage, tmp_path / "latents", 1)
    path = tmp_path / "latents" / "latents-00000000-1.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(MediaError, match="remove it and prepare it again"):
        LatentClips(tmp_path / "latents", stage.frozen())
    path.unlink()
    with pytest.raises(MediaError, match="holds no latent shards"):
        LatentClips(tmp_path / "latents", stage.frozen())


def prepared_folder(stage):
    return Path(stage.data)


def test_the_command_prepares_latents_and_refuses_to_prepare_them_twice(stage, tmp_path, capsys):
    task = prepare.Latents(
        data=Path(stage.data),
        output=tmp_path / "latents",
        autoencoder=Path(stage.autoencoder),
        motion_tokenizer=Path(stage.motion_tokenizer),
        num_clips=2,
    )
    assert prepare.run(prepare.Config(task=task)) == 0
    assert capsys.readouterr().out.endswith("latents: 2 clips\n")
    assert load_file(tmp_path / "latents" / "latents-00000000-2.safetensors")["latents"].shape == (2, 24, 4, 16, 16)
    with pytest.raises(ConfigError, match="holds latent shards already"):
        prepare.run(prepare.Config(task=replace(task, data=tmp_path / "latents", output=tmp_path / "again")))
