"""A model in memory whose parts are as small as they may be: for what is done to parts, not for what they draw."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from videolavit.checkpoints.components import ModelComponents
from videolavit.checkpoints.model_components import Components
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.detokenizers.video_unet import VideoUNet
from videolavit.tiny.autoencoder import PatchAutoencoderKL
from videolavit.tiny.map_unet import MapUNet2DConditionModel
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=12, num_visual_codes=24, num_motion_codes=16)


def small_modules() -> dict[str, nn.Module]:
    """The same weights each time."""
    torch.manual_seed(0)
    language = LlamaConfig(
        vocab_size=VOCABULARY.size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    decoder = ConditionDecoderConfig(
        code_dim=4, num_positions=4, width=16, layers=1, heads=2, feature_width=16, prompt_widths=(16,), pooled_width=8
    )
    modules = {
        "language_model": LlamaForCausalLM(language),
        "condition_decoder": ConditionDecoder(decoder),
        "keyframe_unet": MapUNet2DConditionModel(
            in_channels=4,
            map_channels=4,
            block_out_channels=(16, 32),
            attention_head_dim=2,
            cross_attention_dim=16,
            pooled_width=8,
        ),
        "keyframe_vae": small_vae(),
        "motion_encoder": MotionConditionEncoder(
            MotionConditionEncoderConfig(rows=4, cols=4, width=16, heads=2, depth=1, out_width=16)
        ),
        "video_unet": VideoUNet(
            in_channels=10,
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
        ),
        "video_vae": small_vae(),
    }
    return {name: module.eval() for name, module in modules.items()}


def small_vae() -> PatchAutoencoderKL:
    return PatchAutoencoderKL(patch_size=2, block_out_channels=(16, 16), latent_channels=4, layers_per_block=1).eval()


def small_model(device: str = "cpu") -> Components:
    """Without tokenizers."""
    schedulers = {
        "keyframe_scheduler": DDIMScheduler(),
        "video_scheduler": EulerDiscreteScheduler(prediction_type="v_prediction", timestep_type="continuous"),
    }
    parts = ModelComponents(vocabulary=VOCABULARY, modules=small_modules(), schedulers=schedulers, device=device)
    return Components(parts)
