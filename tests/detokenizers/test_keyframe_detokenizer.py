"""Images from visual codes: the reference's numbers, guidance, batches, precision, schedulers, bad input."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from reference.diffusion import golden_keyframe_detokenizer
from reference.golden import assert_close, golden, rand, weight_rule

from videolavit.detokenizers.continuation import restart_latents
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer, KeyframeStart
from videolavit.detokenizers.vae import to_uint8
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.random import sample_generators

SIZE = {"height": 32, "width": 48}
SHORT = {**SIZE, "steps": 3}


@pytest.fixture(scope="module")
def detokenizer() -> KeyframeDetokenizer:
    return golden_keyframe_detokenizer()


@pytest.fixture(scope="module")
def ancestral(detokenizer: KeyframeDetokenizer) -> KeyframeDetokenizer:
    return with_scheduler(detokenizer, EulerAncestralDiscreteScheduler)


def with_scheduler(detokenizer: KeyframeDetokenizer, kind: type, **changes: object) -> KeyframeDetokenizer:
    parts = detokenizer.unet, detokenizer.vae
    scheduler = kind.from_config(detokenizer.scheduler.config, **changes)
    return KeyframeDetokenizer(*parts, scheduler, detokenizer.condition_decoder)


def codes(*counts: int) -> list[torch.Tensor]:
    return [rand(10 + i, count, 16) for i, count in enumerate(counts)]


class StepNoise:
    """A generator whose i-th draw is `rand(190 + i)`, as the golden file states the noise of each step."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(190)

    def on_step(self, done: int, total: int, latents: torch.Tensor, timestep: torch.Tensor) -> None:
        self.generator.manual_seed(190 + done)


@pytest.mark.parametrize(
    ("name", "seed"), [("keyframe_detokenizer_small", 81), ("keyframe_detokenizer_euler_small", 91)]
)
def test_numbers_of_the_reference_implementation(name: str, seed: int):
    sizes, expected = golden(name)
    detokenizer = golden_keyframe_detokenizer(name)
    codebook = weight_rule("visual_tokenizer.quantize.embedding.weight", (64, 16))
    rows = [codebook[torch.tensor(sizes["tokens"]) - 32002]]
    options = {"height": sizes["height"], "width": sizes["width"], "guidance": sizes["guidance_scale"]}

    noise = StepNoise()
    image = detokenizer.generate(
        rows,
        **options,
        steps=sizes["num_inference_steps"],
        noise=rand(seed, 1, 4, 8, 12),
        generators=[noise.generator],
        on_step=noise.on_step,
    )
    assert_close(image, expected["image"])

    row, column = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
    last_frame = ((row + column)[..., None] * torch.tensor([1, 2, 3]) % 256).to(torch.uint8)[None]
    again = sizes["continuation"]
    start = restart_latents(
        detokenizer,
        last_frame,
        steps=again["num_inference_steps"],
        inverse_rate=again["inverse_rate"],
        noise=rand(seed + 1, 1, 4, 8, 12),
    )
    assert start.first_step == again["noise_level"]
    assert_close(start.latents, expected["restart_latents"])
    noise = StepNoise()
    image = detokenizer.generate(rows, **options, start=start, generators=[noise.generator], on_step=noise.on_step)
    assert_close(image, expected["continued_image"])


@torch.no_grad()
def test_both_branches_in_one_forward_are_two_forwards_with_a_zero_condition(detokenizer: KeyframeDetokenizer):
    condition = detokenizer.condition(codes(3, 7))
    latents, timestep = rand(4, 2, 4, 4, 6), torch.tensor(500)
    prediction = detokenizer.predictor(condition, **SIZE, guidance=2.5)(latents, timestep)
    time_ids = torch.tensor([[32.0, 48, 0, 0, 32, 48]] * 2)
    positive, negative = (
        detokenizer.unet(
            latents,
            timestep,
            share * condition.prompt_embeds,
            added_cond_kwargs={"text_embeds": share * condition.pooled, "time_ids": time_ids},
        ).sample
        for share in (1, 0)
    )
    assert_close(prediction, negative + 2.5 * (positive - negative), 1e-5)
    assert_close(detokenizer.predictor(condition, **SIZE)(latents, timestep), positive, 1e-5)


def test_time_ids_put_the_height_first_in_both_branches(detokenizer: KeyframeDetokenizer):
    told = []
    hook = detokenizer.unet.add_time_proj.register_forward_pre_hook(lambda _, told_now: told.append(told_now[0]))
    try:
        detokenizer.generate(codes(3), **SIZE, steps=2)
        detokenizer.generate(codes(3), **SIZE, steps=1, guidance=1.0)
    finally:
        hook.remove()
    assert [ids.tolist() for ids in told] == [[32, 48, 0, 0, 32, 48] * 2] * 2 + [[32, 48, 0, 0, 32, 48]]


