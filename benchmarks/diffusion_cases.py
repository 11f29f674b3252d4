"""One guided denoising step of the two UNets beside its plain eager formulation.

Plain is a forward for each branch of guidance, attention as products and a softmax, and for the 3-D UNet a motion
condition that is resized to the feature map before keys and values are made of it, as the reference states it. Both
sides share one set of random weights. The widths are those of the released UNets' two finest levels; all levels at
full resolution would take minutes a step.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from cases import Case
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from visual_cases import plain_attention

from videolavit.detokenizers.condition import Condition, ConditionDecoder, ConditionDecoderConfig
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.detokenizers.video_detokenizer import VideoDetokenizer, VideoOptions
from videolavit.detokenizers.video_unet import VideoUNet

FRAMES = 24
PIXELS_PER_LATENT = 8


def diffusion_cases(*, quick: bool = False) -> list[Case]:
    """All rows of this file; `quick` takes a tenth of the width."""
    torch.manual_seed(0)
    return [video_case(quick=quick), keyframe_case(quick=quick)]


def video_case(*, quick: bool) -> Case:
    widths, heads = ((32, 64), (2, 4)) if quick else ((320, 640), (5, 10))
    condition_width, size = 64 if quick else 1024, (8, 12)
    unet = VideoUNet(
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        block_out_channels=widths,
        layers_per_block=1,
        num_attention_heads=heads,
        cross_attention_dim=condition_width,
        num_frames=FRAMES,
    ).eval()
    encoder = MotionConditionEncoder(
        MotionConditionEncoderConfig(width=64, heads=1, depth=1, out_width=condition_width)
    )
    detokenizer = VideoDetokenizer(unet, AutoencoderKL(), EulerDiscreteScheduler(), encoder)
    motion, keyframe = torch.randn(1, 2, FRAMES, *size), torch.randn(1, 4, *size)
    latents, timestep = torch.randn(1, FRAMES, 4, *size), torch.tensor(0.5)
    return Case(
        name=f"3-D UNet, guided step of {FRAMES} frames",
        ours=partial(detokenizer.predictor(keyframe, motion, VideoOptions()), latents, timestep),
        plain=partial(
            plain_video_step, with_plain_attention(unet), encoder(motion), keyframe, motion, latents, timestep
        ),
    )


def keyframe_case(*, quick: bool) -> Case:
    widths, prompt_width, side = ((32, 64), 64, 16) if quick else ((320, 640), 2048, 32)
    unet = UNet2DConditionModel(
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=widths,
        layers_per_block=2,
        transformer_layers_per_block=(1, 2),
        attention_head_dim=tuple(max(1, width // 64) for width in widths),
        cross_attention_dim=prompt_width,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=1280 + 6 * 256,
    ).eval()
    decoder = ConditionDecoder(ConditionDecoderConfig(width=64, heads=1, layers=1, feature_width=64))
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32,) * 4,
    )
    detokenizer = KeyframeDetokenizer(unet, vae, DDIMScheduler(), decoder)
    condition = Condition(prompt_embeds=torch.randn(1, 256, prompt_width), pooled=torch.randn(1, 1280))
    latents, timestep = torch.randn(1, 4, side, side), torch.tensor(500)
    pixels = PIXELS_PER_LATENT * side
    return Case(
        name=f"keyframe UNet, guided step of {pixels} x {pixels}",
        ours=partial(detokenizer.predictor(condition, height=pixels, width=pixels, guidance=3.0), latents, timestep),
        plain=partial(plain_keyframe_step, with_plain_attention(unet), condition, pixels, latents, timestep),
    )


def plain_video_step(
    unet: VideoUNet, condition: Tensor, keyframe: Tensor, motion: Tensor, latents: Tensor, timestep: Tensor
) -> Tensor:
    fixed = torch.cat([keyframe[:, None].expand(-1, FRAMES, -1, -1, -1), motion.transpose(1, 2)], dim=2)
    time_ids = torch.tensor([[6, 127, 0.02]])
    positive, negative = (
        unet(torch.cat([latents, share * fixed], dim=2), timestep, share * condition, time_ids).sample
        for share in (1, 0)
    )
    return negative + torch.linspace(1, 4, FRAMES)[:, None, None, None] * (positive - negative)


def plain_keyframe_step(
    unet: UNet2DConditionModel, condition: Condition, pixels: int, latents: Tensor, timestep: Tensor
) -> Tensor:
    time_ids = torch.tensor([[pixels, pixels, 0, 0, pixels, pixels]], dtype=torch.float32)
    positive, negative = (
        unet(
            latents,
            timestep,
            share * condition.prompt_embeds,
            added_cond_kwargs={"text_embeds": share * condition.pooled, "time_ids": time_ids},
        ).sample
        for share in (1, 0)
    )
    return negative + 3 * (positive - negative)


class PlainAttention:
    """diffusers' attention processor in plain products; of cells it makes a context for each position first."""

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Any = None, **_: Any) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if not isinstance(context, Tensor):
            context = context.vectors[:, context.cell_of_position].flatten(0, 1)
        queries, keys, values = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        return attn.to_out[0](plain_attention(queries, keys, values).transpose(1, 2).flatten(2))


def with_plain_attention(unet: Any) -> Any:
    """The same UNet on the same weights."""
    plain = type(unet)(**unet.config).eval()
    plain.load_state_dict(unet.state_dict(), assign=True)
    plain.set_attn_processor(PlainAttention())
    return plain
