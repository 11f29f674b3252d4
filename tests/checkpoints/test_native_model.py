"""What a native checkpoint has and the released layout has not: settings, parts stored once, a hash; and the shipped
model."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoints.small_components import VOCABULARY, small_modules
from checkpoints.small_release import write_playable_release
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from safetensors.torch import load_file

from videolavit import shipped
from videolavit.checkpoints import convert, open_checkpoint
from videolavit.checkpoints.components import ModelComponents
from videolavit.commands._shared.model_info import model_folder
from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.detokenizers.video_detokenizer import VideoOptions
from videolavit.errors import CheckpointError, ConfigError
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.pipeline import VideoLaVIT
from videolavit.settings import ModelSettings
from videolavit.shipped import shipped_model as shipped_folder

SETTINGS = ModelSettings(
    video_processor=SHAPES_FRONT_END,
    visual_input="discrete",
    max_clips=3,
    min_keyframe_ids=2,
    sampling=Sampling(motion=SamplingOptions(temperature=0.7)),
    keyframe_num_inference_steps=4,
    keyframe_guidance_scale=1.5,
    frames=VideoOptions(num_inference_steps=5, max_guidance_scale=1.0),
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_playable_release(tmp_path_factory.mktemp("playable"))


def twin_parts() -> ModelComponents:
    """A model both of whose detokenizers have one autoencoder."""
    modules = small_modules()
    modules["video_vae"] = modules["keyframe_vae"]
    schedulers = {"keyframe_scheduler": DDIMScheduler(), "video_scheduler": EulerDiscreteScheduler()}
    return ModelComponents(vocabulary=VOCABULARY, settings=SETTINGS, modules=modules, schedulers=schedulers)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native") / "model"
    twin_parts().save(folder)
    return folder


def opened(folder: Path, **options) -> ModelComponents:
    return ModelComponents(open_checkpoint(folder), **options)


def changed_config(folder: Path, target: Path, change) -> Path:
    """A checkpoint that has nothing but a changed configuration."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    target.mkdir()
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_settings_travel_through_both_layouts(native, release, tmp_path):
    assert open_checkpoint(release).settings == ModelSettings()
    assert open_checkpoint(native).settings == SETTINGS
    convert(native, tmp_path / "released", layout="released")
    assert open_checkpoint(tmp_path / "released").settings == SETTINGS
    convert(tmp_path / "released", tmp_path / "again")
    assert open_checkpoint(tmp_path / "again").settings == SETTINGS
    convert(release, tmp_path / "plain")
    assert open_checkpoint(tmp_path / "plain").settings == ModelSettings()


def test_settings_may_be_absent_but_not_unknown(native, tmp_path):
    without = changed_config(native, tmp_path / "without", lambda config: config.pop("settings"))
    assert open_checkpoint(without).settings == ModelSettings()
    misspelt = changed_config(native, tmp_path / "misspelt", lambda config: config["settings"].update(keyframe_step=3))
    with pytest.raises(ConfigError, match=r"settings: unknown key 'keyframe_step'"):
        _ = open_checkpoint(misspelt).settings
    wrong = changed_config(native, tmp_path / "wrong", lambda config: config["settings"].update(max_clips=0))
    with pytest.raises(ConfigError, match="max_clips=0"):
        _ = open_checkpoint(wrong).settings


def test_one_autoencoder_for_two_detokenizers_is_stored_and_loaded_once(native, tmp_path):
    assert (native / "keyframe_vae.safetensors").exists()
    assert not (native / "video_vae.safetensors").exists()
    parts = opened(native)
    assert parts.module("video_vae") is parts.module("keyframe_vae")
    parts.save(tmp_path / "again")
    assert not (tmp_path / "again" / "video_vae.safetensors").exists()
    convert(native, tmp_path / "released", layout="released")
    files = sorted((tmp_path / "released").rglob("vae/*.safetensors"))
    assert [file.parts[-3] for file in files] == ["image_detokenizer", "video_detokenizer"]
    first, second = map(load_file, files)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_changed_part_does_not_change_its_twin(native, tmp_path):
    trained = small_modules()["keyframe_vae"]
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.fill_(3.0)
    opened(native, modules={"keyframe_vae": trained}).save(tmp_path / "changed")
    parts = opened(tmp_path / "changed")
    key, expected = next(iter(small_modules()["keyframe_vae"].state_dict().items()))
    assert torch.equal(parts.module("video_vae").state_dict()[key], expected)
    assert (parts.module("keyframe_vae").state_dict()[key] == 3).all()


def test_twins_of_different_types_are_two_modules(native):
    parts = opened(native, dtype=torch.bfloat16)
    assert parts.module("keyframe_vae").dtype == torch.float32, "half precision shows in images"
    assert parts.module("video_vae").dtype == torch.bfloat16


