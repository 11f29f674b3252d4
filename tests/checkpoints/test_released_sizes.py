"""At the released size every file of the release fits a module of ours: no key is missing, none is left over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from videolavit.checkpoints.files import StoredTensor
from videolavit.checkpoints.loading import check_tensors
from videolavit.checkpoints.registry import build_component
from videolavit.checkpoints.released import LOCATIONS, ReleasedCheckpoint
from videolavit.checkpoints.source import Source
from videolavit.detokenizers.condition import ConditionDecoderConfig
from videolavit.detokenizers.motion_condition import MotionConditionEncoderConfig
from videolavit.tokenizers.motion_tokenizer import MotionTokenizerConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizerConfig

LAYOUT = json.loads((Path(__file__).parents[1] / "reference" / "layout.json").read_text())
LLAMA = {
    "model_type": "llama",
    "vocab_size": 49412,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 4096,
}


def with_prefix(prefix: str, entry: str) -> dict[str, list[int]]:
    return {prefix + key: shape for key, shape in LAYOUT[entry].items()}


def without_encoder(entry: str) -> dict[str, list[int]]:
    return {key: shape for key, shape in LAYOUT[entry].items() if not key.startswith("encoder.")}


FILES = {
    "motion_tokenizer.bin": LAYOUT["motion_tokenizer"],
    "visual_tokenizer/eva_vitg_psz14.bin": LAYOUT["visual_tokenizer.eva_vit_g"],
    "visual_tokenizer/tokenizer_encoder.bin": without_encoder("visual_tokenizer.encoder"),
    "visual_tokenizer/highres_tokenizer_decoder.bin": LAYOUT["visual_tokenizer.highres_decoder"],
    "video_3d_unet.bin": with_prefix("unet.", "video_detokenizer.unet(default config)")
    | with_prefix("motion_encoder.", "video_detokenizer.motion_encoder"),
    "language_model_sft/model.safetensors": LAYOUT["language_model_sft"],
}


class CheckpointOfShapes(ReleasedCheckpoint):
    """A released checkpoint whose files are empty and whose tensors have shapes only."""

    def __init__(self, folder: Path, files: dict[str, dict[str, list[int]]]) -> None:
        self.files = {folder / name: shapes for name, shapes in files.items()}
        for path in self.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (folder / "language_model_sft").mkdir(exist_ok=True)
        (folder / "language_model_sft" / "config.json").write_text(json.dumps(LLAMA))
        super().__init__(Source(folder))

    def _open(self, path: Path) -> dict[str, StoredTensor]:
        return {
            key: StoredTensor(key=key, where=str(path), shape=tuple(shape), dtype=torch.float32, load=torch.Tensor)
            for key, shape in self.files[path].items()
        }


@pytest.fixture
def checkpoint(tmp_path) -> CheckpointOfShapes:
    return CheckpointOfShapes(tmp_path, FILES)


PARTS_OF_ENTRIES = {
    "motion_tokenizer": ("motion_tokenizer", ""),
    "visual_tokenizer.encoder": ("visual_tokenizer", ""),
    "visual_tokenizer.highres_decoder": ("condition_decoder", ""),
    "video_detokenizer.motion_encoder": ("motion_encoder", "motion_encoder."),
    "video_detokenizer.unet(default config)": ("video_unet", "unet."),
}
RELEASED_CONFIGS = {
    "motion_tokenizer": MotionTokenizerConfig(),
    "visual_tokenizer": VisualTokenizerConfig(),
    "condition_decoder": ConditionDecoderConfig(),
    "motion_encoder": MotionConditionEncoderConfig(),
    "answering_visual_tokenizer": VisualTokenizerConfig(),
    "answering_motion_tokenizer": MotionTokenizerConfig(),
}


def shapes_of(module: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize("entry", PARTS_OF_ENTRIES)
def test_a_module_of_the_released_size_has_exactly_the_keys_and_shapes_of_the_release(checkpoint, entry):
    name, prefix = PARTS_OF_ENTRIES[entry]
    part = checkpoint.part(name)
    module = build_component(name, part.config)
    check_tensors(module, part.tensors, name=name, origin=part.origin)
    renamed = {LOCATIONS[name].names.released(key): shape for key, shape in shapes_of(module).items()}
    assert renamed == LAYOUT[entry]
    assert {prefix + key for key in renamed} >= {tensor.key for tensor in part.tensors.values() if prefix}


def test_the_vision_transformer_fits_its_own_file(checkpoint):
    part = checkpoint.part("visual_tokenizer")
    own = {tensor.key: list(tensor.shape) for tensor in part.tensors.values() if "eva_vitg_psz14" in tensor.where}
    assert own == LAYOUT["visual_tokenizer.eva_vit_g"]


def test_the_three_parts_of_the_fine_tuned_model_use_every_key_of_its_file(checkpoint):
    used: dict[str, list[int]] = {}
    for name in ("answering_language_model", "answering_visual_tokenizer", "answering_motion_tokenizer"):
        part = checkpoint.part(name)
        module = build_component(name, part.config)
        check_tensors(module, part.tensors, name=name, origin=part.origin)
        place = LOCATIONS[name]
        used |= {place.prefix + place.names.released(key): shape for key, shape in shapes_of(module).items()}
    assert used == LAYOUT["language_model_sft"]


@pytest.mark.parametrize("name", RELEASED_CONFIGS)
def test_sizes_read_off_the_shapes_are_the_released_ones(checkpoint, name):
    assert checkpoint.part(name).config == RELEASED_CONFIGS[name]


def test_a_tokenizer_file_that_contains_the_vision_transformer_needs_no_other(tmp_path):
    file = "visual_tokenizer/tokenizer_encoder.bin"
    checkpoint = CheckpointOfShapes(tmp_path, {file: LAYOUT["visual_tokenizer.encoder"]})
    part = checkpoint.part("visual_tokenizer")
    check_tensors(build_component("visual_tokenizer", part.config), part.tensors, name="", origin=part.origin)
    assert {tensor.key for tensor in part.tensors.values()} == set(LAYOUT["visual_tokenizer.encoder"])


@pytest.mark.parametrize("entry", PARTS_OF_ENTRIES)
def test_renaming_is_one_to_one(entry):
    names = LOCATIONS[PARTS_OF_ENTRIES[entry][0]].names
    assert all(names.released(names.native(key)) == key for key in LAYOUT[entry])
    assert len({names.native(key) for key in LAYOUT[entry]}) == len(LAYOUT[entry])


def test_parameters_number_as_many_as_documented(checkpoint):
    millions = {
        name: sum(torch.Size(tensor.shape).numel() for tensor in checkpoint.part(name).tensors.values()) / 1e6
        for name in ("motion_tokenizer", "motion_encoder")
    }
    assert millions["motion_tokenizer"] == pytest.approx(158.5, abs=0.05)
    assert millions["motion_encoder"] == pytest.approx(51.1, abs=0.05)
