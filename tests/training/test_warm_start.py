"""Stages that start from a whole model, and that take its parts where others take exports."""

import logging
from dataclasses import fields, replace

import pytest
import torch

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.artifacts import load_artifact, load_autoencoder, load_text_tokenizer, weights_files
from videolavit.checkpoints.registry import load_component
from videolavit.data.prepare_tokens import TokenizeOptions, tokenize_shards
from videolavit.data.prepare_videos import ShapesData, shapes_record
from videolavit.data.shards import write_shard
from videolavit.errors import CheckpointError
from videolavit.shipped import shipped_model
from videolavit.tokenizers.codebook import CodebookConfig
from videolavit.training.language_parts import load_language
from videolavit.training.loop import train
from videolavit.training.model_folder import ModelExports, write_model
from videolavit.training.presets import TINY
from videolavit.training.stages.instruction_tuning import LoraOptions
from videolavit.training.training_options import TrainingOptions
from videolavit.training.warm_start import warm_start

WITHOUT_DATA = [name for name in TINY if name not in ("pretraining", "instruction_tuning")]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    data = ShapesData(num_videos=2)
    write_shard((shapes_record(data, number) for number in range(data.num_videos)), folder / "shapes.tar")
    return folder


def shipped(name):
    return load_component(open_checkpoint(shipped_model()).part(name))


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_a_stage_of_the_preset_takes_over_what_the_shipped_model_has(name):
    stage = TINY[name]
    module = stage.build()
    parts = stage.trainable(module)
    warm_start(parts, "tiny")
    for path, part in parts.items():
        whole, _, inside = path.partition(".")
        expected = shipped(whole).get_submodule(inside).state_dict()
        fitting = [key for key, value in part.state_dict().items() if expected[key].shape == value.shape]
        assert fitting
        for key in fitting:
            torch.testing.assert_close(part.state_dict()[key], expected[key].to(part.state_dict()[key]))


def test_an_encoder_of_its_own_stage_is_not_overwritten(tmp_path):
    stage = TINY["vision_encoder"]
    stage.export(stage.build(), tmp_path)
    tokenizer_stage = replace(TINY["visual_tokenizer"], encoder=str(tmp_path))
    module = tokenizer_stage.build()
    before = module.tokenizer.vit.pos_embed.clone()
    warm_start(tokenizer_stage.trainable(module), "tiny")
    assert torch.equal(module.tokenizer.vit.pos_embed, before)


def test_what_is_new_is_named(caplog):
    stage = TINY["motion_tokenizer"]
    wider = replace(stage, model=replace(stage.model, num_codes=7))
    with caplog.at_level(logging.INFO, logger="videolavit.training.warm_start"):
        warm_start(wider.trainable(wider.build()), "tiny")
    assert "new: quantizer.codebook" in caplog.text


def test_a_model_of_which_nothing_fits_is_refused():
    with pytest.raises(CheckpointError, match="no tensor of its keyframe_vae fits the 2 of the stage"):
        warm_start({"keyframe_vae": torch.nn.Linear(3, 3)}, "tiny")


def motion_stage(shards, steps):
    return replace(
        TINY["motion_tokenizer"],
        data=str(shards),
        model=load_artifact("motion_tokenizer", "tiny").config,
        codebook=CodebookConfig(warm_up_steps=100),
        training=TrainingOptions(
            steps=steps, batch_size=2, learning_rate=1e-12, warmup_steps=1, checkpoint_every=1, images_every=0
        ),
    )


def test_a_run_begins_with_the_weights_of_the_model_and_resumes_with_its_own(shards, tmp_path):
    def exported(steps, model):
        return load_artifact("motion_tokenizer", train(motion_stage(shards, steps), tmp_path, model=model, quiet=True))

    first = exported(1, "tiny")
    expected = shipped("motion_tokenizer").state_dict()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)


def test_a_run_that_has_begun_does_not_begin_again(shards, tmp_path):
    stage = motion_stage(shards, 1)
    first = load_artifact("motion_tokenizer", train(stage, tmp_path, quiet=True))
    again = load_artifact("motion_tokenizer", train(stage, tmp_path, model="tiny", quiet=True))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())


def test_the_parts_of_a_model_are_taken_like_exports(shards, tmp_path):
    assert load_artifact("visual_tokenizer", "tiny").config == shipped("visual_tokenizer").config
    assert load_autoencoder("tiny").config["latent_channels"] == shipped("keyframe_vae").config["latent_channels"]
    words = load_text_tokenizer("tiny")
    assert [file.is_file() for file in weights_files("keyframe_vae", "tiny")] == [True]
    options = TokenizeOptions(visual_tokenizer="tiny", motion_tokenizer="tiny", num_text=len(words))
    reader = tokenize_shards(shards, tmp_path / "tokens", options)
    assert reader.vocabulary == open_checkpoint(shipped_model()).vocabulary


@pytest.mark.parametrize("rank", [0, 2], ids=["all weights", "lora"])
def test_instruction_tuning_goes_on_from_a_whole_model(shards, tmp_path, rank):
    options = TokenizeOptions(
        visual_tokenizer="tiny", motion_tokenizer="tiny", num_text=len(load_text_tokenizer("tiny"))
    )
    tokenize_shards(shards, tmp_path / "tokens", options)
    stage = replace(
        TINY["instruction_tuning"],
        data=str(tmp_path / "tokens"),
        text_tokenizer="tiny",
        start_from="tiny",
        lora=LoraOptions(rank=rank),
        training=TrainingOptions(steps=1, batch_size=2, learning_rate=1e-12, warmup_steps=1, images_every=0),
    )
    tuned = load_language(train(stage, tmp_path / "run", quiet=True))
    expected = load_language("tiny")
    assert tuned.vocabulary == expected.vocabulary
    for name, value in expected.causal_lm.state_dict().items():
        torch.testing.assert_close(tuned.causal_lm.state_dict()[name], value, msg=name)
    for name, value in expected.projection.items():
        torch.testing.assert_close(tuned.projection[name], value, msg=name)


def test_what_is_not_trained_anew_comes_from_a_whole_model(tmp_path):
    names = [field.name for field in fields(ModelExports) if field.name != "video_compensation"]  # has none
    settings = open_checkpoint(shipped_model()).settings
    write_model(ModelExports(**dict.fromkeys(names, "tiny")), tmp_path / "model", settings, dtype=torch.float16)
    again, expected = open_checkpoint(tmp_path / "model"), open_checkpoint(shipped_model())
    assert again.settings == expected.settings
    for name in ("language_model", "visual_tokenizer", "keyframe_unet", "video_unet", "video_vae"):
        stored = expected.part(name).tensors
        for key, tensor in again.part(name).tensors.items():
            assert torch.equal(tensor.load(), stored[key].load()), f"{name}: {key}"
    assert again.scheduler("video_scheduler") == expected.scheduler("video_scheduler")


def test_a_decoder_trained_on_keeps_the_latents_that_others_draw(shards, tmp_path):
    stage = replace(
        TINY["autoencoder"],
        data=str(shards),
        keep_latents_of="tiny",
        shares=(1, 0, 0),
        training=TrainingOptions(steps=2, batch_size=2, learning_rate=1e-3, warmup_steps=1, images_every=0),
    )
    trained = load_autoencoder(train(stage, tmp_path / "run", quiet=True))
    before = load_autoencoder("tiny")
    assert trained.config["scaling_factor"] == before.config["scaling_factor"]
    changed = {
        name.partition(".")[0]
        for name, value in before.state_dict().items()
        if not torch.equal(trained.state_dict()[name], value)
    }
    assert changed == {"decoder"}