@pytest.mark.parametrize("kind", ["detokenizer", "ancestral"])
def test_a_batch_of_two_is_two_singles(kind: str, request: pytest.FixtureRequest):
    detokenizer = request.getfixturevalue(kind)
    rows = codes(3, 9)
    both = detokenizer.generate(rows, **SHORT, generators=sample_generators(5, 2))
    assert both.shape == (2, 32, 48, 3)
    for i in range(2):
        single = detokenizer.generate([rows[i]], **SHORT, generators=sample_generators(5, 1, first=i))
        assert_close(both[i : i + 1], single, 1e-5)


def test_ancestral_steps_draw_from_the_generators(ancestral: KeyframeDetokenizer):
    noise = rand(7, 1, 4, 4, 6)
    same, again, other = (
        ancestral.generate(codes(3), **SHORT, noise=noise, generators=sample_generators(seed, 1)) for seed in (1, 1, 2)
    )
    assert torch.equal(same, again)
    assert not torch.allclose(same, other, atol=1e-3)


def test_a_run_leaves_no_trace_in_the_next(ancestral: KeyframeDetokenizer):
    runs = [
        ancestral.generate(codes(3), **SIZE, steps=steps, generators=sample_generators(1, 1)) for steps in (3, 5, 3)
    ]
    assert torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("kind", [EulerDiscreteScheduler, DPMSolverMultistepScheduler])
def test_other_schedulers_of_diffusers_work(detokenizer: KeyframeDetokenizer, kind: type):
    other = with_scheduler(detokenizer, kind)
    images = other.generate(codes(3), **SHORT, generators=sample_generators(1, 1))
    assert images.isfinite().all()
    assert images.std() > 0.01
    start = restart_latents(other, to_uint8(images), steps=10, inverse_rate=0.8, generators=sample_generators(1, 1))
    assert other.generate(codes(3), **SIZE, start=start, generators=sample_generators(1, 1)).isfinite().all()


def test_images_are_0_to_1_and_turn_into_bytes(detokenizer: KeyframeDetokenizer):
    images = detokenizer.generate(codes(3), **SHORT, guidance=20.0, generators=sample_generators(1, 1))
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert to_uint8(torch.tensor([0.0, 0.5, 0.999, 1.0])).tolist() == [0, 128, 255, 255]


def test_the_vae_stays_in_float32(detokenizer: KeyframeDetokenizer, caplog: pytest.LogCaptureFixture):
    half = copy.deepcopy(detokenizer)
    half.unet.bfloat16(), half.condition_decoder.bfloat16()
    image = half.generate(codes(3), **SHORT, generators=sample_generators(1, 1))
    assert_close(
        image, detokenizer.generate(codes(3), **SHORT, generators=sample_generators(1, 1)), 0.05
    )  # measured: 0.019
    assert half.vae.dtype == torch.float32
    assert "float32" not in caplog.text
    half.vae.bfloat16()
    assert half.generate(codes(3), **SHORT).dtype == torch.float32
    assert half.vae.dtype == torch.float32
    assert "is now float32" in caplog.text


def test_errors_say_what_is_wrong(detokenizer: KeyframeDetokenizer):
    with pytest.raises(ShapeError, match="30 x 48, expected multiples of 8, such as 32 x 48"):
        detokenizer.generate(codes(3), height=30, width=48)
    with pytest.raises(ShapeError, match="expected multiples of 8, such as 8 x 48"):
        detokenizer.generate(codes(3), height=0, width=48)
    with pytest.raises(ShapeError, match="no image"):
        detokenizer.generate([], **SIZE)
    with pytest.raises(ShapeError, match="have no code"):
        detokenizer.generate(codes(3, 0), **SIZE)
    with pytest.raises(ShapeError, match="1 generators for a batch of 2"):
        detokenizer.generate(codes(3, 4), **SIZE, generators=sample_generators(0, 1))
    with pytest.raises(ShapeError, match="got latents of shape"):
        detokenizer.generate(codes(3), **SIZE, noise=rand(0, 1, 4, 6, 4))
    with pytest.raises(ConfigError, match="got 0 denoising steps"):
        detokenizer.generate(codes(3), **SIZE, steps=0)
    with pytest.raises(ConfigError, match="got first step 4, expected 0 to 3"):
        detokenizer.generate(codes(3), **SIZE, start=KeyframeStart(latents=rand(0, 1, 4, 4, 6), first_step=4, steps=4))
