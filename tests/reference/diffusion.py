"""Diffusion parts of the golden files' sizes, with the reference weights."""

from __future__ import annotations

import inspect
from typing import Any

from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)
from torch import nn

from reference.golden import fill, golden
from reference.motion_names import released_condition_name, released_tokenizer_name
from reference.visual_names import CONDITION_DECODER, released_name
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.detokenizers.video_detokenizer import VideoDetokenizer
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig

KEYFRAME_SCHEDULERS = {"DDIM": DDIMScheduler, "EulerAncestral": EulerAncestralDiscreteScheduler}


def golden_video_unet(sizes: dict[str, Any]) -> VideoUNet:
    """A UNet of a golden file's sizes; its other entries are left aside."""
    names = inspect.signature(VideoUNet).parameters
    return VideoUNet(**{key: value for key, value in sizes.items() if key in names}).eval()


def golden_keyframe_detokenizer(name: str = "keyframe_detokenizer_small") -> KeyframeDetokenizer:
    sizes, _ = golden(name)
    scheduler = dict(sizes["scheduler"])
    detokenizer = KeyframeDetokenizer(
        UNet2DConditionModel(**sizes["unet"]),
        AutoencoderKL(**sizes["vae"]),
        KEYFRAME_SCHEDULERS[scheduler.pop("type")](**scheduler),
        ConditionDecoder(_condition_config(sizes["condition"])),
    )
    return _filled(detokenizer)


def golden_video_detokenizer() -> VideoDetokenizer:
    sizes, _ = golden("video_detokenizer_small")
    encoder = sizes["motion_encoder"]
    detokenizer = VideoDetokenizer(
        golden_video_unet(sizes["unet"]),
        AutoencoderKLTemporalDecoder(**sizes["vae"]),
        EulerDiscreteScheduler(**sizes["scheduler"]),
        MotionConditionEncoder(
            MotionConditionEncoderConfig(
                width=encoder["dim"],
                heads=encoder["num_heads"],
                depth=encoder["depth"],
                out_width=encoder["out_channel"],
            )
        ),
    )
    return _filled(detokenizer)


def golden_motion_tokenizer() -> MotionTokenizer:
    """The one whose codes `video_detokenizer_small` starts from."""
    sizes = golden("video_detokenizer_small")[0]["motion"]
    config = MotionTokenizerConfig(
        width=sizes["dim"], heads=sizes["num_heads"], num_codes=sizes["codebook_size"], code_dim=sizes["code_dim"]
    )
    return fill(MotionTokenizer(config), lambda key: f"motion_tokenizer.{released_tokenizer_name(key)}").eval()


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


def _filled(detokenizer: nn.Module) -> Any:
    return fill(detokenizer, _released_name).eval()


def _released_name(key: str) -> str:
    part, _, rest = key.partition(".")
    if part == "condition_decoder":
        return f"tokenizer_decoder.{released_name(rest, CONDITION_DECODER)}"
    if part == "motion_encoder":
        return f"motion_encoder.{released_condition_name(rest)}"
    return key
