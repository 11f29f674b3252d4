import torch

from videolavit.nn.attention import attend
from videolavit.nn.policy import weighted_attention


def inputs(scale=1.0):
    generator = torch.Generator().manual_seed(0)
    query = scale * torch.randn(2, 3, 5, 8, generator=generator)
    key, value = torch.randn(2, 3, 7, 8, generator=generator), torch.randn(2, 3, 7, 8, generator=generator)
    keep = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0, 0, 1, 0, 1, 0, 0]]).float()
    return query, key, value, keep[:, None, None]


def test_weights_of_0_and_1_are_a_mask_however_large_the_logits():
    for scale in (1.0, 100.0):
        query, key, value, keep = inputs(scale)
        expected = attend(query, key, value, keep > 0)
        torch.testing.assert_close(weighted_attention(query, key, value, keep), expected, atol=1e-5, rtol=1e-5)


def test_a_dropped_key_learns_what_it_would_have_added():
    query, key, value, keep = inputs()
    wanted = value[0, :, 1:2].expand(-1, 5, -1)  # what key 1 of item 0 shows, which is dropped
    keep.requires_grad_()
    (weighted_attention(query, key, value, keep)[0] - wanted).square().sum().backward()
    assert keep.grad[0, 0, 0, 1] < 0  # more weight there would lower the loss
    assert torch.isfinite(keep.grad).all()


def test_without_any_key_the_result_is_zero_and_gradients_are_finite():
    query, key, value, keep = inputs(100.0)
    none = torch.zeros_like(keep).requires_grad_()
    query.requires_grad_()
    result = weighted_attention(query, key, value, none)
    assert not result.any()
    result.sum().backward()
    assert torch.isfinite(none.grad).all()
    assert torch.isfinite(query.grad).all()
