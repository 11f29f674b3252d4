"""Ways to start the next keyframe from the last frame, and joining clips."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from reference.diffusion import golden_keyframe_detokenizer
from reference.golden import rand

from videolavit.detokenizers.continuation import inversion_latents, restart_latents
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer
from videolavit.detokenizers.vae import encode_images
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.random import sample_generators

SIZE = {"height": 32, "width": 48}
FRAMES = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class NearlyGaussianUNet(UNet2DConditionModel):
    """The exact denoiser of normally distributed latents plus a small share of the network.

    Random weights alone are no denoiser: there is no path from noise to an image to be followed back.
    """

    alphas: torch.Tensor

    def forward(self, sample, timestep, *arguments, **options):
        network = super().forward(sample, timestep, *arguments, **options).sample
        alpha = self.alphas[timestep.long()]
        exact = sample * (1 - alpha).sqrt() / (alpha * 0.5**2 + 1 - alpha)
        return UNet2DConditionOutput(sample=exact + 0.02 * network)


@pytest.fixture(scope="module")
def detokenizer() -> KeyframeDetokenizer:
    detokenizer = golden_keyframe_detokenizer()
    detokenizer.unet.__class__ = NearlyGaussianUNet
    detokenizer.unet.alphas = detokenizer.scheduler.alphas_cumprod
    return detokenizer


def with_scheduler(detokenizer: KeyframeDetokenizer, kind: type, **changes: object) -> KeyframeDetokenizer:
    other = copy.copy(detokenizer)
    other.scheduler = kind.from_config(detokenizer.scheduler.config, **changes)
    return other


def round_trip_error(detokenizer: KeyframeDetokenizer, steps: int, inverse_rate: float) -> float:
    """Largest difference after inversion and denoising, as a share of the largest latent."""
    condition = detokenizer.condition([rand(1, 5, 16), rand(2, 9, 16)])
    start = inversion_latents(detokenizer, FRAMES, condition, steps=steps, inverse_rate=inverse_rate)
    again = detokenizer.sample_latents(condition, **SIZE, guidance=1.0, start=start)
    signed = FRAMES.permute(0, 3, 1, 2) / 127.5 - 1
    latents = encode_images(detokenizer.vae, signed) * detokenizer.vae.config["scaling_factor"]
    return float((again - latents).abs().max() / latents.abs().max())


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "spacing"),
    [
        (DDIMScheduler, "leading"),
        (EulerDiscreteScheduler, "trailing"),
        pytest.param(DDIMScheduler, "trailing", marks=pytest.mark.slow),
        pytest.param(EulerDiscreteScheduler, "leading", marks=pytest.mark.slow),
    ],
)
def test_denoising_inverted_latents_returns_to_the_frame(detokenizer: KeyframeDetokenizer, kind: type, spacing: str):
    """Inversion takes the prediction one step early, so it errs in proportion to the size of a step.

    Measured: 0.23 to 0.29 of the largest latent with 10 steps, 0.05 to 0.07 with 50.
    """
    other = with_scheduler(detokenizer, kind, timestep_spacing=spacing)
    coarse, fine = (round_trip_error(other, steps, 0.0) for steps in (10, 50))
    assert fine < 0.1
    assert fine < coarse / 3


@torch.no_grad()
def test_inversion_may_stop_on_the_way(detokenizer: KeyframeDetokenizer):
    assert round_trip_error(detokenizer, 50, 0.85) < 0.02
    condition = detokenizer.condition([rand(1, 5, 16), rand(2, 9, 16)])
    steps: list[tuple[int, int]] = []
    start = inversion_latents(
        detokenizer, FRAMES, condition, steps=50, inverse_rate=0.85, on_step=lambda *step: steps.append(step[:2])
    )
    assert start.first_step == 42
    assert steps == [(done, 8) for done in range(1, 9)]


@torch.no_grad()
def test_inverted_latents_have_the_units_of_the_scheduler(detokenizer: KeyframeDetokenizer):
    """The same noise, once with variance 1 at the noisy end and once counted in sigmas."""
    condition = detokenizer.condition([rand(1, 5, 16), rand(2, 9, 16)])
    euler = with_scheduler(detokenizer, EulerAncestralDiscreteScheduler)
    ddim, sigmas = (inversion_latents(each, FRAMES, condition, steps=20).latents for each in (detokenizer, euler))
    alpha = detokenizer.scheduler.alphas_cumprod[951]
    torch.testing.assert_close(sigmas * alpha.sqrt(), ddim, rtol=2e-3, atol=2e-3 * float(ddim.abs().max()))


@torch.no_grad()
def test_inversion_refuses_schedules_that_it_cannot_follow(detokenizer: KeyframeDetokenizer):
    condition = detokenizer.condition([rand(1, 5, 16), rand(2, 9, 16)])
    for changes in ({"use_karras_sigmas": True}, {"timestep_spacing": "linspace"}):
        other = with_scheduler(detokenizer, EulerDiscreteScheduler, **changes)
        with pytest.raises(ConfigError, match="evenly spaced timesteps"):
            inversion_latents(other, FRAMES, condition, steps=20)


def test_restart_keeps_the_frame_in_proportion_to_the_rate(detokenizer: KeyframeDetokenizer):
    def likeness(inverse_rate: float) -> float:
        generators = sample_generators(0, 2)
        start = restart_latents(detokenizer, FRAMES, steps=50, inverse_rate=inverse_rate, generators=generators)
        signed = FRAMES.permute(0, 3, 1, 2) / 127.5 - 1
        latents = encode_images(detokenizer.vae, signed) * detokenizer.vae.config["scaling_factor"]
        return float(torch.stack([start.latents.flatten(), latents.flatten()]).corrcoef()[0, 1])

    with torch.no_grad():
        assert likeness(0.98) > likeness(0.85) > likeness(0.5) > likeness(0.0) - 0.05


def test_each_restart_draws_from_its_own_generator(detokenizer: KeyframeDetokenizer):
    both = restart_latents(detokenizer, FRAMES, generators=sample_generators(3, 2))
    second = restart_latents(detokenizer, FRAMES[1:], generators=sample_generators(3, 1, first=1))
    torch.testing.assert_close(both.latents[1:], second.latents, rtol=1e-5, atol=1e-6)


def test_errors_say_what_is_wrong(detokenizer: KeyframeDetokenizer):
    with pytest.raises(ConfigError, match=r"inverse_rate 1\.0, expected 0 to less than 1"):
        restart_latents(detokenizer, FRAMES, inverse_rate=1.0)
    with pytest.raises(ShapeError, match="expected multiples of 8"):
        restart_latents(detokenizer, FRAMES[:, :30])
    with pytest.raises(ShapeError, match="got noise of shape"):
        restart_latents(detokenizer, FRAMES, noise=rand(0, 2, 4, 4, 4))
    with torch.no_grad(), pytest.raises(ShapeError, match="conditions for 1 images and 2 frames"):
        inversion_latents(detokenizer, FRAMES, detokenizer.condition([rand(1, 5, 16)]))
