import pytest
import torch

from videolavit.errors import ConfigError, VocabularyError
from videolavit.tokenizers import quantizer as module
from videolavit.tokenizers.quantizer import VectorQuantizer


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def quantizer(num_codes: int = 32, code_dim: int = 8) -> VectorQuantizer:
    torch.manual_seed(0)
    return VectorQuantizer(num_codes, code_dim)


def test_a_code_is_the_row_nearest_to_the_direction_of_a_feature():
    quantize, x = quantizer(), features(2, 5, 8)
    quantize.codebook.mul_(torch.linspace(0.2, 2, 32)[:, None])  # rows count as stored, of whatever length
    directions = x / x.norm(dim=-1, keepdim=True)
    distances = (directions[..., None, :] - quantize.codebook).square().sum(-1)
    assert torch.equal(quantize.codes(x), distances.argmin(-1))
    assert torch.equal(quantize.codes(3 * x), quantize.codes(x))


def test_codes_of_a_large_batch_are_found_in_parts(monkeypatch):
    quantize, x = quantizer(), features(3, 7, 8)
    whole = quantize.codes(x)
    monkeypatch.setattr(module, "LARGEST_DISTANCE_TABLE", 32 * 4)
    assert torch.equal(quantize.codes(x), whole)


def test_every_row_of_unit_length_has_its_own_code():
    quantize = quantizer()
    assert quantize.codes(quantize.vectors(torch.arange(32))).tolist() == list(range(32))


def test_no_features_have_no_codes():
    quantize = quantizer()
    assert quantize.codes(torch.zeros(0, 8)).shape == (0,)
    assert quantize(torch.zeros(0, 8)).commitment == 0


@pytest.mark.parametrize("wrong", [-1, 32])
def test_codes_outside_the_codebook_are_refused(wrong):
    with pytest.raises(VocabularyError, match=f"1 of 2 codes are outside 0 to 31, the first is {wrong}; .*Vocabulary"):
        quantizer().vectors(torch.tensor([3, wrong]))


def test_an_empty_codebook_is_refused():
    with pytest.raises(ConfigError, match="at least one of each"):
        VectorQuantizer(0, 8)


def test_gradients_pass_straight_through_the_codes():
    quantize, x = quantizer(), features(5, 8).requires_grad_()
    result = quantize(x)
    torch.testing.assert_close(result.vectors, quantize.vectors(result.codes))
    weights = features(5, 8, seed=1)
    (through,) = torch.autograd.grad((result.vectors * weights).sum(), x, retain_graph=True)
    (direct,) = torch.autograd.grad((torch.nn.functional.normalize(x, dim=-1) * weights).sum(), x)
    torch.testing.assert_close(through, direct)
    assert not result.codes.requires_grad


def test_commitment_moves_features_towards_their_rows():
    quantize, x = quantizer(), features(5, 8).requires_grad_()
    before = quantize(x).commitment
    before.backward()
    assert quantize((x - 0.1 * x.grad).detach()).commitment < before
    expected = (x / x.norm(dim=-1, keepdim=True) - quantize.vectors(quantize.codes(x))).square().sum(-1).mean()
    torch.testing.assert_close(before, expected)


def test_autocast_changes_no_code():
    quantize, x = quantizer(512), features(400, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantize.codes(x), quantize.codes(x.float()))
        codes = quantize.codes(x)
    assert torch.equal(codes, quantize.codes(x))


def test_inference_state_is_the_rows_alone():
    assert list(quantizer().state_dict()) == ["codebook"]
    assert list(quantizer().parameters()) == []
