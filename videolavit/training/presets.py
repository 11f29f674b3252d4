"""Presets: every stage as it is trained for the tiny model, and as the paper trains it. Two values of the same classes.

`tiny` makes a model for the shapes world on two CPU cores in hours; its measured choices are explained in
docs/training.md. `paper` is the defaults of every class, which are the released sizes and the paper's numbers.
Stages stand in an order in which they can be run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.detokenizers.condition import ConditionDecoderConfig
from videolavit.detokenizers.motion_condition import MotionConditionEncoderConfig
from videolavit.detokenizers.video_options import VideoOptions
from videolavit.errors import ConfigError
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.plugins import STAGES, load_plugin, plugins
from videolavit.settings import ModelSettings
from videolavit.tokenizers.codebook import CodebookConfig
from videolavit.tokenizers.motion_tokenizer import MotionTokenizerConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformerConfig
from videolavit.training.language_data import Shares
from videolavit.training.language_loss import LanguageModelSizes
from videolavit.training.sequences import LossWeights
from videolavit.training.stages.autoencoder import AutoencoderStage
from videolavit.training.stages.base import Stage
from videolavit.training.stages.condition_decoder import ConditionDecoderStage
from videolavit.training.stages.instruction_tuning import InstructionTuningStage
from videolavit.training.stages.keyframe_detokenizer import KeyframeDetokenizerStage, KeyframeUNetConfig
from videolavit.training.stages.learned_compensation import LearnedCompensationStage
from videolavit.training.stages.motion_tokenizer import MotionTokenizerStage
from videolavit.training.stages.pretraining import PretrainingStage
from videolavit.training.stages.thing_appearance import ThingAppearanceStage
from videolavit.training.stages.video_detokenizer import VideoDetokenizerStage, VideoUNetConfig
from videolavit.training.stages.vision_encoder import VisionEncoderStage
from videolavit.training.stages.visual_tokenizer import VisualTokenizerStage
from videolavit.training.training_options import TrainingOptions

__all__ = [
    "PAPER",
    "PRESETS",
    "SETTINGS",
    "THINGS",
    "THINGS_SETTINGS",
    "TINY",
    "TINY_SETTINGS",
    "stage_names",
    "stage_of",
]

_TINY_LANGUAGE = LanguageModelSizes(width=256, mlp_width=704, layers=6, heads=4, context_length=768, tied=True)
# Captions are given, special tokens forced, and a question has two or three ids of answer beside a hundred of video.
_TINY_WEIGHTS = LossWeights(special_token=0.0, caption=0.25, keyframe=3.0, motion=1.0, answer=4.0)

_TINY_VISUAL = VisualTokenizerConfig(
    vit=VisionTransformerConfig(
        image_size=128, patch_size=16, width=192, layers=6, heads=6, mlp_ratio=3.0, unused_head_width=None
    ),
    merger_layers=3,
    merger_heads=6,
    merger_mlp_ratio=3.0,
    num_codes=2048,  # 64 places, some 32 contents for each
    code_dim=16,
    language_width=_TINY_LANGUAGE.width,
)
_TINY_DECODER = ConditionDecoderConfig(
    code_dim=_TINY_VISUAL.code_dim,
    num_positions=_TINY_VISUAL.vit.num_patches,
    width=192,
    layers=3,
    heads=6,
    mlp_ratio=3.0,
    feature_width=_TINY_VISUAL.vit.width,
    prompt_widths=(192,),
    pooled_width=192,
)
_TINY_MOTION = MotionTokenizerConfig(
    rows=16,
    cols=16,
    patch=(2, 4, 4),
    strides=((2, 1, 1), (2, 1, 1)),
    blocks=(2, 2),
    width=128,
    heads=4,
    num_codes=1024,
    code_dim=16,
)

TINY: dict[str, Any] = {
    "autoencoder": AutoencoderStage(),
    "motion_tokenizer": MotionTokenizerStage(
        model=_TINY_MOTION,
        codebook=CodebookConfig(warm_up_steps=600, decay=0.99),
        training=TrainingOptions(steps=4000, batch_size=32, learning_rate=1.5e-3, warmup_steps=200, ema_decay=0.998),
    ),
    "motion_decoder": MotionTokenizerStage(
        name="motion_decoder",
        model=_TINY_MOTION,
        keep_ids_of="tiny",
        training=TrainingOptions(steps=2400, batch_size=32, learning_rate=8e-4, warmup_steps=50, ema_decay=0.995),
    ),
    "vision_encoder": VisionEncoderStage(
        model=_TINY_VISUAL.vit,
        training=TrainingOptions(
            steps=3000, batch_size=32, learning_rate=1e-3, warmup_steps=300, weight_decay=0.05, ema_decay=0.998
        ),
    ),
    "visual_tokenizer": VisualTokenizerStage(
        model=_TINY_VISUAL,
        decoder=_TINY_DECODER,
        codebook=CodebookConfig(warm_up_steps=1500, decay=0.99),
        shares=(16, 1),
        own_patch_weight=0.3,
        selection="novelty",
        keep_weight=8.0,
        random_choice_steps=1000,
        training=TrainingOptions(
            steps=4000, batch_size=32, learning_rate=1e-3, warmup_steps=200, weight_decay=0.01, ema_decay=0.998
        ),
    ),
    "keyframe_detokenizer": KeyframeDetokenizerStage(
        visual=_TINY_VISUAL,
        decoder=_TINY_DECODER,
        unet=KeyframeUNetConfig(
            block_out_channels=(64, 128),
            layers_per_block=1,
            transformer_layers_per_block=(1, 1),
            heads=(4, 4),
            addition_time_embed_dim=32,
            norm_num_groups=16,
            map_channels=64,
        ),
        prediction="v_prediction",
        timestep_spacing="trailing",
        height=128,
        width=128,
        num_inference_steps=10,
        training=TrainingOptions(
            steps=6000, batch_size=32, learning_rate=1e-3, warmup_steps=200, weight_decay=0.01, ema_decay=0.998
        ),
    ),
    "video_detokenizer": VideoDetokenizerStage(
        motion=_TINY_MOTION,
        motion_encoder=MotionConditionEncoderConfig(rows=8, cols=8, width=96, heads=4, depth=2, out_width=128),
        unet=VideoUNetConfig(
            block_out_channels=(64, 96, 96),
            attention=(False, False, True),
            layers_per_block=1,
            heads=(2, 3, 3),
            addition_time_embed_dim=32,
            residual_scale=0.23,
        ),
        options=VideoOptions(num_inference_steps=2, max_guidance_scale=1.0),
        height=128,
        width=128,
        sigma_range=(0.02, 30.0),
        training=TrainingOptions(
            steps=8000, batch_size=4, learning_rate=6e-4, warmup_steps=200, weight_decay=0.01, ema_decay=0.998
        ),
    ),
    "pretraining": PretrainingStage(
        model=_TINY_LANGUAGE,
        shares=Shares(
            generate_image=4, generate_video=6, describe_image=1, describe_video=2, answer_image=2, answer_video=6
        ),
        weights=_TINY_WEIGHTS,
        described_as_ids=1.0,  # drafts are compared by what describes them
        row_length=512,
        training=TrainingOptions(
            steps=12_000,
            batch_size=32,
            learning_rate=1e-3,
            warmup_steps=300,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            ema_decay=0.998,
        ),
    ),
    "instruction_tuning": InstructionTuningStage(
        model=_TINY_LANGUAGE,
        # Drawing stays in the mixture, so that one language model both draws and answers.
        shares=Shares(generate_image=1, generate_video=3, answer_image=2, answer_video=4),
        weights=_TINY_WEIGHTS,
        row_length=512,
        training=TrainingOptions(
            steps=3000,
            batch_size=32,
            learning_rate=3e-4,
            warmup_steps=100,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            ema_decay=0.998,
        ),
    ),
}

# Sampled, not greedy: the likeliest motion of a small model is that nothing moves.
_TINY_SAMPLING = Sampling(
    keyframe=SamplingOptions(temperature=0.8, guidance=2.0), motion=SamplingOptions(temperature=0.7, guidance=2.0)
)

TINY_SETTINGS = ModelSettings(
    video_processor=SHAPES_FRONT_END,
    max_clips=4,
    min_keyframe_ids=1,
    sampling=_TINY_SAMPLING,
    sampling_after_image=_TINY_SAMPLING,
    keyframe_num_inference_steps=5,
    keyframe_guidance_scale=1.5,
    frames=TINY["video_detokenizer"].options,
)
"""Settings of the tiny model; the paper's model is used as the release, by the defaults."""

