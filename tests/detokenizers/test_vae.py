"""Value ranges, sizes and precision around VAEs."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.models import modeling_utils
from reference.golden import fill, golden, rand
from torch import nn

from videolavit.detokenizers.vae import encode_images, signed_images, to_uint8, unit_range, vae_factor
from videolavit.errors import ShapeError
from videolavit.nn.offload import Offload
from videolavit.tiny.autoencoder import PatchAutoencoderKL

CPU = torch.device("cpu")


def small_vae() -> AutoencoderKL:
    return fill(AutoencoderKL(**golden("keyframe_detokenizer_small")[0]["vae"])).eval()


def test_bytes_survive_the_way_through_both_ranges():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 256, 1).expand(2, 3, -1, 3)
    signed = signed_images(pixels, CPU)
    assert signed.shape == (2, 3, 3, 256)
    assert signed.min() == -1
    assert signed.max() == 1
    assert torch.equal(to_uint8(unit_range(signed)).permute(0, 2, 3, 1), pixels)
    assert torch.equal(signed_images(pixels.numpy(), CPU), signed)


@pytest.mark.parametrize(
    "vae",
    [small_vae(), PatchAutoencoderKL(patch_size=4, block_out_channels=(16, 16), layers_per_block=1)],
    ids=lambda vae: type(vae).__name__,
)
@torch.no_grad()
def test_the_factor_is_that_between_images_and_latents(vae: AutoencoderKL):
    latents = encode_images(vae, rand(0, 1, 3, 32, 48).clamp(-1, 1))
    factor = vae_factor(vae)
    assert latents.shape[2:] == (32 // factor, 48 // factor)


@torch.no_grad()
def test_a_vae_that_overflows_in_half_precision_encodes_in_float32_and_goes_back(monkeypatch):
    """Its weights are rounded once, when it is cast, and its latents not at all."""
    half = small_vae().bfloat16()
    rounded = small_vae().bfloat16().float()
    images = rand(0, 1, 3, 32, 48).clamp(-1, 1)
    warned: list[str] = []
    monkeypatch.setattr(modeling_utils.logger, "warning", warned.append)
    assert torch.equal(encode_images(half, images), encode_images(rounded, images))
    assert half.dtype == torch.bfloat16
    assert warned == []


@torch.no_grad()
def test_an_offloaded_vae_waits_in_its_own_type_after_it_encoded_in_float32(monkeypatch):
    vae, images = small_vae().bfloat16(), rand(0, 1, 3, 32, 48).clamp(-1, 1)
    expected, at_home = encode_images(vae, images), [parameter.data_ptr() for parameter in vae.parameters()]
    offload, other = Offload(CPU), nn.Linear(2, 2)
    offload.manage(vae)
    offload.manage(other)
    for _ in range(2):
        other(torch.ones(1, 2))  # the VAE goes home
        assert torch.equal(encode_images(vae, images), expected)
        assert vae.dtype == torch.bfloat16
    offload.send_home()
    assert {parameter.dtype for parameter in vae.parameters()} == {torch.bfloat16}
    assert [parameter.data_ptr() for parameter in vae.parameters()] == at_home
    monkeypatch.setattr(vae, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode_images(vae, images)
    assert vae.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 8, 8, 3), "expected uint8 of shape"),
        (torch.zeros(1, 8, 8, 4, dtype=torch.uint8), "expected uint8 of shape"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), "expected uint8 of shape"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "expected uint8 of shape"),
        (torch.full((1, 3, 8, 8), 2.0), "expected -1 to 1"),
        (torch.full((1, 3, 8, 8), torch.nan), "expected -1 to 1"),
    ],
)
def test_other_images_are_refused(images: torch.Tensor, message: str):
    with pytest.raises(ShapeError, match=message):
        signed_images(images, CPU)
