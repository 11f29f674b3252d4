"""Differences that the vision encoder sees."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from videolavit.tokenizers.image_processor import CLIP_MEAN, CLIP_STD
from videolavit.tokenizers.vit import VisionTransformer, VisionTransformerConfig
from videolavit.training.perceptual_loss import encoder_features, feature_errors

CONFIG = VisionTransformerConfig(
    image_size=32, patch_size=8, width=16, layers=3, heads=2, mlp_ratio=2.0, unused_head_width=None
)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return VisionTransformer(CONFIG)


def test_every_block_is_seen_and_the_last_is_what_the_encoder_gives(encoder):
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    seen = encoder_features(encoder, images)
    assert [one.shape for one in seen] == [(2, 16, 16)] * 3
    mean, deviation = torch.tensor(CLIP_MEAN).reshape(3, 1, 1), torch.tensor(CLIP_STD).reshape(3, 1, 1)
    last = encoder((images / 2 + 0.5 - mean) / deviation)[:, 1:]
    assert torch.allclose(seen[-1], F.layer_norm(last, (16,)), atol=1e-5)


def test_errors_are_of_each_image_alone_and_bounded(encoder):
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    others = torch.cat([images[:1], -images[1:]])
    errors = feature_errors(encoder_features(encoder, others), encoder_features(encoder, images))
    assert errors.shape == (3, 16)
    assert errors[0].abs().max() < 1e-6
    assert errors[1:].min() > 0
    assert errors.max() <= 4.0
    flipped = [-one for one in encoder_features(encoder, images)]
    assert feature_errors(flipped, encoder_features(encoder, images)).mean().item() == pytest.approx(4, abs=0.01)


def test_the_drawn_image_learns_and_the_true_one_does_not(encoder):
    drawn = (torch.rand(1, 3, 64, 48) * 2 - 1).requires_grad_()
    true = (torch.rand(1, 3, 64, 48) * 2 - 1).requires_grad_()
    feature_errors(encoder_features(encoder, drawn), encoder_features(encoder, true)).mean().backward()
    assert drawn.grad.abs().max() > 0
    assert true.grad is None


def test_pixels_far_outside_of_the_range_do_not_pull(encoder):
    drawn = torch.full((1, 3, 32, 32), 1.05)
    drawn[:, :, :8] = 3.0
    drawn.requires_grad_()
    sum(one.square().sum() * (1 + one.mean()) for one in encoder_features(encoder, drawn)).backward()
    assert drawn.grad[:, :, :8].abs().max() == 0
    assert drawn.grad[:, :, 8:].abs().max() > 0
