"""Which patches are kept: the choice, its randomness and its gradient."""

from __future__ import annotations

import jaxtyping
import pytest
import torch
from reference.golden import assert_close, rand

from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.random import sample_generators
from videolavit.tokenizers.selector import KEEP, Selector, choose, draw_gumbel_noise, straight_through_keep


def log_probs(batch: int = 3, patches: int = 50) -> torch.Tensor:
    return rand(0, batch, patches, 2).log_softmax(-1)


def test_probabilities_add_up_and_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    selector, features = Selector(12), rand(1, 2, 7, 12)
    together = selector(features)
    torch.testing.assert_close(together.exp().sum(-1), torch.ones(2, 7))
    assert_close(together[1:], selector(features[1:]), share=1e-5)


def test_a_patch_is_judged_beside_the_mean_of_all() -> None:
    torch.manual_seed(0)
    selector, features = Selector(12), rand(1, 1, 7, 12)
    shuffled = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    assert_close(selector(features[:, shuffled]), selector(features)[:, shuffled], share=1e-5)
    changed = features.clone()
    changed[:, 0] += rand(3, 12)
    assert not torch.allclose(selector(changed)[:, 1:], selector(features)[:, 1:], atol=1e-6)


def test_argmax_keeps_the_likelier_class() -> None:
    probabilities = torch.tensor([[[0.6, 0.4], [0.3, 0.7]]])
    assert choose(probabilities.log()).tolist() == [[True, False]]


def test_an_image_of_which_nothing_would_be_kept_may_keep_its_likeliest_patch() -> None:
    probabilities = torch.tensor([[[0.1, 0.9], [0.4, 0.6], [0.3, 0.7]], [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]]])
    assert choose(probabilities.log()).tolist() == [[False, False, False], [True, False, True]]
    assert choose(probabilities.log(), at_least_one=True).tolist() == [[False, True, False], [True, False, True]]
    noise = torch.zeros(2, 3, 2)
    noise[0, 2, 1 - KEEP] = -0.5
    kept = choose(probabilities.log(), "gumbel", gumbel_noise=noise, at_least_one=True)
    assert kept.tolist() == [[False, False, True], [True, False, True]]


def test_a_sampled_choice_is_repeated_by_its_seed_and_does_not_depend_on_the_batch() -> None:
    together = choose(log_probs(), "gumbel", generators=sample_generators(5, 3))
    assert torch.equal(together, choose(log_probs(), "gumbel", generators=sample_generators(5, 3)))
    assert not torch.equal(together, choose(log_probs(), "gumbel", generators=sample_generators(6, 3)))
    last = choose(log_probs()[2:], "gumbel", generators=sample_generators(5, 1, first=2))
    assert torch.equal(together[2:], last)


def test_a_patch_is_kept_as_often_as_its_probability_says() -> None:
    probabilities = torch.tensor([0.2, 0.8]).log().expand(1, 20000, 2)
    share = choose(probabilities, "gumbel", generators=sample_generators(0, 1)).float().mean().item()
    assert share == pytest.approx(0.2, abs=0.012), "four standard deviations are 0.0113"


def test_without_generators_the_choice_is_drawn_all_the_same() -> None:
    torch.manual_seed(0)
    assert choose(log_probs(), "gumbel").shape == (3, 50)


def test_straight_through_choice_is_hard_and_has_the_soft_gradient() -> None:
    logits = rand(0, 2, 9, 2).requires_grad_()
    noise = draw_gumbel_noise(logits, sample_generators(1, 2))
    keep = straight_through_keep(logits.log_softmax(-1), noise, temperature=0.5)
    assert torch.equal(keep, choose(logits.log_softmax(-1), "gumbel", gumbel_noise=noise).float())
    (gradient,) = torch.autograd.grad(keep.sum(), logits)
    soft = ((logits.log_softmax(-1) + noise) / 0.5).softmax(-1)[..., KEEP]
    (expected,) = torch.autograd.grad(soft.sum(), logits)
    torch.testing.assert_close(gradient, expected)


def test_choices_that_do_not_fit_are_clear_errors() -> None:
    noise = torch.zeros(3, 50, 2)
    with pytest.raises(ConfigError, match='patch_selection "likeliest" takes no generators and no noise'):
        choose(log_probs(), "likeliest", gumbel_noise=noise)
    with pytest.raises(ConfigError, match="only one of them"):
        choose(log_probs(), "gumbel", gumbel_noise=noise, generators=sample_generators(0, 3))
    with pytest.raises(ShapeError, match="2 generators for a batch of 3"):
        choose(log_probs(), "gumbel", generators=sample_generators(0, 2))
    with pytest.raises(ShapeError, match=r"noise of shape \(1, 50, 2\), expected \(3, 50, 2\)"):
        choose(log_probs(), "gumbel", gumbel_noise=noise[:1])
    with pytest.raises(ConfigError, match="multiple of 4"):
        Selector(10)


def test_an_unknown_choice_is_told(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    with pytest.raises(ConfigError, match="got patch_selection 'gumble', expected"):
        choose(torch.zeros(1, 4, 2), "gumble")
