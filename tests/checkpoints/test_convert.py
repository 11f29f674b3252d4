"""There and back again, bit for bit; and every released form of a file is understood."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from checkpoints.small_release import write_small_release

from videolavit.checkpoints import COMPONENTS, convert, load_component, open_checkpoint
from videolavit.checkpoints.files import open_tensors
from videolavit.errors import CheckpointError, ConfigError
from videolavit.vocabulary import Vocabulary

SMALL = Vocabulary(num_text=355, num_visual_codes=64, num_motion_codes=64)


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder, by file name without ending and by key."""
    files = (path for path in folder.rglob("*") if path.suffix in (".bin", ".safetensors"))
    return {
        f"{path.relative_to(folder).with_suffix('')}:{key}": tensor.load()
        for path in files
        for key, tensor in open_tensors(path).items()
    }


def assert_same(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(actual) == set(expected)
    for key, value in expected.items():
        assert actual[key].dtype == value.dtype, key
        assert torch.equal(actual[key], value), key


def parts_of(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(folder)
    names = [name for name in checkpoint.held() if name in COMPONENTS]
    return {f"{name}:{key}": value.load() for name in names for key, value in checkpoint.part(name).tensors.items()}


def test_released_to_native_and_back_is_bit_for_bit_the_same(small_release, tmp_path):
    convert(small_release, tmp_path / "native")
    convert(tmp_path / "native", tmp_path / "released", layout="released")
    before = tensors_of(small_release).items()
    expected = {key.replace("/pytorch_model:", "/model:"): value for key, value in before}
    assert "visual_tokenizer/eva_vitg_psz14:head.weight" in expected
    assert_same(tensors_of(tmp_path / "released"), expected)
    convert(tmp_path / "released", tmp_path / "native_again")
    assert_same(tensors_of(tmp_path / "native_again"), tensors_of(tmp_path / "native"))
    configs = [(tmp_path / name / "config.json").read_text() for name in ("native", "native_again")]
    assert configs[0] == configs[1]


@pytest.mark.parametrize(
    "form",
    [
        {"suffix": ".safetensors"},
        {"vit_inside": True},
        {"shards": 3},
        {"shards": 2, "suffix": ".safetensors"},
        {"video_stem": "video_detokenizer/unet/diffusion_pytorch_model"},
    ],
)
def test_every_form_of_the_release_holds_the_same_parts(small_release, tmp_path, form):
    assert_same(parts_of(write_small_release(tmp_path, **form)), parts_of(small_release))


def test_another_vocabulary_survives_the_released_layout(tmp_path):
    write_small_release(tmp_path / "small", vocabulary=SMALL)
    convert(tmp_path / "small", tmp_path / "native")
    convert(tmp_path / "native", tmp_path / "released", layout="released")
    assert open_checkpoint(tmp_path / "released").vocabulary == SMALL


def test_text_tokenizers_and_schedulers_go_along(small_release, tmp_path):
    convert(small_release, tmp_path / "native")
    convert(tmp_path / "native", tmp_path / "released", layout="released")
    for folder in ("native", "released"):
        checkpoint = open_checkpoint(tmp_path / folder)
        assert checkpoint.part("language_model").text_tokenizer is not None
        assert checkpoint.scheduler("keyframe_scheduler")["_class_name"] == "DDIMScheduler"
        assert checkpoint.scheduler("video_scheduler") == open_checkpoint(small_release).scheduler("video_scheduler")


def test_a_type_asked_for_is_given_to_all_but_what_must_stay_exact(small_release, tmp_path):
    convert(small_release, tmp_path / "half", dtype=torch.bfloat16)
    tensors = tensors_of(tmp_path / "half")
    tokenizers = ("motion_tokenizer", "visual_tokenizer")
    exact = ("keyframe_vae:", *(f"{name}:{head}." for name in tokenizers for head in ("code_head", "quantizer")))
    for key, value in tensors.items():
        stays = key.removeprefix("answering_").startswith(exact)
        assert value.dtype == (torch.float32 if stays else torch.bfloat16), key
    loaded = load_component(open_checkpoint(small_release).part("motion_tokenizer"), dtype=torch.bfloat16)
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, tensors[f"motion_tokenizer:{key}"])


def test_nothing_is_overwritten_and_failure_leaves_nothing_behind(small_release, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(CheckpointError, match="exists already"):
        convert(small_release, tmp_path / "taken")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no part"):
        convert(tmp_path / "empty", tmp_path / "new")
    broken = shutil.copytree(small_release, tmp_path / "broken")
    (broken / "motion_tokenizer.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"motion_tokenizer\.bin"):
        convert(broken, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty", "taken"]


def test_an_unknown_layout_is_refused(small_release, tmp_path):
    with pytest.raises(ConfigError, match="layout"):
        convert(small_release, tmp_path / "new", layout="onnx")