PAPER: dict[str, Any] = {
    "motion_tokenizer": MotionTokenizerStage(),
    "visual_tokenizer": VisualTokenizerStage(),
    "keyframe_detokenizer": KeyframeDetokenizerStage(),
    "video_detokenizer": VideoDetokenizerStage(),
    "pretraining": PretrainingStage(),
    "instruction_tuning": InstructionTuningStage(),
}


def _in_company(stage: Any) -> Any:
    """A language stage with Muon, and four questions to a video."""
    return replace(stage, questions_together=4, training=replace(stage.training, optimiser="muon"))


# Photographs are more than a shape on a plain ground: twice as many codes for an image, of twice as many, and more
# layers to read them.
_THINGS_VISUAL = replace(_TINY_VISUAL, num_codes=4096)
_THINGS_DECODER = replace(_TINY_DECODER, layers=5)
_OBJECT_WEIGHT = 4.0
"""Grounds take most of an image, and the error of things stays twice as large as that of the whole."""

THINGS: dict[str, Any] = {
    **{name: TINY[name] for name in ("autoencoder", "motion_tokenizer", "motion_decoder", "vision_encoder")},
    "visual_tokenizer": replace(TINY["visual_tokenizer"], model=_THINGS_VISUAL, decoder=_THINGS_DECODER, keep_rate=0.5),
    "condition_decoder": ConditionDecoderStage(
        visual=_THINGS_VISUAL,
        decoder=_THINGS_DECODER,
        trains_codes=True,
        codebook=CodebookConfig(warm_up_steps=30, decay=0.99, revive_every=50, dead_below=0.05),
        height=128,
        width=128,
        object_weight=_OBJECT_WEIGHT,
        training=TrainingOptions(
            steps=5000, batch_size=64, learning_rate=1.5e-3, warmup_steps=50, weight_decay=0.02, optimiser="muon"
        ),
    ),
    "keyframe_detokenizer": replace(
        TINY["keyframe_detokenizer"],
        visual=_THINGS_VISUAL,
        decoder=_THINGS_DECODER,
        object_weight=_OBJECT_WEIGHT,
        unet=replace(TINY["keyframe_detokenizer"].unet, map_upscale=2),
        training=replace(TINY["keyframe_detokenizer"].training, steps=10_000, optimiser="muon"),
    ),
    "video_detokenizer": TINY["video_detokenizer"],
    "learned_compensation": LearnedCompensationStage(motion=_TINY_MOTION),
    "thing_appearance": ThingAppearanceStage(),
    "pretraining": _in_company(TINY["pretraining"]),
    "instruction_tuning": _in_company(TINY["instruction_tuning"]),
}
"""The tiny model for the world of things, shapes and photographs: the same sizes but for the codes of images, what
decodes them, and a finer map for the keyframe UNet. Codes and condition decoder learn from latents before that UNet
does, by Muon as the UNet and the language model do; motion compensation is learnt, and several questions about a video
are trained on at once."""

