"""The visual tokenizer as its users meet it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from reference.golden import assert_close, fill, rand

from videolavit.config import from_dict, to_dict
from videolavit.errors import ConfigError, ShapeError, VocabularyError
from videolavit.nn.random import sample_generators
from videolavit.tokenizers.selector import straight_through_keep
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformer, VisionTransformerConfig

SMALL = VisualTokenizerConfig(
    vit=VisionTransformerConfig(image_size=28, patch_size=7, width=16, layers=2, heads=2, unused_head_width=None),
    merger_layers=2,
    merger_heads=4,
    num_codes=32,
    code_dim=8,
    language_width=12,
)


@pytest.fixture(scope="module")
def tokenizer() -> VisualTokenizer:
    module = VisualTokenizer(SMALL)
    fill(module)
    return module.eval()


def test_images_of_a_batch_are_tokenized_as_they_are_alone(tokenizer: VisualTokenizer) -> None:
    images = rand(0, 3, 3, 28, 28)
    together = tokenizer(images, patch_selection="gumbel", generators=sample_generators(4, 3))
    assert len(set(together.counts)) > 1, "a test of equal counts would miss mistakes in splitting"
    for i in range(3):
        generators = sample_generators(4, 1, first=i)
        alone = tokenizer.encode(images[i : i + 1], patch_selection="gumbel", generators=generators)
        assert torch.equal(together.keep[i], alone.keep[0])
        assert torch.equal(together.codes[i], alone.codes[0])
        assert_close(together.features[i], alone.features[0], share=1e-5)


def test_tokens_say_what_they_are(tokenizer: VisualTokenizer) -> None:
    tokens = tokenizer.encode(rand(0, 2, 3, 28, 28), patch_selection="gumbel", generators=sample_generators(0, 2))
    assert tokens.counts == tokens.keep.sum(1).tolist()
    assert repr(tokens) == f"VisualTokens(batch=2, patches=16, counts={tokens.counts})"


def test_language_features_are_the_projected_features_of_the_same_choice(tokenizer: VisualTokenizer) -> None:
    images = rand(0, 2, 3, 28, 28)
    tokens = tokenizer.encode(images, patch_selection="gumbel", generators=sample_generators(1, 2))
    embeddings = tokenizer.language_features(images, patch_selection="gumbel", generators=sample_generators(1, 2))
    for features, embedding in zip(tokens.features, embeddings, strict=True):
        assert_close(embedding, tokenizer.language_proj(features), share=1e-5)
        assert embedding.requires_grad, "the projection is trained with the language model"
        assert not features.requires_grad


def test_code_vectors_are_rows_of_the_codebook(tokenizer: VisualTokenizer) -> None:
    codes = torch.tensor([[3, 0], [31, 3]])
    assert torch.equal(tokenizer.code_vectors(codes), tokenizer.quantizer.codebook[codes])
    with pytest.raises(VocabularyError, match="32"):
        tokenizer.code_vectors(torch.tensor([32]))


def test_from_8_bit_image_to_codes(tokenizer: VisualTokenizer) -> None:
    keyframes = np.random.default_rng(0).integers(0, 256, (2, 45, 80, 3), dtype=np.uint8)
    tokens = tokenizer.encode(tokenizer.preprocess(keyframes))
    assert tokens.keep.shape == (2, 16)
    assert all(int(codes.max()) < 32 for codes in tokens.codes if len(codes))


def test_gradients_of_a_training_step_reach_selector_merger_and_code_head(tokenizer: VisualTokenizer) -> None:
    with torch.no_grad():
        features = tokenizer.vit(rand(0, 2, 3, 28, 28))[:, 1:]
    keep = straight_through_keep(tokenizer.selector(features), rand(1, 2, 16, 2))
    merged = tokenizer.merger(features, keep)
    loss = tokenizer.code_features(merged[keep.bool()]).square().mean() + 2 * (1 / 3 - keep.mean()) ** 2
    loss.backward()
    for part in (tokenizer.selector, tokenizer.merger, tokenizer.code_head):
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in part.parameters())
    assert all(parameter.grad is None for parameter in tokenizer.vit.parameters())
    tokenizer.zero_grad(set_to_none=True)


def test_codes_stay_the_same_kind_in_half_precision() -> None:
    module = VisualTokenizer(SMALL)
    fill(module)
    tokens = module.bfloat16().encode(rand(0, 2, 3, 28, 28).bfloat16())
    assert [codes.dtype for codes in tokens.codes] == [torch.int64] * 2
    assert [features.dtype for features in tokens.features] == [torch.bfloat16] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 3, 28, 27),
        torch.zeros(1, 3, 56, 56),
        torch.zeros(1, 1, 28, 28),
        torch.zeros(1, 28, 28, 3),
        torch.zeros(1, 3, 28, 28, dtype=torch.uint8),
    ],
    ids=lambda wrong: f"{wrong.dtype}{tuple(wrong.shape)}",
)
def test_images_that_were_not_prepared_are_a_clear_error(tokenizer: VisualTokenizer, wrong: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match=r"expected normalised ones of shape \(batch, 3, 28, 28\)"):
        tokenizer.encode(wrong)
    with pytest.raises(ShapeError, match="preprocess makes them"):
        tokenizer.language_features(wrong)


def test_the_unused_head_is_there_only_if_asked_for() -> None:
    without = {key.split(".")[0] for key in VisionTransformer(SMALL.vit).state_dict()}
    assert without == {"patch_embed", "cls_token", "pos_embed", "blocks"}
    released = VisionTransformerConfig(image_size=28, patch_size=14, width=16, layers=1, heads=2)
    assert set(VisionTransformer(released).state_dict()) >= {"norm.weight", "head.weight"}


def test_configuration_survives_json_and_refuses_what_cannot_be_built() -> None:
    assert from_dict(VisualTokenizerConfig, json.loads(json.dumps(to_dict(SMALL)))) == SMALL
    released = VisualTokenizerConfig()
    assert (released.vit.num_patches, released.vit.hidden_width) == (256, 6144)
    with pytest.raises(ConfigError, match="patch_size"):
        VisionTransformerConfig(image_size=225)
    with pytest.raises(ConfigError, match="merger_heads"):
        VisualTokenizerConfig(merger_heads=15)
    with pytest.raises(ConfigError, match="positive"):
        VisualTokenizerConfig(num_codes=0)
