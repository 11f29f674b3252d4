"""Properties of the merger that follow from its policies."""

from __future__ import annotations

import pytest
import torch
from reference.golden import assert_close, fill, rand

from videolavit.errors import ShapeError
from videolavit.tokenizers.merger import Merger, causal_policy
from videolavit.tokenizers.selector import straight_through_keep

KEEP = torch.tensor([[True, False, True, True, False, False], [False, False, True, False, False, True]])


@pytest.fixture(scope="module")
def merger() -> Merger:
    module = Merger(width=16, layers=2, heads=2, hidden_width=24)
    fill(module)
    return module


def test_policy_counts_kept_positions_before_and_itself() -> None:
    assert causal_policy(torch.tensor([[1.0, 0.0, 1.0, 0.0]]))[0].tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 1, 1],
    ]


@torch.no_grad()
def test_images_of_a_batch_do_not_see_one_another(merger: Merger) -> None:
    features = rand(0, 2, 6, 16)
    together = merger(features, KEEP)
    for i in range(2):
        assert_close(together[i : i + 1], merger(features[i : i + 1], KEEP[i : i + 1]), share=1e-5)


@torch.no_grad()
def test_kept_patches_see_all_dropped_ones_but_kept_ones_only_before(merger: Merger) -> None:
    features = rand(0, 2, 6, 16)[:1]

    def change_of_patch_2(changed_patch: int) -> float:
        changed = features.clone()
        changed[:, changed_patch] += rand(1, 16)
        return (merger(changed, KEEP[:1]) - merger(features, KEEP[:1]))[:, 2].abs().max().item()

    assert min(change_of_patch_2(patch) for patch in (0, 1, 2, 4, 5)) > 1e-3
    assert change_of_patch_2(3) < 1e-4, "what the epsilon of the softmax lets through"


@torch.no_grad()
def test_a_float_choice_of_zeros_and_ones_is_the_boolean_one(merger: Merger) -> None:
    features = rand(0, 2, 6, 16)
    assert torch.equal(merger(features, KEEP), merger(features, KEEP.float()))


def test_the_training_forward_has_gradients_for_features_choice_and_weights(merger: Merger) -> None:
    features, logits = rand(0, 2, 6, 16).requires_grad_(), rand(1, 2, 6, 2).requires_grad_()
    keep = straight_through_keep(logits.log_softmax(-1), rand(2, 2, 6, 2))
    (merger(features, keep).square().mean() + (1 / 3 - keep.mean()) ** 2).backward()
    for tensor in (features, logits, *merger.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.any()
    merger.zero_grad(set_to_none=True)


@torch.no_grad()
def test_inference_and_training_compute_the_same(merger: Merger) -> None:
    features = rand(0, 2, 6, 16)
    with torch.enable_grad():
        training = merger(features, KEEP)
    assert training.requires_grad
    assert_close(training.detach(), merger(features, KEEP), share=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
@torch.no_grad()
def test_keeping_nothing_or_everything_stays_finite(merger: Merger, share: float) -> None:
    assert merger(rand(0, 2, 6, 16), torch.full((2, 6), share)).isfinite().all()


def test_a_choice_for_other_patches_is_a_clear_error(merger: Merger) -> None:
    with pytest.raises(ShapeError, match=r"keep of shape \(2, 5\)"):
        merger(rand(0, 2, 6, 16), KEEP[:, :5])
