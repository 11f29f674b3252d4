"""What only the tiny preset uses: chosen codes, the prompt as a map, motion compensation and residuals to it."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import EulerDiscreteScheduler

from videolavit.checkpoints.registry import build_component
from videolavit.clip import MotionField
from videolavit.data.collages import render_collage
from videolavit.data.prepare_videos import SHAPES_FRONT_END, video_record
from videolavit.data.shapes import render, sample_scene
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig, pad_code_vectors
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.detokenizers.video_detokenizer import VideoDetokenizer, VideoOptions
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.errors import ConfigError, ShapeError
from videolavit.nn.random import sample_generators
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.tiny.compensation import NUM_HINTS, _as_things, compensate
from videolavit.tiny.displacement import has_ground
from videolavit.tiny.learned_compensation import LearnedCompensation, LearnedCompensationConfig
from videolavit.tiny.map_unet import MapUNet2DConditionModel
from videolavit.tiny.residual import ResidualVideoDetokenizer, video_detokenizer
from videolavit.video.motion.warp import warp


def normalised(x_pixels, y_pixels, frames, size):
    """Uniform motion of a square image, in normalised units."""
    values = np.stack([np.full((frames, 4, 4), speed, np.float32) for speed in (x_pixels, y_pixels)])
    return torch.from_numpy(MotionField(values=values, height=size, width=size).for_detokenizer(4, 4))[None]


def test_choosing_codes_in_training_gives_what_the_decoder_makes_of_the_chosen_ones():
    torch.manual_seed(0)
    config = ConditionDecoderConfig(
        code_dim=4, num_positions=9, width=16, layers=2, heads=2, feature_width=16, prompt_widths=(8,), pooled_width=8
    )
    decoder = ConditionDecoder(config)
    vectors = torch.randn(2, 9, 4)
    keep = torch.tensor([[0, 1, 1, 0, 0, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0, 0, 1, 1]]).bool()
    expected = decoder.features(*pad_code_vectors([rows[kept] for rows, kept in zip(vectors, keep, strict=True)]))
    torch.testing.assert_close(decoder.features_of_choice(vectors, keep.float()), expected, atol=1e-5, rtol=1e-5)


def test_a_map_unet_sees_where_its_prompt_lies_and_comes_back_from_json():
    torch.manual_seed(0)
    unet = MapUNet2DConditionModel(
        map_channels=4, block_out_channels=(16, 32), attention_head_dim=2, cross_attention_dim=16, pooled_width=8
    )
    prompt = torch.randn(1, 16, 16)
    inputs = {"timestep": 5, "added_cond_kwargs": {"text_embeds": torch.zeros(1, 8), "time_ids": torch.zeros(1, 6)}}
    sample = torch.randn(1, 8, 8, 8)
    one = unet(sample, encoder_hidden_states=prompt, **inputs).sample
    other = unet(sample, encoder_hidden_states=prompt.flip(1), **inputs).sample  # cross-attention alone sees no order
    assert one.shape == sample.shape
    assert (one - other).abs().max() > 1e-3
    again = build_component("keyframe_unet", json.loads(unet.to_json_string()))
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in unet.state_dict().items()
    }
    with pytest.raises(ShapeError, match="15 prompt embeddings"):
        unet(sample, encoder_hidden_states=prompt[:, :15], **inputs)


def test_a_finer_map_tells_the_places_within_a_patch_apart():
    torch.manual_seed(0)
    sizes = {"block_out_channels": (16, 32), "attention_head_dim": 2, "cross_attention_dim": 16, "pooled_width": 8}
    coarse = MapUNet2DConditionModel(map_channels=4, **sizes)
    fine = MapUNet2DConditionModel(map_channels=4, map_upscale=2, **sizes)
    weights = coarse.state_dict()
    weights["map_proj.weight"] = weights["map_proj.weight"].repeat_interleave(4, dim=0)  # four places alike
    fine.load_state_dict(weights)
    inputs = {"timestep": 5, "added_cond_kwargs": {"text_embeds": torch.zeros(1, 8), "time_ids": torch.zeros(1, 6)}}
    sample, prompt = torch.randn(1, 8, 8, 8), torch.randn(1, 16, 16)
    expected = coarse(sample, encoder_hidden_states=prompt, **inputs).sample
    torch.testing.assert_close(fine(sample, encoder_hidden_states=prompt, **inputs).sample, expected)
    seen = []
    fine.conv_in.register_forward_pre_hook(lambda _, args: seen.append(args[0][0, 8:]))
    with torch.no_grad():
        fine.map_proj.weight.zero_()
        fine.map_proj.weight[1] = 1.0  # of the first channel: the right upper place of each patch
        fine(sample, encoder_hidden_states=prompt, **inputs)
    assert seen[0][0, 0::2, 1::2].flatten().tolist() == pytest.approx(prompt.sum(-1).flatten().tolist(), abs=1e-5)
    assert seen[0].abs().sum() == pytest.approx(prompt.sum(-1).abs().sum().item(), rel=1e-5)


def test_an_image_at_rest_is_not_changed_and_has_no_hints():
    image = torch.rand(2, 3, 32, 48)
    result = compensate(image, torch.zeros(2, 2, 5, 4, 6))
    # Positions are followed in float32 from frame to frame: four steps were off by 1.1e-5 of the brightness at most.
    torch.testing.assert_close(result.frames, image[:, None].expand(-1, 5, -1, -1, -1), atol=1e-4, rtol=0)
    assert result.hints.shape == (2, 5, NUM_HINTS, 32, 48)
    assert result.hints.abs().max() < 1e-4


def test_an_image_moves_as_its_motion_says():
    image = F.avg_pool2d(torch.rand(1, 3, 68, 68), 5, stride=1)
    result = compensate(image, normalised(2, -1, 4, 64))
    shifted = torch.roll(image, (-3, 6), dims=(2, 3))
    inside = (..., slice(0, 54), slice(10, 64))
    torch.testing.assert_close(result.frames[:, 3][inside], shifted[inside], atol=1e-3, rtol=0)
    torch.testing.assert_close(result.hints[:, 3, 0][inside], torch.full((1, 54, 54), 4 * 6 / 64), atol=1e-3, rtol=0)


def test_only_an_image_that_is_mostly_of_one_hue_has_a_ground():
    shapes = [torch.from_numpy(render(sample_scene(seed))[0]).permute(2, 0, 1) / 255 for seed in range(6)]
    collages = [torch.from_numpy(render_collage(seed, frames=1, size=128)[0]).permute(2, 0, 1) / 255 for seed in (0, 5)]
    assert has_ground(torch.stack([*shapes, *collages])).tolist() == [True] * 6 + [False] * 2


def test_without_a_ground_half_of_every_frame_is_what_the_plain_warp_shows():
    images = render_collage(0, frames=1, size=128)[0], render(sample_scene(0))[0]
    keyframes = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images]).float() / 127.5 - 1
    values = np.stack(
        [np.full((6, 16, 16), 1.5, np.float32), np.linspace(-2, 2, 6 * 256, dtype=np.float32).reshape(6, 16, 16)]
    )
    field = MotionField(values=values, height=128, width=128)
    motion = torch.from_numpy(field.for_detokenizer(16, 16))[None].expand(2, -1, -1, -1, -1)
    things = _as_things(keyframes, motion)
    found = compensate(keyframes, motion)
    assert torch.equal(found.frames[1], things.frames[1])  # one of a batch does not change the other
    torch.testing.assert_close(compensate(keyframes[:1], motion[:1]).frames, found.frames[:1], atol=1e-5, rtol=0)
    rest = (2 * found.frames[0] - things.frames[0] + 1) * 127.5
    warped = torch.from_numpy(warp(images[0], field)).permute(0, 3, 1, 2).float()
    assert (rest - warped).abs().mean() < 1.0  # it rounds to bytes in every frame
    assert (rest - warped)[3].abs().mean() < (things.frames[0, 3] * 127.5 + 127.5 - warped[3]).abs().mean() / 5


def test_compensation_leaves_no_trail_behind_an_object():
    seed = next(seed for seed in range(100) if moves_fast_over_plain_ground(sample_scene(seed)))
    record = video_record(render(sample_scene(seed)), SHAPES_FRONT_END)
    motion = torch.from_numpy(record.motion_of(0).for_detokenizer(16, 16))[None]
    keyframe = torch.from_numpy(record.keyframes[0].transpose(2, 0, 1).copy())[None].float() / 127.5 - 1
    last = compensate(keyframe, motion).frames[0, -1]
    saturated = (last.amax(0) - last.amin(0) > 0.5).sum()
    before = (keyframe[0].amax(0) - keyframe[0].amin(0) > 0.5).sum()
    assert 0.6 < saturated / before < 1.4


def test_compensation_is_exact_under_autocast_too():
    keyframe, _ = red_square_on_grey()
    expected = compensate(keyframe, normalised_over_square(3.0))
    with torch.autocast("cpu", torch.bfloat16):
        found = compensate(keyframe, normalised_over_square(3.0))
    assert torch.equal(found.frames, expected.frames)
    assert torch.equal(found.hints, expected.hints)


def test_an_object_stays_whole_though_its_motion_misses_every_other_cell():
    keyframe, colour = red_square_on_grey()
    motion = normalised_over_square(3.0)
    motion[:, :, :, ::2, ::2] = 0
    last = compensate(keyframe, motion).frames[0, -1]
    found = (last - colour.reshape(3, 1, 1)).abs().amax(0) < 0.2
    assert 0.9 < found.sum() / 32**2 < 1.1
    centre = found.nonzero().float().mean(0)
    assert centre[1] > 32 + 0.8 * 3 * 7
    assert abs(centre[0] - 63.5) < 1


def test_what_an_object_leaves_is_filled_with_the_ground_and_marked_as_uncovered():
    keyframe, _ = red_square_on_grey()
    result = compensate(keyframe, normalised_over_square(3.0))
    uncovered = result.hints[0, -1, 2] > 0.5
    left_behind = (slice(52, 76), slice(17, 34))
    assert uncovered[left_behind].float().mean() > 0.8
    torch.testing.assert_close(result.frames[0, -1][:, *left_behind], torch.zeros(3, 24, 17), atol=0.05, rtol=0)


def test_the_ground_stays_where_it_is_though_motion_reaches_beyond_the_object():
    keyframe, _ = red_square_on_grey()
    stripes = 0.2 * torch.sin(torch.arange(128) / 3).reshape(1, 1, 128, 1)
    keyframe = torch.where(keyframe == 0, stripes, keyframe)
    last = compensate(keyframe, normalised_over_square(3.0, margin=1)).frames[0, -1]
    torch.testing.assert_close(last[:, :40], keyframe[0, :, :40], atol=1e-3, rtol=0)


def red_square_on_grey():
    """32 pixels wide, 16 from the left edge of 128."""
    colour = torch.tensor([0.8, -0.6, -0.6])
    keyframe = torch.zeros(1, 3, 128, 128)
    keyframe[:, :, 48:80, 16:48] = colour.reshape(3, 1, 1)
    return keyframe, colour


def normalised_over_square(x_pixels, frames=8, margin=0):
    """Motion to the right of that square alone, where it is in each frame, and of so many cells around it."""
    values = np.zeros((2, frames, 16, 16), np.float32)
    for frame in range(1, frames):
        first = (16 + x_pixels * frame) / 8
        cols = slice(round(first) - margin, round(first) + 4 + margin)
        values[0, frame, 6 - margin : 10 + margin, cols] = x_pixels
    return torch.from_numpy(MotionField(values=values, height=128, width=128).for_detokenizer(16, 16))[None]


def moves_fast_over_plain_ground(scene):
    [event] = scene.actors[0].events
    return scene.ground.kind == "plain" and event.speed == "quickly" and event.direction == "right"


def small_detokenizer(residual_scale):
    torch.manual_seed(0)
    vae = PatchAutoencoderKL(patch_size=2, block_out_channels=(16, 16), latent_channels=4, layers_per_block=1)
    further = 4 + NUM_HINTS if residual_scale else 0
    unet = VideoUNet(
        in_channels=10 + further,
        down_block_types=("DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"),
        up_block_types=("CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        block_out_channels=(32, 32),
        num_attention_heads=(2, 2),
        layers_per_block=1,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        cross_attention_dim=16,
        num_frames=3,
        motion_grid=(4, 4),
        residual_scale=residual_scale,
    )
    encoder = MotionConditionEncoder(
        MotionConditionEncoderConfig(rows=4, cols=4, width=16, heads=2, depth=1, out_width=16)
    )
    scheduler = EulerDiscreteScheduler(
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=80.0,
        timestep_type="continuous",
    )
    return video_detokenizer(unet, vae, scheduler, encoder, VideoOptions(num_inference_steps=2, max_guidance_scale=2.0))


def test_the_unet_says_which_detokenizer_it_belongs_to():
    assert type(small_detokenizer(0.0)) is VideoDetokenizer
    assert type(small_detokenizer(0.3)) is ResidualVideoDetokenizer


def test_residuals_are_added_to_the_compensated_keyframe():
    tiny, larger = small_detokenizer(1e-6), small_detokenizer(0.5)
    keyframes = torch.rand(2, 3, 16, 24) * 2 - 1
    motion = 0.3 * torch.randn(2, 2, 3, 4, 6)
    base = tiny.base(keyframes, motion).latents
    drawn = [
        detokenizer.sample_latents(keyframes, motion, generators=sample_generators(1, 2))
        for detokenizer in (tiny, larger)
    ]
    torch.testing.assert_close(drawn[0], base, atol=1e-4, rtol=0)
    assert (drawn[1] - base).abs().mean() > 1e-3
    assert tiny.generate(keyframes, motion).shape == (2, 3, 16, 24, 3)


def test_residuals_are_added_to_what_the_model_has_learnt_to_move():
    detokenizer = small_detokenizer(1e-6)
    network = LearnedCompensation(LearnedCompensationConfig(width=8)).eval()
    detokenizer.compensation = network.compensate
    keyframes, motion = torch.rand(2, 3, 16, 32) * 2 - 1, 0.3 * torch.randn(2, 2, 3, 4, 8)
    base = detokenizer.base(keyframes, motion)
    assert torch.equal(base.frames, network.compensate(keyframes, motion).frames)
    assert torch.equal(base.frames[:, 0], keyframes)
    assert (base.frames - compensate(keyframes, motion).frames).abs().mean() > 0.01
    with pytest.raises(ConfigError, match="got 0 denoising steps, expected 1"):
        detokenizer.generate(keyframes, motion, options=VideoOptions(num_inference_steps=0))


def test_a_clip_drawn_by_residuals_does_not_depend_on_its_batch():
    detokenizer = small_detokenizer(0.5)
    keyframes, motion = torch.rand(2, 3, 16, 24) * 2 - 1, 0.3 * torch.randn(2, 2, 3, 4, 6)
    generators = sample_generators(1, 2)
    both = detokenizer.sample_latents(keyframes, motion, generators=generators)
    alone = detokenizer.sample_latents(keyframes[1:], motion[1:], generators=sample_generators(1, 2)[1:])
    torch.testing.assert_close(both[1:], alone, atol=1e-3, rtol=1e-3)
    with pytest.raises(ShapeError, match=r"shape \(1, .* for 2 keyframes"):
        detokenizer.sample_latents(keyframes, motion[:1])
