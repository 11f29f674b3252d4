"""Attention under a policy that says how much each key counts: the merger's masked softmax (reference section 4).

With logits a over N keys, a policy p in 0..1 and eps = 1e-6, the weights are, in float32,

    e = exp(a - max a) * p        the maximum is over all keys, allowed or not
    w = (e + eps / N) / (sum e + eps)

The sum of weighted values is computed as (e @ V + eps * mean V) / (sum e + eps), which is the same number and never
writes w: the eps of every key becomes one row, and the division runs over a head's width instead of over N keys.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["POLICY_EPSILON", "policy_attention", "weighted_attention"]

POLICY_EPSILON = 1e-6
_LARGEST_UNCOUNTED = 2.0


def policy_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch heads keys dim"],
    value: Float[Tensor, "batch heads keys dim"],
    policy: Float[Tensor, "#batch #heads #queries keys"],
) -> Float[Tensor, "batch heads queries dim"]:
    """Attention with logits scaled by dim^-0.5 and weights as above; `policy` may be soft and carries gradients.

    A query that nothing is allowed for gets the mean of all values, not NaN.
    """
    tensors = (query, key, value, policy.expand(len(query), -1, -1, -1))
    if query.device.type != "cpu" or len(query) < 2 or _want_gradient(tensors):
        return _attend(*tensors)
    # One image after the other, whose logits take up the same memory: 1.5 times faster for 8 images on a CPU.
    return torch.cat([_attend(*image) for image in zip(*(tensor.split(1) for tensor in tensors), strict=True)])


def weighted_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch heads keys dim"],
    value: Float[Tensor, "batch heads keys dim"],
    weight: Float[Tensor, "#batch #heads #queries keys"],
) -> Float[Tensor, "batch heads queries dim"]:
    """Attention in which each key counts `weight` times: exactly masked attention where weights are 0 and 1.

    Unlike `policy_attention` it has no epsilon terms, so that keys of weight 0 change nothing, and gives zeros to a
    query for which no key counts. Gradients reach the weights of keys of weight 0: by what a key would add.
    """
    logits = ((query * query.shape[-1] ** -0.5) @ key.mT).float()
    largest = logits.detach().masked_fill(weight.detach() <= 0, -torch.inf).amax(-1, keepdim=True)
    # A key that counts nothing may have any logit: kept from overflowing, it still only matters to the gradient.
    exponentials = (logits - largest.nan_to_num(neginf=0.0)).clamp(max=_LARGEST_UNCOUNTED).exp() * weight
    total = exponentials.sum(-1, keepdim=True)
    return (exponentials / torch.where(total > 0, total, 1.0)).to(value.dtype) @ value


def _attend(query: Tensor, key: Tensor, value: Tensor, policy: Tensor) -> Tensor:
    logits = ((query * query.shape[-1] ** -0.5) @ key.mT).float()
    weights = _exponentials(logits, policy)
    total = weights.sum(-1, keepdim=True) + POLICY_EPSILON
    weighted = (weights.to(value.dtype) @ value).float()
    return ((weighted + POLICY_EPSILON * value.float().mean(-2, keepdim=True)) / total).to(value.dtype)


def _exponentials(logits: Tensor, policy: Tensor) -> Tensor:
    """exp(logits - maximum) * policy; overwrites `logits` where no gradient needs it, which halves the time."""
    largest = logits.amax(-1, keepdim=True)
    if _want_gradient((logits, policy)):
        return (logits - largest).exp() * policy
    return logits.sub_(largest).exp_().mul_(policy)


def _want_gradient(tensors: tuple[Tensor, ...]) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
