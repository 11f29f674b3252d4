"""Numbers that are not finite, in any part of a model: an error that names the part, and never a black video."""

import pytest
import torch
from pipeline import small_model as small
from pipeline.small_model import moving

from videolavit.errors import GenerationError, ShapeError

PARTS = {
    "visual_tokenizer": "the vision encoder computed numbers that are not finite",
    "motion_tokenizer": "the motion tokenizer computed",
    "condition_decoder": "the condition decoder computed",
    "keyframe_unet": "the keyframe UNet computed",
    "keyframe_vae": "the decoder of the autoencoder computed",
    "motion_encoder": "the motion encoder computed",
    "video_unet": "the video UNet computed",
    "video_vae": "the encoder of the autoencoder computed",
}


def model_with(monkeypatch, part, value, only=""):
    """The small model with all weights of one part set to a value, or those whose name holds `only`."""
    build = small.ModelComponents

    def damaged(*, modules, **options):
        with torch.no_grad():
            for name, weights in modules[part].named_parameters():
                if only in name:
                    weights.fill_(value)
        return build(modules=modules, **options)

    monkeypatch.setattr(small, "ModelComponents", damaged)
    return small.small_model()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_named(monkeypatch, part, value):
    model = model_with(monkeypatch, part, value)
    with pytest.raises(GenerationError, match=PARTS[part]) as caught:
        model.reconstruct(moving(24))
    assert "videolavit doctor --model FOLDER" in str(caught.value)


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("selector", "the selector of the visual tokenizer"),
        ("code_head", "the visual tokenizer computed"),
        ("merger", "the visual tokenizer computed"),
    ],
)
def test_parts_of_the_visual_tokenizer_are_named(monkeypatch, only, message):
    with pytest.raises(GenerationError, match=message):
        model_with(monkeypatch, "visual_tokenizer", float("nan"), only).tokenize(video=moving(24))


@pytest.mark.parametrize("only", ["", "lm_head", "layers.1"])
def test_the_language_model_is_named(monkeypatch, only):
    model = model_with(monkeypatch, "language_model", float("nan"), only)
    with pytest.raises(GenerationError, match="language model's best logits"):
        model.answer("what moves?", video=moving(24))


def test_motion_that_is_not_finite_is_refused():
    import numpy as np

    from videolavit.clip import MotionField

    values = np.zeros((2, 4, 2, 3), np.float32)
    values[0, 1, 1, 1] = np.nan
    with pytest.raises(ShapeError, match="motion that is not finite"):
        MotionField(values=values, height=32, width=48)


def test_advice_on_the_type_is_given_only_where_it_can_help():
    from videolavit.nn.finite import check_finite

    broken = torch.tensor([float("nan")])
    with pytest.raises(GenerationError) as wide:
        check_finite(broken, "a part")
    assert "--dtype" not in str(wide.value)
    with pytest.raises(GenerationError, match=r"overflow in bfloat16, try dtype=torch\.float32.*--dtype float32"):
        check_finite(broken, "a part", torch.bfloat16)
    assert check_finite(torch.tensor([1]), "a part").item() == 1
