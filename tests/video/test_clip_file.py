"""Clips come back from a file as they were."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from videolavit.clip import Clip, MotionField
from videolavit.errors import MediaError, OutputError, ShapeError
from videolavit.video.clips.clip_file import ClipFileWriter, load_clips


def clip(seed: int, *, start: int, height: int = 48, width: int = 80) -> Clip:
    noise = np.random.default_rng(seed)
    values = noise.normal(size=(2, 24, height // 16, width // 16)).astype(np.float32)
    return Clip(
        keyframe=noise.integers(0, 256, (height, width, 3), dtype=np.uint8),
        motion=MotionField(values=values, height=height, width=width),
        start=start,
        fps=Fraction(30000, 1001),
        num_real_frames=24 - seed,
        source="a file with ünïcode and a\nnewline.mp4",
    )


def write(path: Path, clips: list[Clip], **grid: int) -> None:
    with ClipFileWriter(path, **grid) as writer:
        for each in clips:
            writer.add(each)


def test_clips_come_back_equal(tmp_path):
    clips = [clip(0, start=0), clip(1, start=12), clip(2, start=31)]
    write(tmp_path / "clips.safetensors", clips)
    for before, after in zip(clips, load_clips(tmp_path / "clips.safetensors"), strict=True):
        np.testing.assert_array_equal(before.keyframe, after.keyframe)
        np.testing.assert_array_equal(before.motion.values, after.motion.values)
        assert (before.start, before.fps, before.num_real_frames) == (after.start, after.fps, after.num_real_frames)
        assert before.source == after.source


def test_any_reader_of_safetensors_opens_the_file(tmp_path):
    clips = [clip(0, start=0), clip(1, start=12)]
    write(tmp_path / "clips.safetensors", clips, rows=10, cols=18)
    arrays = load_file(tmp_path / "clips.safetensors")
    shapes = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    assert shapes == {
        "motion": ((2, 2, 24, 10, 18), "float32"),
        "motion_pixels": ((2, 2, 24, 3, 5), "float32"),
        "keyframes": ((2, 48, 80, 3), "uint8"),
        "clip_starts": ((2,), "int64"),
        "num_real_frames": ((2,), "int64"),
    }
    np.testing.assert_array_equal(arrays["motion"][1], clips[1].motion.for_tokenizer(10, 18))
    np.testing.assert_array_equal(arrays["clip_starts"], [0, 12])


def test_a_clip_of_another_size_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(ShapeError, match="clip 1"):
        write(tmp_path / "clips.safetensors", [clip(0, start=0), clip(1, start=12, width=96)])
    assert list(tmp_path.iterdir()) == []


def test_no_clip_is_an_error_and_nothing_is_left(tmp_path):
    with pytest.raises(MediaError, match="no clip"):
        write(tmp_path / "clips.safetensors", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "clips.safetensors").write_bytes(content)
    with pytest.raises(MediaError, match="not a file of clips"):
        list(load_clips(tmp_path / "clips.safetensors"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(MediaError, match="not a file of clips"):
        list(load_clips(tmp_path / "none.safetensors"))


def test_a_folder_that_is_not_there_is_told_by_the_name_that_was_given(tmp_path):
    path = tmp_path / "none" / "clips.safetensors"
    with pytest.raises(OutputError, match=r"none/clips\.safetensors"), ClipFileWriter(path) as writer:
        writer.add(clip(0, start=0))


def test_a_file_of_another_kind_is_no_file_of_clips(tmp_path):
    other = tmp_path / "other.safetensors"
    arrays = {name: np.zeros((2, 3), np.float32) for name in ("clip_starts", "num_real_frames", "keyframes")}
    save_file({**arrays, "motion_pixels": np.zeros((2, 3), np.float32)}, other, metadata={"fps": "x", "source": "y"})
    with pytest.raises(MediaError, match="is not a file of clips"):
        list(load_clips(other))
