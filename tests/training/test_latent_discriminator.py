"""The discriminator of latents: what it tells apart, and who learns from which loss."""

import math

import pytest
import torch

from videolavit.training.latent_discriminator import LatentDiscriminator, adversarial_loss, discriminator_loss

LOG_2 = math.log(2)


@pytest.fixture
def discriminator() -> LatentDiscriminator:
    torch.manual_seed(0)
    return LatentDiscriminator(channels=4, feature_width=6, width=16)


def batch(size: int = 3, side: int = 8, patches: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(size, 4, side, side), torch.randn(size, patches, 6), torch.ones(size, side, side)


@pytest.mark.parametrize(("side", "patches"), [(8, 16), (16, 16), (16, 64), (10, 25)])
def test_logits_stand_at_every_place_and_at_half_the_resolution(discriminator, side, patches):
    latents, features, _ = batch(2, side, patches)
    fine, coarse = discriminator(latents, features)
    assert fine.shape == (2, side, side)
    assert coarse.shape == (2, side // 2, side // 2)


def test_each_loss_moves_its_own_side_alone(discriminator):
    true, features, weights = batch()
    drawn = torch.randn_like(true).requires_grad_()
    features.requires_grad_()
    discriminator_loss(discriminator, true, drawn, features, weights).backward()
    assert all(weight.grad.any() for weight in discriminator.parameters() if weight.dim() > 1)
    assert drawn.grad is None
    before = [weight.grad.clone() for weight in discriminator.parameters()]
    adversarial_loss(discriminator, true, drawn, features, weights).backward()
    assert drawn.grad.any()
    assert features.grad is None
    assert all(torch.equal(weight.grad, old) for weight, old in zip(discriminator.parameters(), before, strict=True))


def test_what_is_true_is_taken_for_true(discriminator):
    true, features, weights = batch()
    assert adversarial_loss(discriminator, true, true, features, weights).item() == pytest.approx(LOG_2)


def test_blurred_latents_are_found_out(discriminator):
    optimiser = torch.optim.Adam(discriminator.parameters(), 2e-3)
    for step in range(60):
        torch.manual_seed(step)
        true, features = torch.randn(8, 4, 8, 8), torch.zeros(8, 16, 6)
        blurred = torch.nn.functional.avg_pool2d(true, 3, 1, 1)
        loss = discriminator_loss(discriminator, true, blurred, features, torch.ones(8, 8, 8))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert adversarial_loss(discriminator, true, blurred, features, torch.ones(8, 8, 8)) > 2 * LOG_2


def test_places_without_weight_do_not_count(discriminator):
    true, features, weights = batch()
    drawn = torch.randn_like(true)
    drawn[0] = true[0]
    assert adversarial_loss(discriminator, true, drawn, features, weights).item() != pytest.approx(LOG_2)
    weights[1:] = 0
    assert adversarial_loss(discriminator, true, drawn, features, weights).item() == pytest.approx(LOG_2)
