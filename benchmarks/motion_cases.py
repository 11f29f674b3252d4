"""The motion tokenizer's and the motion condition encoder's modules beside plain eager formulations.

As in `visual_cases.py`: the formulas of the reference on the weights of the module that they are compared with. Sizes
are those of the released model, with all of its layers except in the rows of a single block.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from cases import Case
from torch import Tensor
from visual_cases import plain_attention, plain_join, plain_joint_projection

from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.nn.attention import attend
from videolavit.nn.space_time import SpaceTimeBlock
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig


def motion_cases(*, quick: bool = False) -> list[Case]:
    """All rows of this file; `quick` takes a quarter of the width and a third of the layers."""
    width, heads, layers = (128, 2, 1) if quick else (512, 8, 3)
    config = MotionTokenizerConfig(width=width, heads=heads, blocks=(layers,) * 4)
    condition_config = MotionConditionEncoderConfig(width=width, heads=heads, depth=4 * layers)
    torch.manual_seed(0)
    tokenizer, condition = MotionTokenizer(config), MotionConditionEncoder(condition_config)
    block: SpaceTimeBlock = tokenizer.encoder.blocks[0]
    motion, cells = torch.randn(1, 2, *config.input_grid), config.rows * config.cols
    features = torch.randn(1, config.frames, cells, width)
    codes = torch.randint(config.num_codes, (1, config.num_tokens))
    in_frame = block.spatial_attention.project(features[0])
    in_cell = block.temporal_attention.project(features[0].transpose(0, 1))
    return [
        Case(
            name=f"attention of {config.frames} frames over {cells} cells",
            ours=partial(attend, *in_frame),
            plain=partial(plain_attention, *in_frame),
            least_speedup=1.3,
        ),
        Case(
            name=f"attention of {cells} cells over {config.frames} frames",
            ours=partial(attend, *in_cell),
            plain=partial(plain_attention, *in_cell),
            least_speedup=1.3,
        ),
        Case(name="space-time block", ours=partial(block, features), plain=partial(plain_block, block, features)),
        Case(
            name="motion tokenizer, encode",
            ours=partial(tokenizer.features, motion),
            plain=partial(plain_features, tokenizer, motion),
        ),
        Case(
            name="motion tokenizer, decode",
            ours=partial(tokenizer.decode, codes),
            plain=partial(plain_decode, tokenizer, codes),
        ),
        Case(
            name="motion condition encoder",
            ours=partial(condition, motion),
            plain=partial(plain_condition, condition, motion),
        ),
    ]


def plain_features(tokenizer: MotionTokenizer, motion: Tensor) -> Tensor:
    encoder, (_, rows, cols) = tokenizer.encoder, tokenizer.config.input_grid
    x = encoder.in_proj(motion.permute(0, 2, 3, 4, 1).flatten(2, 3))
    x = x + encoder.spatial_position[:, None] + encoder.temporal_position[:, :, None]
    blocks = iter(encoder.blocks)
    for count, downsample in zip(tokenizer.config.blocks, encoder.downsample, strict=True):
        for _ in range(count):
            x = plain_block(next(blocks), x)
        grid = x.unflatten(2, (rows, cols)).permute(0, 4, 1, 2, 3)
        shrunk = F.conv3d(
            F.pad(grid, downsample.padding), downsample.conv.weight, downsample.conv.bias, downsample.conv.stride
        )
        rows, cols = shrunk.shape[3:]
        x = shrunk.flatten(3).permute(0, 2, 3, 1)
    return tokenizer.code_head(encoder.norm(x).flatten(1, 2))


def plain_decode(tokenizer: MotionTokenizer, codes: Tensor) -> Tensor:
    decoder, (frames, rows, cols) = tokenizer.decoder, tokenizer.config.code_grid
    x = decoder.in_proj(tokenizer.quantizer.codebook[codes]).unflatten(1, (frames, rows * cols))
    blocks = iter(decoder.blocks)
    for count, upsample in zip(tokenizer.config.blocks[::-1], decoder.upsample, strict=True):
        grown = x.unflatten(2, (rows, cols)).permute(0, 4, 1, 2, 3)
        for axis, factor in enumerate(upsample.factors, start=2):
            grown = grown.repeat_interleave(int(factor), axis)
        grown = F.conv3d(grown, upsample.conv.weight, upsample.conv.bias, padding=1)
        rows, cols = grown.shape[3:]
        x = grown.flatten(3).permute(0, 2, 3, 1)
        for _ in range(count):
            x = plain_block(next(blocks), x)
    return tokenizer.motion_head(decoder.norm(x)).unflatten(2, (rows, cols)).permute(0, 4, 1, 2, 3)


def plain_condition(encoder: MotionConditionEncoder, motion: Tensor) -> Tensor:
    size = encoder.config.rows, encoder.config.cols
    grids = F.interpolate(motion.transpose(1, 2).flatten(0, 1), size, mode="bicubic")
    cells = grids.flatten(2).transpose(1, 2).unflatten(0, (len(motion), -1))
    x = encoder.in_proj(cells) + encoder.spatial_position
    for block in encoder.blocks:
        x = plain_block(block, x)
    return encoder.out_proj(encoder.norm(x))


def plain_block(block: SpaceTimeBlock, x: Tensor) -> Tensor:
    batch, frames, positions, _ = x.shape
    in_frame = block.spatial_norm(x).flatten(0, 1)
    attended = plain_attention(*plain_joint_projection(block.spatial_attention, in_frame))
    x = x + plain_join(block.spatial_attention, attended).unflatten(0, (batch, frames))
    in_cell = block.temporal_norm(x).transpose(1, 2).flatten(0, 1)
    attended = plain_attention(*plain_joint_projection(block.temporal_attention, in_cell))
    x = x + plain_join(block.temporal_attention, attended).unflatten(0, (batch, positions)).transpose(1, 2)
    return x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.mlp_norm(x))))
