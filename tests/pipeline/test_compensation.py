"""Frames without diffusion: a checkpoint's own learned compensation where it has one, else rules, else plain moving."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videolavit.checkpoints import open_checkpoint
from videolavit.checkpoints.components import ModelComponents
from videolavit.checkpoints.model_components import Components
from videolavit.clip import MotionField
from videolavit.detokenizers.video_options import VideoOptions
from videolavit.errors import ConfigError
from videolavit.generation_options import GenerationOptions
from videolavit.pipeline.clip_decoder import ClipDecoder
from videolavit.progress import Progress
from videolavit.shipped import named_model
from videolavit.tiny.learned_compensation import LearnedCompensation, LearnedCompensationConfig

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
MOTION = MotionField(values=np.full((2, 24, 16, 16), 1.0, np.float32), height=128, width=128)


def decoder(network: LearnedCompensation | None, steps: int = 0) -> ClipDecoder:
    modules = {} if network is None else {"video_compensation": network}
    components = Components(ModelComponents(open_checkpoint(named_model("tiny")), modules=modules))
    options = GenerationOptions(num_inference_steps=steps).completed(components.settings)
    return ClipDecoder(components, [options], Progress(None), (128, 128))


def test_without_steps_frames_are_those_of_the_learned_compensation():
    torch.manual_seed(0)
    network = LearnedCompensation(LearnedCompensationConfig(width=8)).eval()
    learned, by_rules = (decoder(one).frames([IMAGE], [MOTION])[0] for one in (network, None))
    motion = torch.from_numpy(MOTION.for_detokenizer(16, 16))[None]
    keyframes = torch.from_numpy(IMAGE.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    expected = (network.compensate(keyframes, motion).frames[0].permute(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(learned - expected.numpy()).max() <= 1
    assert np.array_equal(learned[0], IMAGE)
    assert np.abs(learned.astype(float) - by_rules).mean() > 1


def test_nothing_of_diffusion_is_loaded_for_it():
    without = decoder(None)
    without.frames([IMAGE], [MOTION])
    assert "video_unet" not in without.model.components.loaded


def test_negative_steps_are_refused():
    with pytest.raises(ConfigError, match="num_inference_steps"):
        VideoOptions(num_inference_steps=-1)