_THINGS_SAMPLING = replace(
    _TINY_SAMPLING,
    keyframe=SamplingOptions(temperature=0.25, guidance=2.0),
    motion=SamplingOptions(temperature=0.1, guidance=2.0),
)

THINGS_SETTINGS = replace(
    TINY_SETTINGS,
    sampling=_THINGS_SAMPLING,
    sampling_after_image=_THINGS_SAMPLING,
    candidates=4,
    keyframe_num_inference_steps=1,
    keyframe_guidance_scale=1.0,
    frames=replace(TINY_SETTINGS.frames, num_inference_steps=0),
)
"""Settings of models of things: likelier ids, which fit together, of one draft, since the model cannot tell which of
several is best, keyframes in the one step that their UNet is trained for last, and frames of learned compensation."""

PRESETS = {"tiny": TINY, "things": THINGS, "paper": PAPER}
SETTINGS = {"tiny": TINY_SETTINGS, "things": THINGS_SETTINGS}


def stage_names(preset: str) -> list[str]:
    """Names of the stages of a preset, then of those of other packages, of which nothing is imported for that."""
    return list(dict.fromkeys([*PRESETS[preset], *plugins(STAGES)]))


def stage_of(preset: str, name: str) -> Stage[Any]:
    """A stage with the values of a preset, or one of another package with the defaults of its class.

    Raises:
        ConfigError: another package's stage cannot be imported or made, or is none.
        KeyError: `stage_names` has no such name.
    """
    if name in PRESETS[preset]:
        return PRESETS[preset][name]
    return _made(load_plugin(plugins(STAGES)[name], "stage"), name)


def _made(kind: Any, name: str) -> Stage[Any]:
    if not (isinstance(kind, type) and issubclass(kind, Stage)):
        raise ConfigError(f"the stage {name}: got {kind!r}, expected a class derived from Stage")
    try:
        return kind()
    except TypeError as error:
        raise ConfigError(f"the stage {name}: {kind.__name__}() fails: {error}; give its fields defaults") from error
