"""Further layers of motion codes: the first is as it was, each comes nearer, and any number of the last may be left."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from training.small_motion import MOTION

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import ConfigError, ShapeError, VocabularyError
from videolavit.tokenizers.codebook import CodebookConfig, ResidualLearner
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.tokenizers.quantizer import ResidualQuantizer
from videolavit.training.stages.motion_tokenizer import with_layers


def motion(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 2, 24, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def plain() -> MotionTokenizer:
    torch.manual_seed(0)
    return MotionTokenizer(MOTION).eval()


@pytest.fixture(scope="module")
def layered(plain: MotionTokenizer) -> MotionTokenizer:
    tokenizer = with_layers(plain, 3)
    assert tokenizer.residual_quantizer is not None
    learner = ResidualLearner(tokenizer.residual_quantizer, CodebookConfig(decay=0.9))
    residuals = plain.quantizer.residuals(plain.features(motion(8)))
    for _ in range(20):
        learner.update(residuals)
    return tokenizer


def test_a_tokenizer_without_further_layers_is_what_it_was(plain):
    assert MotionTokenizerConfig().layers == 1
    assert not [name for name in plain.state_dict() if "residual" in name]
    assert torch.equal(plain.encode_layers(motion())[:, 0], plain.encode(motion()))
    codes = plain.encode(motion())
    assert torch.equal(plain.decode(codes), plain.decode(codes[:, None]))


def test_the_first_layer_keeps_its_ids_and_what_they_decode_to(plain, layered):
    codes = layered.encode_layers(motion())
    assert codes.shape == (2, 3, MOTION.num_tokens)
    assert torch.equal(codes[:, 0], plain.encode(motion()))
    assert torch.equal(layered.encode(motion()), codes[:, 0])
    assert torch.equal(layered.decode(codes[:, :1]), plain.decode(codes[:, 0]))
    assert torch.equal(layered.encode_layers(motion(), 2), codes[:, :2]), (
        "the last layers are left out by dropping them"
    )


@torch.no_grad()
def test_each_layer_comes_nearer_to_the_features(layered):
    features = F.normalize(layered.features(motion(8)), dim=-1)
    codes = layered.encode_layers(motion(8))
    errors = [float((layered._vectors(codes[:, :count]) - features).square().sum(-1).mean()) for count in (1, 2, 3)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.8 * errors[1]


def test_codes_are_the_same_in_company_and_alone(layered):
    together = layered.encode_layers(motion(3))
    for number in range(3):
        assert torch.equal(layered.encode_layers(motion(3)[number : number + 1])[0], together[number])
    condition = layered.condition(together, 5, 7)
    assert condition.shape == (3, 2, 24, 5, 7)
    torch.testing.assert_close(condition[1:2], layered.condition(together[1:2], 5, 7))


def test_what_does_not_fit_is_refused(plain, layered):
    codes = layered.encode_layers(motion())
    with pytest.raises(ConfigError, match="layers=4, expected 1 to 3"):
        layered.encode_layers(motion(), 4)
    with pytest.raises(ShapeError, match="2 layers of motion codes, expected 1 to 1"):
        plain.decode(codes[:, :2])
    with pytest.raises(ShapeError, match="expected"):
        layered.decode(codes[:, :, :-1])
    with pytest.raises(VocabularyError, match="outside 0 to 15"):
        layered.decode(codes + torch.tensor([0, 16, 0])[:, None])
    with pytest.raises(ConfigError, match="layers=0"):
        MotionTokenizerConfig(layers=0)
    with pytest.raises(ConfigError, match="has 3; give at least as many"):
        with_layers(layered, 2)


def test_layers_are_added_to_layers(layered):
    more = with_layers(layered, 4)
    codes = more.encode_layers(motion())
    assert torch.equal(codes[:, :3], layered.encode_layers(motion()))
    assert torch.equal(more.decode(codes), more.decode(codes[:, :3])), "a layer adds nothing before it is learnt"


def test_rows_are_means_of_what_is_left_and_dead_ones_come_back():
    quantizer = ResidualQuantizer(2, 4, 3)
    learner = ResidualLearner(quantizer, CodebookConfig(decay=0.0, revive_every=2))
    points = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    learner.update(points)
    assert sorted(quantizer.codebooks[0].tolist()) == sorted(points.tolist())
    assert not quantizer.codebooks[1].any(), "nothing is left"
    quantizer.codebooks[0, 0] = 100.0
    learner.shares[0, 0] = 0.0
    learner.update(points)
    assert float(quantizer.codebooks[0].max()) == 100.0, "dead rows wait for their turn"
    learner.update(points)
    assert float(quantizer.codebooks[0].max()) <= 1.0


def test_tokens_hold_layers_of_the_length_of_their_motion():
    codes = torch.tensor([1, 2, 3])
    clip = ClipTokens(keyframe=None, motion=codes, motion_layers=torch.stack([codes, codes]))
    assert clip.all_motion.tolist() == [[1, 2, 3]] * 3
    assert clip.num_codes == (0, 3)
    assert replace(clip, motion_layers=None).all_motion.tolist() == [1, 2, 3]
    with pytest.raises(ShapeError, match="motion layers of shape"):
        ClipTokens(keyframe=codes, motion_layers=codes[None])


def test_a_row_that_is_revived_stays_with_what_it_was_moved_to():
    quantizer = ResidualQuantizer(1, 4, 2)
    learner = ResidualLearner(quantizer, CodebookConfig(decay=0.9, revive_every=20, dead_below=0.5)).train()
    places = torch.tensor([[0.0, 5.0], [5.0, 0.0], [0.0, -5.0], [-5.0, 0.0]])
    learner.update(places)
    [rows] = quantizer.codebooks
    assert sorted(rows.tolist()) == sorted(places.tolist())
    spread = torch.stack([torch.arange(8.0), torch.full((8,), 40.0)], dim=-1)
    for _ in range(19):
        learner.update(places[:2])
    dead = [index for index, row in enumerate(rows.tolist()) if min(row) < -1]
    assert len(dead) == 2
    learner.update(spread)
    assert (rows[dead, 1] > 39).all(), "neither falls back to where it had died"
