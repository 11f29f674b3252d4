"""The critic of drawn latents: what each of its losses teaches, and whom."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from videolavit.training.latent_critic import LatentCritic


def latents(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents with an edge where their features say, and the same blurred."""
    random = torch.Generator().manual_seed(seed)
    where = torch.randint(2, 6, (count, 1, 1, 1), generator=random)
    true = (torch.arange(8).reshape(1, 1, 1, 8) >= where).float().expand(count, 2, 8, 8).contiguous()
    return true, F.avg_pool2d(F.pad(true, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def features_of(true: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(true, 2).flatten(2).transpose(1, 2).repeat(1, 1, 3)


def test_each_loss_teaches_its_own_side():
    torch.manual_seed(0)
    critic = LatentCritic(2, 6, width=8)
    true, drawn = latents(4, 0)
    features, drawn = features_of(true).requires_grad_(), drawn.requires_grad_()
    weight = torch.ones(4, 8, 8)
    for step in (0, 1):  # with and without holding down the slope
        told, deceived = critic.losses(true, drawn, features, weight, step)
        critic.zero_grad()
        told.backward()
        assert drawn.grad is None
        assert all(parameter.grad.abs().max() > 0 for parameter in critic.parameters() if parameter.ndim > 1)
        critic.zero_grad()
        deceived.backward()
        assert drawn.grad.abs().max() > 0
        assert all(parameter.grad is None for parameter in critic.parameters())
        assert features.grad is None
        drawn.grad = None


def test_it_learns_what_is_blurred_and_says_where_to_go():
    torch.manual_seed(0)
    critic = LatentCritic(2, 6, width=8)
    optimiser = torch.optim.AdamW(critic.parameters(), lr=3e-3)
    weight = torch.ones(16, 8, 8)
    for step in range(150):
        true, drawn = latents(16, step)
        told, _ = critic.losses(true, drawn, features_of(true), weight, step)
        optimiser.zero_grad()
        told.backward()
        optimiser.step()
    true, drawn = latents(16, 1000)
    told, deceived = critic.losses(true, drawn.requires_grad_(), features_of(true), weight, 1)
    assert told < 1.0, "2 is a critic that knows nothing"
    deceived.backward()
    towards_truth = -(drawn.grad * (true - drawn)).sum()
    assert towards_truth > 0


def test_what_has_no_weight_counts_nothing():
    critic = LatentCritic(2, 6, width=8)
    true, drawn = latents(2, 0)
    weight = torch.ones(2, 8, 8)
    weight[1] = 0
    told, deceived = critic.losses(true, drawn, features_of(true), weight, 1)
    drawn[1] = 99.0
    again = critic.losses(true, drawn, features_of(true), weight, 1)
    assert torch.equal(told, again[0])
    assert torch.equal(deceived, again[1])


def test_outside_of_training_it_only_judges():
    critic = LatentCritic(2, 6, width=8)
    true, drawn = latents(2, 0)
    with torch.no_grad():
        told, _ = critic.losses(true, drawn, features_of(true), torch.ones(2, 8, 8), 0)
    assert told.isfinite()