@pytest.mark.parametrize("same_as", ["video_unet2", "video_vae"])
def test_a_part_that_is_the_same_as_none_is_refused(native, tmp_path, same_as):
    def change(config):
        config["parts"]["video_vae"] = {"same_as": same_as}

    with pytest.raises(CheckpointError, match=f"video_vae is the same as '{same_as}'"):
        open_checkpoint(changed_config(native, tmp_path / "wrong", change))


def test_what_is_stored_in_float16_is_computed_in_float32_on_a_cpu(native, release, tmp_path):
    convert(native, tmp_path / "half", dtype=torch.float16)
    stored = load_file(tmp_path / "half" / "video_unet.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    parts = opened(tmp_path / "half")
    whole = twin_parts()
    for name in whole.loaded:
        expected = whole.module(name).state_dict()
        for key, value in parts.module(name).state_dict().items():
            assert value.dtype == expected[key].dtype, "float32 was computed with before"
            torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-4)
    assert opened(tmp_path / "half", dtype=torch.float16).module("video_unet").dtype == torch.float16
    convert(native, tmp_path / "bfloat16", dtype=torch.bfloat16)
    assert opened(tmp_path / "bfloat16").module("video_unet").dtype == torch.bfloat16, "CPUs know bfloat16"
    convert(release, tmp_path / "release", dtype=torch.float16)
    tokenizer = load_file(tmp_path / "release" / "visual_tokenizer.safetensors")
    assert tokenizer["quantizer.codebook"].dtype == torch.float32, "rounding would change codes"


def test_parts_of_our_own_forms_are_built_without_a_warning(native, caplog):
    parts = opened(native)
    for name in ("keyframe_unet", "keyframe_vae", "video_unet"):
        parts.module(name)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_hash_tells_contents_apart_and_nothing_else(native, release, tmp_path):
    twin_parts().save(tmp_path / "same")
    assert opened(tmp_path / "same").hash == opened(native).hash
    parts = twin_parts()
    with torch.no_grad():
        next(parts.module("video_unet").parameters()).view(-1)[0] += 1e-3
    parts.save(tmp_path / "other")
    assert opened(tmp_path / "other").hash != opened(native).hash
    assert len(str(opened(native).hash)) == 16
    assert opened(release).hash is None, "a folder in the released layout says nothing about its contents"
    assert opened(native, modules={"keyframe_vae": small_modules()["keyframe_vae"]}).hash is None


def test_the_model_of_the_package_is_opened_without_a_name(native, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match=r"no model of that name; .* with `python recipes/tiny\.py"):
        VideoLaVIT.from_pretrained()
    for open_it in (VideoLaVIT.from_pretrained, model_folder):
        with pytest.raises(CheckpointError, match=r"train it with `python recipes/things\.py --ship`"):
            open_it("things")
    shutil.copytree(native, tmp_path / "tiny")
    assert VideoLaVIT.from_pretrained().settings == SETTINGS


def test_a_model_that_was_opened_is_copied_and_says_how_it_goes_to_another_process(native):
    model = VideoLaVIT.from_pretrained(native)
    with pytest.raises(TypeError, match="cannot be pickled; open it where it is needed, by from_pretrained"):
        pickle.dumps(model)
    copied = copy.deepcopy(model)
    assert copied.components.hash == model.components.hash
    assert copied.components.module("motion_encoder") is not model.components.module("motion_encoder")


def test_generation_leaves_the_random_numbers_of_the_caller_alone(shipped_model):
    quick = {"seed": 1, "keyframe_num_inference_steps": 1}
    model, before = VideoLaVIT.from_pretrained(shipped_model), torch.random.get_rng_state()
    model.image("a red circle", **quick)
    assert torch.equal(torch.random.get_rng_state(), before)
    video = model.video("a red circle moves up", num_inference_steps=0, **quick)
    model.answer("What colour is it?", video=video, temperature=1.0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_settings_that_make_no_sense_are_refused():
    for change in ({"max_clips": 0}, {"min_keyframe_ids": 0}, {"keyframe_num_inference_steps": 0}):
        with pytest.raises(ConfigError, match="expected at least 1"):
            replace(SETTINGS, **change)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parts": []}, "parts is"),
        ({"schedulers": "x"}, "schedulers is"),
        ({"settings": None}, "settings is None"),
        ({"parts": {"motion_tokenizer": "x"}}, "parts: motion_tokenizer is 'x'"),
        ({"parts": {"motion_tokenizer": {"same_as": ["x"]}}}, "expected the name of a part"),
    ],
)
def test_a_config_that_somebody_edited_is_told_with_its_field(tmp_path, changes, told):
    config = json.loads((Path(shipped_folder()) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(str(tmp_path))
