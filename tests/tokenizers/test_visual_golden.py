"""The visual tokenizer against the numbers of the reference implementation and the layout of the released files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.golden import assert_close, fill, golden, rand
from reference.visual_names import EVA_VIT, VISUAL_TOKENIZER, released_name
from torch import Tensor

from videolavit.tokenizers.selector import KEEP
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformerConfig
from videolavit.vocabulary import Vocabulary

LAYOUT = json.loads((Path(__file__).parents[1] / "reference" / "layout.json").read_text())


def build(sizes: dict[str, Any], prefix: str = "") -> VisualTokenizer:
    """A tokenizer of a golden file's sizes with the weights of the rule."""
    vit = VisionTransformerConfig(
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        width=sizes["width"],
        layers=sizes["eva_layers"],
        heads=sizes["eva_heads"],
        mlp_ratio=sizes["mlp_ratio"],
        unused_head_width=sizes["eva_head_out"],
    )
    config = VisualTokenizerConfig(
        vit=vit,
        merger_layers=sizes["merger_layers"],
        merger_heads=sizes["merger_heads"],
        merger_mlp_ratio=sizes["mlp_ratio"],
        num_codes=sizes["codebook_size"],
        code_dim=sizes["code_dim"],
        language_width=sizes["llm_width"],
    )
    tokenizer = VisualTokenizer(config)
    fill(tokenizer, lambda key: prefix + released_name(key, VISUAL_TOKENIZER))
    return tokenizer.eval()


def gumbel(seed: int, *shape: int) -> Tensor:
    return -(-torch.rand(shape, generator=torch.Generator().manual_seed(seed)).log()).log()


@pytest.fixture(scope="module", params=["visual_tokenizer_small", "visual_tokenizer_small_b"])
def case(request: pytest.FixtureRequest) -> tuple[VisualTokenizer, Tensor, dict[str, Tensor]]:
    sizes, expected = golden(request.param)
    seed, *shape = (int(number) for number in sizes["input"].removeprefix("rand(").removesuffix(")").split(","))
    return build(sizes), rand(seed, *shape), expected


@torch.no_grad()
def test_features_and_choice_are_those_of_the_reference(case: tuple) -> None:
    tokenizer, images, expected = case
    features = tokenizer.vit(images)
    assert_close(features, expected["eva_features"])
    assert_close(tokenizer.selector(features[:, 1:]), expected["keep_log_probs"])


PATCH_SELECTION = {"argmax": "likeliest", "gumbel": "gumbel"}
"""Ours, by the name in the golden files."""


@pytest.mark.parametrize("choice", ["argmax", "gumbel"])
@torch.no_grad()
def test_tokens_are_those_of_the_reference(case: tuple, choice: str) -> None:
    tokenizer, images, expected = case
    noise = expected["gumbel_noise"] if choice == "gumbel" else None
    tokens = tokenizer.encode(images, patch_selection=PATCH_SELECTION[choice], gumbel_noise=noise)
    assert torch.equal(tokens.keep, expected[f"{choice}.keep"].bool())
    assert tokens.counts == expected[f"{choice}.token_counts"].tolist()
    assert torch.equal(Vocabulary().visual_ids(torch.cat(tokens.codes)), expected[f"{choice}.token_ids"])
    merged = tokenizer.merger(tokenizer.vit(images)[:, 1:], tokens.keep)
    assert_close(merged, expected[f"{choice}.merged"])
    assert_close(torch.cat(tokens.features), expected[f"{choice}.merged"][tokens.keep])
    continuous = tokenizer.language_features(images, patch_selection=PATCH_SELECTION[choice], gumbel_noise=noise)
    assert [len(features) for features in continuous] == tokens.counts
    assert_close(torch.cat(continuous), expected[f"{choice}.llm_features"])


@torch.no_grad()
def test_images_of_which_nothing_is_kept_have_no_codes_or_their_likeliest_patch() -> None:
    sizes, _ = golden("visual_tokenizer_small")
    tokenizer, images = build(sizes), rand(10, 2, 3, 56, 56)
    tokens = tokenizer.encode(images)
    assert tokens.counts == [0, 0]
    assert [codes.dtype for codes in tokens.codes] == [torch.int64, torch.int64]
    assert [features.shape for features in tokens.features] == [(0, 88), (0, 88)]
    tokens = tokenizer.encode(images, at_least_one=True)
    log_probs = tokenizer.selector(tokenizer.vit(images)[:, 1:])
    assert tokens.counts == [1, 1]
    assert torch.equal(tokens.keep.float().argmax(-1), log_probs[..., KEEP].argmax(-1))
    assert [len(features) for features in tokenizer.language_features(images, at_least_one=True)] == [1, 1]


@torch.no_grad()
def test_continuous_features_of_a_question_are_those_of_the_reference() -> None:
    sizes, expected = golden("understanding_small")
    tokenizer = build(sizes["visual"], prefix="model.visual_tokenizer.")
    image = tokenizer.language_features(
        rand(64, 1, 3, 56, 56), patch_selection="gumbel", gumbel_noise=gumbel(63, 1, 16, 2)
    )
    assert_close(image[0], expected["image.embeds"][1:-1])
    frames = tokenizer.language_features(
        rand(60, 2, 3, 56, 56), patch_selection="gumbel", gumbel_noise=gumbel(62, 2, 16, 2)
    )
    first, second = map(len, frames)
    motion_ids_and_marks = len(expected["video.embeds"]) // 2 - (first + second) // 2 - 2
    start = 1 + first + 1 + motion_ids_and_marks + 1
    assert_close(frames[0], expected["video.embeds"][1 : 1 + first])
    assert_close(frames[1], expected["video.embeds"][start : start + second])


def test_a_released_sized_tokenizer_has_exactly_the_released_keys_and_shapes() -> None:
    with torch.device("meta"):
        tokenizer = VisualTokenizer(VisualTokenizerConfig())
    shapes = {key: list(value.shape) for key, value in tokenizer.state_dict().items()}
    assert {released_name(key, VISUAL_TOKENIZER): shape for key, shape in shapes.items()} == LAYOUT[
        "visual_tokenizer.encoder"
    ]
    vit = {released_name(key, EVA_VIT): shape for key, shape in shapes.items() if key.startswith("vit.")}
    assert vit == LAYOUT["visual_tokenizer.eva_vit_g"]
    fine_tuned = {"model.visual_tokenizer." + released_name(key, VISUAL_TOKENIZER) for key in shapes}
    assert fine_tuned == {key for key in LAYOUT["language_model_sft"] if key.startswith("model.visual_tokenizer.")}
