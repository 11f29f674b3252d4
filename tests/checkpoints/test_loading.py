"""Loading is strict, lazy and flat: errors say which key of which file, and only what a task needs is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from checkpoints.small_release import motion_tokenizer, save, write_small_release
from reference.golden import fill
from transformers import LlamaConfig, LlamaForCausalLM

from videolavit.checkpoints import convert, live_component, load_component, open_checkpoint
from videolavit.checkpoints.components import ModelComponents
from videolavit.errors import CheckpointError, ConfigError
from videolavit.pipeline import VideoLaVIT


@pytest.fixture
def folder(small_release: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_release, tmp_path / "release")


def edit(path: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors of a `.bin` file, with None for one that is taken away; `__` in a name stands for a dot."""
    tensors = torch.load(path, weights_only=True)
    for name, value in changes.items():
        key = name.replace("__", ".")
        tensors.pop(key, None)
        if value is not None:
            tensors[key] = value
    torch.save(tensors, path)


FILES = {
    "motion_tokenizer": ("motion_tokenizer.bin", "decoder.blocks.3.mlp.fc1.bias", (256,)),
    "visual_tokenizer": ("visual_tokenizer/tokenizer_encoder.bin", "causal_encoder.blocks.1.norm0.weight", (88,)),
    "condition_decoder": ("visual_tokenizer/highres_tokenizer_decoder.bin", "blocks.1.self_attn.proj.bias", (64,)),
    "video_unet": ("video_3d_unet.bin", "unet.conv_in.bias", (32,)),
    "motion_encoder": ("video_3d_unet.bin", "motion_encoder.norm.bias", (32,)),
    "keyframe_unet": ("image_detokenizer/unet/diffusion_pytorch_model.bin", "conv_in.bias", (32,)),
    "language_model": ("language_model/pytorch_model.bin", "model.norm.weight", (32,)),
    "answering_visual_tokenizer": (
        "language_model_sft/pytorch_model.bin",
        "model.visual_tokenizer.token_predictor.in_conv.0.bias",
        (88,),
    ),
}


@pytest.mark.parametrize("part", FILES)
def test_a_missing_an_extra_and_a_misshapen_key_are_named_with_file_key_and_shapes(folder, part):
    file, key, shape = FILES[part]
    path, name = folder / file, key.replace(".", "__")
    prefix = key[: key.index(".") + 1] if part in ("video_unet", "motion_encoder") else ""
    if part == "answering_visual_tokenizer":
        prefix = "model.visual_tokenizer."

    def message() -> str:
        with pytest.raises(CheckpointError) as caught:
            ModelComponents(open_checkpoint(folder)).module(part)
        return str(caught.value)

    edit(path, **{name: torch.zeros(7)})
    assert f"{path}: key {key!r} has shape (7,), expected {shape}" in message()
    edit(path, **{name: None})
    assert f"{path}: key {key!r} is missing, expected shape {shape}" in message()
    edit(path, **{name: torch.zeros(shape), f"{prefix}surplus__weight": torch.zeros(2, 3)})
    assert f"{path}: key '{prefix}surplus.weight' is unexpected, it has shape (2, 3)" in message()


def test_a_missing_key_of_the_vision_transformer_is_named_as_its_own_file_has_it(folder):
    path = folder / "visual_tokenizer/eva_vitg_psz14.bin"
    edit(path, blocks__1__attn__q_bias=None)
    with pytest.raises(CheckpointError) as caught:
        VideoLaVIT.from_pretrained(folder).visual_tokenizer  # noqa: B018
    assert f"{path}: key 'blocks.1.attn.q_bias' is missing, expected shape (88,)" in str(caught.value)


def test_a_key_of_no_part_is_not_skipped(folder):
    edit(folder / "video_3d_unet.bin", ema__decay=torch.zeros(1))
    with pytest.raises(CheckpointError, match=r"'ema\.decay' is unexpected"):
        ModelComponents(open_checkpoint(folder)).module("video_unet")


def test_many_differences_are_counted_and_the_first_are_shown(folder):
    tensors = torch.load(folder / "motion_tokenizer.bin", weights_only=True)
    kept = {key: value for key, value in tensors.items() if not key.startswith("decoder.blocks")}
    torch.save(kept, folder / "motion_tokenizer.bin")
    with pytest.raises(CheckpointError, match="240 keys differ") as caught:
        ModelComponents(open_checkpoint(folder)).module("motion_tokenizer")
    assert len(str(caught.value).splitlines()) == 8


