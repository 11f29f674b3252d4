"""The masked softmax of the merger against its definition, written out in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.golden import assert_close
from torch import Tensor

from videolavit.nn.policy import POLICY_EPSILON, policy_attention


def as_defined(query: Tensor, key: Tensor, value: Tensor, policy: Tensor) -> Tensor:
    """The formula of the reference, term by term, in float64."""
    query, key, value, policy = (tensor.double() for tensor in (query, key, value, policy))
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    exponentials = (logits - logits.max(dim=-1, keepdim=True).values).exp() * policy
    epsilon, num_keys = POLICY_EPSILON, key.shape[-2]
    weights = (exponentials + epsilon / num_keys) / (exponentials.sum(dim=-1, keepdim=True) + epsilon)
    return weights @ value


def inputs(batch: int, heads: int, queries: int, keys: int, dim: int, seed: int, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, heads, queries, dim), (batch, heads, keys, dim), (batch, heads, keys, dim)]
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    return [scale * query, key, value, torch.rand(batch, 1, queries, keys, generator=generator)]


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    queries=st.integers(1, 9),
    keys=st.integers(1, 9),
    dim=st.integers(1, 8),
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
    soft=st.booleans(),
    scale=st.sampled_from([0.1, 1.0, 5.0]),
)
def test_agrees_with_its_definition_for_any_shape_and_mask(
    batch: int, heads: int, queries: int, keys: int, dim: int, seed: int, share: float, soft: bool, scale: float
) -> None:
    *vectors, draw = inputs(batch, heads, queries, keys, dim, seed, scale)
    policy = draw * (draw < share) if soft else (draw < share).float()
    assert_close(policy_attention(*vectors, policy), as_defined(*vectors, policy), share=1e-5)


def test_epsilon_matters_where_the_allowed_logits_are_far_below_the_largest() -> None:
    query, value = torch.ones(1, 1, 1, 1), torch.tensor([1.0, 5.0]).reshape(1, 1, 2, 1)
    key = torch.tensor([0.0, 14.0]).reshape(1, 1, 2, 1)
    policy = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    merged = policy_attention(query, key, value, policy)
    assert_close(merged, as_defined(query, key, value, policy), share=1e-6)
    assert merged.item() > 1.5, "the value that is not allowed should shine through, as in the reference"


def test_a_query_without_allowed_keys_gets_the_mean_value() -> None:
    query, key, value, policy = inputs(2, 3, 4, 5, 6, seed=0)
    nothing = torch.zeros_like(policy)
    expected = value.mean(2, keepdim=True).expand(2, 3, 4, 6)
    torch.testing.assert_close(policy_attention(query, key, value, nothing), expected)


def test_gradients_are_those_of_the_definition_also_for_the_policy() -> None:
    ours = [tensor.requires_grad_() for tensor in inputs(2, 3, 7, 5, 4, seed=1)]
    with torch.no_grad():
        ours[3] *= ours[3] < 0.5
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    policy_attention(*ours).square().sum().backward()
    as_defined(*theirs).square().sum().backward()
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert expected.grad is not None
        assert_close(mine.grad, expected.grad, share=1e-5)


def test_no_input_is_overwritten() -> None:
    tensors = inputs(1, 2, 3, 4, 5, seed=2)
    copies = [tensor.clone() for tensor in tensors]
    with torch.no_grad():
        policy_attention(*tensors)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, copies, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_dtype_and_stays_near(dtype: torch.dtype) -> None:
    *vectors, policy = inputs(2, 2, 6, 6, 8, seed=3)
    policy = (policy < 0.4).float()
    merged = policy_attention(*(vector.to(dtype) for vector in vectors), policy)
    assert merged.dtype == dtype
    assert_close(merged, as_defined(*vectors, policy), share=0.02)
