"""Frames from a keyframe and its motion: the reference's numbers, guidance, batches, decoding, bad input."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL
from reference.diffusion import golden_motion_tokenizer, golden_video_detokenizer
from reference.golden import assert_close, fill, golden, rand

from videolavit.config import from_dict, to_dict
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.detokenizers.video_detokenizer import VideoDetokenizer, VideoNoise, VideoOptions
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.random import sample_generators

SHORT = VideoOptions(num_inference_steps=2)


@pytest.fixture(scope="module")
def detokenizer() -> VideoDetokenizer:
    return golden_video_detokenizer()


def inputs(batch: int, frames: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Keyframes of 32 x 48 pixels, motion at their latents' size."""
    return rand(1, batch, 3, 32, 48).clamp(-1, 1), 0.3 * rand(2, batch, 2, frames, 4, 6)


@torch.no_grad()
def test_numbers_of_the_reference_implementation(detokenizer: VideoDetokenizer):
    sizes, expected = golden("video_detokenizer_small")
    codes = torch.randint(0, 64, (1, 135), generator=torch.Generator().manual_seed(71))
    motion = golden_motion_tokenizer().condition(codes, 8, 12)
    options = VideoOptions(
        num_inference_steps=sizes["num_inference_steps"],
        min_guidance_scale=sizes["min_guidance_scale"],
        max_guidance_scale=sizes["max_guidance_scale"],
        fps=float(sizes["fps"]),
        motion_bucket_id=float(sizes["motion_bucket_id"]),
        noise_aug_strength=sizes["noise_aug_strength"],
        decode_chunk_size=sizes["decode_chunk_size"],
    )
    noise = VideoNoise(images=rand(72, 1, 3, 64, 96), latents=rand(73, 1, 24, 4, 8, 12))
    image = rand(70, 1, 3, 64, 96).clamp(-1, 1)
    latents = detokenizer.sample_latents(image, motion, options=options, noise=noise)
    assert_close(latents[:, ::3], expected["latents"])
    assert_close(detokenizer.decode(latents)[:, :, ::6, ::4, ::4], expected["frames"])
    assert options == replace(VideoOptions(), num_inference_steps=5)  # the defaults are the reference's


@torch.no_grad()
def test_both_branches_in_one_forward_are_two_forwards_with_a_ramp_over_the_frames(detokenizer: VideoDetokenizer):
    keyframe_latents, latents, timestep = rand(3, 2, 4, 4, 6), rand(4, 2, 5, 4, 4, 6), torch.tensor(0.7)
    _, motion = inputs(2)
    prediction = detokenizer.predictor(keyframe_latents, motion, SHORT)(latents, timestep)

    time_ids = torch.tensor([[6, 127, 0.02]] * 2)
    keyframes = keyframe_latents[:, None].expand(-1, 5, -1, -1, -1)
    fixed = torch.cat([keyframes, motion.permute(0, 2, 1, 3, 4)], dim=2)
    condition = detokenizer.motion_encoder(motion)
    positive, negative = (
        detokenizer.unet(torch.cat([latents, share * fixed], dim=2), timestep, share * condition, time_ids).sample
        for share in (1, 0)
    )
    ramp = torch.tensor([1.0, 1.75, 2.5, 3.25, 4.0])[None, :, None, None, None]
    assert_close(prediction, negative + ramp * (positive - negative), 1e-5)


def test_the_unet_is_told_rate_bucket_and_noise_in_this_order_in_both_branches(detokenizer: VideoDetokenizer):
    told = []
    hook = detokenizer.unet.add_time_proj.register_forward_pre_hook(lambda _, told_now: told.append(told_now[0]))
    try:
        keyframes, motion = inputs(1)
        options = replace(SHORT, fps=9.0, motion_bucket_id=64.0, noise_aug_strength=0.125)
        detokenizer.sample_latents(keyframes, motion, options=options)
    finally:
        hook.remove()
    assert len(told) == 2
    assert told[0].tolist() == [9, 64, 0.125] * 2


def test_without_guidance_there_is_no_negative_branch(detokenizer: VideoDetokenizer):
    batches = []
    hook = detokenizer.unet.conv_in.register_forward_pre_hook(lambda _, now: batches.append(len(now[0])))
    try:
        keyframes, motion = inputs(1)
        detokenizer.sample_latents(keyframes, motion, options=replace(SHORT, max_guidance_scale=1.0))
    finally:
        hook.remove()
    assert batches == [5, 5]


