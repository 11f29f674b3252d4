import json
from pathlib import Path

import pytest
import torch
from reference.golden import assert_close, fill, golden, rand
from reference.motion_names import TOKENIZER_NAMES, native_name, released_tokenizer_name

from videolavit.config import from_dict, to_dict
from videolavit.errors import ConfigError, ShapeError, VocabularyError
from videolavit.tokenizers.codebook import CodebookConfig, CodebookLearner
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig

TINY = MotionTokenizerConfig(
    frames=24, rows=16, cols=16, patch=(1, 2, 2), width=32, heads=2, num_codes=32, code_dim=8,
    strides=((2, 2, 2), (2, 1, 1), (2, 1, 1)), blocks=(0, 1, 1),
)  # fmt: skip


def tiny(seed: int = 0) -> MotionTokenizer:
    torch.manual_seed(seed)
    return MotionTokenizer(TINY)


def golden_tokenizer(name: str) -> tuple[MotionTokenizer, torch.Tensor, dict[str, torch.Tensor]]:
    sizes, expected = golden(name)
    rows, cols = sizes["grid"]
    config = MotionTokenizerConfig(
        frames=sizes["frames"], rows=rows, cols=cols, width=sizes["dim"], heads=sizes["num_heads"],
        num_codes=sizes["codebook_size"], code_dim=sizes["code_dim"],
    )  # fmt: skip
    assert sum(config.blocks) == sizes["depth"]
    seed, *shape = (int(number) for number in sizes["input"].removeprefix("rand(").removesuffix(")").split(","))
    return fill(MotionTokenizer(config), released_tokenizer_name), rand(seed, *shape), expected


def smooth_motion(batch: int, seed: int) -> torch.Tensor:
    """Whole-field motion that swings over time: easy to learn, different in every clip."""
    generator = torch.Generator().manual_seed(seed)
    swing, offset = torch.randn(2, batch, 2, 1, 1, 1, generator=generator)
    seconds = torch.linspace(0, 3, TINY.frames).reshape(1, 1, -1, 1, 1)
    return (swing * torch.sin(seconds) + offset).expand(batch, 2, TINY.frames, TINY.rows, TINY.cols).contiguous()


@pytest.mark.parametrize(
    "name", ["motion_tokenizer_small", pytest.param("motion_tokenizer_full", marks=pytest.mark.slow)]
)
def test_numbers_of_the_reference_implementation(name):
    tokenizer, motion, expected = golden_tokenizer(name)
    with torch.inference_mode():
        assert_close(tokenizer.features(motion), expected["pre_quant"])
        assert torch.equal(tokenizer.encode(motion), expected["token_ids"])
        assert_close(tokenizer.decode(expected["token_ids"])[:, :, ::4, ::2, ::2], expected["decoded"])
        condition = tokenizer.condition(expected["token_ids"], 40, 72)
        assert_close(condition[:, :, ::6, ::4, ::4], expected["from_token_40x72"])


def test_an_empty_batch_gives_empty_results():
    tokenizer = tiny().eval()
    codes = tokenizer.encode(smooth_motion(2, 0)[:0])
    assert codes.shape == (0, TINY.num_tokens)
    assert tokenizer.decode(codes).shape == (0, 2, TINY.frames, TINY.rows, TINY.cols)


def test_released_size_has_the_released_keys_and_shapes():
    layout = json.loads((Path(__file__).parent.parent / "reference" / "layout.json").read_text())["motion_tokenizer"]
    with torch.device("meta"):
        state = MotionTokenizer(MotionTokenizerConfig()).state_dict()
    assert {released_tokenizer_name(key): list(value.shape) for key, value in state.items()} == layout
    assert {native_name(key, TOKENIZER_NAMES) for key in layout} == set(state)