def test_a_checkpoint_of_another_size_than_stated_is_refused(folder):
    config = folder / "language_model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 64}))
    with pytest.raises(CheckpointError, match=r"has shape \(49412, 32\), expected \(49412, 64\)"):
        VideoLaVIT.from_pretrained(folder).language_model  # noqa: B018
    (folder / "videolavit.json").write_text(json.dumps({"motion_tokenizer": {"heads": 4, "num_codes": 32}}))
    with pytest.raises(CheckpointError, match=r"has shape \(64, 16\), expected \(32, 16\)"):
        VideoLaVIT.from_pretrained(folder).motion_tokenizer  # noqa: B018


def test_a_vocabulary_of_another_size_than_the_language_model_is_refused(folder):
    stated = json.loads((folder / "videolavit.json").read_text()) | {"vocabulary": {"num_text": 100}}
    (folder / "videolavit.json").write_text(json.dumps(stated))
    with pytest.raises(ConfigError, match="49412 input"):
        VideoLaVIT.from_pretrained(folder).language_model  # noqa: B018


def test_sizes_that_shapes_do_not_tell_have_to_be_stated(folder):
    (folder / "videolavit.json").unlink()
    model = VideoLaVIT.from_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"'heads'.*videolavit\.json.*ConditionDecoderConfig"):
        model.keyframe_detokenizer  # noqa: B018
    (folder / "videolavit.json").write_text(json.dumps({"condition_decoder": {"head": 8}}))
    with pytest.raises(ConfigError, match="'head'"):
        VideoLaVIT.from_pretrained(folder).keyframe_detokenizer  # noqa: B018
    (folder / "videolavit.json").write_text(json.dumps({"condition": {"heads": 8}}))
    with pytest.raises(ConfigError, match=r"videolavit\.json: unknown key 'condition'"):
        VideoLaVIT.from_pretrained(folder)


def test_a_plain_unet_folder_is_taken_and_the_motion_encoder_asked_for_elsewhere(folder):
    both = torch.load(folder / "video_3d_unet.bin", weights_only=True)
    unet = {key.removeprefix("unet."): value for key, value in both.items() if key.startswith("unet.")}
    encoder = {key: value for key, value in both.items() if key.startswith("motion_encoder.")}
    (folder / "video_3d_unet.bin").unlink()
    save(unet, folder / "video_detokenizer/unet/diffusion_pytorch_model.safetensors")
    parts = ModelComponents(open_checkpoint(folder))
    assert all(torch.equal(value, unet[key]) for key, value in parts.module("video_unet").state_dict().items())
    with pytest.raises(CheckpointError, match=r"holds no key motion_encoder\.\*.*video_3d_unet\.bin"):
        parts.module("motion_encoder")
    save(encoder, folder / "video_3d_unet.bin")
    parts = ModelComponents(open_checkpoint(folder))
    assert parts.module("motion_encoder").config.out_width == 64
    assert len(parts.module("video_unet").state_dict()) == len(unet)


def test_a_missing_file_is_named_with_the_part_that_needs_it(folder):
    (folder / "motion_tokenizer.bin").unlink()
    with pytest.raises(CheckpointError, match=r"motion_tokenizer\{\.safetensors,.*motion_tokenizer; download"):
        VideoLaVIT.from_pretrained(folder).motion_tokenizer  # noqa: B018
    (folder / "visual_tokenizer/eva_vitg_psz14.bin").unlink()
    with pytest.raises(CheckpointError, match=r"eva_vitg_psz14\.bin: no such file"):
        VideoLaVIT.from_pretrained(folder).visual_tokenizer  # noqa: B018
    (folder / "image_detokenizer/unet/config.json").unlink()
    with pytest.raises(CheckpointError, match=r"unet/config\.json: no such file"):
        VideoLaVIT.from_pretrained(folder).keyframe_detokenizer  # noqa: B018


