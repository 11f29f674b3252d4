import pytest
import torch
from torch import nn

from videolavit.nn.group_norm import Float32GroupNorm, normalise_in_float32
from videolavit.tiny.autoencoder import PatchAutoencoderKL


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_returns_the_type_it_was_given_and_computes_in_float32(dtype):
    torch.manual_seed(0)
    norm = Float32GroupNorm(4, 8).to(dtype)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (100 + torch.randn(2, 8, 5, 5)).to(dtype)
    expected = nn.GroupNorm(4, 8).float()
    expected.load_state_dict(norm.state_dict())
    assert norm(x).dtype == dtype
    assert torch.equal(norm(x), expected(x.float()).to(dtype))


def test_a_built_module_keeps_its_parameters_and_float32_results():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Sequential(nn.GroupNorm(1, 8, affine=False)))
    before, x = dict(module.state_dict()), torch.randn(2, 3, 6, 6)
    expected = module(x)
    normalise_in_float32(module)
    assert [type(part) for part in module.modules()].count(Float32GroupNorm) == 2
    assert torch.equal(module(x), expected)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_the_patch_autoencoder_trains_under_autocast():
    torch.manual_seed(0)
    autoencoder = PatchAutoencoderKL(block_out_channels=(16, 16), layers_per_block=1).to(
        memory_format=torch.channels_last
    )
    images = torch.randn(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        latents = autoencoder.encode(images).latent_dist.mode()
        autoencoder.decode(latents).sample.float().square().mean().backward()
    assert all(parameter.grad is not None for parameter in autoencoder.encoder.parameters())
    with torch.no_grad():
        assert (autoencoder.encode(images).latent_dist.mode() - latents).abs().max() < 0.05
