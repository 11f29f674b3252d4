"""The condition decoder against the reference, the released layout, and itself in other batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from reference.golden import assert_close, fill, golden, rand
from reference.visual_names import CONDITION_DECODER, released_name

from videolavit.config import from_dict, to_dict
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig, pad_code_vectors
from videolavit.errors import ConfigError, ShapeError

LAYOUT = json.loads((Path(__file__).parents[1] / "reference" / "layout.json").read_text())
SMALL = ConditionDecoderConfig(
    code_dim=4, num_positions=9, width=24, layers=2, heads=3, feature_width=16, prompt_widths=(6, 10), pooled_width=10,
    pool_heads=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder() -> ConditionDecoder:
    torch.manual_seed(0)
    module = ConditionDecoder(SMALL)
    fill(module)
    return module.eval()


@torch.no_grad()
def test_condition_is_that_of_the_reference() -> None:
    sizes, expected = golden("keyframe_condition_small")
    config = ConditionDecoderConfig(
        code_dim=sizes["in_chans"],
        num_positions=(sizes["image_size"] // sizes["patch_size"]) ** 2,
        width=sizes["embed_dim"],
        layers=sizes["depth"],
        heads=sizes["num_heads"],
        mlp_ratio=sizes["mlp_ratio"],
        feature_width=sizes["decoder_out_dim"],
    )
    decoder = ConditionDecoder(config)
    fill(decoder, lambda key: released_name(key, CONDITION_DECODER))
    code_vectors, mask = pad_code_vectors(list(rand(20, 21, 16).split(sizes["token_counts"])))
    condition = decoder(code_vectors, mask)
    assert_close(condition.prompt_embeds, expected["prompt_embeds"])
    assert_close(condition.pooled, expected["pooled"])


def test_a_released_sized_decoder_has_exactly_the_released_keys_and_shapes() -> None:
    with torch.device("meta"):
        decoder = ConditionDecoder(ConditionDecoderConfig())
    shapes = {released_name(key, CONDITION_DECODER): list(value.shape) for key, value in decoder.state_dict().items()}
    assert shapes == LAYOUT["visual_tokenizer.highres_decoder"]


@torch.no_grad()
def test_what_an_image_gives_does_not_depend_on_the_batch(decoder: ConditionDecoder) -> None:
    images = [rand(1, 3, 4), rand(2, 9, 4)]
    together = decoder(*pad_code_vectors(images))
    for i, image in enumerate(images):
        alone = decoder(image[None])
        assert_close(together.prompt_embeds[i : i + 1], alone.prompt_embeds, share=1e-5)
        assert_close(together.pooled[i : i + 1], alone.pooled, share=1e-5)


@torch.no_grad()
def test_order_of_codes_matters_and_filling_does_not(decoder: ConditionDecoder) -> None:
    code_vectors, mask = pad_code_vectors([rand(1, 3, 4), rand(2, 6, 4)])
    features = decoder.features(code_vectors, mask)
    changed = torch.where(mask[..., None], code_vectors, torch.tensor(7.0))
    assert torch.equal(decoder.features(changed, mask), features)
    assert not torch.allclose(decoder.features(code_vectors[1:].flip(1)), decoder.features(code_vectors[1:]))


def test_condition_follows_from_features_alone(decoder: ConditionDecoder) -> None:
    features = rand(3, 2, 9, 16)
    condition = decoder.condition(features)
    assert condition.prompt_embeds.shape == (2, 9, 16)
    assert condition.pooled.shape == (2, 10)
    assert repr(condition) == "Condition(prompt_embeds=(2, 9, 16), pooled=(2, 10))"
    assert torch.equal(decoder.condition(features[1:]).prompt_embeds, condition.prompt_embeds[1:])


def test_gradients_reach_codes_and_every_parameter(decoder: ConditionDecoder) -> None:
    code_vectors = rand(4, 2, 5, 4).requires_grad_()
    condition = decoder(code_vectors, torch.tensor([[True] * 5, [True] * 2 + [False] * 3]))
    (condition.prompt_embeds.square().sum() + condition.pooled.square().sum()).backward()
    assert code_vectors.grad is not None
    assert code_vectors.grad[0].abs().min() > 0
    assert not code_vectors.grad[1, 2:].any(), "filling should not matter"
    assert all(parameter.grad is not None for parameter in decoder.parameters())
    decoder.zero_grad(set_to_none=True)


@torch.no_grad()
def test_a_decoder_in_half_precision_takes_rows_of_a_codebook_in_float32() -> None:
    module = ConditionDecoder(SMALL)
    fill(module)
    expected = module(rand(5, 2, 6, 4))
    condition = module.bfloat16()(rand(5, 2, 6, 4))
    assert condition.pooled.dtype == torch.bfloat16
    assert_close(condition.prompt_embeds, expected.prompt_embeds, share=0.05)


@pytest.mark.parametrize(
    ("shape", "mask", "message"),
    [
        ((1, 3, 5), None, r"\(1, 3, 5\), expected \(batch, 1 to 9, 4\)"),
        ((1, 10, 4), None, "1 to 9"),
        ((1, 0, 4), None, "1 to 9"),
        ((2, 3, 4), [[True] * 3, [False] * 3], r"images \[1\] of the batch have no code"),
    ],
)
def test_wrong_input_is_a_clear_error(
    decoder: ConditionDecoder, shape: tuple[int, ...], mask: list[list[bool]] | None, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        decoder(torch.zeros(shape), None if mask is None else torch.tensor(mask))


def test_no_image_is_a_clear_error() -> None:
    with pytest.raises(ShapeError, match="no image"):
        pad_code_vectors([])


def test_configuration_survives_json_and_refuses_what_cannot_be_built() -> None:
    assert from_dict(ConditionDecoderConfig, json.loads(json.dumps(to_dict(SMALL)))) == SMALL
    with pytest.raises(ConfigError, match="multiple of heads"):
        ConditionDecoderConfig(width=100, heads=16)
    with pytest.raises(ConfigError, match="positive"):
        ConditionDecoderConfig(code_dim=0)
