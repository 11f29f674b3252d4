"""Sizes of a motion tokenizer that tests build in no time."""

from videolavit.tokenizers.motion_tokenizer import MotionTokenizerConfig

MOTION = MotionTokenizerConfig(
    rows=16,
    cols=16,
    patch=(2, 4, 4),
    strides=((2, 1, 1), (2, 1, 1)),
    blocks=(1, 1),
    width=16,
    heads=2,
    num_codes=16,
    code_dim=8,
)