def test_a_batch_of_two_is_two_singles(detokenizer: VideoDetokenizer):
    """With six steps: two of them go from sigma 700 to 0.002 at once, where float32 leaves 4e-5 of a latent."""
    keyframes, motion = inputs(2)
    options = VideoOptions(num_inference_steps=6)
    both = detokenizer.sample_latents(keyframes, motion, options=options, generators=sample_generators(5, 2))
    for i in range(2):
        single = detokenizer.sample_latents(
            keyframes[i : i + 1], motion[i : i + 1], options=options, generators=sample_generators(5, 1, first=i)
        )
        assert_close(both[i : i + 1], single, 1e-5)


def test_noise_is_drawn_for_the_image_first_and_then_for_the_latents(detokenizer: VideoDetokenizer):
    keyframes, motion = inputs(1)
    drawn = detokenizer.sample_latents(keyframes, motion, options=SHORT, generators=sample_generators(5, 1))
    generator = sample_generators(5, 1)[0]
    noise = VideoNoise(
        images=torch.randn(1, 3, 32, 48, generator=generator), latents=torch.randn(1, 5, 4, 4, 6, generator=generator)
    )
    assert torch.equal(drawn, detokenizer.sample_latents(keyframes, motion, options=SHORT, noise=noise))


def test_a_run_leaves_no_trace_in_the_next(detokenizer: VideoDetokenizer):
    keyframes, motion = inputs(1)
    timesteps = detokenizer.scheduler.timesteps.clone()
    runs = [
        detokenizer.sample_latents(keyframes, motion, options=options, generators=sample_generators(5, 1))
        for options in (SHORT, replace(SHORT, num_inference_steps=3), SHORT)
    ]
    assert torch.equal(runs[0], runs[2])
    assert torch.equal(detokenizer.scheduler.timesteps, timesteps)