@pytest.mark.parametrize("layout", ["released", "native"])
def test_a_task_reads_only_the_files_of_its_parts(folder, tmp_path, layout):
    if layout == "native":
        convert(folder, tmp_path / "native")
        folder = tmp_path / "native"
    needed = ("answering", "language_model_sft") if layout == "native" else ("language_model_sft",)
    for path in folder.rglob("*"):
        if path.suffix in (".bin", ".safetensors") and not any(name in str(path) for name in needed):
            path.write_bytes(b"poison")
    model = VideoLaVIT.from_pretrained(folder)
    parts = model.answering
    assert parts.language_model.width == parts.visual_tokenizer.config.language_width
    assert parts.motion_tokenizer.config.num_tokens == 135
    assert all(name.startswith("answering_") for name in model.components.loaded)
    with pytest.raises(CheckpointError, match="is not"):
        model.video_detokenizer  # noqa: B018


def test_the_codebook_is_read_without_the_rest_of_the_tokenizer(folder):
    model = VideoLaVIT.from_pretrained(folder)
    codes = torch.tensor([3, 0])
    vectors = model.components.quantizer("visual_tokenizer").vectors(codes)
    assert model.components.loaded == []
    assert torch.equal(vectors, model.visual_tokenizer.code_vectors(codes))


def test_parts_stored_in_several_types_compute_in_the_widest(folder):
    path = folder / "visual_tokenizer/eva_vitg_psz14.bin"
    torch.save({key: value.half() for key, value in torch.load(path, weights_only=True).items()}, path)
    tokenizer = VideoLaVIT.from_pretrained(folder).visual_tokenizer
    assert {value.dtype for value in tokenizer.state_dict().values()} == {torch.float32}


def test_a_module_in_memory_is_written_and_loaded_again(tmp_path):
    tokenizer = fill(motion_tokenizer())
    model = VideoLaVIT(ModelComponents(modules={"motion_tokenizer": tokenizer}))
    model.save_pretrained(tmp_path / "saved")
    again = VideoLaVIT.from_pretrained(tmp_path / "saved")
    assert again.motion_tokenizer.config == tokenizer.config
    for key, value in again.motion_tokenizer.state_dict().items():
        assert torch.equal(value, tokenizer.state_dict()[key])
    with pytest.raises(CheckpointError, match="has no language_model; it holds motion_tokenizer"):
        again.language_model  # noqa: B018
    with pytest.raises(CheckpointError, match="in memory has no language_model"):
        model.language_model  # noqa: B018


def test_tied_weights_stay_tied():
    sizes = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1}
    tied = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=1, tie_word_embeddings=True))
    part = live_component("language_model", tied)
    assert "lm_head.weight" not in part.tensors
    loaded = load_component(part)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert torch.equal(loaded(torch.tensor([[1, 2]])).logits, tied(torch.tensor([[1, 2]])).logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2, expected 1"),
        ({"extra": 1}, "has the keys"),
        ({"parts": {"motion": {}}}, "unknown part motion"),
        ({"parts": {"motion_tokenizer": {"dim": 3}}}, "unknown key 'dim'"),
    ],
)
def test_a_native_configuration_is_read_strictly(tmp_path, change, message):
    VideoLaVIT(ModelComponents(modules={"motion_tokenizer": motion_tokenizer()})).save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises((CheckpointError, ConfigError), match=message):
        VideoLaVIT.from_pretrained(tmp_path / "saved").motion_tokenizer  # noqa: B018


def test_a_library_configuration_that_cannot_be_built_is_refused(folder):
    for file, change in (
        ("language_model/config.json", {"model_type": "not-a-model"}),
        ("image_detokenizer/unet/config.json", {"_class_name": "Flux"}),
        ("image_detokenizer/scheduler/scheduler_config.json", {"_class_name": "os"}),
    ):
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    parts = ModelComponents(open_checkpoint(folder))
    with pytest.raises(ConfigError, match="language_model: cannot be built"):
        parts.module("language_model")
    with pytest.raises(ConfigError, match="got the class 'Flux', expected UNet2DConditionModel"):
        parts.module("keyframe_unet")
    with pytest.raises(CheckpointError, match="scheduler class 'os'"):
        parts.scheduler("keyframe_scheduler")


def test_every_form_loads_through_the_public_door(tmp_path):
    model = VideoLaVIT.from_pretrained(write_small_release(tmp_path, suffix=".safetensors", shards=2))
    assert model.language_model.vocabulary == model.vocabulary
    assert "loaded=['language_model']" in repr(model)