def test_released_sizes_follow_from_the_configuration():
    config = MotionTokenizerConfig()
    assert config.code_grid == (3, 5, 9)
    assert config.num_tokens == 135
    assert TINY.num_tokens == 48
    assert from_dict(MotionTokenizerConfig, to_dict(TINY)) == TINY
    assert from_dict(MotionTokenizerConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_a_batch_is_its_items():
    tokenizer, motion = tiny(), rand(1, 2, 2, 24, 16, 16)
    with torch.inference_mode():
        codes = tokenizer.encode(motion)
        assert torch.equal(codes, torch.cat([tokenizer.encode(item[None]) for item in motion]))
        decoded = tokenizer.decode(codes)
        torch.testing.assert_close(decoded, torch.cat([tokenizer.decode(item[None]) for item in codes]))
    assert not torch.equal(codes[0], codes[1])


def test_codes_see_the_whole_clip_and_unequal_axes_keep_their_order():
    config = MotionTokenizerConfig(
        frames=16, rows=4, cols=24, patch=(2, 1, 2), width=16, heads=2, num_codes=16, code_dim=4,
        strides=((2, 2, 2), (2, 1, 2)), blocks=(1, 1),
    )  # fmt: skip
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(config)
    assert config.code_grid == (2, 2, 3)
    motion = rand(2, 1, 2, 16, 4, 24).requires_grad_()
    tokenizer.features(motion)[0, 0].sum().backward()
    assert (motion.grad.abs().amax((0, 1, 3, 4)) > 0).all()  # all frames
    assert (motion.grad.abs().amax((0, 1, 2)) > 0).all()  # all cells
    assert tokenizer.decode(torch.zeros(1, 12, dtype=torch.long)).shape == (1, 2, 16, 4, 24)


def test_patches_come_back_where_they_were_taken():
    config = MotionTokenizerConfig(
        frames=4, rows=6, cols=8, patch=(2, 3, 4), width=48, heads=2, num_codes=16, code_dim=48,
        strides=((1, 1, 1),), blocks=(0,),
    )  # fmt: skip
    tokenizer, motion = MotionTokenizer(config), rand(1, 1, 2, 4, 6, 8)
    assert (config.patch_grid, config.code_grid, config.patch_width) == ((2, 2, 2), (2, 2, 2), 48)
    seen = []
    tokenizer.encoder.in_proj.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    tokenizer.features(motion)
    assert torch.equal(seen[0][0, 1, 0, 1].reshape(2, 3, 4, 2), motion[0, :, 2:4, 0:3, 4:8].movedim(0, -1))
    tokenizer.motion_head = torch.nn.Identity()
    tokenizer.decoder.forward = lambda vectors: seen[0].flatten(2, 3)
    assert torch.equal(tokenizer.decode(torch.zeros(1, 8, dtype=torch.long)), motion)


def test_condition_is_the_decoded_motion_in_normalised_units_at_another_size():
    tokenizer, codes = tiny(), torch.arange(48)[None] % 32
    decoded = tokenizer.decode(codes)
    assert torch.equal(tokenizer.condition(codes, 16, 16), decoded / 10)
    assert tokenizer.condition(codes, 12, 20).shape == (1, 2, 24, 12, 20)


@pytest.mark.parametrize("warm_up_steps", [1, 8, 1000])
def test_training_lowers_the_loss_with_codes_from_the_start_later_or_never(warm_up_steps):
    motion, tokenizer = smooth_motion(4, seed=3), tiny()
    learner = CodebookLearner(tokenizer.quantizer, CodebookConfig(warm_up_steps=warm_up_steps, decay=0.9))
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        result = tokenizer(motion, quantize=learner.quantizing)
        loss = (result.motion - motion).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        (loss + 0.25 * result.commitment * learner.quantizing).backward()
        optimizer.step()
        learner.update(result.features, result.codes)
    assert learner.quantizing == (warm_up_steps < 15)
    assert losses[-1] < 0.5 * losses[0], losses


def test_gradients_reach_every_parameter_through_the_codes():
    tokenizer = tiny()
    reconstruction = tokenizer(smooth_motion(2, seed=4))
    reconstruction.motion.square().sum().backward()
    without = [name for name, parameter in tokenizer.named_parameters() if parameter.grad is None]
    assert without == []
    assert tokenizer.encoder.in_proj.weight.grad.abs().sum() > 0


def test_training_forward_gives_the_codes_and_motion_of_inference():
    tokenizer, motion = tiny(), smooth_motion(2, seed=5)
    reconstruction = tokenizer(motion)
    assert torch.equal(reconstruction.codes, tokenizer.encode(motion))
    torch.testing.assert_close(reconstruction.motion, tokenizer.decode(reconstruction.codes))
    torch.testing.assert_close(reconstruction.features, tokenizer.features(motion))


@pytest.mark.parametrize("cast", ["module", "autocast"])
def test_half_precision_keeps_codes_and_output_types(cast):
    tokenizer, motion = tiny(), smooth_motion(2, seed=6)
    if cast == "module":
        tokenizer.to(torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=cast == "autocast"):
        features, codes = tokenizer.features(motion), tokenizer.encode(motion)
        assert features.dtype == torch.float32
        assert tokenizer.decode(codes).dtype == torch.float32
    assert torch.equal(codes, tokenizer.quantizer.codes(features))
    assert tokenizer.quantizer.codebook.dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 2, 24, 20, 36), (1, 2, 23, 16, 16)])
def test_motion_of_another_size_says_what_to_try(shape):
    with pytest.raises(ShapeError, match=r"expected \(batch, 2, 24, 16, 16\); .*for_tokenizer"):
        tiny().encode(torch.zeros(shape))


def test_codes_of_another_number_or_outside_the_codebook_are_refused():
    with pytest.raises(ShapeError, match=r"got codes of shape \(1, 47\), expected \(batch, 48\)"):
        tiny().decode(torch.zeros(1, 47, dtype=torch.long))
    with pytest.raises(VocabularyError, match="1 of 48 codes are outside 0 to 31, the first is 32"):
        tiny().decode(torch.tensor([[0] * 47 + [32]]))
    with pytest.raises(ShapeError, match="0 x 8"):
        tiny().condition(torch.zeros(1, 48, dtype=torch.long), 0, 8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 21}, "expected multiples of"),
        ({"blocks": (3, 3)}, "one pair for each group"),
        ({"strides": ((3, 1, 1),), "blocks": (1,)}, "of 1 or 2 each"),
        ({"strides": ((1, 0, 1),), "blocks": (1,)}, "of 1 or 2 each"),
        ({"strides": (), "blocks": ()}, "one pair for each group"),
        ({"patch": (5, 1, 1)}, r"expected multiples of \(40, 4, 4\), the patch times the strides"),
        ({"patch": (0, 1, 1)}, "at least 1 each"),
        ({"frames": 0}, "at least 1 each"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        MotionTokenizerConfig(**wrong)
