"""Names of earlier versions, as files and command lines still have them."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from videolavit.commands.train import Config, _stage
from videolavit.errors import CheckpointError
from videolavit.old_names import current_flags, current_names, current_run
from videolavit.training.checkpoint import _check_run, _read_note
from videolavit.training.loop import _flat
from videolavit.training.stages.base import Stage
from videolavit.training.stages.learned_compensation import LearnedCompensationStage
from videolavit.training.stages.motion_tokenizer import MotionTokenizerStage
from videolavit.training.stages.video_detokenizer import VideoDetokenizerStage


def test_settings_and_options_of_results_are_read_by_their_old_names():
    old = {"front_end": {"height": 128}, "steps": 3, "released": True, "choice": "argmax", "seed": 1}
    assert current_names(old) == {
        "video_processor": {"height": 128},
        "num_inference_steps": 3,
        "constrained": False,
        "patch_selection": "likeliest",
        "seed": 1,
    }


def test_a_checkpoint_of_a_run_keeps_its_options_under_old_names(tmp_path):
    old = {"shares.draw_video": "2", "weights.mark": "0.0", "draw_steps": "10", "shares.words": "1", "seed": "0"}
    (tmp_path / "run.json").write_text(json.dumps({"step": 7, "options": old, "files": {}}))
    note = _read_note(tmp_path)
    assert note["options"] == current_run(old)
    assert note["options"] == {
        "shares.generate_video": "2",
        "weights.special_token": "0.0",
        "num_inference_steps": "10",
        "shares.words": "1",
        "seed": "0",
    }


@pytest.mark.parametrize(
    ("stage", "added"),
    [
        (MotionTokenizerStage(), {"layers", "model.layers"}),
        (VideoDetokenizerStage(), {"motion.layers"}),
        (LearnedCompensationStage(), {"motion.layers"}),
    ],
    ids=lambda value: value.name if isinstance(value, Stage) else "",
)
def test_a_run_from_before_motion_had_layers_of_codes_goes_on(tmp_path, stage, added):
    now = {key: text for one in fields(stage) for key, text in _flat(one.name, getattr(stage, one.name)).items()}
    assert added <= now.keys()
    before = {name: text for name, text in now.items() if name not in added}
    _check_run(tmp_path, before, now)
    with pytest.raises(CheckpointError, match="layers: 1 -> 3"):
        _check_run(tmp_path, before, now | dict.fromkeys(added, "3"))


def test_a_command_line_of_training_is_understood_by_old_names():
    line = ["--shares.draw-video", "5", "--shares.draw-image=2", "--weights.mark", "0.5", "--data", "draw-video"]
    assert current_flags(line) == [
        *("--shares.generate-video", "5", "--shares.generate-image=2", "--weights.special-token", "0.5"),
        *("--data", "draw-video"),
    ]
    stage = _stage(Config(stage="pretraining", options=("--shares.draw-video", "5", "--weights.mark", "0.5")))
    assert (stage.shares.generate_video, stage.weights.special_token) == (5, 0.5)
