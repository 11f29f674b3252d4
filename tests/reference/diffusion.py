"""Small diffusion parts as the golden files describe them, with reference or with random weights."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    UNet2DConditionModel,
)

from reference.golden import fill, golden
from reference.visual_names import CONDITION_DECODER, released_name
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig
from videolavit.detokenizers.keyframe import KeyframeDetokenizer
from videolavit.detokenizers.video_unet import VideoUNet

SCHEDULERS = {"DDIM": DDIMScheduler, "EulerAncestral": EulerAncestralDiscreteScheduler}


def golden_keyframe_detokenizer(name: str) -> KeyframeDetokenizer:
    """The keyframe detokenizer of a golden file, with the reference weights."""
    sizes, _ = golden(name)
    scheduler = dict(sizes["scheduler"])
    detokenizer = KeyframeDetokenizer(
        UNet2DConditionModel(**sizes["unet"]),
        AutoencoderKL(**sizes["vae"]),
        SCHEDULERS[scheduler.pop("type")](**scheduler),
        ConditionDecoder(_condition_config(sizes["condition"])),
    )
    return fill(detokenizer, _released_name).eval()


def golden_video_unet(sizes: dict[str, Any]) -> VideoUNet:
    return VideoUNet(**{key: value for key, value in sizes.items() if key in VideoUNet().config})


def _condition_config(sizes: dict[str, Any]) -> ConditionDecoderConfig:
    return ConditionDecoderConfig(
        code_dim=sizes["in_chans"],
        num_positions=(sizes["image_size"] // sizes["patch_size"]) ** 2,
        width=sizes["embed_dim"],
        layers=sizes["depth"],
        heads=sizes["num_heads"],
        mlp_ratio=sizes["mlp_ratio"],
        feature_width=sizes["decoder_out_dim"],
    )


def _released_name(key: str) -> str:
    part, _, rest = key.partition(".")
    return f"tokenizer_decoder.{released_name(rest, CONDITION_DECODER)}" if part == "condition_decoder" else key