def test_keyframes_may_be_bytes_and_motion_of_any_size(detokenizer: VideoDetokenizer):
    pixels = torch.randint(0, 256, (1, 32, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    signed = (pixels.permute(0, 3, 1, 2).float() / 255 * 2 - 1).clamp(-1, 1)
    _, motion = inputs(1)
    frames = [
        detokenizer.generate(keyframes, motion, options=SHORT, generators=sample_generators(1, 1))
        for keyframes in (pixels, pixels.numpy(), signed)
    ]
    assert frames[0].shape == (1, 5, 32, 48, 3)
    assert frames[0].dtype == torch.uint8
    assert torch.equal(frames[0], frames[1])
    assert (frames[0].int() - frames[2].int()).abs().max() <= 1
    large = 0.2 * torch.ones(1, 2, 5, 20, 36)
    detokenizer_sees = [
        detokenizer.sample_latents(pixels, motion, options=SHORT, generators=sample_generators(1, 1))
        for motion in (large, large[..., :4, :6])
    ]
    assert_close(*detokenizer_sees, 1e-4)  # resizing a constant field leaves it what it is, up to rounding


def test_latents_whose_sides_the_unet_does_not_halve_evenly_are_handled(detokenizer: VideoDetokenizer):
    frames = detokenizer.generate(rand(1, 1, 3, 40, 56).clamp(-1, 1), 0.3 * rand(2, 1, 2, 3, 5, 7), options=SHORT)
    assert frames.shape == (1, 3, 40, 56, 3)


def test_progress_is_reported_after_each_step(detokenizer: VideoDetokenizer):
    steps = []
    keyframes, motion = inputs(1)
    latents = detokenizer.sample_latents(
        keyframes, motion, options=replace(SHORT, num_inference_steps=3), on_step=lambda *step: steps.append(step)
    )
    assert [(done, total) for done, total, *_ in steps] == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(steps[-1][2], latents)


@torch.no_grad()
def test_frames_are_decoded_in_chunks_of_one_clip(detokenizer: VideoDetokenizer):
    latents = rand(6, 2, 5, 4, 4, 6)
    scaled = latents / detokenizer.vae.config["scaling_factor"]
    whole = torch.stack([detokenizer.vae.decode(clip, num_frames=5).sample for clip in scaled])
    assert_close(detokenizer.decode(latents, 5), whole.transpose(1, 2), 1e-5)
    assert torch.equal(detokenizer.decode(latents, 5), detokenizer.decode(latents, 8))
    parts = [
        torch.cat([detokenizer.vae.decode(part, num_frames=len(part)).sample for part in clip.split(2)])
        for clip in scaled
    ]
    assert_close(detokenizer.decode(latents, 2), torch.stack(parts).transpose(1, 2), 1e-5)


@torch.no_grad()
def test_a_vae_without_time_decodes_the_same_in_any_chunks(detokenizer: VideoDetokenizer):
    sizes = {
        key: value for key, value in golden("keyframe_detokenizer_small")[0]["vae"].items() if key != "sample_size"
    }
    vae = fill(AutoencoderKL(**sizes)).eval()
    plain = VideoDetokenizer(detokenizer.unet, vae, detokenizer.scheduler, detokenizer.motion_encoder)
    latents = rand(6, 2, 5, 4, 4, 6)
    assert_close(plain.decode(latents, 2), plain.decode(latents, 5), 1e-5)
    clips = plain.frames(latents, 2)
    assert clips.shape == (2, 5, 32, 48, 3)
    pixels = ((plain.decode(latents, 5) + 1) * 127.5).clamp(0, 255).round().permute(0, 2, 3, 4, 1)
    assert (clips.int() - pixels.int()).abs().max() <= 1


def test_half_precision_networks_keep_latents_in_full_precision(detokenizer: VideoDetokenizer):
    half = copy.deepcopy(detokenizer)
    half.unet.bfloat16(), half.motion_encoder.bfloat16(), half.vae.bfloat16()
    before = {key: value.clone() for key, value in half.vae.state_dict().items()}
    keyframes, motion = inputs(1)
    noise = {"options": SHORT, "generators": sample_generators(5, 1)}
    latents = half.sample_latents(keyframes, motion, **noise)
    assert latents.dtype == torch.float32
    full = detokenizer.sample_latents(keyframes, motion, **noise | {"generators": sample_generators(5, 1)})
    assert_close(latents, full, 0.1)  # measured: 0.048
    assert half.frames(latents).shape == (1, 5, 32, 48, 3)
    after = half.vae.state_dict()
    assert all(torch.equal(after[key], value) and after[key].dtype == torch.bfloat16 for key, value in before.items())


def test_errors_say_what_is_wrong(detokenizer: VideoDetokenizer):
    keyframes, motion = inputs(2)
    with pytest.raises(ShapeError, match=r"\(1, 2, 5, 4, 6\) for 2 keyframes"):
        detokenizer.generate(keyframes, motion[:1])
    with pytest.raises(ShapeError, match="36 x 48, expected multiples of 8, such as 32 x 48"):
        detokenizer.generate(torch.zeros(2, 3, 36, 48), motion)
    with pytest.raises(ShapeError, match=r"float images from .* to 255, expected -1 to 1"):
        detokenizer.generate(torch.full((2, 3, 32, 48), 255.0), motion)
    with pytest.raises(ShapeError, match="expected uint8"):
        detokenizer.generate(keyframes.permute(0, 2, 3, 1), motion)
    with pytest.raises(ShapeError, match="1 generators for a batch of 2"):
        detokenizer.generate(keyframes, motion, generators=sample_generators(0, 1))
    with pytest.raises(ShapeError, match="got noise of the shapes"):
        detokenizer.generate(keyframes, motion, noise=VideoNoise(keyframes, rand(0, 2, 4, 4, 4, 6)))
    with pytest.raises(ConfigError, match="got 1001 denoising steps, expected 1 to 1000"):
        detokenizer.generate(keyframes, motion, options=VideoOptions(num_inference_steps=1001))
    with pytest.raises(ConfigError, match="got 0 denoising steps, expected 1 to 1000"):
        detokenizer.generate(keyframes, motion, options=VideoOptions(num_inference_steps=0))
    with pytest.raises(ConfigError, match="steps"):
        VideoOptions(num_inference_steps=-1)
    other_grid = MotionConditionEncoder(MotionConditionEncoderConfig(rows=8, cols=8, width=8, heads=1, depth=1))
    with pytest.raises(ConfigError, match="motion_grid"):
        VideoDetokenizer(detokenizer.unet, detokenizer.vae, detokenizer.scheduler, other_grid)


def test_options_survive_json():
    options = VideoOptions(num_inference_steps=7, max_guidance_scale=2.5)
    assert from_dict(VideoOptions, to_dict(options)) == options
