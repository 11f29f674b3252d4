"""Names of earlier versions, as files and command lines still have them."""

from __future__ import annotations

import json

from videolavit.commands.train import Config, _stage
from videolavit.old_names import current_flags, current_names, current_run
from videolavit.training.checkpoint import _read_note


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


def test_a_command_line_of_training_is_understood_by_old_names():
    line = ["--shares.draw-video", "5", "--shares.draw-image=2", "--weights.mark", "0.5", "--data", "draw-video"]
    assert current_flags(line) == [
        *("--shares.generate-video", "5", "--shares.generate-image=2", "--weights.special-token", "0.5"),
        *("--data", "draw-video"),
    ]
    stage = _stage(Config(stage="pretraining", options=("--shares.draw-video", "5", "--weights.mark", "0.5")))
    assert (stage.shares.generate_video, stage.weights.special_token) == (5, 0.5)
