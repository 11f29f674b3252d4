"""Tensors and messages through the front door, as their types say."""

from __future__ import annotations

import numpy as np
import torch

from videolavit import VideoLaVIT

RED = np.full((128, 128, 3), (220, 40, 40), np.uint8)


def test_tensors_are_what_arrays_are():
    model = VideoLaVIT.from_pretrained("tiny")
    tensor = torch.from_numpy(RED).permute(2, 0, 1)[None].float() / 255
    expected = model.answer("What colour is it?", image=RED).text
    assert model.answer("What colour is it?", image=tensor).text == expected
    content = [{"type": "image", "image": tensor}, {"type": "text", "text": "What colour is it?"}]
    assert model.answer([{"role": "user", "content": content}]).text == expected
    frames = torch.from_numpy(RED).permute(2, 0, 1).repeat(24, 1, 1, 1).float() / 255
    of_frames = model.answer("Which way does it move?", video=frames).text
    assert model.answer("Which way does it move?", video=list(frames)).text == of_frames
    assert model.answer("Which way does it move?", video=RED[None].repeat(24, 0)).text == of_frames
    assert model.tokenize(video=frames).clips
