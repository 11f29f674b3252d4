import json
from pathlib import Path

import jaxtyping
import pytest
import torch
from reference.golden import assert_close, fill, golden, rand
from reference.motion_names import CONDITION_NAMES, native_name, released_condition_name

from videolavit.config import from_dict, to_dict
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.errors import ConfigError, ShapeError

TINY = MotionConditionEncoderConfig(rows=3, cols=4, width=8, heads=2, depth=2, out_width=6)


def tiny() -> MotionConditionEncoder:
    torch.manual_seed(0)
    return MotionConditionEncoder(TINY)


def test_numbers_of_the_reference_implementation():
    sizes, expected = golden("motion_condition_small")
    config = MotionConditionEncoderConfig(
        width=sizes["dim"], heads=sizes["num_heads"], depth=sizes["depth"], out_width=sizes["out_channel"]
    )
    encoder = fill(MotionConditionEncoder(config), released_condition_name)
    with torch.inference_mode():
        assert_close(encoder(rand(30, 1, 2, 24, 16, 16))[:, ::3, ::4], expected["hidden"])


def test_released_size_has_the_released_keys_and_shapes():
    path = Path(__file__).parent.parent / "reference" / "layout.json"
    layout = json.loads(path.read_text())["video_detokenizer.motion_encoder"]
    with torch.device("meta"):
        state = MotionConditionEncoder(MotionConditionEncoderConfig()).state_dict()
    assert {released_condition_name(key): list(value.shape) for key, value in state.items()} == layout
    assert {native_name(key, CONDITION_NAMES) for key in layout} == set(state)


def test_motion_of_any_size_gives_one_vector_per_cell_of_its_grid():
    encoder = tiny()
    for rows, cols in [(3, 4), (9, 16), (1, 1)]:
        assert encoder(rand(1, 2, 2, 5, rows, cols)).shape == (2, 5, 12, 6)


def test_a_batch_is_its_items():
    encoder, motion = tiny(), rand(2, 2, 2, 5, 6, 7)
    torch.testing.assert_close(encoder(motion), torch.cat([encoder(item[None]) for item in motion]))


def test_rows_come_before_columns():
    encoder, motion = tiny(), torch.zeros(1, 2, 5, 3, 4)
    motion[:, :, :, 1, 2] = 1.0
    attention_off = encoder
    for block in attention_off.blocks:
        torch.nn.init.zeros_(block.spatial_attention.proj.weight)
        torch.nn.init.zeros_(block.temporal_attention.proj.weight)
    changed = (encoder(motion) - encoder(torch.zeros_like(motion))).abs().sum((0, 1, 3)) > 0
    assert changed.nonzero().flatten().tolist() == [1 * 4 + 2]


def test_a_cast_encoder_takes_float32_motion():
    assert tiny().to(torch.bfloat16)(rand(3, 1, 2, 5, 6, 7)).dtype == torch.bfloat16


def test_configuration_survives_json_and_refuses_nothing_sizes():
    assert from_dict(MotionConditionEncoderConfig, json.loads(json.dumps(to_dict(TINY)))) == TINY
    with pytest.raises(ConfigError, match="at least 1"):
        MotionConditionEncoderConfig(depth=0)


def test_wrong_shapes_say_what_to_try(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    for shape in [(1, 3, 5, 3, 4), (2, 5, 3, 4)]:
        with pytest.raises(ShapeError, match=r"expected \(batch, 2, frames, rows, cols\); .*for_detokenizer"):
            tiny()(torch.zeros(shape))
